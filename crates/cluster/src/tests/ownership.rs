//! One node owns the records. It gives them up when etcd does not answer it, and another takes over.

use std::time::Duration;

use bytes::Bytes;
use onceward_store::{Store as _, StoreError};
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::link::Link;
use super::node::{PATIENCE, START, commit, eventually, join, key, options, put, restore};
use crate::cluster::owner_key;
use crate::{Cluster, Owner};

#[tokio::test]
async fn one_of_two_nodes_wins_and_the_other_takes_over_at_once_when_it_stops() {
    let etcd = Etcd::start(1).await;
    let (a, b) = (join(&etcd, "a").await, join(&etcd, "b").await);
    let first = a.campaign().await;
    let mut campaign = std::pin::pin!(b.campaign());
    assert!(timeout(Duration::from_secs(1), &mut campaign).await.is_err());
    assert_eq!(*b.options.owner.borrow(), Owner::Peer("a".to_owned()));
    first.close().await.unwrap();
    // The lease of a store that is open does not end.
    let owner = etcd.client().read(owner_key()).await.unwrap();
    assert!(owner.is_none_or(|owner| *owner.value == *b"b"));
    let second = timeout(PATIENCE, campaign).await.expect("won");
    assert!(second.owns_records() && *b.options.owner.borrow() == Owner::Here);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_etcd_hears_and_that_hears_nothing_gives_up() {
    let etcd = Etcd::start(1).await;
    let link = Link::to(&etcd.urls()[0]).await;
    let mut of_a = options(&etcd, "a", 1, START);
    of_a.etcd = vec![link.url.clone()];
    let a = Cluster::join(of_a).await.expect("joined").campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    link.cut_answers();
    let b = join(&etcd, "b").await;
    let b = timeout(PATIENCE, b.campaign()).await.expect("another node takes over");
    timeout(PATIENCE, a.wait_until_lease_ended()).await.expect("the owner has given up");
    assert!(commit(&a, vec![put(0, 1, "of a")]).await.is_err());
    assert_eq!(restore(&b).await[&key(0, 1)], Bytes::from("before"));
}

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
    assert_eq!(restore(&a).await[&key(0, 1)], Bytes::from("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_behind_an_unknown_one_fails_with_it() {
    let mut etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await.campaign().await;
    etcd.kill(0);
    let batch = |slot| commit(&a, vec![put(slot, 1, "x")]);
    let all = timeout(PATIENCE, async { tokio::join!(batch(1), batch(5), batch(9)) }).await;
    let (first, second, third) = all.expect("answers");
    assert!(matches!(first, Err(StoreError::Unknown(_))), "{first:?}");
    assert!(matches!((&second, &third), (Err(StoreError::Unavailable(_)), Err(StoreError::Unavailable(_)))));
}

#[tokio::test]
async fn a_commit_that_etcd_refuses_has_its_reason_and_costs_no_lease() {
    let etcd = Etcd::launch_with(1, "http", vec!["--quota-backend-bytes=200000".to_owned()]);
    etcd.ready().await;
    let a = join(&etcd, "a").await.campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    let more_than_the_quota = (0..100).map(|id| put(0, id, &"x".repeat(4_000))).collect();
    assert!(commit(&a, more_than_the_quota).await.is_err());
    let health = a.health().unwrap_err();
    assert!(health.contains("space exceeded") && health.contains("etcdctl alarm disarm"), "{health}");
    assert!(a.owns_records(), "the lease goes on");
}
