//! The list of every kind of record.

use crate::delivery::attempts::AttemptLog;
use crate::engine::NumberState;
use crate::limits::guard::{GuardRow, VerifiedNumber};
use crate::limits::keys::KeyedRequest;
use crate::node::history;
use crate::registry::audit::AuditEntry;
use crate::registry::{Credential, ServiceRecord};
use crate::shard::Kinds;
use crate::verification::hosted::HostedSession;
use crate::webhook::EventRecord;

/// Every kind of record.
pub fn all() -> Kinds {
    Kinds::default()
        .with::<NumberState>()
        .with::<ServiceRecord>()
        .with::<Credential>()
        .with::<KeyedRequest>()
        .with::<AttemptLog>()
        .with::<EventRecord>()
        .with::<history::Row>()
        .with::<AuditEntry>()
        .with::<GuardRow>()
        .with::<HostedSession>()
        .with::<VerifiedNumber>()
}
