//! Carries the records of their owners to a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use onceward_core::domain::Timestamp;

use crate::{Key, Slots};

/// The most records in one call of [`RecordStream::push`].
pub const SLICE_RECORDS: usize = 256;

/// Slices of records that wait to be written.
const WAITING_SLICES: u32 = 16;

/// Begins an owner's part of a checkpoint. The journal's thread calls this after `done` of every older batch and before
/// `done` of every newer one. The function must only put the stream into the owner's mailbox. The owner then sends its
/// records from there.
pub type Owner = Box<dyn Fn(RecordStream) + Send>;

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
#[derive(Debug)]
pub struct RecordStream {
    to: Sender<StreamPart>,
    progress: Arc<StreamProgress>,
    is_finished: bool,
}

/// What an owner sends.
#[derive(Debug)]
pub enum StreamPart {
    /// Encoded records. See [`decode`].
    Records(Vec<u8>),
    /// The owner has sent all records of these slots.
    Finished(Slots),
    /// The owner dropped its stream too early.
    Dropped,
}

/// State that the threads of one checkpoint share.
#[derive(Debug, Default)]
pub(crate) struct StreamProgress {
    /// Slices that wait.
    waiting: AtomicU32,
    /// Steps of the thread that writes the snapshot.
    steps: AtomicU64,
    is_stopped: AtomicBool,
}

impl StreamProgress {
    /// Ends the checkpoint: the owners need not go on. Returns `false` if it was ended before.
    pub(crate) fn stop(&self) -> bool {
        !self.is_stopped.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// Receives the records of one checkpoint from all owners. Dropping it ends their streams.
#[derive(Debug)]
pub struct Collector {
    parts: Receiver<StreamPart>,
    pub(crate) progress: Arc<StreamProgress>,
}

impl Collector {
    /// Makes a stream for each owner.
    pub fn new(owners: usize) -> (Self, Vec<RecordStream>) {
        let ((to, parts), progress) = (mpsc::channel(), Arc::<StreamProgress>::default());
        let stream = || RecordStream { to: to.clone(), progress: progress.clone(), is_finished: false };
        let streams = std::iter::repeat_with(stream).take(owners).collect();
        (Self { parts, progress }, streams)
    }

    /// Waits for the next part; `None` after the last.
    pub fn next_part(&self) -> Option<StreamPart> {
        let part = self.parts.recv().ok()?;
        if matches!(part, StreamPart::Records(_)) {
            self.progress.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        Some(part)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.progress.stop();
    }
}

impl RecordStream {
    /// Whether the checkpoint accepts a slice now. Call it before collecting one.
    pub fn ready(&self) -> Pushed {
        if self.progress.is_stopped() {
            Pushed::Aborted
        } else if self.progress.waiting.load(Ordering::Acquire) >= WAITING_SLICES {
            Pushed::Busy
        } else {
            Pushed::Accepted
        }
    }

    /// Sends at most [`SLICE_RECORDS`] live records. Never blocks.
    pub fn push<R: AsRef<[u8]>>(&mut self, records: &[(Key, R, Timestamp)]) -> Pushed {
        debug_assert!(records.len() <= SLICE_RECORDS, "too many records in a slice");
        match self.ready() {
            Pushed::Accepted => {}
            other => return other,
        }
        let bytes = records.iter().map(|(_, record, _)| RECORD_HEAD + record.as_ref().len()).sum();
        let mut encoded = Vec::with_capacity(bytes);
        for (key, record, expires) in records {
            encode(&mut encoded, *key, *expires, record.as_ref());
        }
        self.progress.waiting.fetch_add(1, Ordering::AcqRel);
        if self.to.send(StreamPart::Records(encoded)).is_ok() { Pushed::Accepted } else { Pushed::Aborted }
    }

    /// Ends the stream: it had all records of these slots, and every lazy change in them is committed. A checkpoint
    /// needs every slot.
    pub fn finish(mut self, slots: Slots) {
        self.is_finished = self.to.send(StreamPart::Finished(slots)).is_ok();
    }
}

impl Drop for RecordStream {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.to.send(StreamPart::Dropped);
        }
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
