//! Pure decisions: `(state, rules, request, randomness, now) -> (state, outcome)`.
//!
//! The engine contains no I/O and reads neither clock nor random source: both are parameters, therefore
//! every decision can be repeated. One number's whole life is in [`NumberState`].
//!
//! | decision | module |
//! |---|---|
//! | may a message be sent, and with which code; the result of a send; the end of a verification | `begin` |
//! | is a submitted code right | `check` |
//! | the rules of a service: codes, attempts, messages; lockouts and waits | `policy` |
//! | a code from its inputs; the slot of a subject | `derive` |
//! | the ids of verifications and attempts | `sealed` |
//! | expired records, checks without a result | `state` |

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod begin;
mod check;
mod derive;
mod policy;
mod sealed;
mod state;
#[cfg(test)]
mod tests;

pub use begin::{
    Begin, BeginOutcome, EndOutcome, Ending, PossiblySent, ResumeOutcome, SendLimit, SendPermit, SendResult,
    SettleOutcome, VerificationOptions, begin, end, resume, settle,
};
pub use check::{CheckOutcome, CheckPermit, CheckResult, CheckStep, Submitted, check, settle_check};
pub use derive::{CodeSeed, SLOTS, Salt, SlotHash, hash_seed, key_fingerprint, request_fingerprint};
pub use policy::{FailureCount, LockoutRule, Policy, Rules, SendOptions, SendRules};
pub use sealed::{LAST_SERVICE, Sealer, VerificationAddress, VerificationName};
pub use state::{LockoutState, NumberState, OpenNumber, Verification, VerificationDetails};
