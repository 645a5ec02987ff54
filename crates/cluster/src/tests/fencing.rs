//! Each batch is applied at most once, and only while its node owns the slots.

use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::Clock as _;
use onceward_store::{Slots, Store as _, StoreError};

use super::etcd_process::Etcd;
use super::node::{Node, START, commit, eventually, open, put, remove, restore};
use crate::OpenError;
use crate::lane::sequence_key;
use crate::messages::TxnRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_whole_and_the_next_owner_reads_it() {
    let etcd = Etcd::start(1).await;
    let mut a = Node::join(&etcd, "a", 0).await;
    a.commit(vec![put(0, 1, "one"), put(2, 2, "two")]).await.unwrap();
    a.commit(vec![put(0, 1, "three"), remove(2, 2)]).await.unwrap();
    a.ownership.leave().await;
    let b = Node::join(&etcd, "b", 0).await;
    assert_eq!(b.get(0, 1), Some(Bytes::from("three")));
    assert_eq!(b.get(2, 2), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_records_is_one_transaction() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    for records in [119, 120, 121, 3_000] {
        a.commit((0..records).map(|id| put(4, id, "record")).collect()).await.unwrap();
        assert_eq!(restore(&a.store, Slots::one(4)).await.unwrap().len(), records as usize);
    }
    let too_many = a.commit((0..10_000).map(|id| put(4, id, "x")).collect()).await;
    assert!(matches!(too_many, Err(StoreError::Unavailable(_))), "{too_many:?}");
    a.commit(vec![put(4, 0, "after")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_node_that_lost_its_lease_is_refused() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    a.commit(vec![put(0, 1, "before")]).await.unwrap();
    let lease = a.store.session_now().lease;
    etcd.client().revoke(lease).await.unwrap();
    let late = a.commit(vec![put(0, 1, "late")]).await;
    assert!(late.is_err(), "{late:?}");
    eventually(async || a.memory.state.lock().unwrap().drops == 1).await;
    a.settled(1).await;
    assert_eq!(a.get(0, 1), Some(Bytes::from("before")));
    assert_ne!(a.store.session_now().lease, lease);
    a.commit(vec![put(0, 1, "after")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_about_a_slot_of_another_node_is_refused() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    let b = Node::join(&etcd, "b", 1).await;
    a.settled(2).await;
    let of_b = b.here().iter().next().unwrap();
    let refused = a.commit(vec![put(of_b, 1, "x")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    b.commit(vec![put(of_b, 1, "y")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_or_late_transaction_changes_nothing() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    let client = etcd.client();
    let (lease, key) = (a.store.session_now().lease, crate::sealed::named("test"));
    let version = async |lane| {
        let found = client.range(sequence_key(lease, lane), Vec::new()).await.unwrap();
        found[0].version
    };
    let batch = |lane, version, value: &str| TxnRequest {
        compare: vec![crate::etcd::version_is(sequence_key(lease, lane), version)],
        success: vec![
            crate::etcd::put(sequence_key(lease, lane), Vec::new(), lease),
            crate::etcd::put(key.clone(), value.as_bytes().to_vec(), 0),
        ],
        failure: Vec::new(),
    };
    let first = version(0).await;
    assert!(client.txn(batch(0, first, "code live")).await.unwrap().succeeded);
    assert!(client.txn(batch(0, first + 1, "code used")).await.unwrap().succeeded);
    for _ in 0..3 {
        assert!(!client.txn(batch(0, first, "code live")).await.unwrap().succeeded);
    }
    let kept = client.range(key.clone(), Vec::new()).await.unwrap();
    assert_eq!(kept[0].value, Bytes::from("code used"));
    // A restore raises the sequence before it reads.
    let late = batch(1, version(1).await, "late");
    restore(&a.store, Slots::one(1)).await.unwrap();
    assert!(!client.txn(late).await.unwrap().succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_decides_later_than_the_one_before() {
    let etcd = Etcd::start(1).await;
    let mut a = Node::join(&etcd, "a", 0).await;
    a.time.advance(Duration::from_secs(30));
    a.commit(vec![put(9, 1, "x")]).await.unwrap();
    let decided = a.clock.now();
    a.ownership.leave().await;
    let b = Node::join(&etcd, "b", 0).await;
    assert_eq!(b.time.now(), START);
    assert_eq!(b.clock.now(), decided.plus(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_server_key_does_not_start() {
    let etcd = Etcd::start(1).await;
    assert!(open(&etcd, "a", 1).await.is_ok());
    assert!(matches!(open(&etcd, "b", 2).await, Err(OpenError::OtherKey)));
    assert!(open(&etcd, "c", 1).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_a_lease_refuses_and_a_closed_one_says_so() {
    let etcd = Etcd::start(1).await;
    let (store, _) = open(&etcd, "a", 1).await.unwrap();
    assert!(!store.is_current());
    let refused = commit(&store, vec![put(0, 1, "x")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(store.health().is_err());
    store.close().await.unwrap();
    assert_eq!(commit(&store, Vec::new()).await, Err(StoreError::Closed));
}
