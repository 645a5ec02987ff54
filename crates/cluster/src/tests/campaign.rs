//! One node owns the records; another takes over when it goes.

use std::time::Duration;

use onceward_store::Store as _;
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::node::{PATIENCE, join, kill, log_of_this_thread};
use crate::Owner;
use crate::cluster::owner_key;

fn peer(node: &str) -> Owner {
    Owner::Peer(node.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_wins_and_the_other_takes_over_at_once_when_it_stops() {
    let etcd = Etcd::start(1).await;
    let (a, b) = (join(&etcd, "a").await, join(&etcd, "b").await);
    let first = a.campaign().await;
    assert_eq!(*a.owner().borrow(), Owner::Here);
    b.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    let mut campaign = std::pin::pin!(b.campaign());
    assert!(timeout(Duration::from_secs(1), &mut campaign).await.is_err());
    first.close().await.unwrap();
    // The lease of a store that is open does not end.
    let owner = etcd.client().read(owner_key()).await.unwrap();
    assert!(owner.is_none_or(|owner| *owner.value == *b"b"));
    let second = timeout(PATIENCE, campaign).await.expect("won");
    assert!(second.owns_records() && *b.owner().borrow() == Owner::Here);
    a.owner().wait_for(|owner| *owner == peer("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_node_reports_the_import() {
    let etcd = Etcd::start(1).await;
    let importer = join(&etcd, "a").await;
    let store = importer.begin_import().await.expect("begun");
    let waiting = join(&etcd, "b").await;
    waiting.owner().wait_for(|owner| *owner == Owner::Importing).await.unwrap();
    importer.finish_import(store).await.expect("finished");
    waiting.owner().wait_for(|owner| *owner == Owner::Vacant).await.unwrap();
}

#[tokio::test]
async fn the_log_says_that_the_owner_is_missing_but_not_at_a_first_start() {
    let (log, _guard) = log_of_this_thread();
    let is_logged = || std::fs::read_to_string(log.path()).unwrap().contains("owner missing");
    let etcd = Etcd::start(1).await;
    let follower = join(&etcd, "b").await;
    follower.owner().wait_for(|owner| *owner == Owner::Vacant).await.unwrap();
    let a = join(&etcd, "a").await;
    let store = a.campaign().await;
    follower.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    assert!(!is_logged());
    kill(a, store);
    follower.owner().wait_for(|owner| *owner == Owner::Vacant).await.unwrap();
    assert!(is_logged());
}
