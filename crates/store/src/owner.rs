//! Hands the records of their owners to a checkpoint.

use std::sync::Arc;

use onceward_core::domain::Timestamp;

use crate::{Key, Slots};

/// The most records in one call of [`RecordStream::push`].
pub const SLICE_RECORDS: usize = 256;

/// Holds the records of some slots in memory.
pub trait Owner: Send + Sync {
    /// Starts a checkpoint. The journal's thread calls this after `done` of every older batch and before `done` of
    /// every newer one. The implementation must only put the stream into the owner's mailbox. The owner then sends its
    /// records from there.
    fn stream(&self, to: RecordStream);
}

/// The result of [`RecordStream::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Accepted,
    /// The checkpoint is busy. Push the same slice again after a few milliseconds.
    Busy,
    /// The checkpoint was aborted.
    Aborted,
}

/// One owner's part of a checkpoint. Dropped before [`RecordStream::finish`], it aborts the checkpoint.
pub struct RecordStream {
    to: Arc<dyn Sink>,
    finished: Option<Slots>,
}

/// Where the records go: a checkpoint.
pub trait Sink: Send + Sync {
    /// Whether there is room for another slice.
    fn ready(&self) -> Pushed;
    /// Takes a slice of encoded records. See [`decode`].
    fn push(&self, records: Vec<u8>) -> Pushed;
    /// One owner has given all records of these slots, or `None`: it was dropped before that.
    fn end(&self, finished: Option<Slots>);
}

impl RecordStream {
    pub fn new(to: Arc<dyn Sink>) -> Self {
        Self { to, finished: None }
    }

    /// Whether the checkpoint accepts a slice now. Call it before collecting one.
    pub fn ready(&self) -> Pushed {
        self.to.ready()
    }

    /// Sends at most [`SLICE_RECORDS`] live records. Never blocks.
    pub fn push<R: AsRef<[u8]>>(&mut self, records: &[(Key, R, Timestamp)]) -> Pushed {
        debug_assert!(records.len() <= SLICE_RECORDS, "too many records in a slice");
        match self.to.ready() {
            Pushed::Accepted => {}
            other => return other,
        }
        let bytes = records.iter().map(|(_, record, _)| RECORD_HEAD + record.as_ref().len()).sum();
        let mut encoded = Vec::with_capacity(bytes);
        for (key, record, expires) in records {
            encode(&mut encoded, *key, *expires, record.as_ref());
        }
        self.to.push(encoded)
    }

    /// Ends the stream: it had all records of these slots, and every lazy change in them is committed. A checkpoint
    /// needs every slot.
    pub fn finish(mut self, slots: Slots) {
        self.finished = Some(slots);
    }
}

impl Drop for RecordStream {
    fn drop(&mut self) {
        self.to.end(self.finished);
    }
}

impl std::fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}

/// Bytes of a record before its content: slot 1, kind 1, id 12, expires 8, length 4, integers in big-endian order.
pub(crate) const RECORD_HEAD: usize = 26;

/// Appends a record in the format of streams, snapshots and copies.
pub(crate) fn encode(to: &mut Vec<u8>, key: Key, expires: Timestamp, record: &[u8]) {
    let mut head = [0; RECORD_HEAD];
    head[0] = key.slot;
    head[1] = key.kind;
    head[2..14].copy_from_slice(&key.id);
    head[14..22].copy_from_slice(&expires.as_millis().to_be_bytes());
    // A longer record would become one that no reader takes.
    head[22..].copy_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(&head);
    to.extend_from_slice(record);
}

/// The head of a record: the key, from when on it does not matter, and the length of the record.
pub(crate) fn decode_head(head: &[u8; RECORD_HEAD]) -> (Key, Timestamp, usize) {
    let mut id = [0; 12];
    id.copy_from_slice(&head[2..14]);
    let mut expires = [0; 8];
    expires.copy_from_slice(&head[14..22]);
    let mut length = [0; 4];
    length.copy_from_slice(&head[22..]);
    let key = Key { slot: head[0], kind: head[1], id };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    (key, Timestamp::from_millis(u64::from_be_bytes(expires)), length)
}

/// Takes the first record off `from`; `None` if there is no whole one.
pub fn decode<'a>(from: &mut &'a [u8]) -> Option<(Key, Timestamp, &'a [u8])> {
    let (head, rest) = from.split_first_chunk::<RECORD_HEAD>()?;
    let (key, expires, length) = decode_head(head);
    let (record, rest) = rest.split_at_checked(length)?;
    *from = rest;
    Some((key, expires, record))
}
