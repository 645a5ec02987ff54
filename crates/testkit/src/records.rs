//! Records in memory, gone with the process.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;

use bytes::Bytes;
use onceward::domain::Timestamp;
use onceward::store::{BoxFuture, Done, Key, Owner, Slots, Store, StoreError, Visitor, Write};

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

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let records = self.0.lock().expect("no panic").clone();
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
