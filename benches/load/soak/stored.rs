//! What is in the data directory when the run is over: how large a live record is.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use onceward::clock::{Clock, ManualClock, SystemClock};
use onceward::store::{EmbeddedStore, Key, Kind, OpenOptions, Revision, Store};
use serde::Serialize;

use super::sample::Sample;

/// Bytes of an entry of the snapshot beside the record (`docs/data-directory.md`).
const ENTRY_BYTES: u64 = 34;

/// Records that were alive at the end.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stored {
    /// Records of numbers.
    pub numbers: u64,
    /// Their bytes, with keys and all that belongs to them.
    pub number_bytes: u64,
    /// Records of sends.
    pub tracks: u64,
    /// Their bytes.
    pub track_bytes: u64,
}

impl Stored {
    /// Reads the data of a server that has ended a moment ago.
    pub async fn read(data: &Path) -> Self {
        let clock = Arc::new(ManualClock::starting_at(SystemClock::start().now()));
        let options = OpenOptions::new(data, fingerprint(data), clock);
        let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(options));
        let store = store.await.expect("an end").expect("data that can be opened");
        let (numbers, number_bytes) = count(&store, Kind::Number).await;
        let (tracks, track_bytes) = count(&store, Kind::Track).await;
        store.close().await.expect("a store that closes");
        Self { numbers, number_bytes, tracks, track_bytes }
    }

    /// Bytes of what was alive at a sample.
    pub fn live_bytes(&self, sample: &Sample) -> u64 {
        let of = |count: u64, bytes: u64, records: u64| count * bytes / records.max(1);
        of(sample.numbers, self.number_bytes, self.numbers)
            + of(sample.tracked, self.track_bytes, self.tracks)
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { numbers, number_bytes, tracks, track_bytes } = self;
        write!(
            f,
            "at the end {numbers} numbers of {} bytes and {tracks} verifications' sends of {} bytes",
            number_bytes / (*numbers).max(1),
            track_bytes / (*tracks).max(1)
        )
    }
}

/// How many records of numbers the store gives.
pub async fn count_numbers(store: &EmbeddedStore) -> u64 {
    count(store, Kind::Number).await.0
}

async fn count(store: &EmbeddedStore, kind: Kind) -> (u64, u64) {
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let seen = counts.clone();
    let visit = Box::new(move |_: Key, _: Revision, record: &[u8]| {
        seen[0].fetch_add(1, Ordering::Relaxed);
        seen[1].fetch_add(u64::try_from(record.len()).expect("a size") + ENTRY_BYTES, Ordering::Relaxed);
    });
    store.scan(kind, visit).await.expect("records that can be read");
    (counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed))
}

/// The store opens only for the server key that it was written with.
fn fingerprint(data: &Path) -> [u8; 16] {
    let text = std::fs::read_to_string(data.join("FORMAT")).expect("a format");
    let hex = text.lines().find_map(|line| line.strip_prefix("key = ")).expect("a key");
    u128::from_str_radix(hex.trim(), 16).expect("32 hex digits").to_be_bytes()
}
