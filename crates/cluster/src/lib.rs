//! The records of a cluster in etcd.
//!
//! One node owns all records and decides; the others stand by. [`Cluster`] joins and campaigns. The node that wins gets
//! an [`EtcdStore`], which implements [`Store`](onceward_store::Store) until its lease ends.
//! `docs/internals/decisions/0026-cluster.md` gives the reasons.
#![expect(missing_docs, reason = "a name that says it all needs no comment")]

mod cluster;
mod etcd;
mod store;
#[cfg(test)]
mod tests;

pub use cluster::{Cluster, ClusterOptions, Owner, release};
pub use etcd::tls_config;
pub use store::EtcdStore;
pub use tonic::transport::ClientTlsConfig;

/// A node cannot join, or etcd does not do what it is asked. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("\"cluster\" cannot be used: {0}")]
    Settings(String),
    /// A member refused the request. It was not carried out.
    #[error("etcd refuses the request: {0}")]
    Refused(String),
    /// No member said in time whether it carried out the request.
    #[error(
        "etcd does not answer: {0}; check that a majority of etcd's members runs and that \"etcd\" in \"cluster\" \
         names them"
    )]
    Unknown(String),
    /// An import cannot begin, or this machine has no thread.
    #[error("{0}")]
    Other(String),
}
