//! Snapshot rounds, on a thread of their own: what has changed goes into the snapshot, then the
//! journal segments that carried it go.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

use super::changes::Changes;
use super::copy::CopyRequest;
use super::disk::{Disk, Step};
use super::message::Message;
use super::replay;
use super::segment;
use super::snapshot::{self, Round, Snapshot};
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;

/// After the snapshot was tidied, so many times as long as it took nothing of the kind is done: it costs a twentieth of
/// one processor at most.
const RESTS: u32 = 20;
/// After a failure: most often the disk is full.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(600);

/// What the thread is asked to do.
pub(super) enum Job {
    /// Carry out a round and report its end.
    Round(Round),
    /// Make a copy of the snapshot with these changes. Comes just before their round.
    Copy(CopyRequest, Arc<Changes>),
    /// Give up what can be done later: a write waits, or the end.
    Hurry,
    /// Free these changes, which takes a while, here rather than in the answers' path.
    Discard(Arc<Changes>),
}

/// What a round works with.
#[derive(Clone)]
pub(super) struct Rounds {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
}

impl Rounds {
    /// Carries out rounds, and says when it is time for one, until the journal's writer ends.
    pub(super) fn run(self, jobs: &Receiver<Job>, writer: &SyncSender<Message>, every: Duration) {
        // Whether the last time for a round brought none: nothing has changed.
        let mut idle = false;
        // What came during other work.
        let mut waiting = VecDeque::new();
        let mut next_tidying = self.clock.now();
        loop {
            let job = waiting.pop_front().map_or_else(|| jobs.recv_timeout(every), Ok);
            let message = match job {
                Ok(Job::Round(round)) => {
                    idle = false;
                    let result = self.carry_out(&round);
                    // The writer sends the changes back to be freed here: hold on to none.
                    drop(round);
                    self.disk.reached(Step::Ended);
                    Message::RoundEnded(result)
                }
                Ok(Job::Copy(request, changes)) => {
                    self.disk.reached(Step::Copying);
                    let root = self.journal.parent().unwrap_or(&self.journal);
                    request.carry_out(root, &self.snapshot, &changes, self.clock.now());
                    continue;
                }
                // Nothing is being done that could be given up.
                Ok(Job::Hurry) => continue,
                Ok(Job::Discard(changes)) => {
                    drop(changes);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if std::mem::replace(&mut idle, true) && next_tidying <= self.clock.now() {
                        next_tidying = self.tidy(jobs, &mut waiting);
                    }
                    Message::Tick(None)
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if writer.send(message).is_err() {
                break;
            }
        }
    }

    /// Records end also while nothing changes: removes them from the snapshot, and says when to think of it again. Gives
    /// up when the store is to be closed, or when a write waits for room in the journal.
    fn tidy(&self, jobs: &Receiver<Job>, waiting: &mut VecDeque<Job>) -> Timestamp {
        let began = self.clock.now();
        let mut goes_on = || loop {
            match jobs.try_recv() {
                Ok(Job::Hurry) | Err(TryRecvError::Disconnected) => return false,
                Ok(job) => {
                    let hurries = matches!(&job, Job::Round(round) if !round.is_paced());
                    waiting.push_back(job);
                    if hurries {
                        return false;
                    }
                }
                Err(TryRecvError::Empty) => {
                    std::thread::sleep(snapshot::PAUSE);
                    return true;
                }
            }
        };
        let tidied = self.snapshot.tidy(self.clock.now(), &mut goes_on);
        let ended = self.clock.now();
        match tidied {
            Ok(()) => ended.plus(ended.since(began) * RESTS),
            Err(error) => {
                tracing::debug!(%error, "records that no longer matter could not be removed from the snapshot");
                ended.plus(REST_AFTER_FAILURE)
            }
        }
    }

    /// One round. After an error it can be repeated as a whole.
    pub(super) fn carry_out(&self, round: &Round) -> Result<(), String> {
        self.snapshot
            .apply(round, self.clock.now())
            .map_err(|error| format!("the snapshot cannot be written: {error}"))?;
        self.remove_segments(round.covered.segment).map_err(|error| {
            format!("journal segments that are no longer needed cannot be removed: {error}")
        })?;
        tracing::debug!(
            keys = round.changes.len(),
            up_to_segment = round.covered.segment,
            "a snapshot round has ended"
        );
        Ok(())
    }

    fn remove_segments(&self, up_to: u64) -> io::Result<()> {
        let numbers = replay::numbers(&self.journal).map_err(io::Error::other)?;
        for number in numbers.into_iter().filter(|number| *number <= up_to) {
            self.disk.remove(&segment::path(&self.journal, number))?;
            self.disk.reached(Step::SegmentRemoved);
        }
        self.disk.sync_dir(&self.journal)
    }
}
