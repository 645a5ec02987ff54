//! Verifications as Twilio Verify's API knows them: requests, their rules, and views of the results.
//!
//! This module is above the shards and below the HTTP front end. It knows no HTTP statuses.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod request;
mod serve;
mod view;

pub use crate::delivery::attempts::AttemptQuery;
pub use crate::engine::Ending;
pub use request::{BeginRequest, CheckCode, VerificationTarget};
pub use serve::{Cleared, LockedNumber, Verifier, VerifierDeps};
pub use view::{
    CarriedMessage, Erasure, NumberStatus, Refused, SealedAttempt, Status, Summary, Verification,
    VerificationStatus,
};
