//! The journal's thread: joins the batches that wait into one frame, makes it durable, answers. It also begins the
//! checkpoints, since only it knows which commits are older than one.

mod checkpoints;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::oneshot;

use super::checkpoint::{CheckpointControl, Ended, Job};
use super::frame::{self, FRAME_OVERHEAD, FrameKind};
use super::health::{Health, locked};
use super::journal::{AppendError, AppendState, Journal, not_reserved};
use super::open::StoreSettings;
use super::replay::Covered;
use super::segment::{HEADER_BYTES, Segment};
use super::snapshot::Snapshot;
use crate::{Done, LONGEST_RECORD, Owner, StoreError, StoreSizes, Write};

/// Batches are joined until a frame has this many bytes, or this part of a segment.
const JOINED_BYTES: u64 = 4 * 1024 * 1024;
const FRAMES_PER_SEGMENT: u64 = 4;

/// Commits are refused once the journal has grown to this multiple of [`Writer::checkpoint_threshold`].
pub(super) const MAX_THRESHOLDS: u64 = 4;

/// Batches in flight. One owner has one at a time.
const MOST_BATCHES: usize = 1024;

/// Wake-ups of an idle journal for each frame that records the time.
const WAKEUPS_PER_TIME_FRAME: u32 = 6;

/// Receives the result of a checkpoint.
pub(super) type CheckpointReply = oneshot::Sender<Result<(), String>>;

/// Receives the result of the close.
pub(super) type CloseReply = oneshot::Sender<Result<(), StoreError>>;

/// One message to the journal's thread.
pub(super) enum WriterMessage {
    Commit(Batch),
    Attach(Vec<Arc<dyn Owner>>),
    Checkpoint(CheckpointReply),
    /// The state that a restore or a copy reads, which is not removed meanwhile.
    Pin(SyncSender<Pinned>),
    /// A pin was dropped.
    Unpinned,
    /// The requested segment.
    Prepared(io::Result<Segment>),
    Ended(Ended),
    /// Checkpoint, and end in order.
    Close(CloseReply),
    /// End at once; the next start replays the journal.
    Abandon,
}

/// Writes that one caller wants durable.
pub(super) struct Batch {
    writes: Vec<Write>,
    /// Their size in a frame, in bytes.
    bytes: usize,
    /// Whether the running checkpoint waits for it.
    is_for_checkpoint: bool,
    /// Why the batch is refused. It stays in the queue, because callbacks keep the order of commits.
    refused: Option<String>,
    done: Option<Done>,
    /// Counts the batches that are in flight.
    in_flight: Arc<AtomicUsize>,
}

impl Batch {
    /// Checks the limits. A batch that breaks one is refused when it is its turn.
    pub(super) fn new(writes: Vec<Write>, done: Done, in_flight: &Arc<AtomicUsize>) -> Self {
        let longest = writes.iter().filter_map(|write| write.put.as_ref()).map(Bytes::len).max();
        let bytes = frame::encoded_bytes(&writes);
        let in_flight_before = in_flight.fetch_add(1, Ordering::Relaxed);
        let refused = if let Some(longest) = longest.filter(|bytes| *bytes > LONGEST_RECORD) {
            Some(format!("a record of {longest} bytes is too large"))
        } else if bytes > frame::MAX_FRAME_BYTES - FRAME_OVERHEAD {
            Some(format!("a batch of {bytes} bytes is too large"))
        } else if in_flight_before >= MOST_BATCHES {
            Some("too many batches are waiting for the disk".into())
        } else {
            None
        };
        let (writes, bytes) = if refused.is_some() { (Vec::new(), 0) } else { (writes, bytes) };
        let (done, in_flight) = (Some(done), in_flight.clone());
        Self { writes, bytes, is_for_checkpoint: false, refused, done, in_flight }
    }

    pub(super) fn for_checkpoint(mut self) -> Self {
        self.is_for_checkpoint = true;
        self
    }

