//! Numbers: may a code be sent, and is a submitted code right?
//!
//! [`Verifier`] is the front door. Each request becomes a command to the shard of its number. `send` and `check` decide it
//! with the engine; `deliver` carries out what was decided.

mod capacity;
pub mod check;
pub mod command;
mod deliver;
mod follow_up;
mod happened;
mod policies;
mod receipt;
mod record;
mod reply;
pub mod send;
pub mod table;
#[cfg(test)]
mod tests;
mod verifier;

pub use crate::delivery::Trouble;
pub use crate::engine::SendOptions;
pub use crate::shard::{Refusal, StartError};
pub use capacity::{Capacity, Usage};
pub use happened::{Happened, Recorder};
pub use policies::Policies;
pub use record::NumberKey;
pub use reply::{CheckOutcome, Facts, Reply, SendOutcome};
pub use send::OwnOptions;
pub use verifier::{CheckRequest, EndRequest, SendRequest, Verifier, VerifierDeps};
