//! The live nodes and the owners of the slots, as etcd has them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use onceward_store::{Slot, Slots};
use ring::digest::{SHA256, digest};

use crate::messages::KeyValue;
use crate::sealed::named;

/// A live node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub node: String,
    /// Where other nodes reach it, as its configuration says.
    pub address: String,
}

/// The owner of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerOf {
    /// This node.
    Here,
    Peer(Peer),
    /// No live node, or one that is not known yet.
    Unknown,
}

/// One state of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// The address of each live node.
    nodes: BTreeMap<String, String>,
    /// The owner's node and lease.
    owners: HashMap<Slot, (String, i64)>,
    /// The slots whose records this node has.
    pub(crate) here: Slots,
}

/// Begins the keys of nodes and owners.
pub fn cluster_prefix() -> Vec<u8> {
    named("cluster/")
}

pub fn node_key(node: &str) -> Vec<u8> {
    named(&format!("cluster/node/{node}"))
}

pub fn owner_key(slot: Slot) -> Vec<u8> {
    named(&format!("cluster/slot/{slot:02x}"))
}

impl Members {
    /// Reads the keys below [`cluster_prefix`]. Keys of a later version are ignored.
    pub(crate) fn read(keys: &[KeyValue]) -> Self {
        let mut members = Self::default();
        let prefix = cluster_prefix();
        for KeyValue { key, value, lease, .. } in keys {
            let name = key.strip_prefix(&prefix[..]).and_then(|name| std::str::from_utf8(name).ok());
            let Ok(value) = std::str::from_utf8(value) else { continue };
            if let Some(node) = name.and_then(|name| name.strip_prefix("node/")) {
                members.nodes.insert(node.to_owned(), value.to_owned());
            } else if let Some(slot) = name.and_then(|name| name.strip_prefix("slot/"))
                && let Ok(slot) = Slot::from_str_radix(slot, 16)
            {
                members.owners.insert(slot, (value.to_owned(), *lease));
            }
        }
        members
    }

    /// The live nodes.
    pub fn nodes(&self) -> impl Iterator<Item = Peer> {
        self.nodes.iter().map(|(node, address)| Peer { node: node.clone(), address: address.clone() })
    }

    /// The slots whose records this node has.
    pub const fn here(&self) -> Slots {
        self.here
    }

    pub fn owner_of(&self, slot: Slot) -> OwnerOf {
        if self.here.contains(slot) {
            return OwnerOf::Here;
        }
        let owner = self.owners.get(&slot).and_then(|(owner, _)| self.nodes.get_key_value(owner));
        owner.map_or(OwnerOf::Unknown, |(node, address)| {
            OwnerOf::Peer(Peer { node: node.clone(), address: address.clone() })
        })
    }

    /// The same state for a node that has the records of these slots.
    pub(crate) fn with_here(&self, here: Slots) -> Self {
        Self { here, ..self.clone() }
    }

    /// Slots with an owner.
    pub fn owned(&self) -> Slots {
        self.owners.keys().copied().collect()
    }

    /// Slots whose owner key is attached to this lease.
    pub(crate) fn owned_under(&self, lease: i64) -> Slots {
        self.owners.iter().filter(|(_, (_, of))| *of == lease).map(|(slot, _)| *slot).collect()
    }

    /// The slots that are to belong to a node: none if it is not live.
    pub(crate) fn share_of(&self, node: &str) -> Slots {
        (0..=Slot::MAX).filter(|slot| self.rightful_owner(*slot) == Some(node)).collect()
    }

    /// The live node with the highest weight for the slot. A node that joins or leaves moves only its own slots. All
    /// nodes must agree on it, also those of other versions.
    fn rightful_owner(&self, slot: Slot) -> Option<&str> {
        self.nodes.keys().map(String::as_str).max_by_key(|node| weight(node, slot))
    }
}

fn weight(node: &str, slot: Slot) -> [u8; 8] {
    let mut subject = node.to_owned();
    // Writing to a string cannot fail.
    let _ = write!(subject, "/{slot:02x}");
    let mut weight = [0; 8];
    weight.copy_from_slice(&digest(&SHA256, subject.as_bytes()).as_ref()[..8]);
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: &[&str]) -> Members {
        let nodes = nodes.iter().map(|node| ((*node).to_owned(), String::new())).collect();
        Members { nodes, ..Members::default() }
    }

    #[test]
    fn each_slot_has_one_rightful_owner_and_shares_are_even() {
        let three = of(&["a", "b", "c"]);
        let shares = ["a", "b", "c"].map(|node| three.share_of(node).iter().count());
        assert_eq!(shares.iter().sum::<usize>(), 256);
        assert!(shares.iter().all(|share| (60..=112).contains(share)), "{shares:?}");
        assert_eq!(of(&["a"]).share_of("a"), Slots::all());
        assert_eq!(three.share_of("d"), Slots::none());
    }

    #[test]
    fn a_node_that_joins_takes_slots_and_moves_no_others() {
        let (two, three) = (of(&["a", "b"]), of(&["a", "b", "c"]));
        for slot in 0..=Slot::MAX {
            let (before, after) = (two.rightful_owner(slot), three.rightful_owner(slot));
            assert!(after == before || after == Some("c"), "slot {slot}");
        }
    }

    #[test]
    fn an_owner_is_known_while_its_node_is_live() {
        let owned = |nodes| Members {
            owners: HashMap::from([(7, ("b".to_owned(), 1))]),
            here: Slots::one(9),
            ..of(nodes)
        };
        let b = Peer { node: "b".to_owned(), address: String::new() };
        assert_eq!(owned(&["a", "b"]).owner_of(7), OwnerOf::Peer(b));
        assert_eq!(owned(&["a"]).owner_of(7), OwnerOf::Unknown);
        assert_eq!(owned(&["a"]).owner_of(9), OwnerOf::Here);
        assert_eq!(owned(&["a", "b"]).owner_of(8), OwnerOf::Unknown);
    }
}