    pub(super) fn answer(mut self, answer: Result<(), StoreError>) {
        let refused = self.refused.take().map_or(answer, |reason| Err(StoreError::Unavailable(reason)));
        if let Some(done) = self.done.take() {
            done(refused);
        }
    }

    /// Answers that no part of the batch is, or will be, on the disk.
    pub(super) fn refuse(self, reason: &str) {
        self.answer(Err(StoreError::Unavailable(reason.into())));
    }
}

impl Drop for Batch {
    /// Only the end of the thread drops a batch that was not answered.
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(done) = self.done.take() {
            done(Err(StoreError::Unknown("the journal's thread has ended".into())));
        }
    }
}

/// A state of the store: the snapshot, and the journal after it up to a sequence. The store removes nothing of it
/// before this is dropped.
pub(super) struct Pinned {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) until: u64,
    token: Option<Arc<()>>,
    writer: Sender<WriterMessage>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.token = None;
        let _ = self.writer.send(WriterMessage::Unpinned);
    }
}

/// The result of the thread.
pub(super) enum WriterEnd {
    /// By [`WriterMessage::Close`], with what to answer.
    Closed(Vec<CloseReply>, Result<(), StoreError>),
    Abandoned,
}

/// The dependencies of the thread.
pub(super) struct WriterDeps {
    pub(super) settings: StoreSettings,
    /// The directory of the segments.
    pub(super) segments: PathBuf,
    pub(super) jobs: Sender<Job>,
    /// The thread's own mailbox.
    pub(super) itself: Sender<WriterMessage>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
}

/// The data written to the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Grown {
    pub(super) bytes: u64,
    pub(super) records: u64,
}

/// The checkpoint that is being made.
struct RunningCheckpoint {
    control: Arc<CheckpointControl>,
    replies: Vec<CheckpointReply>,
    range: ReplacedJournal,
}

/// The part of the journal that a checkpoint replaces.
#[derive(Debug, Clone, Copy)]
struct ReplacedJournal {
    covered: Covered,
    grown: Grown,
}

#[derive(Default)]
struct Closing {
    replies: Vec<CloseReply>,
    /// The number of starts of the last checkpoint.
    checkpoints: u8,
    /// Whether the removal that an earlier checkpoint could not do was tried again.
    discard_tried: bool,
    /// Whether a segment for the journal's end was requested.
    room_asked_for: bool,
}

/// The state of the thread.
pub(super) struct Writer {
    journal: Journal,
    snapshot: Arc<Snapshot>,
    /// The part of the journal after the snapshot.
    grown: Grown,
    /// Length of the journal that an import left, which may be more than the limit; 0 after the first checkpoint.
    imported_bytes: u64,
    deps: WriterDeps,
    /// Batches that are not written yet, in order.
    waiting: VecDeque<Batch>,
    owners: Vec<Arc<dyn Owner>>,
    running: Option<RunningCheckpoint>,
    /// Callers that wait for the next checkpoint to begin.
    wanted: Vec<CheckpointReply>,
    /// Callers that wait until what a checkpoint replaces is gone.
    discarding: Option<Vec<CheckpointReply>>,
    /// Whether something is still to be removed.
    discard_wanted: bool,
    /// When the last checkpoint failed, if it did.
    failed_at: Option<Timestamp>,
    /// The files it was to replace, if it was not sealed. The next one replaces the same: a new segment for each
    /// attempt would fill the disk.
    failed_range: Option<ReplacedJournal>,
    pins: Arc<()>,
    closing: Option<Closing>,
    /// Length of the writes that the journal last had no room for.
    refused_bytes: usize,
    /// Whether trying the journal has to wait for room.
    probe_wanted: bool,
    /// Whether a batch was refused because the journal is too long. Smaller ones are refused too, until a checkpoint
    /// has shortened it.
    is_full: bool,
}

