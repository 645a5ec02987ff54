//! Rate limit counters and idempotency keys. Both are durable before a client gets its answer.
//!
//! Both are records of the shards ([`crate::shard`]): [`Limits`] counts, [`IdempotencyKeys`] remembers requests. Neither stores or
//! prints the values and keys that it is given, which can be personal data, but keyed hashes of them. What is counted
//! how: `docs/guides/rate-limits.md`; why: `docs/internals/records.md`.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod counters;
mod decide;
mod digest;
mod keyed;
#[cfg(test)]
mod tests;

pub use counters::{Charge, Charged, Counter, LimitRefusal, Limits};
pub use decide::BucketRule;
pub use keyed::{
    CheckAnswer, IdempotencyKeys, KEPT_BEYOND, KeyDecision, KeyedRequest, KnownRequest, LONGEST_KEY,
    RequestKey, RunningRequest,
};

/// Records of each of the two kinds over all shards.
pub const MOST_RECORDS: usize = 1_000_000;
