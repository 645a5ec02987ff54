//! Pure decisions: `(state, command, policy, now, randomness) -> (state, outcome)`.
//!
//! The engine contains no I/O and reads neither clock nor random source: both are parameters, so
//! every decision can be repeated on another state, which is what compare-and-swap needs. One
//! number's whole life is in [`NumberState`]; each file here holds one decision about it.

mod check;
mod derive;
mod policy;
mod reports;
mod resume;
mod send;
mod settle;
mod settle_check;
mod state;
mod stricter;
mod terms;
#[cfg(test)]
mod tests;

pub use check::{CheckOutcome, CheckPermit, Submitted, check};
pub use derive::{derive_code, key_fingerprint};
pub use policy::{Policies, Policy, SendOptions};
pub use reports::Reports;
pub use resume::{ResumeOutcome, resume};
pub use send::{SendOutcome, SendPermit, send};
pub use settle::{GatewayResult, SettleOutcome, settle};
pub use settle_check::{CheckResult, CheckSettled, settle_check};
pub use state::{NumberState, Salt, Verification};
pub use stricter::stricter;
