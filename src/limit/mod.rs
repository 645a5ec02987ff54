//! Exact counts behind rate limits, and answers kept for idempotency keys: both durable before they are told.
//!
//! A `Desk` is one task that owns records of one kind: requests are decided in order, in memory, and
//! what they change is committed in batches, as in a shard. [`Limits`] is such a desk for counters, [`Answers`] one for
//! answers. Neither keeps or prints what it is given: values and keys can be personal data, and only keyed hashes of them
//! are stored. What is counted how: `docs/limits.md`; why: `docs/decisions/0023-limits-and-idempotency.md`.

mod answers;
mod counters;
mod decide;
mod desk;
mod digest;
#[cfg(test)]
mod tests;

pub use answers::{Answers, Begun, Kept, KeyRefusal, Ticket};
pub use counters::{Charge, LimitRefusal, Limits, Taken};
pub use decide::BucketRule;
pub use desk::OpenError;

use std::time::Duration;

/// What may grow how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Records: values that are being counted, or kept answers and answers that are being made.
    pub records: usize,
    /// Bytes of kept answers in memory; has no meaning for counters.
    pub answer_bytes: usize,
    /// Requests that wait for a decision or a commit.
    pub queue: usize,
    /// How long the store may take for a commit.
    pub commit_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            records: 1_000_000,
            answer_bytes: 512 << 20,
            queue: 20_000,
            commit_timeout: Duration::from_secs(5),
        }
    }
}
