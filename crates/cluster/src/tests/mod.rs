//! The cluster on real processes of etcd.

mod etcd_process;
mod fencing;
#[expect(dead_code, reason = "most of it is for the tests of the server")]
mod link;
mod node;
mod ownership;
mod tls;
