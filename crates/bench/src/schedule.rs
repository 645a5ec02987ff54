//! When requests leave: at once in a closed loop, at fixed moments in an open one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// An open loop sends at fixed moments, a closed one waits for each answer.
#[derive(Debug)]
pub enum LoadModel {
    /// The next request leaves when the last was answered, until this time of the window.
    Closed(Duration),
    Open(Schedule),
}

/// Moments at even distances, shared by all connections. A moment that passes while all connections wait is taken late
/// by the first free one, and its latency counts from the moment.
#[derive(Debug)]
pub struct Schedule {
    rate: u32,
    window: Duration,
    moments: u64,
    next: AtomicU64,
    /// Nanoseconds of the window at which the last request left.
    last_left: AtomicU64,
}

impl Schedule {
    /// `rate` moments a second (at least 1). Late requests leave until twice the window has passed.
    pub fn new(rate: u32, window: Duration) -> Self {
        let moments = window.as_nanos() * u128::from(rate) / NANOS;
        let moments = u64::try_from(moments).unwrap_or(u64::MAX);
        Self { rate, window, moments, next: AtomicU64::new(0), last_left: AtomicU64::new(0) }
    }

    /// The next free moment; `None` when there is none, or when it is too late for any.
    pub fn take(&self, now: Duration) -> Option<Duration> {
        if now > self.window * 2 {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let moment = (index < self.moments).then(|| self.moment(index))?;
        self.last_left.fetch_max(nanos(now), Ordering::Relaxed);
        Some(moment)
    }

    /// Requests that never left.
    pub fn dropped(&self) -> u64 {
        self.moments.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Requests that left, per second of the time they took to leave.
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
    pub fn achieved(&self) -> f64 {
        let last = Duration::from_nanos(self.last_left.load(Ordering::Relaxed));
        (self.moments - self.dropped()) as f64 / self.window.max(last).as_secs_f64()
    }

    fn moment(&self, index: u64) -> Duration {
        let nanos = u128::from(index) * NANOS / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const NANOS: u128 = 1_000_000_000;

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Time since a window began.
#[derive(Debug)]
pub struct WindowClock {
    start: Instant,
    /// A timer of the kernel, for open loops: the runtime's timers are exact to a millisecond only, and a request that
    /// leaves late would be charged to the server.
    timer: Option<AsyncFd<OwnedFd>>,
}

impl WindowClock {
    pub fn new(start: Instant) -> Self {
        Self { start, timer: None }
    }

    pub fn with_timer(start: Instant) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "unsound for types that change their file; an OwnedFd does not")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { start, timer: Some(timer) })
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub async fn wait_until(&self, moment: Duration) {
        let wait = moment.saturating_sub(self.now());
        // A timer that is set to zero is off.
        if wait.is_zero() || self.wait_by_timer(wait).await.is_ok() {
            return;
        }
        tokio::time::sleep_until(self.start + moment).await;
    }

    async fn wait_by_timer(&self, wait: Duration) -> io::Result<()> {
        let Some(timer) = &self.timer else { return Err(io::ErrorKind::Unsupported.into()) };
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        loop {
            let mut ready = timer.readable().await?;
            if let Ok(rung) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?)) {
                return rung.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_at_even_distances_for_as_long_as_the_window() {
        let schedule = Schedule::new(4, Duration::from_secs(1));
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(Duration::ZERO)).collect();
        assert_eq!(taken, [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(schedule.dropped(), 0);
        assert!((schedule.achieved() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::new(3, Duration::from_secs(1_000_000));
        assert_eq!(schedule.moment(2_999_997), Duration::from_secs(999_999));
    }

    #[test]
    fn late_moments_are_taken_until_twice_the_window() {
        let schedule = Schedule::new(10, Duration::from_secs(1));
        assert_eq!(schedule.take(Duration::from_secs(2)), Some(Duration::ZERO));
        assert_eq!(schedule.take(Duration::from_millis(2_001)), None);
        assert_eq!(schedule.dropped(), 9);
        assert!((schedule.achieved() - 0.5).abs() < 1e-9);
    }
}
