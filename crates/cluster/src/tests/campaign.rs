//! One node owns the records; another takes over when it goes.

use std::time::Duration;

use onceward_store::{Slots, Store as _};
use tokio::time::timeout;

use super::etcd_process::Etcd;
use super::node::{PATIENCE, START, commit, join, key, kill, log_of_this_thread, options, put, restore};
use crate::cluster::owner_key;
use crate::messages::TxnRequest;
use crate::{CampaignError, Cluster, Owner, etcd};

fn peer(node: &str) -> Owner {
    Owner::Peer { node: node.to_owned(), address: format!("{node}.example:3000") }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_nodes_wins_and_the_other_takes_over_at_once_when_it_stops() {
    let etcd = Etcd::start(1).await;
    let (a, b) = (join(&etcd, "a").await, join(&etcd, "b").await);
    let first = a.campaign().await.unwrap();
    assert_eq!(*a.owner().borrow(), Owner::Here);
    b.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    let mut campaign = std::pin::pin!(b.campaign());
    assert!(timeout(Duration::from_secs(1), &mut campaign).await.is_err());
    first.close().await.unwrap();
    // The lease of a store that is open does not end.
    let owner = etcd.client().read(owner_key()).await.unwrap();
    assert!(owner.is_none_or(|owner| owner.value.starts_with(b"b\n")));
    let second = timeout(PATIENCE, campaign).await.expect("won").unwrap();
    assert!(second.owns_records() && *b.owner().borrow() == Owner::Here);
    a.owner().wait_for(|owner| *owner == peer("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_the_owner_without_its_proof_draws_no_requests() {
    let etcd = Etcd::start(1).await;
    let (a, b) = (join(&etcd, "a").await, join(&etcd, "b").await);
    let owned = a.campaign().await.unwrap();
    b.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    let client = etcd.client();
    let genuine = client.read(owner_key()).await.unwrap().expect("an owner");
    let text = String::from_utf8(genuine.value.to_vec()).unwrap();
    let write = async |value: String, lease| {
        let success = vec![etcd::put(owner_key(), value.into_bytes(), lease)];
        client.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    };
    let moved = text.replacen("a.example", "evil.example", 1);
    let unsigned = "a\na.example:3000".to_owned();
    let other_lease = client.grant(Duration::from_secs(60)).await.unwrap();
    for (value, lease) in [(moved, genuine.lease), (unsigned, genuine.lease), (text.clone(), other_lease)] {
        write(value.clone(), lease).await;
        b.owner().wait_for(|owner| *owner == Owner::Unproven).await.unwrap();
        write(text.clone(), genuine.lease).await;
        b.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    }
    owned.close().await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_address_another_one_has_is_refused() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await;
    let store = a.campaign().await.unwrap();
    let b = join_at_the_address_of_a(&etcd).await;
    let refused = timeout(PATIENCE, b.campaign()).await.expect("refused");
    let Err(CampaignError::AddressTaken { node, address }) = refused else { panic!("not refused") };
    assert_eq!((node.as_str(), address.as_str()), ("a", "a.example:3000"));
    // A node may soon use the address of a killed one.
    kill(a, store);
    let b = join_at_the_address_of_a(&etcd).await;
    timeout(PATIENCE, b.campaign()).await.expect("won").unwrap();
}

/// etcd prolongs all leases when it has a new leader.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_waits_for_its_earlier_process_as_for_a_peer() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await;
    let store = a.campaign().await.unwrap();
    commit(&store, vec![put(0, 1, "acknowledged")]).await.unwrap();
    let again = join(&etcd, "a").await;
    again.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    // After four seconds another node would be refused.
    assert!(timeout(Duration::from_secs(5), again.campaign()).await.is_err());
    kill(a, store);
    let store = timeout(PATIENCE, again.campaign()).await.expect("won").unwrap();
    assert_eq!(*again.owner().borrow(), Owner::Here);
    assert_eq!(restore(&store, Slots::all()).await.unwrap()[&key(0, 1)], "acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_node_that_leaves_is_free_at_once() {
    let etcd = Etcd::start(1).await;
    let a = join(&etcd, "a").await;
    let store = a.campaign().await.unwrap();
    store.close().await.unwrap();
    a.release_reservation().await;
    let next = join_at_the_address_of_a(&etcd).await;
    timeout(PATIENCE, next.campaign()).await.expect("won").unwrap();
}

#[tokio::test]
async fn the_log_says_that_the_owner_is_missing_but_not_at_a_first_start() {
    let (log, _guard) = log_of_this_thread();
    let is_logged = || std::fs::read_to_string(log.path()).unwrap().contains("owner missing");
    let etcd = Etcd::start(1).await;
    let follower = join(&etcd, "b").await;
    follower.owner().wait_for(|owner| *owner == Owner::Vacant).await.unwrap();
    let a = join(&etcd, "a").await;
    let store = a.campaign().await.unwrap();
    follower.owner().wait_for(|owner| *owner == peer("a")).await.unwrap();
    assert!(!is_logged());
    kill(a, store);
    follower.owner().wait_for(|owner| *owner == Owner::Vacant).await.unwrap();
    assert!(is_logged());
}

/// A node "b" with the address of the node "a".
async fn join_at_the_address_of_a(etcd: &Etcd) -> Cluster {
    let mut of_b = options(etcd, "b", 1, START);
    of_b.advertise = "a.example:3000".to_owned();
    Cluster::join(of_b).await.expect("joined")
}
