//! Promises about verifications beyond the engine's decisions: over a real shard without its actor, and over the services of
//! a process.

mod core_rules;
mod events;
mod guard;
mod idempotency;
mod limits;
mod planned_core;
mod rules;
mod shard;
mod ways;
pub(crate) mod world;
