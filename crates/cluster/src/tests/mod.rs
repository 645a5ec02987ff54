//! The store and the ownership on real etcd processes.

mod etcd_process;
mod failures;
mod fencing;
mod handover;
mod node;
