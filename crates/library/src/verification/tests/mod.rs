//! Promises about verifications beyond the engine's decisions, over the services of a process. The simulation asks a
//! shard without its actor at random.

mod events;
mod guard;
mod held;
mod idempotency;
mod limits;
mod rules;
mod ways;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::services::ConfiguredService;
use crate::config::{GuardSettings, Settings};
use crate::delivery::SendStatus;
use crate::delivery::attempts::{AttemptQuery, ListedAttempt, VerifyStatus};
use crate::domain::{AttemptId, Channel, Code, GatewayName, PhoneNumber, ServiceId, Sid};
use crate::engine::SlotHash;
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus, Verdict};
use crate::limits::guard::operator::Explanation;
use crate::limits::guard::{Dimension, EntryAction, Key, Mode, Rule};
use crate::limits::keys::MOST_RECORDS;
use crate::node::Unready;
use crate::registry::{ServiceSettings, TestNumber, WebhookFields, WebhookStatus, gateway_sid};
use crate::shard::{LimitedTable, Refusal};
use crate::template::AppHash;
use crate::testing::{
    HOUR, SECOND, START, StoreFault, World, asking, asking_once, asking_with, given, hanging, number,
    server_key, settle, until,
};
use crate::verification::{
    CheckCode, Ending, Failure, GivenKey, NumberKey, Outgoing, Refused, Status, Verification,
    VerificationTarget,
};
use crate::webhook::Event;

/// What the first budget was charged.
fn spent(world: &World) -> u64 {
    world.guard.reading().2[0].spent
}

/// The rule by which the guard refused a message.
fn rule<T>(answer: &Result<T, Refused>) -> Option<Rule> {
    match answer {
        Err(Refused::Failed(Failure::Guard(refusal))) => Some(refusal.rule),
        _ => None,
    }
}
