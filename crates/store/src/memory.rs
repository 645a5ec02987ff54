//! Records in memory, gone with the process.

use std::collections::BTreeMap;
use std::future::ready;

use bytes::Bytes;
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;

use crate::{BoxFuture, Done, Key, Owner, Slots, Store, StoreError, Visitor, Write};

type Contents = BTreeMap<Key, (Bytes, Timestamp)>;

/// A store in memory, for a copy of the records.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

impl Store for MemoryStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        for Write { key, put, expires } in writes {
            match put {
                Some(record) => drop(self.0.lock().insert(key, (record, expires))),
                None => drop(self.0.lock().remove(&key)),
            }
        }
        done(Ok(()));
    }

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let records = self.0.lock().clone();
        let mut records = records.into_iter().filter(|(key, _)| slots.contains(key.slot));
        Box::pin(ready(records.try_for_each(|(key, (record, expires))| visit(key, expires, &record))))
    }

    fn attach(&self, _: Vec<Owner>) {}

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
