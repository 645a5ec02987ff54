//! One durable owner for everything that survives a restart.
//!
//! A shard is an actor that owns fixed slots and holds all records of these slots in memory. A function decides each
//! command at once over these records. The shard commits all changes of a decision together, and what is to be done
//! afterwards waits for that. This module alone does batching, recovery, expiry and failed commits. It does not know any
//! kind of record.
//!
//! [`Core`] is that logic without the actor, for the simulation.

mod capacity;
pub mod core;
mod record;
mod record_log;
mod shards;
mod table;
mod tables;
#[cfg(test)]
mod tests;

pub use self::capacity::{Capacity, LimitedTable, Shares};
pub use self::core::{Admission, Command, Core, Decide, Fate, Subject, Then, name_digest};
pub use self::record::{
    Id, Kinds, Record, RecordKey, RecordKind, Refusal, Stored, VERSION, decode, encode, service_of,
};
pub use self::record_log::{LogRange, LogRecord, Places};
pub use self::shards::{ShardDeps, Shards};
#[cfg(test)]
pub use self::table::INLINE;
pub use self::tables::{Change, Records, Tables, Transaction};
pub use crate::store::Write;
