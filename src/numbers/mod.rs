//! Numbers: who may be sent a code, and whether a code is right.
//!
//! [`Verifier`] is the front door. Each request becomes a command to the shard of its number, which decides it with the
//! engine; `deliver` carries out what was decided.

mod answer;
mod capacity;
pub mod command;
mod deliver;
mod follow_up;
mod happened;
mod policies;
mod receipt;
mod record;
pub mod table;
#[cfg(test)]
mod tests;
mod verifier;

pub use crate::delivery::Trouble;
pub use crate::engine::SendOptions;
pub use crate::shard::{Refusal, StartError};
pub use answer::{CheckAnswer, Facts, Limit, SendAnswer, Told};
pub use capacity::{Capacity, Usage};
pub use happened::{Happened, Recorder};
pub use policies::Policies;
pub use record::NumberKey;
pub use verifier::{BeginRequest, CheckRequest, EndRequest, NamedCheck, Parts, SendRequest, Verifier, known};
