//! The disk of a world: a map of records, with atomic batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use onceward::delivery::attempts::AttemptLog;
use onceward::domain::Timestamp;
use onceward::engine::{NumberState, Verification};
use onceward::shard::{Record as _, RecordKey, Records, Stored, Write, decode};
use onceward::store::StoreError;

use crate::facts::Salted;
use crate::number::{Code, Memory, Open};

pub type Committed = Result<(), StoreError>;

/// A fault of the store during one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not written, and the store says so.
    Unavailable,
    /// Written, but the store does not know.
    UnknownApplied,
    /// Not written, but the store does not know.
    UnknownNotApplied,
    /// No answer yet.
    Hang,
    /// The process has lost its lease: not written.
    Fenced,
}

/// The durable records.
#[derive(Default)]
pub struct Disk {
    records: BTreeMap<RecordKey, Bytes>,
}

impl Disk {
    /// Gives a batch to the store. `None` if the store hangs.
    pub fn commit(&mut self, writes: &[Write], fault: Option<Fault>) -> Option<Committed> {
        if matches!(fault, None | Some(Fault::UnknownApplied)) {
            self.apply(writes);
        }
        match fault {
            None => Some(Ok(())),
            Some(Fault::Unavailable) => Some(Err(StoreError::Unavailable("a fault".to_owned()))),
            Some(Fault::UnknownApplied | Fault::UnknownNotApplied | Fault::Fenced) => {
                Some(Err(StoreError::Unknown("a fault".to_owned())))
            }
            Some(Fault::Hang) => None,
        }
    }

    fn apply(&mut self, writes: &[Write]) {
        for Write { key, put, expires } in writes {
            match put {
                Some(bytes) => {
                    assert_eq!(end_of(key, bytes), *expires, "a record and its end differ");
                    self.records.insert(*key, bytes.clone());
                }
                None => drop(self.records.remove(key)),
            }
        }
    }

    pub fn memory(&self, key: &RecordKey) -> Memory {
        self.records.get(key).map_or(Memory::Nothing, |bytes| memory_of(state_of(bytes)))
    }

    pub fn log(&self, key: &RecordKey) -> Option<AttemptLog> {
        self.records.get(key).map(|bytes| log_of(bytes))
    }

    /// The records of these slots, as a shard restores them.
    pub fn load(&self, slots: &BTreeSet<u8>) -> Records {
        let of_slots = self.records.iter().filter(|(key, _)| slots.contains(&key.slot));
        let stored = |(key, bytes): (&RecordKey, &Bytes)| {
            (*key, Stored { bytes: bytes.clone(), expires: end_of(key, bytes) })
        };
        of_slots.map(stored).collect()
    }
}

fn end_of(key: &RecordKey, bytes: &[u8]) -> Timestamp {
    match key.kind {
        NumberState::KIND => state_of(bytes).expires(),
        AttemptLog::KIND => log_of(bytes).expires(),
        kind => panic!("a record of kind {kind}"),
    }
}

pub fn log_of(bytes: &[u8]) -> AttemptLog {
    decode(bytes).expect("a record")
}

fn memory_of(state: NumberState) -> Memory {
    let code = |v: Verification| Code {
        salt: Salted(v.salt.0),
        expires: v.expires.as_millis(),
        sending: v.sending,
        sending_until: v.sending_until.as_millis(),
        sent: v.sent,
        postponed: v.postponed,
        held: v.held.is_some(),
        asking: v.checking_until.as_millis(),
        begun: v.counted.map(|counted| counted.begun.as_millis()),
    };
    match state {
        NumberState::Fresh => Memory::Nothing,
        NumberState::Open(open) => Memory::Open(Open {
            wrong: open.failures.in_a_row,
            keep_until: open.keep_until.as_millis(),
            code: open.verification.map(code),
        }),
        NumberState::Locked { until } => Memory::Locked { until: until.as_millis() },
    }
}

fn state_of(bytes: &[u8]) -> NumberState {
    decode(bytes).expect("a record")
}
