//! Snapshot rounds, on a thread of their own: what has changed goes into the snapshot, then the
//! journal segments that carried it go.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::changes::Changes;
use super::copy::CopyRequest;
use super::disk::{Disk, Step};
use super::message::Message;
use super::replay;
use super::segment;
use super::snapshot::{Round, Snapshot};
use crate::clock::Clock;

/// What the thread is asked to do.
pub(super) enum Job {
    /// Carry out a round and report its end.
    Round(Round),
    /// Make a copy of the snapshot with these changes. Comes just before their round.
    Copy(CopyRequest, Arc<Changes>),
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
        loop {
            let message = match jobs.recv_timeout(every) {
                Ok(Job::Round(round)) => {
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
                Ok(Job::Discard(changes)) => {
                    drop(changes);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => Message::Tick(None),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if writer.send(message).is_err() {
                break;
            }
        }
        self.snapshot.close();
    }

    /// One round. After an error it can be repeated as a whole.
    pub(super) fn carry_out(&self, round: &Round) -> Result<(), String> {
        let now = self.clock.now();
        self.snapshot
            .apply(round, now)
            .map_err(|error| format!("the snapshot cannot be written: {error}"))?;
        self.remove_segments(round.segment).map_err(|error| {
            format!("journal segments that are no longer needed cannot be removed: {error}")
        })?;
        tracing::debug!(
            keys = round.changes.len(),
            up_to_segment = round.segment,
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
