//! Exports: every record as a line of JSON, and back.
//!
//! A line has a record in its own JSON, and its name. `docs/internals/storage.md` describes the format. The commands in
//! `cli::export` and `cli::import` know where the records come from and go.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod file;
#[cfg(test)]
mod tests;

pub use file::{ExportError, Header, ImportError, Reader, Writer};

use crate::delivery::attempts::AttemptLog;
use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id_parts};
use crate::engine::{NumberState, Verification};
use crate::limits::rate::{Counter, KeyedRequest};
use crate::shard::{Kinds, Record, RecordError, decode, encode};
use crate::store::{CopiedRecord, Key};
use crate::verification::hosted::HostedSession;
use crate::verification::numbers::NumberKey;
use crate::webhook::EventRecord;

/// Marks the record of a test number in a line.
const TEST: &str = "test:";

/// Checks that a stored record can be decoded and that its expiry matches its content.
pub fn check(entry: &CopiedRecord, kinds: &Kinds) -> Result<(), ExportError> {
    let kind = kinds.get(entry.key.kind).ok_or(RecordError::Kind(entry.key.kind));
    let checked = kind.and_then(|kind| match (kind.read)(&entry.record)?.expires {
        expires if expires == entry.expires => Ok(()),
        _ => Err(RecordError::Contents { what: kind.plural, why: "its expiry is not the stored one".to_owned() }),
    });
    checked.map_err(|error| ExportError::Record { what: name(&entry.key, kinds), error })
}

/// The subject of a record for messages: a number is masked.
pub fn name(key: &Key, kinds: &Kinds) -> String {
    let (service, subject) = record_id_parts(key.id);
    let service = service.get();
    if let Some(key) = NumberKey::from_id(&key.id).filter(|_| key.kind == NumberState::KIND) {
        return format!("number {} in service {service}", key.number);
    }
    let plural = kinds.get(key.kind).map_or("records", |kind| kind.plural);
    format!("{subject:016x} of the {plural} in service {service}")
}

/// A record without its code and its planned message; `None` for one that belongs to a moment: a rate limit counter, an
/// idempotency key, an event, a hosted session. Also returns whether a code or a planned message was dropped.
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
        Counter::KIND | KeyedRequest::KIND | EventRecord::KIND | HostedSession::KIND => Ok((None, false)),
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

/// The subject, from the form that it has in a line.
fn subject_of(kind: u8, text: &str) -> Option<u64> {
    if kind == NumberState::KIND {
        let (number, is_test) = text.strip_prefix(TEST).map_or((text, false), |number| (number, true));
        let number = PhoneNumber::from_u64(number.strip_prefix('+')?.parse().ok()?)?;
        let key = NumberKey { is_test, ..NumberKey::new(ServiceId::DEFAULT, number) };
        return Some(record_id_parts(key.id()).1);
    }
    u64::from_str_radix(text, 16).ok().filter(|subject| format!("{subject:016x}") == text)
}

/// The subject in the form that it has in a line.
fn subject_text(key: &Key) -> String {
    match NumberKey::from_id(&key.id).filter(|_| key.kind == NumberState::KIND) {
        Some(NumberKey { number, is_test: true, .. }) => format!("{TEST}{}", number.e164()),
        Some(NumberKey { number, is_test: false, .. }) => number.e164(),
        None => format!("{:016x}", record_id_parts(key.id).1),
    }
}
