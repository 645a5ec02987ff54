//! Carries the records of their owners to a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use bytes::Buf as _;
use onceward_core::domain::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::record::{Key, Slots};

/// The most records in one slice.
pub const SLICE_RECORDS: usize = 256;

/// Slices of records that wait to be written.
const WAITING_SLICES: usize = 16;

/// Begins an owner's part of a checkpoint. The journal's thread calls this after `done` of every older batch and before
/// `done` of every newer one. The function must only put the stream into the owner's mailbox. The owner then sends its
/// records from there.
pub type Owner = Box<dyn Fn(RecordStream) + Send>;

/// Room for one slice in a checkpoint.
pub type StreamTurn = OwnedSemaphorePermit;

/// One owner's part of a checkpoint, which fails if it is dropped before [`RecordStream::finish`].
#[derive(Debug)]
pub struct RecordStream {
    to: Sender<StreamPart>,
    progress: Arc<StreamProgress>,
}

/// What an owner sends.
#[derive(Debug)]
pub enum StreamPart {
    /// Encoded records. See [`decode`].
    Records(Vec<u8>, StreamTurn),
    /// The owner has sent all records of these slots.
    Finished(Slots),
}

/// State that the threads of one checkpoint share.
#[derive(Debug)]
pub(crate) struct StreamProgress {
    room: Arc<Semaphore>,
    /// Steps of the thread that writes the snapshot.
    steps: AtomicU64,
    is_stopped: AtomicBool,
}

impl StreamProgress {
    /// Ends the checkpoint: the owners need not go on. Returns `false` if it was ended before.
    pub(crate) fn stop(&self) -> bool {
        self.room.close();
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
        let (to, parts) = mpsc::channel();
        let room = Arc::new(Semaphore::new(WAITING_SLICES));
        let (steps, is_stopped) = Default::default();
        let progress = Arc::new(StreamProgress { room, steps, is_stopped });
        let stream = || RecordStream { to: to.clone(), progress: progress.clone() };
        let streams = std::iter::repeat_with(stream).take(owners).collect();
        (Self { parts, progress }, streams)
    }

    /// Waits for the next part; `None` when every owner has finished or dropped its stream.
    pub fn next_part(&self) -> Option<StreamPart> {
        self.parts.recv().ok()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.progress.stop();
    }
}

impl RecordStream {
    /// Waits until the checkpoint has room for a slice. `None` if it was aborted.
    pub fn turn(&self) -> impl Future<Output = Option<StreamTurn>> + Send + use<> {
        let room = Arc::clone(&self.progress.room);
        async { room.acquire_owned().await.ok() }
    }

    /// Gives at most [`SLICE_RECORDS`] live records.
    pub fn give<R: AsRef<[u8]>>(&self, turn: StreamTurn, records: &[(Key, R, Timestamp)]) {
        debug_assert!(records.len() <= SLICE_RECORDS, "too many records in a slice");
        let bytes = records.iter().map(|(_, record, _)| RECORD_HEAD + record.as_ref().len()).sum();
        let mut encoded = Vec::with_capacity(bytes);
        for (key, record, expires) in records {
            encode(&mut encoded, *key, *expires, record.as_ref());
        }
        let _ = self.to.send(StreamPart::Records(encoded, turn));
    }

    /// Ends the stream: it had all records of these slots, and every change that the owner made in them
    /// before is committed. A checkpoint needs every slot.
    pub fn finish(self, slots: Slots) {
        let _ = self.to.send(StreamPart::Finished(slots));
    }
}

/// Bytes of a record before its content: slot 1, kind 1, id 12, expires 8, length 4, integers in big-endian order.
pub(crate) const RECORD_HEAD: usize = 26;

/// Appends a record in the format of streams and snapshots.
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

/// Takes the first record off `from`; `None` if there is no whole one.
pub fn decode<'a>(from: &mut &'a [u8]) -> Option<(Key, Timestamp, &'a [u8])> {
    let (head, rest) = from.split_first_chunk::<RECORD_HEAD>()?;
    let (mut head, mut id) = (&head[..], [0; 12]);
    let (slot, kind) = (head.get_u8(), head.get_u8());
    head.copy_to_slice(&mut id);
    let (expires, length) = (Timestamp::from_millis(head.get_u64()), head.get_u32());
    let (record, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some((Key { slot, kind, id }, expires, record))
}