impl Writer {
    pub(super) fn new(journal: Journal, snapshot: Arc<Snapshot>, grown: Grown, deps: WriterDeps) -> Self {
        let is_first = snapshot.manifest.covered.segment == 0;
        Self {
            journal,
            snapshot,
            grown,
            imported_bytes: if is_first { grown.bytes } else { 0 },
            deps,
            waiting: VecDeque::new(),
            owners: Vec::new(),
            running: None,
            wanted: Vec::new(),
            discarding: None,
            discard_wanted: false,
            failed_at: None,
            failed_range: None,
            pins: Arc::default(),
            closing: None,
            refused_bytes: 0,
            probe_wanted: false,
            is_full: false,
        }
    }

    /// Runs until the store is closed or abandoned.
    pub(super) fn run(mut self, messages: &Receiver<WriterMessage>) -> WriterEnd {
        let mut deferred = None;
        loop {
            let Snapshot { manifest, .. } = &*self.snapshot;
            *locked(&self.deps.health.sizes) = StoreSizes {
                journal_bytes: self.grown.bytes,
                snapshot_bytes: manifest.bytes(),
                snapshot_time: manifest.time,
            };
            let message = match deferred.take() {
                Some(message) => Ok(message),
                None => messages.recv_timeout(self.turn()),
            };
            match message {
                Ok(WriterMessage::Abandon) | Err(RecvTimeoutError::Disconnected) => return self.abandon(),
                Ok(WriterMessage::Commit(batch)) => {
                    self.waiting.push_back(batch);
                    deferred = self.take_waiting(messages);
                    self.write_waiting();
                }
                Ok(other) => self.handle(other),
                Err(RecvTimeoutError::Timeout) => self.idle(),
            }
            let waits = (!self.waiting.is_empty()).then(|| self.deps.clock.now());
            self.deps.health.waits(waits);
            self.checkpoint_if_due();
            if !self.journal.has_spare() && !self.deps.health.reserve_in_trouble() {
                self.ask_for_spare();
            }
            if let Some(ending) = self.proceed_closing() {
                for message in deferred.into_iter().chain(messages.try_iter()) {
                    if let WriterMessage::Commit(batch) = message {
                        batch.answer(Err(StoreError::Closed));
                    }
                }
                return ending;
            }
        }
    }

    fn abandon(&mut self) -> WriterEnd {
        if let Some(running) = &self.running {
            running.control.stop();
        }
        WriterEnd::Abandoned
    }

    fn turn(&self) -> Duration {
        let health = &self.deps.health;
        let trouble = health.journal_in_trouble() || health.reserve_in_trouble() || self.failed_at.is_some();
        let StoreSettings { probe_every, time_every, .. } = &self.deps.settings;
        if trouble { *probe_every } else { *time_every / WAKEUPS_PER_TIME_FRAME }
    }

