//! The journal's thread: joins the batches that wait into one frame, makes it durable, answers. It also begins the
//! checkpoints, since only it knows which commits are older than one.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use onceward_core::domain::Timestamp;
use tokio::sync::oneshot;

use super::checkpoint::{Attempt, discard};
use super::directory::Directory;
use super::disk::Disk;
use super::frame::FrameKind;
use super::health::{Health, Part};
use super::journal::Journal;
use super::mailbox::{Batch, Mailbox};
use super::options::OpenOptions;
use super::replay::Covered;
use super::snapshot::Snapshot;
use crate::stream::{Collector, Owner, StreamProgress};
use crate::{StoreError, StoreSizes, Write};

/// Batches are joined until a frame has this many bytes, or this part of a segment.
const JOINED_BYTES: u64 = 4 * 1024 * 1024;
const FRAMES_PER_SEGMENT: u64 = 4;

/// Commits are refused once the journal has grown to this multiple of [`Writer::checkpoint_threshold`].
const MAX_THRESHOLDS: u64 = 4;

/// Receives the result of a checkpoint or of the close.
pub(super) type Reply = oneshot::Sender<Result<(), StoreError>>;

/// The dependencies of the thread.
pub(super) struct WriterDeps {
    pub(super) options: OpenOptions,
    pub(super) directory: Directory,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) mailbox: Arc<Mailbox<Writer>>,
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
    replies: Vec<Reply>,
    /// The part of the journal that it replaces; nothing once it is sealed, or if it only removes what is replaced.
    range: Option<Grown>,
    /// The size of the journal at its beginning.
    began_at: u64,
    progress: Arc<StreamProgress>,
    /// Its last known progress, and when that was seen first.
    steps: (u64, Timestamp),
    /// Whether it has made no progress for too long. The next one begins when its thread has ended.
    hangs: bool,
    thread: Option<JoinHandle<()>>,
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
    /// Callers that wait for the next checkpoint to begin.
    wanted: Vec<Reply>,
    /// When a checkpoint that failed is repeated.
    repeat_at: Option<Timestamp>,
    /// The caller that waits for the close.
    closing: Option<Reply>,
    has_begun_last_checkpoint: bool,
    is_abandoned: bool,
}

/// What the store's handle and a checkpoint's thread ask.
impl Writer {
    pub(super) fn attach(&mut self, owners: Vec<Owner>) {
        self.owners = owners;
    }

    /// Begins a checkpoint, unless one is running: then it follows that one.
    pub(super) fn checkpoint(&mut self, reply: Reply) {
        self.wanted.push(reply);
    }

    /// The state that a reader reads: the snapshot, and the last sequence of the journal after it.
    pub(super) fn state(&self) -> (Arc<Snapshot>, u64) {
        (self.snapshot.clone(), self.journal.last_sequence())
    }

    /// Ends in order, with a checkpoint.
    pub(super) fn close(&mut self, reply: Reply) {
        self.closing = Some(reply);
    }

