//! Commands about numbers: send a code, check a code, end a verification.
//!
//! `send` and `check` make the decision of a command with the engine. `command` performs what the decision asks for, and
//! `deliver` does what leaves the shard.

pub mod check;
pub mod command;
mod decision;
pub mod deliver;
pub mod in_flight;
pub mod record;
mod reply;
pub mod send;
#[cfg(test)]
mod tests;

pub use crate::delivery::{Check, Failure, Outgoing};
pub use crate::domain::NumberKey;
pub use crate::engine::SendOptions;
pub use crate::registry::Policies;
pub use crate::shard::{LimitedTable, Refusal, ShardStartError, Usage};
pub use check::End;
pub use in_flight::Messages;
pub use reply::{CheckOutcome, Reply, SendLimit, SendOutcome, VerificationSummary};
