//! Members of etcd fail.

use std::collections::BTreeMap;

use bytes::Bytes;
use onceward_store::{Slots, Store as _};

use super::etcd_process::Etcd;
use super::node::{commit, eventually, join, key, put, restore};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_batches_survive_the_death_of_each_member_in_turn() {
    let mut etcd = Etcd::start(3).await;
    let cluster = join(&etcd, "a").await;
    let a = cluster.campaign().await.unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut id = 0;
    for member in 0..3 {
        // One of the three is the leader.
        etcd.kill(member);
        let mut committed = 0;
        while committed < 50 {
            id += 1;
            let record = format!("record {id}");
            if commit(&a, vec![put(0, id % 20, &record)]).await.is_ok() {
                acknowledged.insert(key(0, id % 20), Bytes::from(record));
                committed += 1;
            } else {
                // It may have been applied, and may not be applied any more once the next one is.
                acknowledged.remove(&key(0, id % 20));
            }
        }
        etcd.start_member(member);
        etcd.ready().await;
    }
    assert!(!a.lease().has_ended());
    let kept = restore(&a, Slots::one(0)).await.unwrap();
    for (key, record) in acknowledged {
        assert_eq!(kept.get(&key), Some(&record));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_committed_until_it_is_back() {
    let mut etcd = Etcd::start(3).await;
    let cluster = join(&etcd, "a").await;
    let a = cluster.campaign().await.unwrap();
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    etcd.kill(0);
    etcd.kill(1);
    assert!(commit(&a, vec![put(0, 1, "during")]).await.is_err());
    eventually(async || !a.owns_records() && a.health().is_err()).await;
    etcd.start_member(0);
    eventually(async || commit(&a, vec![put(0, 1, "after")]).await.is_ok()).await;
    eventually(async || a.owns_records() && a.health().is_ok()).await;
    let kept = restore(&a, Slots::one(0)).await.unwrap();
    assert_eq!(kept[&key(0, 1)], Bytes::from("after"));
}
