//! How long something took, for the log only.

use std::time::{Duration, Instant};

/// Runs from when it is started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a duration in a log line; nothing is decided by it")]
        let now = Instant::now();
        Self(now)
    }

    /// The time since then.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
