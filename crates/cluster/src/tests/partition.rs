//! A node is cut off from etcd and comes back.

use onceward_store::Store as _;
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::link::Link;
use super::node::{PATIENCE, START, commit, eventually, join, key, options, put, restore};
use crate::{Cluster, EtcdStore};

/// etcd, and an owner that reaches it over the link and has committed a record.
async fn owner_behind_a_link() -> (Etcd, Link, EtcdStore) {
    let etcd = Etcd::start(1).await;
    let link = Link::to(&etcd.urls()[0]).await;
    let mut of_a = options(&etcd, "a", 1, START);
    of_a.etcd = vec![link.url.clone()];
    let a = Cluster::join(of_a).await.expect("joined").campaign().await;
    commit(&a, vec![put(0, 1, "before")]).await.unwrap();
    (etcd, link, a)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_owner_wrote_arrives_too_late_and_changes_nothing() {
    let (etcd, link, a) = owner_behind_a_link().await;
    link.cut();
    let late = timeout(PATIENCE, commit(&a, vec![put(0, 1, "late")])).await;
    assert!(late.expect("an answer").is_err());
    eventually(async || !a.owns_records()).await;
    let b = join(&etcd, "b").await.campaign().await;
    commit(&b, vec![put(0, 2, "of b")]).await.unwrap();
    // The requests of `a` arrive now.
    link.restore();
    timeout(PATIENCE, a.wait_until_lease_ended()).await.expect("a learns it");
    assert!(commit(&a, vec![put(0, 2, "of a")]).await.is_err());
    let records = restore(&b).await.unwrap();
    assert_eq!((&records[&key(0, 1)][..], &records[&key(0, 2)][..]), (&b"before"[..], &b"of b"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_etcd_hears_and_that_hears_nothing_gives_up() {
    let (etcd, link, a) = owner_behind_a_link().await;
    link.cut_answers();
    let b = join(&etcd, "b").await;
    let b = timeout(PATIENCE, b.campaign()).await.expect("another node takes over");
    timeout(PATIENCE, a.wait_until_lease_ended()).await.expect("the owner has given up");
    assert!(commit(&a, vec![put(0, 1, "of a")]).await.is_err());
    assert_eq!(restore(&b).await.unwrap()[&key(0, 1)][..], b"before"[..]);
}
