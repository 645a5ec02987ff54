//! Carries the records of their owners to a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onceward_core::domain::Timestamp;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};

use crate::record::{Key, RecordRef, Slots};

/// The most records in one slice.
pub const SLICE_RECORDS: usize = 256;

/// A chunk is closed before its records get longer. A leaf of sled has up to 16 chunks, and becomes a file of its own above
/// 128 KiB.
const CHUNK_BYTES: usize = 7 * 1024;

/// Slices of records that wait to be written.
const WAITING_SLICES: usize = 16;

/// Begins an owner's part of a checkpoint. The journal's thread calls this after `done` of every older batch and before
/// `done` of every newer one. The function must not block: the owner sends its records from elsewhere.
pub type Owner = Box<dyn Fn(RecordStream) + Send>;

/// Records that a snapshot keeps together.
#[derive(Debug, Default)]
pub struct Chunk {
    pub count: u32,
    /// Encoded: see [`RecordRef`].
    pub records: Vec<u8>,
}

/// Room for one slice in a checkpoint.
pub type StreamTurn = OwnedPermit<Vec<Chunk>>;

/// One owner's part of a checkpoint, which fails if it is dropped before [`RecordStream::finish`].
#[derive(Debug)]
pub struct RecordStream {
    to: Sender<Vec<Chunk>>,
    /// The number of slots whose records were given.
    given: Arc<AtomicUsize>,
}

/// Receives the records of one checkpoint from all owners. Dropping it ends their streams.
#[derive(Debug)]
pub struct Collector {
    slices: Receiver<Vec<Chunk>>,
    given: Arc<AtomicUsize>,
}

impl Collector {
    /// Makes a stream for each owner.
    pub fn new(owners: usize) -> (Self, Vec<RecordStream>) {
        let (to, slices) = mpsc::channel(WAITING_SLICES);
        let given = Arc::<AtomicUsize>::default();
        let stream = |_| RecordStream { to: to.clone(), given: given.clone() };
        let streams = (0..owners).map(stream).collect();
        (Self { slices, given }, streams)
    }

    /// Waits for the next records; `None` when every owner has finished or dropped its stream.
    pub fn next_slice(&mut self) -> Option<Vec<Chunk>> {
        self.slices.blocking_recv()
    }

    /// Whether the owners have given the records of every slot.
    pub fn is_complete(&self) -> bool {
        self.given.load(Ordering::Acquire) == Slots::all().iter().count()
    }
}

impl RecordStream {
    /// Waits until the checkpoint has room for a slice. `None` if it was aborted.
    pub fn turn(&self) -> impl Future<Output = Option<StreamTurn>> + Send + use<> {
        let to = self.to.clone();
        async { to.reserve_owned().await.ok() }
    }

    /// Gives at most [`SLICE_RECORDS`] live records.
    pub fn give<R: AsRef<[u8]>>(&self, turn: StreamTurn, records: &[(Key, R, Timestamp)]) {
        debug_assert!(records.len() <= SLICE_RECORDS, "too many records in a slice");
        let (mut chunks, mut chunk) = (Vec::new(), Chunk::default());
        for (key, record, expires) in records {
            let record = RecordRef { key: *key, put: Some(record.as_ref()), expires: *expires };
            if chunk.count > 0 && chunk.records.len() + record.encoded_bytes() > CHUNK_BYTES {
                chunks.push(std::mem::take(&mut chunk));
            }
            record.encode(&mut chunk.records);
            chunk.count += 1;
        }
        chunks.push(chunk);
        turn.send(chunks);
    }

    /// Ends the stream: it had all records of these slots, and every change that the owner made in them
    /// before is committed. A checkpoint needs every slot.
    pub fn finish(self, slots: Slots) {
        self.given.fetch_add(slots.iter().count(), Ordering::Release);
    }
}
