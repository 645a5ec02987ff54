//! Records as a store sees them: bytes under a key.

use std::fmt;

use bytes::{Buf as _, BufMut as _, Bytes};
use onceward_core::domain::Timestamp;
use tokio::sync::mpsc::Sender;

/// The longest record, in bytes.
pub const LONGEST_RECORD: usize = 1024 * 1024;

/// A part of all keys. One owner has all records of a slot.
pub type Slot = u8;

/// Names one record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub slot: Slot,
    /// The kind of the record. The owners define the numbers.
    pub kind: u8,
    /// The owner's name for it, for example a service and a number, packed.
    pub id: [u8; 12],
}

impl fmt::Debug for Key {
    /// Leaves out the id, which is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {}, ***)", self.slot, self.kind)
    }
}

/// Bytes of an encoded record before its content.
pub(crate) const RECORD_HEAD: usize = 26;

/// The length of a removal.
const REMOVED: u32 = u32::MAX;

/// One record to write or to remove. The journal and snapshots have it as
/// ```text
/// slot 1 | kind 1 | id 12 | expires 8 | length 4 | content
/// ```
/// Integers are big-endian. A length of all ones removes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<B = Bytes> {
    pub key: Key,
    /// The whole new record; `None` removes the key.
    pub put: Option<B>,
    /// Expiry time. The store uses it only to free space.
    pub expires: Timestamp,
}

/// One that is read.
pub(crate) type RecordRef<'a> = Write<&'a [u8]>;

impl<B: AsRef<[u8]>> Write<B> {
    /// Its length when encoded.
    pub(crate) fn encoded_bytes(&self) -> usize {
        RECORD_HEAD + self.put.as_ref().map_or(0, |put| put.as_ref().len())
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let content = self.put.as_ref().map_or(&[][..], AsRef::as_ref);
        // A longer record would become a removal; the caller refuses it.
        let length = u32::try_from(content.len()).unwrap_or(REMOVED);
        to.put_slice(&[self.key.slot, self.key.kind]);
        to.put_slice(&self.key.id);
        to.put_u64(self.expires.as_millis());
        to.put_u32(if self.put.is_some() { length } else { REMOVED });
        to.put_slice(content);
    }
}

impl<'a> RecordRef<'a> {
    /// Takes the first record off `from`; `None` if there is no whole one.
    pub(crate) fn decode(from: &mut &'a [u8]) -> Option<Self> {
        let (head, mut rest) = from.split_first_chunk::<RECORD_HEAD>()?;
        let (mut head, mut id) = (&head[..], [0; 12]);
        let (slot, kind) = (head.get_u8(), head.get_u8());
        head.copy_to_slice(&mut id);
        let (expires, length) = (Timestamp::from_millis(head.get_u64()), head.get_u32());
        let mut put = None;
        if length != REMOVED {
            let (content, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (put, rest) = (Some(content), behind);
        }
        *from = rest;
        Some(Self { key: Key { slot, kind, id }, put, expires })
    }
}

/// The most records in one slice of a [`RecordStream`].
pub const SLICE_RECORDS: usize = 256;

/// The owner's part of a checkpoint: slices of live records, and `None` behind the last. The owner had all records then, and
/// every change that it had made in them was committed. The checkpoint fails if this is dropped before, and has failed if
/// it takes nothing.
pub type RecordStream = Sender<Option<Vec<Write>>>;

/// Begins the owner's part of a checkpoint. The journal's thread calls this after `done` of every older batch and before
/// `done` of every newer one. The function must not block: the owner sends its records from elsewhere.
pub type Owner = Box<dyn Fn(RecordStream) + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printed_without_its_id() {
        let key = Key { slot: 7, kind: 3, id: *b"491711234567" };
        assert_eq!(format!("{key:?}"), "Key(7, 3, ***)");
    }
}
