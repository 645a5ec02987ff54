//! Verifications: a person proves that a number is theirs. Twilio Verify's API, the compatible routes and the embedding
//! program begin and check them. This module is below the HTTP front end, and knows no HTTP statuses.
//!
//! * [`Verifier`] is the handle. `begin` has the ways to a message, `operator` what operators ask for.
//! * [`command`] is one request about a number in its shard; [`send`] and [`check`] make its decisions with the engine.
//! * [`in_flight`] bounds what is under way, and joins requests for one message.
//! * [`hosted`] has the sessions of the hosted page.

mod begin;
pub mod check;
pub mod command;
mod decision;
pub mod hosted;
pub mod in_flight;
mod model;
mod operator;
pub mod send;
#[cfg(test)]
mod tests;
mod verifier;

pub use self::check::End;
pub use self::model::{
    CarriedMessage, CheckCode, CheckOutcome, Erasure, LockedNumber, MESSAGES, NumberStatus, Refused, Reply,
    SealedAttempt, SendOutcome, Sent, Status, Verification, VerificationSummary, VerificationTarget,
};
pub use self::verifier::{Verifier, VerifierDeps};
pub use crate::delivery::attempts::AttemptQuery;
pub use crate::delivery::{Check, Failure, Outgoing};
pub use crate::domain::NumberKey;
pub use crate::engine::{Ending, SendOptions};
pub use crate::limits::keys::GivenKey;
pub use crate::registry::Policies;
pub use crate::shard::{LimitedTable, Refusal};
