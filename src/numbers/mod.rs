//! Commands about numbers: send a code, check a code, end a verification.
//!
//! [`Verifier`] is the handle for callers. It turns each request into a command to the shard of its number. `send` and
//! `check` decide the command with the engine. `deliver` carries out the decision.

mod carry;
pub mod check;
pub mod command;
mod deliver;
mod event;
mod facts;
mod follow_up;
pub mod in_flight;
mod policies;
mod record;
mod reply;
pub mod send;
pub mod table;
#[cfg(test)]
mod tests;
mod verifier;

pub use crate::delivery::Failure;
pub use crate::engine::SendOptions;
pub use crate::shard::{LimitedTable, Refusal, ShardStartError, Usage};
pub use carry::{CarryRequest, CarryUse};
pub use check::EndReply;
pub use event::{EventSink, NumberEvent};
pub use policies::Policies;
pub use record::NumberKey;
pub use reply::{CheckOutcome, Reply, SendLimit, SendOutcome, VerificationSummary};
pub use send::NamedVerification;
pub use table::NumberCapacity;
pub use verifier::{CheckRequest, EndRequest, LockedNumber, SendRequest, Verifier, VerifierDeps};
