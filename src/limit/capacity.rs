//! The limit on records of a kind, over all shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::shard::{Index, Record, RecordKey, Shards, Stored};

/// Counts the records of one kind and their bytes. New records are refused beyond the limits; restored ones count beyond
/// them.
pub struct Capacity {
    records: AtomicUsize,
    bytes: AtomicUsize,
    most_records: usize,
    most_bytes: usize,
}

impl Capacity {
    /// Counts what the shards hold of a kind, from now on.
    pub fn of<R: Record>(shards: &Shards, most_records: usize, most_bytes: usize) -> Arc<Self> {
        let zero = AtomicUsize::default;
        let capacity = Arc::new(Self { records: zero(), bytes: zero(), most_records, most_bytes });
        let counted = Arc::clone(&capacity);
        let index = move |_| Box::new(Share { capacity: Arc::clone(&counted), records: 0, bytes: 0 }) as _;
        shards.follow::<R>(Arc::new(index));
        capacity
    }

    /// Reserves a place for a new record until the reservation is dropped, by when the record is counted.
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        if self.bytes.load(Ordering::Relaxed) >= self.most_bytes {
            return None;
        }
        let more = |records| (records < self.most_records).then_some(records + 1);
        self.records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Reservation(Arc::clone(self)))
    }
}

/// A place for a new record.
pub struct Reservation(Arc<Capacity>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.records.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of one shard. A shard that restarts counts anew.
struct Share {
    capacity: Arc<Capacity>,
    records: usize,
    bytes: usize,
}

impl Index for Share {
    fn changed(&mut self, _key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let bytes = |stored: Option<&Stored>| stored.map_or(0, |stored| stored.bytes.len());
        let (gone, come) = (usize::from(before.is_some()), usize::from(after.is_some()));
        self.capacity.records.fetch_add(come, Ordering::Relaxed);
        self.capacity.bytes.fetch_add(bytes(after), Ordering::Relaxed);
        self.capacity.records.fetch_sub(gone, Ordering::Relaxed);
        self.capacity.bytes.fetch_sub(bytes(before), Ordering::Relaxed);
        self.records = self.records + come - gone;
        self.bytes = self.bytes + bytes(after) - bytes(before);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.capacity.records.fetch_sub(self.records, Ordering::Relaxed);
        self.capacity.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
