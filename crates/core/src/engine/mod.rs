//! Pure decisions: `(state, command, policy, now, randomness) -> (state, outcome)`.
//!
//! The engine contains no I/O and reads neither clock nor random source: both are parameters, so
//! every decision can be repeated on another state, which is what compare-and-swap needs. One
//! number's whole life is in [`NumberState`]; each file here holds one decision about it.

mod begin;
mod check;
mod check_growing;
mod counted;
mod derive;
mod end;
mod policy;
mod reports;
mod result;
mod resume;
mod sealed;
mod send;
mod settle;
mod settle_check;
mod state;
mod stricter;
mod terms;
#[cfg(test)]
mod tests;

pub use begin::{Begin, BeginOutcome, begin};
pub use check::{CheckOutcome, CheckPermit, Submitted, VerificationName, check};
pub use counted::{Counted, FOR_EVER, Tally};
pub use derive::{code_of, derive_code, fingerprint_with, key_fingerprint, offset_of};
pub use end::{EndOutcome, Ending, end};
pub use policy::{Lockout, Policy, SendOptions, SendRules};
pub use reports::Reports;
pub use result::SendResult;
pub use resume::{ResumeOutcome, resume};
pub use sealed::{LAST_SERVICE, Sealer, VerificationAddress};
pub use send::{SendOutcome, SendPermit, send};
pub use settle::{GatewayResult, SettleOutcome, settle};
pub use settle_check::{CheckResult, CheckSettled, settle_check};
pub use state::{NumberState, Salt, Verification};
pub use stricter::stricter;
