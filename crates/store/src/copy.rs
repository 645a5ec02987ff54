//! A copy of every record as of one moment, as it is kept in a file and sent over a socket.
//!
//! ```text
//! entry: kind 1 | service 4 | subject 8 | gc after 8 | length 4 | record
//! end:   0 | entries 8
//! ```
//! Integers are big-endian. Entries come in the order of their keys, each key once. The end says how
//! many there were, so that a copy that was cut off is none.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::{Key, Kind, Subject};
use onceward_core::domain::{ServiceId, Timestamp};

/// Bytes of an entry before its record.
const HEAD_BYTES: usize = 25;

/// The first byte of the end. Kinds are never 0.
const END: u8 = 0;

/// The longest record that is kept or copied, in bytes. Ours have some hundred.
pub(super) const LONGEST_RECORD: usize = 1024 * 1024;

/// One record of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is kept under.
    pub key: Key,
    /// From when on it no longer matters.
    pub gc_after: Timestamp,
    /// The record as it is stored.
    pub record: Bytes,
}

/// A finished copy.
#[derive(Debug)]
pub struct Copied {
    /// A file without a name, at its beginning. It is gone when it is dropped.
    pub file: File,
    /// How many records of each kind there are.
    pub counts: Counts,
    /// All of it was there at this moment of the store's time, and what had ended by then was left out.
    pub at: Timestamp,
}

/// How many records of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// States of numbers.
    pub numbers: u64,
    /// Verifications whose sends are remembered.
    pub tracks: u64,
    /// Services, keys and all else.
    pub others: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Number => self.numbers += 1,
            Kind::Track => self.tracks += 1,
            Kind::Service
            | Kind::Credential
            | Kind::Counter
            | Kind::Event
            | Kind::Answered
            | Kind::SafeNumber => self.others += 1,
        }
    }

    /// Of all kinds.
    pub const fn total(&self) -> u64 {
        self.numbers + self.tracks + self.others
    }
}

/// What is known of a copy while it is being made, and how to stop it.
#[derive(Debug, Default)]
pub struct CopyProgress {
    records: AtomicU64,
    cancelled: AtomicBool,
}

impl CopyProgress {
    /// How many records have been copied so far.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// So many have been copied.
    pub fn set_records(&self, records: u64) {
        self.records.store(records, Ordering::Relaxed);
    }

    /// Nobody needs the copy any more: its maker stops soon.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Appends one entry to `buffer`.
pub fn encode_entry(buffer: &mut Vec<u8>, key: &Key, gc_after: Timestamp, record: &[u8]) {
    buffer.push(key.kind as u8);
    buffer.extend_from_slice(&key.service.get().to_be_bytes());
    buffer.extend_from_slice(&key.subject.0.to_be_bytes());
    buffer.extend_from_slice(&gc_after.as_millis().to_be_bytes());
    // A longer record would become one that no reader takes.
    buffer.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes());
    buffer.extend_from_slice(record);
}

/// Appends the end of a copy of so many entries.
pub fn encode_end(buffer: &mut Vec<u8>, entries: u64) {
    buffer.push(END);
    buffer.extend_from_slice(&entries.to_be_bytes());
}

/// Reads a copy back.
#[derive(Debug)]
pub struct CopyReader<R> {
    from: R,
    entries: u64,
    last: Option<Key>,
    ended: bool,
}

impl<R: Read> CopyReader<R> {
    /// Of what [`encode_entry`] and [`encode_end`] wrote. Reads in small pieces: give it a buffered
    /// reader.
    pub const fn new(from: R) -> Self {
        Self { from, entries: 0, last: None, ended: false }
    }

    /// The next entry; `None` behind the last, when the copy is complete.
    ///
    /// # Errors
    /// Those of reading, and [`io::ErrorKind::InvalidData`] when it is no copy, or not a whole one.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        let [kind] = self.array()?;
        if kind == END {
            let entries = u64::from_be_bytes(self.array()?);
            if entries != self.entries {
                return Err(damaged("the copy does not have as many records as it says"));
            }
            self.ended = true;
            return Ok(None);
        }
        let head: [u8; HEAD_BYTES - 1] = self.array()?;
        let (service, rest) = head.split_first_chunk().ok_or_else(cut)?;
        let (subject, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let (gc_after, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let length = rest.first_chunk().ok_or_else(cut)?;
        let kind = Kind::from_u8(kind).ok_or_else(|| {
            damaged("the copy has a record of a kind that this program does not know; is the server newer?")
        })?;
        let key = Key {
            kind,
            service: ServiceId::new(u32::from_be_bytes(*service)),
            subject: Subject(u64::from_be_bytes(*subject)),
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LONGEST_RECORD {
            return Err(damaged("the copy has a record that is longer than any can be"));
        }
        if self.last.is_some_and(|last| last >= key) {
            return Err(damaged("the copy is not in order"));
        }
        let mut record = vec![0; length];
        self.from.read_exact(&mut record)?;
        self.entries += 1;
        self.last = Some(key);
        let gc_after = Timestamp::from_millis(u64::from_be_bytes(*gc_after));
        Ok(Some(Entry { key, gc_after, record: record.into() }))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<Entry>> {
        let mut reader = CopyReader::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    fn key(kind: bool, service: u32, subject: u64) -> Key {
        let kind = if kind { Kind::Number } else { Kind::Track };
        Key { kind, service: ServiceId::new(service), subject: Subject(subject) }
    }

    proptest! {
        #[test]
        fn what_was_copied_is_read_back_and_no_part_of_it_is_a_copy(
            records in btree_map((any::<bool>(), any::<u32>(), any::<u64>()), (any::<u64>(), any::<Vec<u8>>()), 0..20),
            cut: prop::sample::Index,
        ) {
            let mut entries: Vec<Entry> = records
                .into_iter()
                .map(|((kind, service, subject), (gc_after, record))| Entry {
                    key: key(kind, service, subject),
                    gc_after: Timestamp::from_millis(gc_after),
                    record: record.into(),
                })
                .collect();
            entries.sort_by_key(|entry| entry.key);
            let mut bytes = Vec::new();
            for entry in &entries {
                encode_entry(&mut bytes, &entry.key, entry.gc_after, &entry.record);
            }
            encode_end(&mut bytes, entries.len() as u64);
            prop_assert_eq!(read(&bytes).expect("a copy"), entries);
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_copy_with_too_few_records_or_out_of_order_is_refused() {
        let entry = |bytes: &mut Vec<u8>, subject| {
            encode_entry(bytes, &key(true, 0, subject), Timestamp::EPOCH, b"record");
        };
        let mut missing = Vec::new();
        entry(&mut missing, 1);
        encode_end(&mut missing, 2);
        let mut twice = Vec::new();
        entry(&mut twice, 1);
        entry(&mut twice, 1);
        encode_end(&mut twice, 2);
        for bytes in [missing, twice] {
            assert_eq!(read(&bytes).expect_err("no copy").kind(), io::ErrorKind::InvalidData);
        }
    }
}
