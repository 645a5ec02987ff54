//! The journal's thread: joins the batches that wait into one frame, makes it durable, answers. It also begins the
//! checkpoints, since only it knows which commits are older than one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::oneshot;

use super::checkpoint::{Attempt, discard};
use super::disk::Disk;
use super::frame::{self, FRAME_OVERHEAD, FrameKind};
use super::health::{Health, Part};
use super::journal::Journal;
use super::live::Files;
use super::options::StoreSettings;
use super::replay::Covered;
use super::snapshot::Snapshot;
use crate::stream::{Collector, Owner, StreamProgress};
use crate::{Done, LONGEST_RECORD, StoreError, StoreSizes, Write};

/// Batches are joined until a frame has this many bytes, or this part of a segment.
const JOINED_BYTES: u64 = 4 * 1024 * 1024;
const FRAMES_PER_SEGMENT: u64 = 4;

/// Commits are refused once the journal has grown to this multiple of [`Writer::checkpoint_threshold`].
const MAX_THRESHOLDS: u64 = 4;

/// Wake-ups of an idle journal for each frame that records the time.
const WAKEUPS_PER_TIME_FRAME: u32 = 6;

/// A checkpoint that fails again and again is repeated after up to this many times the usual wait.
const LONGEST_WAIT: u32 = 30;

/// Attempts in a row that hang until the store has failed. Each keeps a thread for ever.
const MOST_HANGS: u32 = 3;

/// Receives the result of a checkpoint.
type CheckpointReply = oneshot::Sender<Result<(), StoreError>>;

/// Receives the result of the close.
pub(super) type CloseReply = oneshot::Sender<Result<(), StoreError>>;

/// One message to the journal's thread.
pub(super) enum WriterMessage {
    Commit(Batch),
    Attach(Vec<Owner>),
    Checkpoint(CheckpointReply),
    /// Asks for the state that a reader reads: the snapshot, and the last sequence of the journal after it.
    State(SyncSender<(Arc<Snapshot>, u64)>),
    /// The attempt with this number has sealed a snapshot.
    Sealed(u64, Snapshot),
    /// The attempt with this number has ended.
    Ended(u64, Result<(), StoreError>),
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
    done: Option<Done>,
}

impl Batch {
    /// Refuses a batch that breaks a limit.
    pub(super) fn new(writes: Vec<Write>, done: Done) -> Option<Self> {
        let longest = writes.iter().filter_map(|write| write.put.as_ref()).map(Bytes::len).max();
        let (bytes, longest) = (frame::encoded_bytes(&writes), longest.unwrap_or_default());
        let (what, size) = if longest > LONGEST_RECORD { ("record", longest) } else { ("batch", bytes) };
        if longest > LONGEST_RECORD || bytes > frame::MAX_FRAME_BYTES - FRAME_OVERHEAD {
            let reason = format!("a {what} of {size} bytes is too large");
            done(Err(StoreError::Unavailable(reason)));
            return None;
        }
        Some(Self { writes, bytes, done: Some(done) })
    }

    pub(super) fn answer(mut self, answer: Result<(), StoreError>) {
        if let Some(done) = self.done.take() {
            done(answer);
        }
    }
}

impl Drop for Batch {
    /// Only the end of the thread drops a batch that was not answered.
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(StoreError::Unknown("the journal's thread has ended".into())));
        }
    }
}

