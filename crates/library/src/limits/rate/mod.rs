//! Rate limits and idempotency keys.
//!
//! Neither stores or prints the values and keys that it is given, which can be personal data, but keyed hashes of them. What
//! is counted how: `docs/guides/rate-limits.md`; why: `docs/internals/records.md`.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod digest;
mod keyed;
#[cfg(test)]
mod tests;

pub use keyed::{
    CheckAnswer, IdempotencyKeys, KEPT_BEYOND, KeyDecision, KeyedRequest, KnownRequest, LONGEST_KEY,
    RequestKey, RunningRequest,
};

/// The most counts, and the most idempotency keys.
pub const MOST_RECORDS: usize = 1_000_000;
