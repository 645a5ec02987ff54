//! Pure decisions: `(state, rules, request, randomness, now) -> (state, outcome)`.
//!
//! The engine contains no I/O and reads neither clock nor random source: both are parameters, therefore
//! every decision can be repeated. One number's whole life is in [`NumberState`].

mod begin;
mod check;
mod derive;
mod policy;
mod sealed;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod uncertain;

pub use begin::{
    Begin, BeginOutcome, EndOutcome, Ending, OwnVerification, ResumeOutcome, SendPermit, begin, end, resume,
};
pub use check::{CheckOutcome, CheckPermit, CheckResult, CheckStep, Submitted, check, settle_check};
pub use derive::{code_of, derive_code, fingerprint_with, key_fingerprint, offset_of};
pub use policy::{Lockout, Policy, Rules, SendOptions, SendRules};
pub use sealed::{LAST_SERVICE, Sealer, VerificationAddress, VerificationName};
pub use settle::{SendResult, SettleOutcome, settle};
pub use state::{Counted, NumberState, Salt, Tally, Verification};
pub use uncertain::merge_pessimistic;
