//! The disk of a world: a map of records, with atomic batches.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use onceward::delivery::attempts::AttemptLog;
use onceward::domain::Timestamp;
use onceward::engine::NumberState;
use onceward::shard::{Record as _, RecordKey, Records, Stored, Write, decode};
use onceward::store::StoreError;

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
        let unknown = || Err(StoreError::Unknown("a fault".to_owned()));
        match fault {
            None => {
                self.apply(writes);
                Some(Ok(()))
            }
            Some(Fault::Unavailable) => Some(Err(StoreError::Unavailable("a fault".to_owned()))),
            Some(Fault::UnknownApplied) => {
                self.apply(writes);
                Some(unknown())
            }
            Some(Fault::UnknownNotApplied | Fault::Fenced) => Some(unknown()),
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

    pub fn state(&self, key: &RecordKey) -> NumberState {
        self.records.get(key).map_or(NumberState::Fresh, |bytes| state_of(bytes))
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

fn state_of(bytes: &[u8]) -> NumberState {
    decode(bytes).expect("a record")
}