    fn handle(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Commit(batch) => self.waiting.push_back(batch),
            WriterMessage::Attach(owners) => {
                self.owners = owners;
                self.discard_wanted = true;
                self.discard();
            }
            WriterMessage::Checkpoint(reply) => {
                self.probe();
                self.wanted.push(reply);
                self.begin_wanted();
            }
            WriterMessage::Pin(reply) => {
                let pinned = Pinned {
                    snapshot: self.snapshot.clone(),
                    until: self.journal.last_sequence(),
                    token: Some(self.pins.clone()),
                    writer: self.deps.itself.clone(),
                };
                let _ = reply.send(pinned);
            }
            WriterMessage::Unpinned => self.discard(),
            WriterMessage::Prepared(segment) => self.prepared(segment),
            WriterMessage::Ended(Ended::Checkpoint(made)) => self.checkpoint_ended(made),
            WriterMessage::Ended(Ended::Discard(result)) => self.discarded(&result),
            WriterMessage::Close(reply) => self.closing.get_or_insert_default().replies.push(reply),
            WriterMessage::Abandon => {}
        }
    }

    /// Takes the batches that have come meanwhile, up to the first message that is none.
    fn take_waiting(&mut self, messages: &Receiver<WriterMessage>) -> Option<WriterMessage> {
        loop {
            match messages.try_recv().ok()? {
                WriterMessage::Commit(batch) => self.waiting.push_back(batch),
                // Results of other threads do not split a frame.
                message @ (WriterMessage::Prepared(_) | WriterMessage::Ended(_)) => self.handle(message),
                other => return Some(other),
            }
        }
    }

    /// Writes the batches that wait, in as few frames as possible.
    fn write_waiting(&mut self) {
        while let Some((batches, bytes)) = self.next_frame() {
            if bytes == 0 {
                // Batches without a write.
                answer_all(batches, &Ok(()));
                continue;
            }
            // All batches of a frame are of one sort.
            let is_for_checkpoint = batches.first().is_some_and(|batch| batch.is_for_checkpoint);
            let state = self.prepare_append(HEADER_BYTES + FRAME_OVERHEAD + bytes, is_for_checkpoint);
            self.refused_bytes = if state == AppendState::Ready { 0 } else { bytes };
            match state {
                AppendState::Ready => self.write(batches),
                AppendState::Refused(reason) => {
                    self.deps.health.journal(Some(&reason));
                    answer_all(batches, &Err(StoreError::Unavailable(reason)));
                }
                AppendState::Waiting | AppendState::Full => {
                    batches.into_iter().rev().for_each(|batch| self.waiting.push_front(batch));
                    return;
                }
            }
        }
    }

    fn next_frame(&mut self) -> Option<(Vec<Batch>, usize)> {
        let joined = JOINED_BYTES.min(self.deps.settings.segment_bytes / FRAMES_PER_SEGMENT);
        let joined = usize::try_from(joined).unwrap_or(usize::MAX);
        let (mut batches, mut bytes) = (Vec::with_capacity(self.waiting.len().min(64)), 0);
        while let Some(batch) = self.waiting.front() {
            let is_other = |first: &Batch| first.is_for_checkpoint != batch.is_for_checkpoint;
            if batches.first().is_some_and(|first| is_other(first) || bytes + batch.bytes > joined) {
                break;
            }
            bytes += batch.bytes;
            batches.extend(self.waiting.pop_front());
        }
        (!batches.is_empty()).then_some((batches, bytes))
    }

    /// The size of the journal at which commits are refused.
    fn most_bytes(&self) -> u64 {
        let threshold = self.checkpoint_threshold();
        (MAX_THRESHOLDS * threshold).max(self.imported_bytes.saturating_add(threshold))
    }

    /// Makes room for a frame, as far as possible at once. A journal that is too long accepts only frames that the
    /// running checkpoint waits for.
    fn prepare_append(&mut self, bytes: usize, is_for_checkpoint: bool) -> AppendState {
        let is_accepted = is_for_checkpoint && self.running.is_some();
        if !is_accepted && (self.is_full || self.grown.bytes + bytes as u64 > self.most_bytes()) {
            return self.too_long();
        }
        loop {
            // Taking back what a failed write left is a write too.
            self.deps.health.write_begins(self.deps.clock.now());
            let state = self.journal.append_state(bytes);
            self.deps.health.write_ended();
            match state {
                AppendState::Full if self.journal.switch() => {}
                AppendState::Full => return self.journal.no_segment_yet(),
                state => return state,
            }
        }
    }

    /// The refusal when the journal is too long for an acceptable start.
    fn too_long(&mut self) -> AppendState {
        self.is_full = true;
        if let Some(running) = &self.running {
            running.control.hurry();
        }
        let why = self.deps.health.checkpoint_trouble();
        let why = why.unwrap_or_else(|| "the next checkpoint is not finished yet".into());
        AppendState::Refused(format!("the journal is full, because no checkpoint has emptied it: {why}"))
    }

    fn write(&mut self, batches: Vec<Batch>) {
        let appended = self.append(&batches);
        let answer = match appended {
            Ok(()) => Ok(()),
            Err(AppendError { rolled_back: true, reason }) => Err(StoreError::Unavailable(reason)),
            Err(AppendError { rolled_back: false, reason }) => Err(StoreError::Unknown(reason)),
        };
        answer_all(batches, &answer);
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), AppendError> {
        let Self { journal, grown, is_full, deps: WriterDeps { health, clock, .. }, .. } = self;
        let now = clock.now();
        health.write_begins(now);
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        let appended = journal.append(FrameKind::Batch, now, writes);
        health.write_ended();
        // A full journal is in trouble until a checkpoint empties it, although it accepts what the checkpoint waits for.
        if appended.is_err() || !*is_full {
            health.journal(appended.as_ref().err().map(|error| error.reason.as_str()));
        }
        let bytes = appended?;
        grown.bytes += bytes as u64;
        grown.records += batches.iter().map(|batch| batch.writes.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Handles an idle period: writes the time for the next start and probes a failed journal.
    fn idle(&mut self) {
        self.probe();
        self.discard();
        let WriterDeps { clock, settings, .. } = &self.deps;
        let is_due = clock.now().since(self.journal.last_time()) >= settings.time_every;
        if is_due
            && self.closing.is_none()
            && self.prepare_append(HEADER_BYTES + FRAME_OVERHEAD, false) == AppendState::Ready
        {
            let _ = self.append(&[]);
        }
    }

    /// While the journal is in trouble: tries whether it can be written again. A load balancer that only asks for
    /// health sends no writes until it is good; therefore writes alone would not find out.
    fn probe(&mut self) {
        let health = self.deps.health.clone();
        if self.closing.is_some() {
            return;
        }
        if health.reserve_in_trouble() {
            self.ask_for_spare();
        }
        if !health.journal_in_trouble() {
            return;
        }
        match self.prepare_append(HEADER_BYTES + FRAME_OVERHEAD + self.refused_bytes, false) {
            AppendState::Ready => drop(self.append(&[])),
            AppendState::Refused(reason) => health.journal(Some(&reason)),
            AppendState::Waiting | AppendState::Full => self.probe_wanted = true,
        }
    }

    /// Requests the next segment. A checkpoint that is not finished may need the space: then this waits until the
    /// current segment is half full.
    fn ask_for_spare(&mut self) {
        let is_needed_first =
            self.running.is_some() || self.discarding.is_some() || self.failed_range.is_some();
        if self.closing.is_none() && (!is_needed_first || self.journal.is_half_full()) {
            self.journal.ask_for_spare();
        }
    }

    /// Handles a reserved segment, or the error of its reservation.
    fn prepared(&mut self, segment: io::Result<Segment>) {
        match self.journal.prepared(segment) {
            Ok(()) => {
                self.deps.health.reserve(None);
                self.write_waiting();
                // Only that one: a failed probe uses up a segment, and must not chase the next.
                if std::mem::take(&mut self.probe_wanted) {
                    self.probe();
                }
                if !self.wanted.is_empty() {
                    self.begin_wanted();
                }
            }
            Err(error) => {
                let trouble = not_reserved(self.deps.settings.segment_bytes, &self.deps.segments, &error);
                self.deps.health.reserve(Some(&trouble));
                // Batches that have just come may have room in the present segment.
                self.write_waiting();
                // Those that waited for this segment are refused now.
                if !self.waiting.is_empty() {
                    self.deps.health.journal(Some(&trouble));
                }
                self.waiting.drain(..).for_each(|batch| batch.refuse(&trouble));
                self.answer_wanted(&Err(trouble));
            }
        }
    }
}

fn answer_all(batches: Vec<Batch>, answer: &Result<(), StoreError>) {
    for batch in batches {
        batch.answer(answer.clone());
    }
}
