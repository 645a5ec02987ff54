//! Records in memory, for a store's checkpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use onceward::domain::Timestamp;
use onceward::store::{EmbeddedStore, Key, RecordStream, Store, StoreError, Write};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The restored records of a store, and the commits since.
#[derive(Default)]
pub struct HeldRecords(Mutex<HashMap<Key, (Bytes, Timestamp)>>);

impl HeldRecords {
    /// Like [`HeldRecords::restored_from`]; the store also takes its checkpoints from these records.
    pub async fn attached_to(store: &EmbeddedStore) -> Result<Arc<Self>, String> {
        let held = Self::restored_from(store).await?;
        let owner = held.clone();
        store.attach(Box::new(move |to| owner.stream(to)));
        Ok(held)
    }

    pub async fn restored_from(store: &EmbeddedStore) -> Result<Arc<Self>, String> {
        let held = Arc::new(Self::default());
        let visited = held.clone();
        let visit = Box::new(move |key: Key, expires, record: &[u8]| {
            visited.apply([Write { key, put: Some(Bytes::copy_from_slice(record)), expires }]);
            Ok(())
        });
        store.restore(visit).await.map_err(|error| error.to_string())?;
        Ok(held)
    }

    pub fn apply(&self, writes: impl IntoIterator<Item = Write>) {
        let mut records = self.0.lock().unwrap();
        for Write { key, put, expires } in writes {
            match put {
                Some(record) => drop(records.insert(key, (record, expires))),
                None => drop(records.remove(&key)),
            }
        }
    }

    pub fn all(&self) -> Vec<(Key, Bytes, Timestamp)> {
        let records = self.0.lock().unwrap();
        records.iter().map(|(key, (record, expires))| (*key, record.clone(), *expires)).collect()
    }
}

impl HeldRecords {
    fn stream(&self, to: RecordStream) {
        let records = self.all();
        let give = async move {
            for slice in records.chunks(200) {
                if !to.give(slice.to_vec()).await {
                    return;
                }
            }
            to.finish().await;
        };
        // If no thread starts, the stream is dropped and the checkpoint fails.
        let run = || Builder::new_current_thread().build().expect("a runtime").block_on(give);
        let _ = std::thread::Builder::new().spawn(run);
    }
}

/// Writes, and remembers what was written. Returns the answer of the store.
pub fn commit(
    store: &EmbeddedStore,
    held: &Arc<HeldRecords>,
    writes: Vec<Write>,
) -> oneshot::Receiver<Result<(), StoreError>> {
    let (to, answer) = oneshot::channel();
    let (held, durable) = (held.clone(), writes.clone());
    let done = move |result: Result<(), StoreError>| {
        if result.is_ok() {
            held.apply(durable);
        }
        let _ = to.send(result);
    };
    store.commit(writes, Box::new(done));
    answer
}

pub fn key_of(subject: u64) -> Key {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&subject.to_be_bytes());
    Key { slot: subject.to_be_bytes()[7], kind: 1, id }
}

pub fn subject_of(key: &Key) -> u64 {
    u64::from_be_bytes(key.id[4..].try_into().expect("8 bytes"))
}
