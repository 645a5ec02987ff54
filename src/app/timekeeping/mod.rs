//! Time across restarts: where it goes on, and how far it has come.
//!
//! A data directory has a time of its own that never runs backwards. It is marked in the file `clock`
//! once a minute and at the stop; `docs/decisions/0010-clock.md` says why.

mod file;
mod keeper;
mod resume;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, EngineClock, LATEST};
use crate::domain::Timestamp;
use crate::shard::Policies;
use crate::shard::{self, StartError};
use crate::store::Store;
use file::{ClockFile, Found, Mark};
use resume::{Notice, resume};

pub use keeper::Timekeeper;

/// The time between two marks. After a power cut and with a clock that is behind, a lockout lasts longer by
/// at most so much.
const EVERY: Duration = Duration::from_secs(60);

/// The time of a data directory that is open, before anything in it is decided.
pub struct Beginning {
    file: ClockFile,
    /// Whether it is known how far time had come.
    is_known: bool,
}

impl Beginning {
    /// Until the time is marked, nothing may be removed for good but what had surely ended. Before the store is opened:
    /// it may carry out a snapshot round at once.
    pub fn prepare(data_dir: &Path, clock: &EngineClock) {
        clock.settled_at(surely_reached(data_dir, clock).unwrap_or(Timestamp::EPOCH));
    }

    /// Reads how far time had come in this data directory, and brings `clock` up to it.
    pub fn of(data_dir: &Path, clock: &EngineClock) -> Self {
        let (file, found) = ClockFile::read(data_dir);
        let is_known = matches!(found, Found::Mark(_));
        match found {
            Found::Mark(mark) => {
                let (reached, notice) = resume(mark, clock.machine(), clock.now());
                clock.at_least(reached);
                if let Some(notice) = notice {
                    say(notice, file.path());
                }
            }
            Found::Damaged(reason) => tracing::warn!(
                file = %file.path().display(),
                reason,
                "the mark of the data directory's clock cannot be read, so it is not known how far time had come; \
                 lockouts and codes last at most a whole term from now"
            ),
            Found::Nothing => {}
        }
        Self { file, is_known }
    }

    /// Makes sure that nothing outlasts its term, then begins to mark the time. Before the numbers are
    /// loaded.
    ///
    /// # Errors
    /// When a record that has to be changed cannot be.
    pub async fn begin(
        self,
        store: &Arc<dyn Store>,
        policies: &Policies,
        clock: &Arc<EngineClock>,
        timeout: Duration,
    ) -> Result<Timekeeper, StartError> {
        if !self.is_known {
            let shortened = shard::keep_within(store, policies, clock.now(), timeout).await?;
            if shortened > 0 {
                tracing::warn!(
                    numbers = shortened,
                    "records were written by a clock that was ahead, or under longer terms; their lockouts and \
                     codes were shortened to a whole term from now"
                );
            }
        }
        // Not before all records fit: a start that ends before this one does it again.
        let marked = Arc::clone(clock) as Arc<dyn Clock>;
        let started = tokio::task::spawn_blocking(move || Timekeeper::start(self.file, marked, EVERY));
        let started = started.await.map_err(|error| StartError::new(format!("mark the time: {error}")))?;
        clock.settle();
        Ok(started)
    }
}

/// How far time has surely come in this data directory: its last mark, and what has passed since if the machine was
/// not booted in between. No clock counts, for it may be ahead for a moment. `None` without a mark. Writes nothing.
pub fn surely_reached(data_dir: &Path, clock: &dyn Clock) -> Option<Timestamp> {
    match ClockFile::read(data_dir).1 {
        Found::Mark(mark) => Some(resume::surely_reached(mark, clock.machine())),
        Found::Nothing | Found::Damaged(_) => None,
    }
}

/// Marks how far time had come in data that was brought into `data_dir` from elsewhere, so that at its first start
/// everything there keeps its term. Returns when that is on the disk.
///
/// # Errors
/// What the file system says.
pub fn mark_brought_in(data_dir: &Path, reached: Timestamp) -> std::io::Result<()> {
    let (mut file, _) = ClockFile::read(data_dir);
    file.write(Mark { time: reached.min(LATEST), boot: None })
}

fn mark(clock: &dyn Clock) -> Mark {
    let time: Timestamp = clock.now();
    Mark { time, boot: clock.machine().and_then(|machine| Some((machine.boot?, machine.up))) }
}

fn say(notice: Notice, file: &Path) {
    match notice {
        Notice::Behind(by) => tracing::warn!(
            seconds = by.as_secs(),
            file = %file.display(),
            "the clock of this machine is behind the time that the data directory has reached. Codes and lockouts \
             keep their terms; times in the tracker are ahead by as much until the clock has caught up. If the \
             clock is wrong, set it. If it is right and was ahead before, and the tracker's times matter: stop \
             the server, remove the file and start again"
        ),
        Notice::SetForwards(by) => tracing::warn!(
            seconds = by.as_secs(),
            "the clock of this machine was set forwards since the last start; codes and lockouts end earlier by as \
             much. If it is wrong now: stop the server, set the clock, start again"
        ),
        Notice::LongAway(by) => tracing::warn!(
            seconds = by.as_secs(),
            "by the clock of this machine this server was away for long, and what has ended meanwhile is forgotten. \
             If it was not: stop the server, set the clock, start again"
        ),
    }
}
