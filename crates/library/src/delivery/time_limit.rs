//! The time that one send may take.

use std::time::Duration;

use tokio::time::Instant;

/// The time from the start of a delivery to its end, waiting included.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimit {
    /// When it is used up.
    pub end: Instant,
    /// An attempt with less time than this would more likely end in doubt than in a message: a
    /// tenth of the limit, so 1 s of the default 10 s.
    pub least: Duration,
}

/// No request waits longer; also keeps the end within what an [`Instant`] can say.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl TimeLimit {
    pub fn starting_now(total: Duration) -> Self {
        let total = total.min(LONGEST);
        Self { end: now() + total, least: total / 10 }
    }

    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(now())
    }
}

/// The middle of the time until `end`.
pub(super) fn half_until(end: Instant) -> Instant {
    end - end.saturating_duration_since(now()) / 2
}

/// The present moment.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's own time, which a test can stop; it measures a wait and dates nothing"
)]
fn now() -> Instant {
    Instant::now()
}
