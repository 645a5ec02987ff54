//! Members of etcd fail.

use bytes::Bytes;
use onceward_store::{Store as _, StoreError};
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::node::{PATIENCE, commit, eventually, join, key, put, restore};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_committed_until_it_is_back() {
    let mut etcd = Etcd::start(3).await;
    let cluster = join(&etcd, "a").await;
    let a = cluster.campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    etcd.kill(0);
    etcd.kill(1);
    assert!(commit(&a, vec![put(0, 1, "during")]).await.is_err());
    eventually(async || !a.owns_records() && a.health().is_err()).await;
    a.wait_until_lease_ended().await;
    etcd.start_member(0);
    let a = cluster.campaign().await;
    commit(&a, vec![put(0, 1, "after")]).await.unwrap();
    assert!(a.owns_records() && a.health().is_ok());
    let kept = restore(&a).await.unwrap();
    assert_eq!(kept[&key(0, 1)], Bytes::from("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_behind_an_unknown_one_fails_with_it() {
    let mut etcd = Etcd::start(1).await;
    let cluster = join(&etcd, "a").await;
    let a = cluster.campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    etcd.kill(0);
    // Of one lane, and too many for one transaction: each batch has its own.
    let batch = |slot| commit(&a, (0..2_000).map(|id| put(slot, id, "x")).collect());
    let all = timeout(PATIENCE, async { tokio::join!(batch(1), batch(5), batch(9)) }).await;
    let (first, second, third) = all.expect("answers");
    assert!(matches!(first, Err(StoreError::Unknown(_))), "{first:?}");
    assert!(matches!((&second, &third), (Err(StoreError::Unavailable(_)), Err(StoreError::Unavailable(_)))));
}

#[tokio::test]
async fn a_commit_that_etcd_refuses_has_its_reason_and_costs_no_lease() {
    let etcd = Etcd::launch_with(1, "http", vec!["--quota-backend-bytes=200000".to_owned()]);
    etcd.ready().await;
    let cluster = join(&etcd, "a").await;
    let a = cluster.campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    let more_than_the_quota = (0..100).map(|id| put(0, id, &"x".repeat(4_000))).collect();
    assert!(commit(&a, more_than_the_quota).await.is_err());
    let health = a.health().unwrap_err();
    assert!(health.contains("space exceeded") && health.contains("etcdctl alarm disarm"), "{health}");
    assert!(a.owns_records(), "the lease goes on");
}