/// The dependencies of the thread.
pub(super) struct WriterDeps {
    pub(super) settings: StoreSettings,
    pub(super) files: Files,
    pub(super) disk: Arc<dyn Disk>,
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
struct Running {
    number: u64,
    replies: Vec<CheckpointReply>,
    /// The part of the journal that it replaces; nothing once it is sealed, or if it only removes what is replaced.
    range: Option<Grown>,
    /// The size of the journal at its beginning.
    began_at: u64,
    progress: Arc<StreamProgress>,
    /// Its last known progress, and when that was seen first.
    steps: (u64, Timestamp),
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Closing {
    replies: Vec<CloseReply>,
    has_begun_checkpoint: bool,
}

/// The state of the thread.
pub(super) struct Writer {
    journal: Journal,
    snapshot: Arc<Snapshot>,
    /// The part of the journal after the snapshot.
    grown: Grown,
    deps: WriterDeps,
    owners: Vec<Owner>,
    running: Option<Running>,
    /// The number of checkpoints that began.
    checkpoints: u64,
    /// The number of those in a row that hang.
    hangs: u32,
    /// Callers that wait for the next checkpoint to begin.
    wanted: Vec<CheckpointReply>,
    /// When the last checkpoint failed, if it did.
    failed_at: Option<Timestamp>,
    closing: Option<Closing>,
}

impl Writer {
    pub(super) fn new(journal: Journal, snapshot: Arc<Snapshot>, grown: Grown, deps: WriterDeps) -> Self {
        Self {
            journal,
            snapshot,
            grown,
            deps,
            owners: Vec::new(),
            running: None,
            checkpoints: 0,
            hangs: 0,
            wanted: Vec::new(),
            failed_at: None,
            closing: None,
        }
    }

    /// Runs until the store is closed or abandoned. Returns the callers that wait for the close, and its result.
    pub(super) fn run(
        mut self,
        messages: Receiver<WriterMessage>,
    ) -> (Vec<CloseReply>, Result<(), StoreError>) {
        let mut deferred = None;
        loop {
            let Snapshot { manifest, .. } = &*self.snapshot;
            self.deps.health.set_sizes(StoreSizes {
                journal_bytes: self.grown.bytes,
                snapshot_bytes: manifest.bytes(),
                snapshot_time: manifest.time,
            });
            let message = match deferred.take() {
                Some(message) => Ok(message),
                None => messages.recv_timeout(self.turn()),
            };
            match message {
                Ok(WriterMessage::Abandon) | Err(RecvTimeoutError::Disconnected) => {
                    // A reader must not wait for an answer while the removal of files waits for the reader.
                    drop(messages);
                    self.end_attempt();
                    return (Vec::new(), Ok(()));
                }
                Ok(WriterMessage::Commit(batch)) => {
                    let mut batches = vec![batch];
                    deferred = loop {
                        match messages.try_recv() {
                            Ok(WriterMessage::Commit(batch)) => batches.push(batch),
                            other => break other.ok(),
                        }
                    };
                    self.write(batches);
                }
                Ok(other) => self.handle(other),
                Err(RecvTimeoutError::Timeout) => self.idle(),
            }
            self.give_up_hanging_checkpoint();
            self.checkpoint_if_due();
            if let Some(ended) = self.proceed_closing() {
                for message in deferred.into_iter().chain(messages.try_iter()) {
                    if let WriterMessage::Commit(batch) = message {
                        batch.answer(Err(StoreError::Closed));
                    }
                }
                return ended;
            }
        }
    }

    fn turn(&self) -> Duration {
        let WriterDeps { health, settings: StoreSettings { retry_every, time_every, deadline, .. }, .. } =
            &self.deps;
        let usual = *time_every / WAKEUPS_PER_TIME_FRAME;
        let in_trouble = [Part::Journal, Part::Reserve].iter().any(|part| health.trouble(*part).is_some());
        if in_trouble || self.failed_at.is_some() {
            *retry_every
        } else if self.running.is_some() {
            usual.min(*deadline / 2)
        } else {
            usual
        }
    }

    fn handle(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Attach(owners) => self.owners = owners,
            WriterMessage::Checkpoint(reply) => {
                self.wanted.push(reply);
                self.begin_wanted();
            }
            WriterMessage::State(reply) => {
                let _ = reply.send((self.snapshot.clone(), self.journal.last_sequence()));
            }
            WriterMessage::Sealed(number, snapshot) => self.sealed(number, snapshot),
            WriterMessage::Ended(number, result) => {
                if self.running.as_ref().is_some_and(|running| running.number == number) {
                    self.checkpoint_ended(&result);
                }
            }
            WriterMessage::Close(reply) => self.closing.get_or_insert_default().replies.push(reply),
            // The loop takes these.
            WriterMessage::Commit(_) | WriterMessage::Abandon => {}
        }
    }

