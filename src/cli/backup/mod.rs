//! Exports: every record as a line of JSON, and back.
//!
//! A line has a record in its own JSON, and its name. `docs/internals/storage.md` describes the format. The commands in
//! `cli::export` and `cli::import` know where the records come from and go.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod file;
#[cfg(test)]
mod tests;

pub use file::{ExportError, Header, ImportError, Reader, Writer, check};

use crate::delivery::attempts::AttemptLog;
use crate::domain::Timestamp;
use crate::engine::{NumberState, Verification};
use crate::limits::guard::GuardRow;
use crate::limits::keys::KeyedRequest;
use crate::shard::{Record, RecordError, decode, encode};
use crate::store::{CopiedRecord, Key};
use crate::verification::hosted::HostedSession;
use crate::webhook::EventRecord;

/// A record without its code and its planned message; `None` for one that belongs to a moment: a count of a rate limit or a
/// budget, an idempotency key, an event, a hosted session. Also returns whether a code or a planned message was dropped.
pub fn without_codes(entry: CopiedRecord) -> Result<(Option<CopiedRecord>, bool), RecordError> {
    match entry.key.kind {
        NumberState::KIND => {
            let state = decode::<NumberState>(&entry.record)?;
            let had_code = state.verification().is_some();
            Ok((without_code(state).map(|state| restored(entry.key, &state)), had_code))
        }
        AttemptLog::KIND => {
            let mut log = decode::<AttemptLog>(&entry.record)?;
            let had_plan = log.plan.take().is_some();
            Ok((Some(restored(entry.key, &log)), had_plan))
        }
        GuardRow::KIND => {
            let is_window = matches!(decode(&entry.record)?, GuardRow::Row(key, _) if key.is_window());
            Ok(((!is_window).then_some(entry), false))
        }
        KeyedRequest::KIND | EventRecord::KIND | HostedSession::KIND => Ok((None, false)),
        _ => Ok((Some(entry), false)),
    }
}

fn restored<R: Record>(key: Key, record: &R) -> CopiedRecord {
    CopiedRecord { key, expires: record.expires(), record: encode(record) }
}

/// The state without its code; `None` if that is the state of a fresh number.
fn without_code(state: NumberState) -> Option<NumberState> {
    let NumberState::Open(open) = state else { return Some(state) };
    let verification = open.verification.filter(|v| v.checking_until != Timestamp::EPOCH).map(|v| {
        // The gateway was being asked about a guess, which is counted, and may lock the number when its time ends: that time
        // stays, in a code that has expired.
        Verification { expires: Timestamp::EPOCH, held: None, ..v }
    });
    Some(open.with(verification)).filter(|state| *state != NumberState::Fresh)
}
