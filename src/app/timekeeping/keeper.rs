//! Marks the time while a server runs.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::file::ClockFile;
use super::mark;
use super::resume::TOLERANCE;
use crate::clock::Clock;
use crate::domain::Timestamp;

/// A thread that marks the time until [`Timekeeper::stop`]. Dropped without that, it ends and marks nothing
/// more, as after a crash.
pub struct Timekeeper {
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Timekeeper {
    /// Marks the present time, and begins. Blocks until that is on the disk.
    pub(super) fn start(file: ClockFile, clock: Arc<dyn Clock>, every: Duration) -> Self {
        let mut marks = Marks::new(file, clock);
        marks.mark();
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            loop {
                match stopped.recv_timeout(every) {
                    Err(RecvTimeoutError::Timeout) => marks.mark(),
                    Ok(()) => return marks.mark(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        let thread = Builder::new().name("clock".into()).spawn(run);
        let thread = thread.inspect_err(say_trouble);
        Self { running: Mutex::new(thread.ok().map(|thread| (stop, thread))) }
    }

    /// Marks the time once more and ends. Returns when that is on the disk.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            let ended = tokio::task::spawn_blocking(move || {
                let _ = stop.send(());
                thread.join()
            });
            let _ = ended.await;
        }
    }
}

/// What the thread does.
pub(super) struct Marks {
    file: ClockFile,
    clock: Arc<dyn Clock>,
    in_trouble: bool,
    /// How far the wall clock is ahead of our time, and how far behind it: one of them is zero.
    apart: (Duration, Duration),
}

impl Marks {
    pub(super) fn new(file: ClockFile, clock: Arc<dyn Clock>) -> Self {
        let apart = apart(&*clock);
        Self { file, clock, in_trouble: false, apart }
    }

    /// Writes how far time has come. Failures are logged once per change: the worst that can follow is a
    /// lockout that lasts longer, after a crash, with a clock that is behind.
    pub(super) fn mark(&mut self) {
        match self.file.write(mark(&*self.clock)) {
            Ok(()) if std::mem::take(&mut self.in_trouble) => {
                tracing::info!(file = %self.file.path().display(), "the time can be marked again");
            }
            Err(error) if !std::mem::replace(&mut self.in_trouble, true) => say_trouble(&error),
            Ok(()) | Err(_) => {}
        }
        self.look_for_a_step();
    }

    fn look_for_a_step(&mut self) {
        let now = apart(&*self.clock);
        let forwards = difference(now.0, self.apart.0).max(difference(self.apart.1, now.1));
        let backwards = difference(self.apart.0, now.0).max(difference(now.1, self.apart.1));
        if forwards.max(backwards) <= TOLERANCE {
            return;
        }
        self.apart = now;
        let (direction, by) =
            if forwards > backwards { ("forwards", forwards) } else { ("backwards", backwards) };
        tracing::warn!(
            direction,
            seconds = by.as_secs(),
            "the clock of this machine was set. This server goes on with its own time until its next start; \
             codes and lockouts keep their terms"
        );
    }
}

fn say_trouble(error: &io::Error) {
    tracing::warn!(
        %error,
        "the time cannot be marked in the file `clock` of the data directory; it is tried again every minute. \
         After a crash, and if the machine's clock is then behind, lockouts may last longer"
    );
}

fn apart(clock: &dyn Clock) -> (Duration, Duration) {
    let time: Timestamp = clock.now();
    let wall = clock.machine().map_or(time, |machine| machine.wall);
    (wall.since(time), time.since(wall))
}

fn difference(a: Duration, b: Duration) -> Duration {
    a.saturating_sub(b)
}
