//! The options of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;

/// The options for opening a store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The data directory. It is created if it is not there.
    pub dir: PathBuf,
    /// Identifies the server key. Data that was written with another key is not opened: its codes could not be checked.
    pub key_fingerprint: [u8; 16],
    /// The clock of decisions.
    pub clock: Arc<dyn Clock>,
    /// Imports into an empty directory ([`check_importable`](super::check_importable)). No server starts on it before the store is closed
    /// in order.
    pub importing: bool,

    // Sizes and times that only tests change.
    /// Bytes reserved for one journal segment.
    pub segment_bytes: u64,
    /// A snapshot's database ends when it has so many bytes: a reader keeps one of them in memory.
    pub database_bytes: usize,
    /// A checkpoint begins when the journal has grown by so much, or by half the size of the last snapshot if that is
    /// more.
    pub checkpoint_bytes: u64,
    /// The pause after each 256 KiB of a snapshot, so that commits do not wait for it.
    pub pause: Duration,
    /// The interval at which the store looks at what may hang, is due, or works again.
    pub tick: Duration,
}

const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

impl OpenOptions {
    pub fn new(dir: impl Into<PathBuf>, key_fingerprint: [u8; 16], clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: dir.into(),
            key_fingerprint,
            clock,
            importing: false,
            segment_bytes: SEGMENT_BYTES,
            database_bytes: 16 * 1024 * 1024,
            // A checkpoint closes the current segment. If it began only when a segment is full, it would close the next
            // one almost empty.
            checkpoint_bytes: SEGMENT_BYTES - 1024 * 1024,
            pause: Duration::from_millis(2),
            tick: Duration::from_secs(1),
        }
    }
}
