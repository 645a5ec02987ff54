//! The list of every kind of record, and which of them a server with another key finds.

use crate::config::Bounds;
use crate::delivery::attempts::AttemptLog;
use crate::engine::NumberState;
use crate::limits::budgets::BudgetRecord;
use crate::limits::guard::{GuardRow, RefusedNumber, VerifiedNumber, VerifiedNumbers};
use crate::limits::rate::{Counter, KeyedRequest};
use crate::node::history;
use crate::registry::audit::AuditEntry;
use crate::registry::{Credential, SafeNumber, ServiceRecord};
use crate::shard::{Kinds, Record as _, ShardSettings};
use crate::verification::hosted::HostedSession;
use crate::verification::numbers::CarryUse;
use crate::webhook::EventRecord;

/// Every kind of record. A new kind also needs a decision in [`found_under_another_key`].
pub fn all(verified: &VerifiedNumbers) -> Kinds {
    let verified = verified.clone();
    Kinds::default()
        .with::<NumberState>()
        .with::<ServiceRecord>()
        .with::<Credential>()
        .with::<SafeNumber>()
        .with::<Counter>()
        .with::<KeyedRequest>()
        .with::<AttemptLog>()
        .with::<EventRecord>()
        .with::<history::Row>()
        .with::<AuditEntry>()
        .with::<GuardRow>()
        .with::<BudgetRecord>()
        .with::<RefusedNumber>()
        .with::<HostedSession>()
        .with::<CarryUse>()
        .with_table::<VerifiedNumber>(move || verified.table())
}

/// Whether a server with another key finds records of a kind; `None` for an unknown kind, whose records an import must not
/// lose silently. Counters and idempotency keys are found by hashes under the old key, events and hosted sessions by ids that
/// it sealed.
pub const fn found_under_another_key(kind: u8) -> Option<bool> {
    match kind {
        NumberState::KIND
        | ServiceRecord::KIND
        | Credential::KIND
        | SafeNumber::KIND
        | AttemptLog::KIND
        | history::Row::KIND
        | AuditEntry::KIND
        | GuardRow::KIND
        | BudgetRecord::KIND
        | VerifiedNumber::KIND
        | RefusedNumber::KIND
        | CarryUse::KIND => Some(true),
        Counter::KIND | KeyedRequest::KIND | EventRecord::KIND | HostedSession::KIND => Some(false),
        _ => None,
    }
}

/// Every kind, without a limit of numbers: for tools that read and write records.
pub fn for_tools() -> Kinds {
    all(&VerifiedNumbers::new(usize::MAX))
}

/// The limits of a shard.
pub const fn shard_settings(bounds: &Bounds) -> ShardSettings {
    ShardSettings { commands_per_subject: bounds.commands_per_number, commit_timeout: bounds.commit_timeout }
}
