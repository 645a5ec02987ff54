//! The cluster on real processes of etcd.

mod campaign;
mod etcd_process;
mod failures;
mod fencing;
mod link;
mod node;
mod partition;
mod tls;
