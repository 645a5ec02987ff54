//! One send, from its durable decision to the command that settles it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::command::{Command, CommandKind, Dispatch, SettleCommand};
use super::decide::track_key;
use super::surroundings::Surroundings;
use crate::delivery::tracker::Parcel;
use crate::delivery::{Delivered, DeliveryError, Job, Trouble};
use crate::domain::Held;
use crate::engine::{SendResult, code_of};

/// Delivers and settles. Runs in a task of its own: a caller that hangs up must not cancel a send
/// half way, and the shard waits for no gateway.
pub async fn run(send: Dispatch, around: Arc<Surroundings>) {
    let Dispatch { key, permit, channel, style, purpose, caller } = send;
    let offset = permit.offset();
    let code = code_of(&around.server_key, &permit.salt, key.number, key.service, permit.length, offset);
    let about = Parcel {
        key: track_key(key.service, &permit.salt),
        number: key.number,
        salt: permit.salt,
        style,
        expires: permit.expires,
    };
    let held = permit.held;
    let ours_only = offset != 0;
    let job = Job { about, channel, code, held, ours_only, purpose };
    let still_usable = async || around.router.is_usable(key, permit.salt).await;
    // A send that is never settled would count against its number for ever.
    let mut trouble = None;
    let result = match AssertUnwindSafe(around.delivery.deliver(job, still_usable)).catch_unwind().await {
        Ok(Delivered::Accepted { message_id, held }) => SendResult::Accepted { message_id, held },
        Ok(Delivered::Postponed { message_id }) => SendResult::Postponed { message_id },
        Ok(Delivered::Failed { error, held }) => {
            trouble = Some(Trouble::of(&error));
            result_of(&error, held)
        }
        Err(_panic) => {
            tracing::error!(number = %key.number, "delivery panicked; the message may have been sent or not");
            SendResult::Failed { may_have_been_sent: true, held: None }
        }
    };
    let settle = SettleCommand { permit, result, trouble, caller, decided: None };
    around.router.send(Command::new(key, CommandKind::Settle(settle)));
}

fn result_of(error: &DeliveryError, held: Option<Held>) -> SendResult {
    match error {
        DeliveryError::Overloaded => SendResult::Overloaded,
        DeliveryError::NoLongerUsable => SendResult::NoLongerUsable,
        error if error.is_about_the_number() => SendResult::NumberRefused,
        error => SendResult::Failed { may_have_been_sent: error.may_have_been_sent(), held },
    }
}
