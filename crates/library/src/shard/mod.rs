//! One durable owner for everything that survives a restart.
//!
//! A shard is an actor that owns fixed slots and holds all records of these slots in memory. A pure function decides
//! each command over these records. The shard commits all changes of a decision together and then sends the answer.
//! This module alone does batching, recovery, expiry, lazy changes and failed commits. It does not know any kind of
//! record.
//!
//! [`Core`] is that logic without the actor, for the simulation.

mod actor;
mod capacity;
pub mod command;
pub mod core;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/faulty_store.rs"]
pub mod faulty_store;
mod kinds;
mod map;
mod queue;
mod record;
mod record_log;
mod refusal;
mod restore;
mod router;
mod shards;
mod tables;
#[cfg(test)]
pub mod tests;
mod transaction;

pub use self::actor::IndexFactory;
pub use self::capacity::{Capacity, PLACE_BYTES, Reservation, Shares, Usage};
pub use self::command::{After, Command, Decided, Load, Subject, name_digest};
pub use self::core::{Core, ShardSettings};
pub use self::kinds::{Kinds, RecordKind};
pub use self::map::{Map, Table};
pub use self::record::{Id, Record, RecordError, RecordKey, Stored, VERSION, decode, encode, service_of};
pub use self::record_log::{LogPart, LogRange, LogRecord, RecordLog};
pub use self::refusal::{Full, LimitedTable, Refusal};
pub use self::restore::ShardStartError;
pub use self::router::Router;
pub use self::shards::{ShardDeps, Shards};
pub use self::tables::{Index, Records, Tables};
pub use self::transaction::{Durability, Transaction};
pub use crate::store::{Slots, Write};
