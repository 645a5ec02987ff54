//! Rate limits and idempotency keys.
//!
//! Neither stores or prints the values and keys that it is given, which can be personal data, but keyed hashes of them. What
//! is counted how: `docs/guides/rate-limits.md`; why: `docs/internals/records.md`.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod digest;
mod keyed;

pub use keyed::{
    ANSWER_KEPT_FOR, CheckAnswer, Earlier, IdempotencyKeys, KEPT_BEYOND, KeyedRequest, LONGEST_KEY,
    RequestKey,
};

/// The most counts, and the most idempotency keys.
pub const MOST_RECORDS: usize = 1_000_000;
