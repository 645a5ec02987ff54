//! A node that keeps records in a map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::{Clock, EngineClock, ManualClock};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{BoxFuture, Key, Slot, Slots, Store, StoreError, Write};
use tokio::sync::oneshot;

use super::etcd_process::Etcd;
use crate::{ClusterOptions, EtcdStore, OpenError, Ownership, SlotHolder};

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The machine's time, for leases.
struct Uptime;

impl Clock for Uptime {
    fn now(&self) -> Timestamp {
        let time = std::fs::read_to_string("/proc/uptime").expect("the time since the machine booted");
        let seconds: f64 = time.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
        Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds))
    }
}

pub struct Node {
    pub store: Arc<EtcdStore>,
    pub memory: Arc<Memory>,
    pub ownership: Ownership,
    pub clock: Arc<EngineClock>,
    pub time: Arc<ManualClock>,
}

pub async fn open(etcd: &Etcd, node: &str, key: u8) -> Result<(EtcdStore, Arc<EngineClock>), OpenError> {
    open_at(etcd, node, key, Arc::new(ManualClock::starting_at(START))).await
}

async fn open_at(
    etcd: &Etcd,
    node: &str,
    key: u8,
    time: Arc<ManualClock>,
) -> Result<(EtcdStore, Arc<EngineClock>), OpenError> {
    let clock = Arc::new(EngineClock::over(time));
    let options = ClusterOptions {
        etcd: etcd.urls(),
        tls: None,
        node: node.to_owned(),
        address: format!("{node}.example:3000"),
        key: ServerKey::from_bytes([key; 32]),
        key_fingerprint: [key; 16],
        shards: 2,
        clock: Arc::clone(&clock),
        uptime: Arc::new(Uptime),
    };
    Ok((EtcdStore::open(options).await?, clock))
}

impl Node {
    pub async fn start(etcd: &Etcd, node: &str) -> Self {
        let time = Arc::new(ManualClock::starting_at(START));
        let (store, clock) = open_at(etcd, node, 1, Arc::clone(&time)).await.expect("a store");
        let store = Arc::new(store);
        let memory = Arc::new(Memory { store: Arc::clone(&store), state: Mutex::default() });
        let ownership = Ownership::start(Arc::clone(&store), Arc::clone(&memory) as _);
        Self { store, memory, ownership, clock, time }
    }

    /// Starts a node and waits until it has its share beside `others` nodes.
    pub async fn join(etcd: &Etcd, node: &str, others: usize) -> Self {
        let node = Self::start(etcd, node).await;
        node.settled(others + 1).await;
        node
    }

    /// Returns when there are so many nodes and this one has the slots that are rightfully its own.
    pub async fn settled(&self, nodes: usize) {
        let node = &self.store.options.node;
        eventually(async || {
            let members = self.ownership.members();
            members.nodes().count() == nodes
                && members.here() == members.share_of(node)
                && members.owned() == Slots::all()
        })
        .await;
    }

    /// The node as after SIGKILL: its lease is neither prolonged nor revoked.
    pub fn die(self) {
        self.store.end_session();
    }

    pub fn here(&self) -> Slots {
        self.ownership.members().here()
    }

    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        commit(&self.store, writes.clone()).await?;
        let mut state = self.memory.state.lock().unwrap();
        for Write { key, put, .. } in writes {
            match put {
                Some(record) => drop(state.records.insert(key, record)),
                None => drop(state.records.remove(&key)),
            }
        }
        Ok(())
    }

    pub fn get(&self, slot: Slot, id: u32) -> Option<Bytes> {
        self.memory.state.lock().unwrap().records.get(&key(slot, id)).cloned()
    }
}

pub async fn commit(store: &EtcdStore, writes: Vec<Write>) -> Result<(), StoreError> {
    let (done, committed) = oneshot::channel();
    store.commit(writes, Box::new(|result| drop(done.send(result))));
    committed.await.expect("an answer")
}

#[derive(Default)]
pub struct State {
    pub records: BTreeMap<Key, Bytes>,
    pub slots: Slots,
    pub drops: usize,
}

pub struct Memory {
    store: Arc<EtcdStore>,
    pub state: Mutex<State>,
}

impl SlotHolder for Memory {
    fn acquire(&self, slots: Slots) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let read = restore(&self.store, slots).await.map_err(|error| error.to_string())?;
            let mut state = self.state.lock().unwrap();
            state.records.extend(read);
            state.slots.extend(slots);
            Ok(())
        })
    }

    fn release(&self, slots: Slots) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.records.retain(|key, _| !slots.contains(key.slot));
            slots.iter().for_each(|slot| state.slots.remove(slot));
        })
    }

    fn drop_all(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            let drops = state.drops + 1;
            *state = State { drops, ..State::default() };
        })
    }
}

pub async fn restore(store: &EtcdStore, slots: Slots) -> Result<BTreeMap<Key, Bytes>, StoreError> {
    let read = Arc::new(Mutex::new(BTreeMap::new()));
    let to = Arc::clone(&read);
    let visit = move |key, record: Option<&[u8]>, _| {
        to.lock().unwrap().insert(key, Bytes::copy_from_slice(record.expect("a record")));
    };
    store.restore(slots, Box::new(visit)).await?;
    let read = std::mem::take(&mut *read.lock().unwrap());
    Ok(read)
}

pub fn key(slot: Slot, id: u32) -> Key {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    Key { slot, kind: 1, id: bytes }
}

pub fn put(slot: Slot, id: u32, record: &str) -> Write {
    let put = Some(Bytes::copy_from_slice(record.as_bytes()));
    Write { key: key(slot, id), put, expires: START.plus(Duration::from_secs(60)) }
}

pub fn remove(slot: Slot, id: u32) -> Write {
    Write { put: None, ..put(slot, id, "") }
}

/// Waits for processes and leases, for 20 seconds at most.
pub async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen in 20 seconds");
}
