//! Waits of less than a millisecond.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel: the runtime's own ones are only as exact as a millisecond. Takes one open file.
#[derive(Debug, Clone)]
pub struct Alarm {
    timer: Arc<AsyncFd<OwnedFd>>,
}

impl Alarm {
    /// A timer that is off. Needs a runtime.
    ///
    /// # Errors
    ///
    /// The system gives none, usually for want of open files.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "unsound for types that give another file each time; an OwnedFd is one file"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer: Arc::new(timer) })
    }

    /// Returns after this time, which must not be zero: that sets it off. One wait at a time.
    ///
    /// # Errors
    ///
    /// The system refuses. Nothing was waited for.
    pub async fn ring_in(&self, wait: Duration) -> io::Result<()> {
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&*self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            // Otherwise it was ready for an older wait, and the next one comes.
            if let Ok(rung) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?)) {
                return rung.map(|_| ());
            }
        }
    }
}
