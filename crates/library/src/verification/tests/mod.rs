//! Promises about verifications beyond the engine's decisions, over the services of a process. The simulation asks a
//! shard without its actor at random.

mod events;
mod guard;
mod held;
mod idempotency;
mod limits;
mod rules;
mod ways;
pub(crate) mod world;
