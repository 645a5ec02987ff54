//! Rate limit counters and answers kept for idempotency keys. Both are durable before a client gets its answer.
//!
//! Both are records of the shards ([`crate::shard`]): [`Limits`] counts, [`Answers`] keeps answers. Neither stores or
//! prints the values and keys that it is given, which can be personal data, but keyed hashes of them. What is counted
//! how: `docs/guides/rate-limits.md`; why: `docs/internals/decisions/0023-limits-and-idempotency.md`.

mod answers;
mod capacity;
mod counters;
mod decide;
mod digest;
#[cfg(test)]
mod tests;

pub use answers::{Answers, KeptAnswer, KeyDecision, KeyRefusal, KeyUse, Ticket};
pub use counters::{Charge, Charged, Counter, LimitRefusal, Limits};
pub use decide::BucketRule;

/// Bounds of each of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Records over all shards.
    pub records: usize,
    /// Bytes of all records of kept answers; not applied to counters.
    pub answer_bytes: usize,
    /// Requests that wait for a decision or a commit.
    pub queue: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: 1_000_000, answer_bytes: 512 << 20, queue: 20_000 }
    }
}
