//! What shards need of a store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::core::Write;
use super::record::RecordKey;
use crate::domain::{ServiceId, Timestamp};
use crate::store::{self, BoxFuture, Kind, Revision, Store, StoreError, Subject};

/// Called once, when a batch is durable or has failed.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Told of one record.
pub type Visitor = Box<dyn FnMut(RecordKey, Bytes, Timestamp) + Send>;

/// Where batches become durable.
pub trait Storage: Send + Sync + 'static {
    /// Makes a batch durable as one unit.
    fn commit(&self, writes: Vec<Write>, done: Done);
    /// Visits the newest record of every key of these kinds.
    fn restore(&self, kinds: Vec<u8>, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The slot of a record, from its key (with any slot) and its bytes.
pub type SlotOf = Arc<dyn Fn(&RecordKey, &[u8]) -> u8 + Send + Sync>;

/// A store whose keys do not carry their slot.
pub struct Slotless {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The slot of a record, by its key and its bytes.
    pub slot_of: SlotOf,
    /// How long a commit may take.
    pub commit_timeout: Duration,
}

impl Storage for Slotless {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let write = |write: Write| {
            let kind = Kind::from_u8(write.key.kind)?;
            let (service, subject) = write.key.id.split_at(4);
            Some(store::Write {
                key: store::Key {
                    kind,
                    service: ServiceId::new(u32::from_be_bytes(service.try_into().ok()?)),
                    subject: Subject(u64::from_be_bytes(subject.try_into().ok()?)),
                },
                expect: Revision::ANY,
                put: write.put,
                gc_after: write.expires,
            })
        };
        let writes = writes.into_iter().filter_map(write).collect();
        let (store, timeout) = (Arc::clone(&self.store), self.commit_timeout);
        tokio::spawn(async move { done(store.cas(writes, timeout).await.map(drop)) });
    }

    fn restore(&self, kinds: Vec<u8>, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let visit =
                Arc::new(std::sync::Mutex::new(visit_all(Arc::clone(&self.slot_of), move |key, bytes| {
                    visit(key, bytes, Timestamp::EPOCH);
                })));
            for kind in kinds.into_iter().filter_map(Kind::from_u8) {
                let visit = Arc::clone(&visit);
                let each = move |key, _, bytes: &[u8]| {
                    visit.lock().unwrap_or_else(std::sync::PoisonError::into_inner)(key, bytes);
                };
                self.store.scan(kind, Box::new(each)).await?;
            }
            Ok(())
        })
    }
}

fn visit_all(
    slot_of: SlotOf,
    mut visit: impl FnMut(RecordKey, Bytes) + Send,
) -> impl FnMut(store::Key, &[u8]) + Send {
    move |key, bytes| {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&key.service.get().to_be_bytes());
        id[4..].copy_from_slice(&key.subject.0.to_be_bytes());
        let mut key = RecordKey { slot: 0, kind: key.kind as u8, id };
        key.slot = slot_of(&key, bytes);
        visit(key, Bytes::copy_from_slice(bytes));
    }
}
