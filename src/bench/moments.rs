//! Time as the load measures it: durations that are reported. Nothing that the server decides rests on it.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use crate::clock::Alarm;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time since a window began, and how to wait for a moment of it. A trait, so that a test decides what time it is.
pub trait Moments: Send {
    /// Since the window began.
    fn now(&self) -> Duration;
    /// Returns at this moment, or at once when it has passed.
    fn until(&mut self, moment: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's time. Waits by a timer of the kernel for each connection that has to: the runtime's own timers are only
/// as exact as a millisecond, and a request that leaves so late would be charged to the server.
pub struct Real {
    start: Instant,
    alarm: Option<Alarm>,
}

impl Real {
    /// From `start` on; never waits, as a closed loop.
    pub fn without_alarm(start: Instant) -> Self {
        Self { start, alarm: None }
    }

    /// From `start` on. Takes one open file.
    pub fn with_alarm(start: Instant) -> io::Result<Self> {
        Ok(Self { start, alarm: Some(Alarm::new()?) })
    }
}

impl Moments for Real {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn until(&mut self, moment: Duration) {
        let wait = moment.saturating_sub(self.now());
        // A timer that is set to nothing is off.
        if wait.is_zero() {
            return;
        }
        let rung = match &self.alarm {
            Some(alarm) => alarm.ring_in(wait).await.is_ok(),
            None => false,
        };
        if !rung {
            tokio::time::sleep(moment.saturating_sub(self.now())).await;
        }
    }
}
