//! The cluster on real processes of etcd.

mod campaign;
mod etcd_process;
mod failures;
mod fencing;
#[expect(dead_code, reason = "`cut_after` is for the tests of the server")]
mod link;
mod node;
mod partition;
mod tls;
