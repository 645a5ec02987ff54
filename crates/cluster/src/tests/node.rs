//! Nodes, and their records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::{Clock, EngineClock, ManualClock};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{Key, Slot, Store as _, StoreError, Write};
use tokio::sync::{oneshot, watch};

use super::etcd_process::Etcd;
use crate::etcd::Client;
use crate::{Cluster, ClusterOptions, EtcdStore};

impl Etcd {
    /// Starts so many members, and waits until a majority answers.
    pub async fn start(members: usize) -> Self {
        let etcd = Self::launch(members);
        etcd.ready().await;
        etcd
    }

    /// Returns when a majority answers.
    pub async fn ready(&self) {
        let client = self.client();
        eventually(async || client.read(vec![0]).await.is_ok()).await;
    }

    pub fn client(&self) -> Client {
        Client::new(&self.urls(), None).expect("a client")
    }
}

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The longest time that a test waits for a required event. Only a broken node needs it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The machine's time, for leases.
struct Uptime;

impl Clock for Uptime {
    fn now(&self) -> Timestamp {
        let time = std::fs::read_to_string("/proc/uptime").expect("the time since the machine booted");
        let seconds: f64 = time.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
        Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds))
    }
}

/// A node whose clock shows [`START`].
pub async fn join(etcd: &Etcd, node: &str) -> Cluster {
    Cluster::join(options(etcd, node, 1, START)).await.expect("joined")
}

pub fn options(etcd: &Etcd, node: &str, key: u8, now: Timestamp) -> ClusterOptions {
    ClusterOptions {
        etcd: etcd.urls(),
        tls: None,
        name: node.to_owned(),
        key: ServerKey::from_bytes([key; 32]),
        clock: EngineClock::over(Arc::new(ManualClock::starting_at(now))),
        uptime: Arc::new(Uptime),
        owner: watch::Sender::default(),
    }
}

pub async fn commit(store: &EtcdStore, writes: Vec<Write>) -> Result<(), StoreError> {
    let (done, committed) = oneshot::channel();
    store.commit(writes, Box::new(|result| drop(done.send(result))));
    committed.await.expect("an answer")
}

/// The records, each of which is visited once.
pub async fn restore(store: &EtcdStore) -> BTreeMap<Key, Bytes> {
    let read = Arc::new(Mutex::new(BTreeMap::new()));
    let to = Arc::clone(&read);
    let visit = move |key, _, record: &[u8]| {
        assert_eq!(to.lock().unwrap().insert(key, Bytes::copy_from_slice(record)), None, "visited twice");
        Ok(())
    };
    store.restore(Box::new(visit)).await.unwrap();
    std::mem::take(&mut *read.lock().unwrap())
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

/// Waits for processes and leases, for [`PATIENCE`] at most.
pub async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..3_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen in {PATIENCE:?}");
}
