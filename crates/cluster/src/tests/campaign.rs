//! One node owns the records; another takes over when it goes.

use std::time::Duration;

use onceward_store::Store as _;
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::node::{PATIENCE, join};
use crate::Owner;
use crate::cluster::owner_key;

#[tokio::test]
async fn one_of_two_nodes_wins_and_the_other_takes_over_at_once_when_it_stops() {
    let etcd = Etcd::start(1).await;
    let (a, b) = (join(&etcd, "a").await, join(&etcd, "b").await);
    let first = a.campaign().await;
    assert_eq!(*a.options.owner.borrow(), Owner::Here);
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
async fn a_waiting_node_reports_the_import() {
    let etcd = Etcd::start(1).await;
    let importer = join(&etcd, "a").await;
    let store = importer.begin_import().await.expect("begun");
    let waiting = join(&etcd, "b").await;
    let mut campaign = std::pin::pin!(waiting.campaign());
    assert!(timeout(Duration::from_secs(1), &mut campaign).await.is_err());
    assert_eq!(*waiting.options.owner.borrow(), Owner::Importing);
    importer.finish_import(store).await.expect("finished");
    timeout(PATIENCE, campaign).await.expect("won");
}
