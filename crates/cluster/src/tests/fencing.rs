//! Each batch is applied at most once, and only while its node owns the records.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use onceward_store::{Store as _, StoreError};

use super::etcd_process::Etcd;
use super::node::{START, commit, join, key, options, put, remove, restore};
use crate::etcd::{DEADLINE, PAGE};
use crate::store::{sequence_key, transaction};
use crate::{Cluster, Error};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_transaction_and_the_next_owner_reads_it() {
    let etcd = Etcd::start(1).await;
    let decided = START.plus(Duration::from_secs(30));
    let a = Cluster::join(options(&etcd, "a", 1, decided)).await.expect("joined").campaign().await;
    let (client, lease) = (etcd.client(), a.lease_id());
    let transactions = async || client.read(sequence_key(lease)).await.unwrap().unwrap().version;
    assert_eq!(commit(&a, Vec::new()).await, Ok(()));
    for records in [118, 119, 120, 121, 3_600] {
        let before = transactions().await;
        commit(&a, (0..records).map(|id| put(4, id, "record")).collect()).await.unwrap();
        assert_eq!(transactions().await, before + 1, "{records} records");
    }
    let waiting = (0..20).map(|id| commit(&a, vec![put(1, id, "x"), put(1, 1_000, &id.to_string())]));
    assert!(join_all(waiting).await.iter().all(Result::is_ok));
    let last = vec![put(4, 0, "after"), put(4, 0, "last"), remove(4, 1), put(255, 3, "one more")];
    commit(&a, last).await.unwrap();
    a.close().await.unwrap();
    for writes in [Vec::new(), vec![put(0, 1, "x")]] {
        assert_eq!(commit(&a, writes).await, Err(StoreError::Closed));
    }
    let b = join(&etcd, "b").await.campaign().await;
    let records = restore(&b).await;
    assert_eq!((records.len(), records.get(&key(4, 1))), (3_621, None));
    let kept = [key(4, 0), key(255, 3), key(1, 1_000)].map(|key| &records[&key][..]);
    assert_eq!(kept, [&b"last"[..], b"one more", b"19"]);
    assert_eq!(b.newest_time(), decided.plus(Duration::from_secs(1)), "it decides later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_visits_each_record_of_each_page_once() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    let page = u32::try_from(PAGE).unwrap();
    let stored = [(0, page), (1, page + 1), (2, 0), (3, page - 1), (254, 1), (255, 2 * page + 1)];
    let all = stored.into_iter().flat_map(|(slot, records)| (0..records).map(move |id| put(slot, id, "x")));
    for batch in all.clone().collect::<Vec<_>>().chunks(3_600) {
        commit(&a, batch.to_vec()).await.unwrap();
    }
    let found: Vec<_> = restore(&a).await.into_keys().collect();
    assert_eq!(found, all.map(|write| write.key).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_node_that_lost_its_lease_is_refused() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    etcd.client().revoke(a.lease_id()).await.unwrap();
    let late = commit(&a, vec![put(0, 1, "late")]).await;
    assert!(late.is_err(), "{late:?}");
    a.wait_until_lease_ended().await;
    assert!(!a.owns_records() && a.health().is_err());
    let b = join(&etcd, "b").await.campaign().await;
    commit(&b, vec![put(0, 2, "of b")]).await.unwrap();
    assert!(commit(&a, vec![put(0, 2, "later still")]).await.is_err());
    let records = restore(&b).await;
    assert_eq!([&records[&key(0, 1)][..], &records[&key(0, 2)]], [&b"before"[..], b"of b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_or_late_transaction_changes_nothing() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    let (client, lease) = (etcd.client(), a.lease_id());
    let name = crate::store::system_key("test");
    let first = client.read(sequence_key(lease)).await.unwrap().unwrap().version;
    let is_applied = async |version, value: &str| {
        let value = crate::etcd::put(name.clone(), value.as_bytes().to_vec(), 0);
        client.txn(transaction(lease, version, vec![value]), DEADLINE).await.unwrap().succeeded
    };
    assert!(is_applied(first, "code live").await);
    assert!(is_applied(first + 1, "code used").await);
    for _ in 0..3 {
        assert!(!is_applied(first, "code live").await);
    }
    let kept = client.read(name.clone()).await.unwrap().unwrap();
    assert_eq!(kept.value, Bytes::from("code used"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_server_key_does_not_join() {
    let etcd = Etcd::start(1).await;
    join(&etcd, "a").await;
    let refused = Cluster::join(options(&etcd, "b", 2, START)).await;
    assert!(matches!(refused, Err(Error::Settings(why)) if why.contains("another server key")));
    join(&etcd, "c").await;
}
