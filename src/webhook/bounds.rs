//! The limits of the outbox.

use std::time::Duration;

/// How much the outbox keeps and does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Deliveries that are still to be made. Beyond it new ones are dropped.
    pub pending: usize,
    /// The same for one webhook.
    pub pending_each: usize,
    /// Ends that are expected.
    pub expected: usize,
    /// Records that wait for the disk. Beyond it nothing is begun, and new events are dropped.
    pub unwritten: usize,
    /// Deliveries that are remembered after their end.
    pub kept: usize,
    /// How long, counted from their event.
    pub kept_for: Duration,
    /// Attempts under way.
    pub at_once: usize,
    /// The same for one webhook.
    pub at_once_each: usize,
    /// Time for the store to answer.
    pub commit_timeout: Duration,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self {
            pending: 100_000,
            // One dead webhook leaves half of the room to the others.
            pending_each: 50_000,
            expected: 100_000,
            unwritten: 50_000,
            kept: 100_000,
            kept_for: Duration::from_secs(7 * 24 * 3600),
            at_once: 64,
            at_once_each: 8,
            commit_timeout: Duration::from_secs(5),
        }
    }
}
