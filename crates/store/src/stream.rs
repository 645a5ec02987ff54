//! Carries the records of their owner to a checkpoint.

use bytes::Bytes;
use onceward_core::domain::Timestamp;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::record::Key;

/// The most records in one slice.
pub const SLICE_RECORDS: usize = 256;

/// Slices of records that wait to be written.
const WAITING_SLICES: usize = 16;

/// Live records with their expiry times.
pub type Slice = Vec<(Key, Bytes, Timestamp)>;

/// Begins the owner's part of a checkpoint. The journal's thread calls this after `done` of every older batch and before
/// `done` of every newer one. The function must not block: the owner sends its records from elsewhere.
pub type Owner = Box<dyn Fn(RecordStream) + Send>;

/// The owner's part of a checkpoint, which fails if it is dropped before [`RecordStream::finish`].
#[derive(Debug)]
pub struct RecordStream(Sender<Option<Slice>>);

impl RecordStream {
    /// Also returns what comes out of it: slices, and `None` behind the last.
    pub fn new() -> (Self, Receiver<Option<Slice>>) {
        let (to, slices) = mpsc::channel(WAITING_SLICES);
        (Self(to), slices)
    }

    /// Waits until the checkpoint has room, and gives at most [`SLICE_RECORDS`] records. Returns `false` if it was aborted.
    pub async fn give(&self, records: Slice) -> bool {
        debug_assert!(records.len() <= SLICE_RECORDS, "too many records in a slice");
        self.0.send(Some(records)).await.is_ok()
    }

    pub fn is_aborted(&self) -> bool {
        self.0.is_closed()
    }

    /// Ends the stream: it had all records, and every change that the owner made in them before is committed.
    pub async fn finish(self) {
        let _ = self.0.send(None).await;
    }
}
