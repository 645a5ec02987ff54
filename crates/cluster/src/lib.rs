//! The records of a cluster in etcd.
//!
//! One node owns all records and decides; the others stand by. [`Cluster`] joins and campaigns. The node that wins gets
//! an [`EtcdStore`], which implements [`Store`](onceward_store::Store) until its lease ends.
//! `docs/internals/decisions/0026-cluster.md` gives the reasons.
#![expect(missing_docs, reason = "a name that says it all needs no comment")]

mod cluster;
mod etcd;
mod lease;
mod messages;
mod sealed;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use cluster::{Cluster, ClusterOptions, ImportError, JoinError, Owner, release};
pub use etcd::{ClientError, EtcdTls};
pub use store::EtcdStore;
