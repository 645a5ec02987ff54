//! Time as the load measures it: durations that are reported. Nothing that the server decides rests on it.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

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
    alarm: Option<AsyncFd<OwnedFd>>,
}

impl Real {
    /// From `start` on; never waits, as a closed loop.
    pub fn without_alarm(start: Instant) -> Self {
        Self { start, alarm: None }
    }

    /// From `start` on. Takes one open file.
    pub fn with_alarm(start: Instant) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "unsound for types that give another file each time; an OwnedFd is one file"
        )]
        let alarm = AsyncFd::new(timer)?;
        Ok(Self { start, alarm: Some(alarm) })
    }

    async fn ring_in(&self, wait: Duration) -> io::Result<()> {
        let Some(alarm) = &self.alarm else {
            tokio::time::sleep(wait).await;
            return Ok(());
        };
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(alarm, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        loop {
            let mut ready = alarm.readable().await?;
            let mut count = [0; 8];
            // Otherwise it was ready for an older alarm, and the next one comes.
            if let Ok(rung) = ready.try_io(|alarm| Ok(rustix::io::read(alarm, &mut count)?)) {
                return rung.map(|_| ());
            }
        }
    }
}

impl Moments for Real {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn until(&mut self, moment: Duration) {
        let wait = moment.saturating_sub(self.now());
        // A timer that is set to nothing is off.
        if !wait.is_zero() && self.ring_in(wait).await.is_err() {
            tokio::time::sleep(moment.saturating_sub(self.now())).await;
        }
    }
}
