//! The records of several nodes in one etcd.
//!
//! [`EtcdStore`] implements [`Store`](onceward_store::Store). [`Ownership`] distributes the slots over the live nodes:
//! each slot has one owner, and only the owner's batches are applied. `docs/internals/decisions/0026-cluster.md` gives
//! the reasons.
#![expect(missing_docs, reason = "a name that says it all needs no comment")]

mod etcd;
mod lane;
mod lease;
mod members;
mod messages;
mod ownership;
mod sealed;
mod store;
#[cfg(test)]
mod tests;

pub use etcd::{Client, ClientError, EtcdTls};
pub use members::{Members, OwnerOf, Peer};
pub use ownership::{Ownership, SlotHolder};
pub use store::{ClusterOptions, EtcdStore, OpenError};
