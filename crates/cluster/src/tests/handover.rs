//! Slots move between nodes with everything that was acknowledged.

use bytes::Bytes;
use onceward_store::{Slots, Store as _};

use super::etcd_process::Etcd;
use super::node::{Node, eventually, put};
use crate::OwnerOf;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_takes_its_share_and_both_know_the_owners() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    for slot in 0..=u8::MAX {
        a.commit(vec![put(slot, 1, "record")]).await.unwrap();
    }
    let b = Node::join(&etcd, "b", 1).await;
    a.settled(2).await;
    let mut both = a.here();
    both.extend(b.here());
    assert_eq!(both, Slots::all());
    for slot in 0..=u8::MAX {
        let (owner, other) = if a.here().contains(slot) { (&a, &b) } else { (&b, &a) };
        assert_eq!(owner.ownership.owner_of(slot), OwnerOf::Here);
        let OwnerOf::Peer(peer) = other.ownership.owner_of(slot) else { panic!("slot {slot}") };
        assert_eq!(peer.address, format!("{}.example:3000", peer.node));
        assert_eq!((owner.get(slot, 1), other.get(slot, 1)), (Some(Bytes::from("record")), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slots_of_a_killed_node_go_to_the_others_with_all_records() {
    let etcd = Etcd::start(1).await;
    let a = Node::join(&etcd, "a", 0).await;
    let b = Node::join(&etcd, "b", 1).await;
    a.settled(2).await;
    let of_a: Vec<u8> = a.here().iter().collect();
    for slot in &of_a {
        a.commit(vec![put(*slot, 7, "acknowledged")]).await.unwrap();
    }
    a.die();
    b.settled(1).await;
    for slot in of_a {
        assert_eq!(b.get(slot, 7), Some(Bytes::from("acknowledged")), "slot {slot}");
    }
    assert_eq!(b.here(), Slots::all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_hands_over_without_waiting_for_its_lease() {
    let etcd = Etcd::start(1).await;
    let mut a = Node::join(&etcd, "a", 0).await;
    let b = Node::join(&etcd, "b", 1).await;
    a.settled(2).await;
    let slot = a.here().iter().next().unwrap();
    a.commit(vec![put(slot, 1, "x")]).await.unwrap();
    a.ownership.leave().await;
    a.store.close().await.unwrap();
    assert_eq!(a.memory.state.lock().unwrap().slots, Slots::none());
    b.settled(1).await;
    assert_eq!(b.get(slot, 1), Some(Bytes::from("x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_of_the_same_name_waits_for_the_first() {
    let etcd = Etcd::start(1).await;
    let first = Node::join(&etcd, "a", 0).await;
    let second = Node::start(&etcd, "a").await;
    let refused = async || second.store.health().is_err_and(|why| why.contains("another process is node a"));
    eventually(refused).await;
    assert_eq!(first.here(), Slots::all());
    first.die();
    second.settled(1).await;
    assert_eq!(second.store.health(), Ok(()));
}