    /// Ends at once; the next start replays the journal.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
    }
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
            wanted: Vec::new(),
            repeat_at: None,
            closing: None,
            has_begun_last_checkpoint: false,
            is_abandoned: false,
        }
    }

    /// Runs until the store is closed or abandoned. Returns the caller that waits for the close, and its result.
    pub(super) fn run(mut self) -> Option<(Reply, Result<(), StoreError>)> {
        let mailbox = Arc::clone(&self.deps.mailbox);
        loop {
            let manifest = &self.snapshot.manifest;
            self.deps.health.set_sizes(StoreSizes {
                journal_bytes: self.grown.bytes,
                snapshot_bytes: manifest.bytes(),
                snapshot_time: manifest.time,
            });
            let (batches, asks) = mailbox.next(self.deps.options.tick);
            if batches.is_empty() && asks.is_empty() {
                self.idle();
            }
            for ask in asks {
                ask(&mut self);
            }
            self.notice_hanging_checkpoint();
            // Before a commit that the journal is too long for without one.
            self.checkpoint_if_due();
            self.write(batches);
            if self.is_abandoned {
                // A reader must not wait for an answer while the removal of files waits for the reader.
                mailbox.close();
                self.end_attempt();
                return None;
            }
            if let Some(ended) = self.proceed_closing() {
                return self.closing.map(|reply| (reply, ended));
            }
        }
    }

    /// Writes these batches in as few frames as possible, and answers them.
    fn write(&mut self, batches: Vec<Batch>) {
        let joined = JOINED_BYTES.min(self.deps.options.segment_bytes / FRAMES_PER_SEGMENT);
        let joined = usize::try_from(joined).unwrap_or(usize::MAX);
        let mut batches = batches.into_iter().peekable();
        while let Some(Batch { mut writes, mut bytes, done }) = batches.next() {
            let mut callers = vec![done];
            while let Some(next) = batches.next_if(|next| bytes + next.bytes <= joined) {
                bytes += next.bytes;
                writes.extend(next.writes);
                callers.push(next.done);
            }
            self.append(&writes, bytes, callers);
        }
    }

    /// Makes a frame durable and answers its callers.
    fn append(&mut self, writes: &[Write], bytes: usize, callers: Vec<crate::Done>) {
        let WriterDeps { mailbox, health, options, .. } = &self.deps;
        // Batches without a write do not need the disk.
        let needs_disk = !writes.is_empty() || callers.is_empty();
        if !mailbox.frame_begins(callers) {
            return;
        }
        if !needs_disk {
            return mailbox.frame_ended(&Ok(()));
        }
        let appended = if self.grown.bytes >= self.most_bytes() {
            let why = health.trouble(Part::Checkpoint);
            let why = why.unwrap_or_else(|| "the next checkpoint is not finished yet".into());
            let reason = format!("the journal is full, because no checkpoint has emptied it: {why}");
            if self.running.as_ref().is_some_and(|running| running.hangs) {
                // No other checkpoint begins beside a thread that hangs.
                return mailbox.fail(&reason);
            }
            Err(StoreError::Unavailable(reason))
        } else {
            self.journal.append(FrameKind::Batch, options.clock.now(), writes.iter(), bytes)
        };
        if let Ok(length) = appended {
            self.grown.bytes += length as u64;
            self.grown.records += writes.len() as u64;
        }
        if !matches!(appended, Err(StoreError::Unknown(_))) {
            health.report(Part::Journal, &appended);
        }
        mailbox.frame_ended(&appended.map(drop));
    }

    /// Handles an idle period: writes the time for the next start, and tries a journal in trouble. A load balancer that
    /// only asks for health sends no writes until it is good; therefore writes alone would not find out.
    fn idle(&mut self) {
        let WriterDeps { options, health, .. } = &self.deps;
        let is_due = options.clock.now().since(self.journal.last_time()) >= options.time_every;
        if (is_due || health.trouble(Part::Journal).is_some()) && self.closing.is_none() {
            self.append(&[], 0, Vec::new());
        }
    }

    /// The size of the journal at which a checkpoint begins.
    fn checkpoint_threshold(&self) -> u64 {
        self.deps.options.checkpoint_bytes.max(self.snapshot.manifest.bytes() / 2)
    }

    /// The size of the journal at which commits are refused. The changes that a running checkpoint waits for must have
    /// room, also in a journal that an import has made longer.
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
        if self.owners.is_empty() || self.running.is_some() || self.deps.health.has_failed() {
            return;
        }
        let (Grown { bytes, records }, now) = (self.grown, self.deps.options.clock.now());
        let is_due = if let Some(repeat_at) = self.repeat_at {
            now >= repeat_at
        } else {
            let is_old = now.since(self.snapshot.manifest.time) >= self.deps.options.checkpoint_every;
            bytes >= self.checkpoint_threshold() || is_old && records > 0
        };
        if is_due && self.closing.is_none() || !self.wanted.is_empty() {
            self.begin_checkpoint();
        }
    }

    /// Begins a checkpoint of everything that was written so far. Every older batch has been answered; therefore the
    /// owners hold it when they get their streams. Without a new record, only removes what the last one replaces.
    fn begin_checkpoint(&mut self) {
        let now = self.deps.options.clock.now();
        self.checkpoints += 1;
        let (records, streams) = Collector::new(self.owners.len());
        let progress = records.progress.clone();
        let range = (self.grown.records > 0).then_some(self.grown);
        let (replies, began_at) = (std::mem::take(&mut self.wanted), self.grown.bytes);
        let attempt = range.map(|_| self.attempt(records)).transpose();
        let thread = attempt.and_then(|attempt| self.spawn(attempt));
        let (thread, failed) = thread.map_or_else(|error| (None, Some(error)), |thread| (Some(thread), None));
        let steps = (0, now);
        self.running = Some(Running { replies, range, began_at, progress, steps, hangs: false, thread });
        match failed {
            Some(error) => self.checkpoint_ended(&Err(error)),
            None => self.owners.iter().zip(streams).for_each(|(owner, stream)| owner(stream)),
        }
    }

    fn attempt(&mut self, records: Collector) -> Result<Attempt, StoreError> {
        let segment = self.journal.begin_segment()?;
        let WriterDeps { disk, directory, options, .. } = &self.deps;
        Ok(Attempt {
            disk: disk.clone(),
            directory: directory.clone(),
            number: self.checkpoints,
            covered: Covered { segment, sequence: self.journal.last_sequence() },
            time: self.journal.last_time(),
            records,
            pause: if self.closing.is_some() { Duration::ZERO } else { options.pause },
        })
    }

    fn spawn(&self, attempt: Option<Attempt>) -> Result<JoinHandle<()>, StoreError> {
        let WriterDeps { disk, directory, mailbox, .. } = &self.deps;
        let (disk, directory, mailbox) = (disk.clone(), directory.clone(), mailbox.clone());
        let covered = self.snapshot.manifest.covered.segment;
        let run = move || {
            let made = attempt.map_or(Ok(covered), |attempt| {
                let snapshot = attempt.make()?;
                let covered = snapshot.manifest.covered.segment;
                // Before the removal: from then on readers get the new snapshot.
                mailbox.ask(move |writer| writer.sealed(snapshot));
                Ok(covered)
            });
            let result = made.and_then(|covered| discard(&*disk, &directory, covered));
            mailbox.ask(move |writer| writer.checkpoint_ended(&result));
        };
        let thread = Builder::new().name("snapshot".into()).spawn(run);
        thread.map_err(|error| StoreError::Checkpoint(format!("cannot start a thread: {error}")))
    }

    fn sealed(&mut self, snapshot: Snapshot) {
        if let Some(range) = self.running.as_mut().and_then(|running| running.range.take()) {
            self.grown.bytes -= range.bytes;
            self.grown.records -= range.records;
            self.snapshot = Arc::new(snapshot);
        }
    }

    fn checkpoint_ended(&mut self, result: &Result<(), StoreError>) {
        let replies = self.running.take().map(|running| running.replies);
        self.answer_checkpoint(replies.unwrap_or_default(), result);
    }

    fn answer_checkpoint(&mut self, replies: Vec<Reply>, result: &Result<(), StoreError>) {
        let WriterDeps { health, options, .. } = &self.deps;
        health.report(Part::Checkpoint, result);
        self.repeat_at = result.is_err().then(|| options.clock.now().plus(options.repeat_checkpoint_after));
        if self.closing.is_none() {
            // Not before, because the checkpoint may have needed the space. Without it the current segment goes on.
            let _ = self.journal.reserve();
        }
        for reply in replies {
            let _ = reply.send(result.clone());
        }
    }

    /// Gives up a checkpoint in which sled, or an owner of records, does nothing. A removal may wait for readers.
    fn notice_hanging_checkpoint(&mut self) {
        let (now, deadline) = (self.deps.options.clock.now(), self.deps.options.deadline);
        let running = self.running.as_mut().filter(|running| running.range.is_some() && !running.hangs);
        let Some(running) = running else { return };
        let steps = running.progress.steps();
        if running.steps.0 != steps {
            running.steps = (steps, now);
        }
        // A snapshot that has just been sealed cannot be stopped.
        if now.since(running.steps.1) < deadline || !running.progress.stop() {
            return;
        }
        running.hangs = true;
        let replies = std::mem::take(&mut running.replies);
        let reason = format!("neither sled nor an owner of records did anything for {deadline:?}");
        self.answer_checkpoint(replies, &Err(StoreError::Checkpoint(reason)));
    }

    /// Waits for the thread of a checkpoint, which would go on to write into the directory.
    fn end_attempt(&mut self) {
        if let Some(running) = self.running.take().filter(|running| !running.hangs) {
            running.progress.stop();
            if let Some(thread) = running.thread {
                let _ = thread.join();
            }
        }
    }

    /// While closing: takes a last checkpoint, for which the owners may still commit, and then ends the journal with a
    /// closing frame.
    fn proceed_closing(&mut self) -> Option<Result<(), StoreError>> {
        self.closing.as_ref()?;
        // If it fails, the journal has everything.
        let is_wanted = self.grown.records > 0 || self.repeat_at.is_some();
        let may_begin = self.running.is_none() && !self.owners.is_empty() && !self.deps.health.has_failed();
        if is_wanted && may_begin && !self.has_begun_last_checkpoint {
            self.has_begun_last_checkpoint = true;
            self.begin_checkpoint();
        }
        let is_free = self.running.as_ref().is_none_or(|running| running.hangs);
        is_free.then(|| self.finish())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        let WriterDeps { mailbox, health, options, .. } = &self.deps;
        mailbox.close();
        if let Some(reason) = health.failure() {
            return Err(StoreError::Unavailable(reason));
        }
        self.journal.close(options.clock.now())?;
        match health.trouble(Part::Checkpoint) {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}
