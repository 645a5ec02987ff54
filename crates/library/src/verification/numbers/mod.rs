//! Commands about numbers: send a code, check a code, end a verification.
//!
//! [`Verifier`] is the handle for callers. It turns each request into a command to the shard of its number. `send` and
//! `check` make its `decision` with the engine. `command` performs what the decision asks for, and `deliver` does what
//! leaves the shard.

mod carry;
pub mod check;
pub mod command;
mod decision;
mod deliver;
pub mod in_flight;
mod outcome;
pub mod record;
mod reply;
pub mod send;
#[cfg(test)]
mod tests;
mod verifier;

pub use crate::delivery::{Check, Failure, Outgoing};
pub use crate::domain::NumberKey;
pub use crate::engine::SendOptions;
pub use crate::registry::Policies;
pub use crate::shard::{LimitedTable, Refusal, ShardStartError, Usage};
pub use check::End;
pub use in_flight::Messages;
pub use reply::{CheckOutcome, Reply, SendLimit, SendOutcome, VerificationSummary};
pub use verifier::{LockedNumber, Verifier, VerifierDeps};
