//! Each batch is applied at most once, and only while its node owns the records.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use onceward_store::{Store as _, StoreError};
use tokio::sync::oneshot;

use super::etcd_process::Etcd;
use super::node::{START, commit, join, key, options, put, remove, restore};
use crate::etcd::{DEADLINE, PAGE};
use crate::store::{sequence_key, transaction};
use crate::{Cluster, Error};

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_whole_and_the_next_owner_reads_it() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    commit(&a, vec![put(0, 1, "one"), put(2, 2, "two"), put(255, 3, "four")]).await.unwrap();
    commit(&a, vec![put(0, 1, "three"), remove(2, 2)]).await.unwrap();
    a.close().await.unwrap();
    let b = join(&etcd, "b").await.campaign().await;
    let records = restore(&b).await.unwrap();
    let expected = [(key(0, 1), Bytes::from("three")), (key(255, 3), Bytes::from("four"))];
    assert_eq!(records.into_iter().collect::<Vec<_>>(), expected);
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
    let read = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&read);
    let visit = move |key, _, _: &[u8]| {
        to.lock().unwrap().push(key);
        Ok(())
    };
    a.restore(Box::new(visit)).await.unwrap();
    let mut read = std::mem::take(&mut *read.lock().unwrap());
    read.sort_unstable();
    assert_eq!(read, all.map(|write| write.key).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_records_is_one_transaction() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    let (client, lease) = (etcd.client(), a.lease_id());
    let transactions = async || client.read(sequence_key(lease)).await.unwrap().unwrap().version;
    for records in [118, 119, 120, 121, 3_600] {
        let before = transactions().await;
        commit(&a, (0..records).map(|id| put(4, id, "record")).collect()).await.unwrap();
        assert_eq!(transactions().await, before + 1, "{records} records");
        assert_eq!(restore(&a).await.unwrap().len(), records as usize);
    }
    let too_many = commit(&a, (0..5_000).map(|id| put(4, id, "x")).collect()).await;
    assert!(matches!(too_many, Err(StoreError::Unavailable(_))), "{too_many:?}");
    commit(&a, vec![put(4, 0, "after"), put(4, 0, "last")]).await.unwrap();
    assert_eq!(restore(&a).await.unwrap()[&key(4, 0)], Bytes::from("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_wait_together_are_all_applied_in_order() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    let committed: Vec<_> = (0..20)
        .map(|n| {
            let (done, committed) = oneshot::channel();
            let writes = vec![put(1, n, "x"), put(1, 1_000, &n.to_string())];
            a.commit(writes, Box::new(|result| drop(done.send(result))));
            committed
        })
        .collect();
    for committed in committed {
        assert_eq!(committed.await.unwrap(), Ok(()));
    }
    let records = restore(&a).await.unwrap();
    assert_eq!((records.len(), &records[&key(1, 1_000)]), (21, &Bytes::from("19")));
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
    let records = restore(&b).await.unwrap();
    assert_eq!(records[&key(0, 1)], Bytes::from("before"));
    assert_eq!(records[&key(0, 2)], Bytes::from("of b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_or_late_transaction_changes_nothing() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    let (client, lease) = (etcd.client(), a.lease_id());
    let name = crate::store::system_key("test");
    let version = async || client.read(sequence_key(lease)).await.unwrap().unwrap().version;
    let batch = |version, value: &str| {
        let value = crate::etcd::put(name.clone(), value.as_bytes().to_vec(), 0);
        transaction(lease, version, vec![value])
    };
    let first = version().await;
    assert!(client.txn(batch(first, "code live"), DEADLINE).await.unwrap().succeeded);
    assert!(client.txn(batch(first + 1, "code used"), DEADLINE).await.unwrap().succeeded);
    for _ in 0..3 {
        assert!(!client.txn(batch(first, "code live"), DEADLINE).await.unwrap().succeeded);
    }
    let kept = client.read(name).await.unwrap().unwrap();
    assert_eq!(kept.value, Bytes::from("code used"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_decides_later_than_the_one_before() {
    let etcd = Etcd::start(1).await;
    let decided = START.plus(Duration::from_secs(30));
    let a = Cluster::join(options(&etcd, "a", 1, decided)).await.expect("joined");
    let a = a.campaign().await;
    commit(&a, vec![put(9, 1, "x")]).await.unwrap();
    a.close().await.unwrap();
    let b = join(&etcd, "b").await.campaign().await;
    assert_eq!(b.newest_time(), decided.plus(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_server_key_does_not_join() {
    let etcd = Etcd::start(1).await;
    join(&etcd, "a").await;
    let refused = Cluster::join(options(&etcd, "b", 2, START)).await;
    assert!(matches!(refused, Err(Error::Settings(why)) if why.contains("another server key")));
    join(&etcd, "c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses_every_batch() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    assert_eq!(commit(&a, Vec::new()).await, Ok(()));
    a.close().await.unwrap();
    for writes in [Vec::new(), vec![put(0, 1, "x")]] {
        assert_eq!(commit(&a, writes).await, Err(StoreError::Closed));
    }
}