    /// Writes these batches in as few frames as possible, and answers them.
    fn write(&mut self, batches: Vec<Batch>) {
        let joined = JOINED_BYTES.min(self.deps.settings.segment_bytes / FRAMES_PER_SEGMENT);
        let joined = usize::try_from(joined).unwrap_or(usize::MAX);
        let mut batches = batches.into_iter().peekable();
        while let Some(first) = batches.next() {
            let (mut bytes, mut frame) = (first.bytes, vec![first]);
            while let Some(next) = batches.next_if(|next| bytes + next.bytes <= joined) {
                bytes += next.bytes;
                frame.push(next);
            }
            // Batches without a write do not need the disk.
            let answer =
                if bytes == 0 { self.refusal().map_or(Ok(()), Err) } else { self.append(&frame, bytes) };
            for batch in frame {
                batch.answer(answer.clone());
            }
        }
        // A disk that has just refused a segment is not asked at each commit.
        if self.deps.health.trouble(Part::Reserve).is_none() {
            self.reserve();
        }
    }

    /// Why nothing is written any more, if the store has failed.
    fn refusal(&self) -> Option<StoreError> {
        self.deps.health.failure().map(StoreError::Unavailable)
    }

    fn append(&mut self, batches: &[Batch], bytes: usize) -> Result<(), StoreError> {
        self.refusal().map_or(Ok(()), Err)?;
        let WriterDeps { health, clock, .. } = &self.deps;
        let writes = batches.iter().flat_map(|batch| &batch.writes);
        let appended = if self.grown.bytes >= self.most_bytes() {
            let why = health.trouble(Part::Checkpoint);
            let why = why.unwrap_or_else(|| "the next checkpoint is not finished yet".into());
            let reason = format!("the journal is full, because no checkpoint has emptied it: {why}");
            Err(StoreError::Unavailable(reason))
        } else {
            health.write_begins();
            let appended = self.journal.append(FrameKind::Batch, clock.now(), writes, bytes);
            health.write_ended();
            appended
        };
        health.report(Part::Journal, &appended);
        self.grown.bytes += appended? as u64;
        self.grown.records += batches.iter().map(|batch| batch.writes.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Reserves the next segment in advance. A checkpoint that is not finished may need the space: then this waits until
    /// the current segment is half full.
    fn reserve(&mut self) {
        let health = &self.deps.health;
        let is_needed_first = self.running.is_some() && !self.journal.is_half_full();
        if self.journal.has_spare() || is_needed_first || self.closing.is_some() {
            return;
        }
        health.write_begins();
        let reserved = self.journal.reserve();
        health.write_ended();
        health.report(Part::Reserve, &reserved);
    }

    /// Handles an idle period: writes the time for the next start, and tries a journal in trouble. A load balancer that
    /// only asks for health sends no writes until it is good; therefore writes alone would not find out.
    fn idle(&mut self) {
        self.reserve();
        let WriterDeps { clock, settings, health, .. } = &self.deps;
        let is_due = clock.now().since(self.journal.last_time()) >= settings.time_every;
        if (is_due || health.trouble(Part::Journal).is_some()) && self.closing.is_none() {
            let _ = self.append(&[], 0);
        }
    }

    /// The size of the journal at which a checkpoint begins.
    fn checkpoint_threshold(&self) -> u64 {
        self.deps.settings.checkpoint_bytes.max(self.snapshot.manifest.bytes() / 2)
    }

    /// The size of the journal at which commits are refused. The lazy changes that a running checkpoint waits for must
    /// have room, also in a journal that an import has made longer.
    fn most_bytes(&self) -> u64 {
        let threshold = self.checkpoint_threshold();
        let of_running =
            self.running.as_ref().map_or(0, |running| running.began_at.saturating_add(threshold));
        threshold.saturating_mul(MAX_THRESHOLDS).max(of_running)
    }
}

/// Checkpoints.
impl Writer {
    fn checkpoint_if_due(&mut self) {
        if self.owners.is_empty() || self.running.is_some() || self.closing.is_some() {
            return;
        }
        let (Grown { bytes, records }, now) = (self.grown, self.deps.clock.now());
        let StoreSettings { checkpoint_every, repeat_checkpoint_after, .. } = self.deps.settings;
        let is_due = if let Some(failed) = self.failed_at {
            let wait = repeat_checkpoint_after * self.deps.health.failed_checkpoints().min(LONGEST_WAIT);
            now < failed || now.since(failed) >= wait
        } else {
            let is_old = now.since(self.snapshot.manifest.time) >= checkpoint_every;
            bytes >= self.checkpoint_threshold() || is_old && records > 0
        };
        if is_due && self.refusal().is_none() {
            self.begin_checkpoint();
        }
    }

    /// Begins the checkpoint that callers wait for, unless one is running: then it follows that one.
    fn begin_wanted(&mut self) {
        if self.running.is_some() || self.wanted.is_empty() {
            return;
        }
        if self.owners.is_empty() {
            let none = StoreError::Checkpoint("no owner of records is attached".into());
            return answer_each(std::mem::take(&mut self.wanted), &Err(none));
        }
        self.begin_checkpoint();
    }

    /// Begins a checkpoint of everything that was written so far. Every older batch has been answered; therefore the
    /// owners hold it when they get their streams. Without a new record, only removes what the last one replaces.
    fn begin_checkpoint(&mut self) {
        let (number, now) = (self.checkpoints + 1, self.deps.clock.now());
        self.checkpoints = number;
        let (records, streams) = Collector::new(self.owners.len());
        let progress = records.progress.clone();
        let range = (self.grown.records > 0).then_some(self.grown);
        let replies = std::mem::take(&mut self.wanted);
        let (steps, began_at) = ((0, now), self.grown.bytes);
        self.running = Some(Running { number, replies, range, began_at, progress, steps, thread: None });
        let begun =
            if range.is_some() { self.spawn_attempt(number, records) } else { self.spawn_discard(number) };
        match begun {
            Ok(thread) => {
                if let Some(running) = &mut self.running {
                    running.thread = Some(thread);
                }
                for (owner, stream) in self.owners.iter().zip(streams) {
                    owner(stream);
                }
            }
            Err(error) => self.checkpoint_ended(&Err(error)),
        }
    }

    fn spawn_attempt(&mut self, number: u64, records: Collector) -> Result<JoinHandle<()>, StoreError> {
        let segment = self.journal.begin_segment()?;
        let WriterDeps { disk, files, itself, settings, .. } = &self.deps;
        let attempt = Attempt {
            disk: disk.clone(),
            files: files.clone(),
            number,
            covered: Covered { segment, sequence: self.journal.last_sequence() },
            time: self.journal.last_time(),
            records,
            pause: if self.closing.is_some() { Duration::ZERO } else { settings.pause },
        };
        let (disk, files, writer) = (disk.clone(), files.clone(), itself.clone());
        spawn(move || {
            let result = attempt.make().and_then(|snapshot| {
                // Before the removal: from then on readers get the new snapshot.
                let _ = writer.send(WriterMessage::Sealed(number, snapshot));
                discard(&*disk, &files, segment)
            });
            let _ = writer.send(WriterMessage::Ended(number, result));
        })
    }

    fn spawn_discard(&self, number: u64) -> Result<JoinHandle<()>, StoreError> {
        let WriterDeps { disk, files, itself, .. } = &self.deps;
        let (disk, files, writer) = (disk.clone(), files.clone(), itself.clone());
        let covered = self.snapshot.manifest.covered.segment;
        spawn(move || {
            let result = discard(&*disk, &files, covered);
            let _ = writer.send(WriterMessage::Ended(number, result));
        })
    }

    fn sealed(&mut self, number: u64, snapshot: Snapshot) {
        let Some(running) = self.running.as_mut().filter(|running| running.number == number) else { return };
        if let Some(range) = running.range.take() {
            self.grown.bytes -= range.bytes;
            self.grown.records -= range.records;
            self.snapshot = Arc::new(snapshot);
        }
    }

    fn checkpoint_ended(&mut self, result: &Result<(), StoreError>) {
        let Some(running) = self.running.take() else { return };
        let health = &self.deps.health;
        health.report(Part::Checkpoint, result);
        self.failed_at = result.is_err().then(|| self.deps.clock.now());
        if result.is_ok() && health.trouble(Part::Journal).is_some() && self.closing.is_none() {
            // There may be room again.
            let _ = self.append(&[], 0);
        }
        self.hangs = if result.is_ok() { 0 } else { self.hangs };
        answer_each(running.replies, result);
        if result.is_err() {
            // No other checkpoint begins before the next attempt.
            answer_each(std::mem::take(&mut self.wanted), result);
        }
        self.reserve();
        self.begin_wanted();
    }

    /// Abandons a checkpoint in which sled, or an owner of records, does nothing. A removal may wait for readers.
    fn give_up_hanging_checkpoint(&mut self) {
        let now = self.deps.clock.now();
        let Some(running) = self.running.as_mut().filter(|running| running.range.is_some()) else { return };
        let steps = running.progress.steps();
        if running.steps.0 != steps {
            running.steps = (steps, now);
        }
        let deadline = self.deps.settings.deadline;
        if now.since(running.steps.1) < deadline {
            return;
        }
        if !running.progress.stop() {
            // The snapshot has just been sealed.
            return;
        }
        running.thread = None;
        self.hangs += 1;
        let reason = format!("neither sled nor an owner of records did anything for {deadline:?}");
        if self.hangs >= MOST_HANGS {
            self.deps.health.fail(&format!("{reason}, {} times in a row", self.hangs));
        }
        self.checkpoint_ended(&Err(StoreError::Checkpoint(reason)));
    }

    /// Waits for the thread of a checkpoint, which would go on to write into the directory.
    fn end_attempt(&mut self) {
        if let Some(running) = self.running.take() {
            running.progress.stop();
            if let Some(thread) = running.thread {
                let _ = thread.join();
            }
        }
    }

    /// While closing: takes a last checkpoint, for which the owners may still commit, and then ends the journal with a
    /// closing frame.
    fn proceed_closing(&mut self) -> Option<(Vec<CloseReply>, Result<(), StoreError>)> {
        let may_write = self.refusal().is_none();
        let closing = self.closing.as_mut().filter(|_| self.running.is_none())?;
        // If it fails, the journal has everything.
        let is_wanted = self.grown.records > 0 || self.failed_at.is_some();
        if is_wanted && may_write && !self.owners.is_empty() && !closing.has_begun_checkpoint {
            closing.has_begun_checkpoint = true;
            self.begin_checkpoint();
        }
        let closing = self.closing.as_mut().filter(|_| self.running.is_none())?;
        Some((std::mem::take(&mut closing.replies), self.finish()))
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.refusal().map_or(Ok(()), Err)?;
        self.journal.close(self.deps.clock.now())?;
        match self.deps.health.trouble(Part::Checkpoint) {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}

fn answer_each(replies: Vec<CheckpointReply>, answer: &Result<(), StoreError>) {
    for reply in replies {
        let _ = reply.send(answer.clone());
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let thread = Builder::new().name("snapshot".into()).spawn(run);
    thread.map_err(|error| StoreError::Checkpoint(format!("cannot start a thread: {error}")))
}
