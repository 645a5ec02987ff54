//! Durable records behind one trait.
//!
//! A store keeps opaque records under small keys. Their owners hold all of them in memory and are the only writers, so
//! there are no conflicts and no reads while serving: an owner reads its records once, at start, and from then on
//! commits batches. `Ok` for a batch means that it survives `kill -9` and power loss. Nothing here knows what a record
//! says.
#![expect(missing_docs, reason = "a name that says it all needs no comment")]

mod embedded;
mod error;
mod record;

use std::pin::Pin;

use onceward_core::domain::Timestamp;

pub use embedded::{
    EmbeddedStore, FORMAT, LiveRecords, OpenOptions, check_importable, create_durably, key_fingerprint_in,
};
pub use error::{StoreError, advice};
pub use record::{Key, LONGEST_RECORD, Owner, RecordStream, SLICE_RECORDS, Slot, Write};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The sizes of a store's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSizes {
    /// The journal after the snapshot.
    pub journal_bytes: u64,
    pub snapshot_bytes: u64,
    pub snapshot_time: Timestamp,
}

/// What a store asks of the owners of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// The most owners. A store with slow commits needs few: each batch is then larger.
    pub owners: usize,
    /// Records of a batch: with so many, the next decision waits for the next batch. One decision may have more.
    pub records_per_batch: usize,
    /// The most bytes of a batch's records. A decision with more is refused.
    pub bytes_per_batch: usize,
    /// The most bytes of one record. A decision with a longer one is refused.
    pub bytes_per_record: usize,
    /// Whether expired records stay until their owner removes them.
    pub keeps_expired: bool,
}

impl StoreLimits {
    /// The store asks nothing.
    pub const NONE: Self = Self {
        owners: usize::MAX,
        records_per_batch: usize::MAX,
        bytes_per_batch: usize::MAX,
        bytes_per_record: usize::MAX,
        keeps_expired: false,
    };
}

/// Callback with the result of a batch.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Receives records with their expiry times. An error ends the reading.
pub type Visitor = Box<dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), StoreError> + Send>;

/// Durable records.
pub trait Store: Send + Sync + 'static {
    /// Appends the batch as one unit. Never blocks. Calls `done` exactly once, when the batch is durable or has failed:
    /// on the store's own thread, or on the caller's. Batches become durable in the order of the calls. There is no
    /// time-out: a batch is in flight until `done` is called.
    fn commit(&self, writes: Vec<Write>, done: Done);

    /// Visits each live record once, as the start has found it. Called at most once, before the first commit.
    fn restore(&self, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Registers the owner that checkpoints read. It holds all records, and has restored them.
    fn attach(&self, owner: Owner);

    /// `Ok` while the store accepts writes, else the reason, for `/readyz`.
    fn health(&self) -> Result<(), String>;

    /// Returns the reason when the store has failed for good: it refuses everything, and only a new process helps.
    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }

    /// Whether this process certainly owns the records now. While it does not, another process may have changed them:
    /// no answer may rest on memory alone, and no message may be sent. Reads a clock and waits for nothing.
    fn owns_records(&self) -> bool {
        true
    }

    /// What the owners must observe.
    fn limits(&self) -> StoreLimits {
        StoreLimits::NONE
    }

    /// Sizes of the files, for metrics. `None` if the store has no files.
    fn sizes(&self) -> Option<StoreSizes> {
        None
    }

    /// The newest decision time that was found in the journal or the snapshot at open.
    fn newest_time(&self) -> Timestamp;

    /// Makes a checkpoint, for which the owners must still answer and may still commit, and ends the journal in order.
    /// Later writes are refused with [`StoreError::Closed`]. Idempotent.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}
