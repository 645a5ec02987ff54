//! The disk of a world: a map of records, with atomic batches.

use std::collections::BTreeMap;

use bytes::Bytes;
use onceward::attempts::AttemptLog;
use onceward::domain::Timestamp;
use onceward::engine::NumberState;
use onceward::shard::{Record as _, RecordKey, Records, Slots, Stored, Write, decode};
use onceward::store::StoreError;

/// The store's answer to a commit.
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
    /// The frame is on the disk up to some byte. It counts if it is whole.
    Torn { whole: bool },
    /// No answer yet.
    Hang,
}

/// The durable records.
#[derive(Default)]
pub struct Disk(BTreeMap<RecordKey, Bytes>);

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
            Some(Fault::UnknownApplied | Fault::Torn { whole: true }) => {
                self.apply(writes);
                Some(unknown())
            }
            Some(Fault::UnknownNotApplied | Fault::Torn { whole: false }) => Some(unknown()),
            Some(Fault::Hang) => None,
        }
    }

    fn apply(&mut self, writes: &[Write]) {
        for Write { key, put, expires } in writes {
            match put {
                Some(bytes) => {
                    assert_eq!(end_of(key, bytes), *expires, "a record and its end differ");
                    self.0.insert(*key, bytes.clone());
                }
                None => drop(self.0.remove(key)),
            }
        }
    }

    /// The durable state under a key.
    pub fn state(&self, key: &RecordKey) -> NumberState {
        self.0.get(key).map_or(NumberState::Fresh, |bytes| state_of(bytes))
    }

    /// The durable attempts under a key.
    pub fn track(&self, key: &RecordKey) -> Option<AttemptLog> {
        self.0.get(key).map(|bytes| track_of(bytes))
    }

    /// The records of these slots, as a shard restores them.
    pub fn load(&self, slots: &Slots) -> Records {
        let of_slots = self.0.iter().filter(|(key, _)| slots.contains(key.slot));
        let stored = |(key, bytes): (&RecordKey, &Bytes)| {
            (*key, Stored { bytes: bytes.clone(), expires: end_of(key, bytes) })
        };
        of_slots.map(stored).collect()
    }
}

fn end_of(key: &RecordKey, bytes: &[u8]) -> Timestamp {
    match key.kind {
        NumberState::KIND => state_of(bytes).expires(),
        AttemptLog::KIND => track_of(bytes).expires(),
        kind => panic!("a record of kind {kind}"),
    }
}

pub fn track_of(bytes: &[u8]) -> AttemptLog {
    decode(bytes).expect("a record")
}

fn state_of(bytes: &[u8]) -> NumberState {
    decode(bytes).expect("a record")
}
