//! Records in memory, gone with the process.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;

use bytes::Bytes;
use onceward::domain::Timestamp;
use onceward::store::{BoxFuture, Done, Key, Owner, Store, StoreError, Visitor, Write};

type Contents = BTreeMap<Key, (Bytes, Timestamp)>;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

impl Store for MemoryStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        for Write { key, put, expires } in writes {
            match put {
                Some(record) => drop(self.0.lock().expect("no panic").insert(key, (record, expires))),
                None => drop(self.0.lock().expect("no panic").remove(&key)),
            }
        }
        done(Ok(()));
    }

    fn restore(&self, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let records = self.0.lock().expect("no panic").clone();
        Box::pin(ready(
            records.into_iter().try_for_each(|(key, (record, expires))| visit(key, expires, &record)),
        ))
    }

    fn attach(&self, _: Owner) {}

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn newest_time(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(Ok(())))
    }
}
