//! The journal's thread: joins the batches that wait into one frame, makes it durable, answers. It also begins the
//! checkpoints, since only it knows which commits are older than one.

use std::mem::take;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use onceward_core::domain::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::checkpoint::{Attempt, Progress, discard};
use super::directory::Directory;
use super::health::{Health, Part};
use super::journal::Journal;
use super::options::OpenOptions;
use super::snapshot::Snapshot;
use crate::stream::{Collector, Owner};
use crate::{Done, StoreError, StoreSizes, Write};

/// Batches are joined until a frame has this many bytes, or this part of a segment.
const JOINED_BYTES: u64 = 4 * 1024 * 1024;
const FRAMES_PER_SEGMENT: u64 = 4;

/// Commits are refused once the journal has grown to this multiple of [`Writer::checkpoint_threshold`].
const MAX_THRESHOLDS: u64 = 4;

/// Ticks without a step after which the disk is reported to hang, and after which the store gives up.
const HANGS_AFTER: u32 = 5;
const GIVES_UP_AFTER: u32 = 30;

/// Receives the result of a checkpoint or of the close.
pub(super) type Reply = oneshot::Sender<Result<(), StoreError>>;

/// Something that the thread does between two frames.
type Ask = Box<dyn FnOnce(&mut Writer) + Send>;

/// Writes that one caller wants durable.
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// Their size in a frame, in bytes.
    pub(super) bytes: usize,
    pub(super) done: Done,
}

/// What the store's handle, the thread, and the one that watches it share.
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    pub(super) health: Health,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Batch>,
    asks: Vec<Ask>,
    /// The answers of the frame that is being written.
    in_flight: Vec<Done>,
    /// Why every further batch is refused.
    refusal: Option<StoreError>,
    /// Turns and frames that the thread has begun.
    steps: u64,
    is_idle: bool,
}

impl Shared {
    pub(super) fn new(health: Health) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), health }
    }

    pub(super) fn commit(&self, batch: Batch) {
        let mut waiting = self.waiting.lock();
        if let Some(refusal) = waiting.refusal.clone() {
            drop(waiting);
            return (batch.done)(Err(refusal));
        }
        waiting.batches.push(batch);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Drops what is asked of a thread that has ended.
    pub(super) fn ask(&self, ask: impl FnOnce(&mut Writer) + Send + 'static) {
        let mut waiting = self.waiting.lock();
        if waiting.refusal != Some(StoreError::Closed) {
            waiting.asks.push(Box::new(ask));
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Everything that came since the last call; waits for the first, for so long at most.
    fn next(&self, longest: Duration) -> (Vec<Batch>, Vec<Ask>) {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() && waiting.asks.is_empty() {
            waiting.is_idle = true;
            let _ = self.arrived.wait_for(&mut waiting, longest);
            waiting.is_idle = false;
        }
        waiting.steps += 1;
        (take(&mut waiting.batches), take(&mut waiting.asks))
    }

    /// A frame for these callers is going to be written, unless the store has failed.
    fn frame_begins(&self, callers: Vec<Done>) -> Result<(), StoreError> {
        let mut waiting = self.waiting.lock();
        waiting.steps += 1;
        waiting.in_flight = callers;
        waiting.refusal.clone().map_or(Ok(()), Err)
    }

    /// Answers the callers of the frame. One with an unknown outcome ends the store.
    fn frame_ended(&self, answer: &Result<(), StoreError>) {
        if let Err(StoreError::Unknown(reason)) = answer {
            return self.fail(reason);
        }
        let callers = take(&mut self.waiting.lock().in_flight);
        for done in callers {
            done(answer.clone());
        }
    }

    /// The outcome of the frame that was being written is unknown: everything is refused from now on.
    pub(super) fn fail(&self, reason: &str) {
        self.refuse(&StoreError::Unavailable(reason.to_owned()), &StoreError::Unknown(reason.to_owned()));
        // Last: a reader of the failure finds every batch answered.
        self.health.fail(reason);
    }

    /// The thread has ended.
    pub(super) fn close(&self) {
        self.waiting.lock().refusal = Some(StoreError::Closed);
        self.refuse(&StoreError::Closed, &StoreError::Closed);
        let asks = take(&mut self.waiting.lock().asks);
        drop(asks);
    }

    fn refuse(&self, refusal: &StoreError, in_flight: &StoreError) {
        let mut waiting = self.waiting.lock();
        waiting.refusal.get_or_insert(refusal.clone());
        let (begun, refused) = (take(&mut waiting.in_flight), take(&mut waiting.batches));
        drop(waiting);
        for done in begun {
            done(Err(in_flight.clone()));
        }
        for batch in refused {
            (batch.done)(Err(refusal.clone()));
        }
    }

    /// Looks at each tick whether the thread goes on, until the store is dropped. A write that hangs for 30 ticks has an
    /// unknown outcome. Ticks are counted, because a suspended machine writes nothing.
    pub(super) fn watch(shared: &Weak<Self>, tick: Duration, journal: &Path) {
        let (mut seen, mut ticks) = (0, 0);
        loop {
            thread::sleep(tick);
            let Some(shared) = shared.upgrade() else { return };
            let (steps, is_idle) = {
                let waiting = shared.waiting.lock();
                (waiting.steps, waiting.is_idle)
            };
            ticks = if is_idle || steps != seen { 0 } else { ticks + 1 };
            seen = steps;
            let (seconds, journal) = ((tick * ticks).as_secs(), journal.display());
            let reason = format!("the disk has not finished a write for {seconds} s in {journal}");
            if ticks >= GIVES_UP_AFTER {
                return shared.fail(&reason);
            }
            shared.health.report(Part::Disk, (ticks > HANGS_AFTER).then_some(reason));
        }
    }
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
    progress: Arc<Progress>,
    /// Its last known progress, and when that was seen first.
    steps: (u64, Timestamp),
    /// Whether it has made no progress for too long. The next one begins when its thread has ended.
    hangs: bool,
    thread: Option<JoinHandle<()>>,
}

/// The state of the thread.
pub(super) struct Writer {
    options: OpenOptions,
    directory: Directory,
    shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) snapshot: Arc<Snapshot>,
    /// The part of the journal after the snapshot.
    grown: Grown,
    pub(super) owners: Vec<Owner>,
    running: Option<Running>,
    /// The number of checkpoints that began.
    checkpoints: u64,
    /// Callers that wait for the next checkpoint to begin.
    pub(super) wanted: Vec<Reply>,
    /// When a checkpoint that failed is repeated.
    repeat_at: Option<Timestamp>,
    /// The caller that waits for the close.
    pub(super) closing: Option<Reply>,
    has_begun_last_checkpoint: bool,
    pub(super) is_abandoned: bool,
}

impl Writer {
    pub(super) fn new(
        (options, directory): (OpenOptions, Directory),
        shared: Arc<Shared>,
        journal: Journal,
        snapshot: Arc<Snapshot>,
        grown: Grown,
    ) -> Self {
        Self {
            options,
            directory,
            shared,
            journal,
            snapshot,
            grown,
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
        let shared = Arc::clone(&self.shared);
        loop {
            let manifest = &self.snapshot.manifest;
            shared.health.set_sizes(StoreSizes {
                journal_bytes: self.grown.bytes,
                snapshot_bytes: manifest.bytes(),
                snapshot_time: manifest.time,
            });
            let (batches, asks) = shared.next(self.options.tick);
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
                shared.close();
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
        let joined = JOINED_BYTES.min(self.options.segment_bytes / FRAMES_PER_SEGMENT);
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
    fn append(&mut self, writes: &[Write], bytes: usize, callers: Vec<Done>) {
        // Batches without a write do not need the disk.
        let needs_disk = !writes.is_empty() || callers.is_empty();
        let mut appended = self.shared.frame_begins(callers);
        if needs_disk && appended.is_ok() {
            appended = self.append_frame(writes, bytes);
            if !matches!(appended, Err(StoreError::Unknown(_))) {
                let trouble = appended.as_ref().err().map(StoreError::reason);
                self.shared.health.report(Part::Journal, trouble);
            }
        }
        self.shared.frame_ended(&appended);
    }

    fn append_frame(&mut self, writes: &[Write], bytes: usize) -> Result<(), StoreError> {
        if self.grown.bytes >= self.most_bytes() {
            let why = self.shared.health.trouble(Part::Checkpoint);
            let why = why.unwrap_or_else(|| "the next checkpoint is not finished yet".into());
            let reason = format!("the journal is full, because no checkpoint has emptied it: {why}");
            // No other checkpoint begins beside a thread that hangs.
            if self.running.as_ref().is_some_and(|running| running.hangs) {
                self.shared.fail(&reason);
            }
            return Err(StoreError::Unavailable(reason));
        }
        let length = self.journal.append(self.options.clock.now(), writes, bytes)?;
        self.grown.bytes += length as u64;
        self.grown.records += writes.len() as u64;
        Ok(())
    }

    /// Handles an idle period: writes the time for the next start, and tries a journal in trouble. A load balancer that
    /// only asks for health sends no writes until it is good; therefore writes alone would not find out.
    fn idle(&mut self) {
        let is_due = self.options.clock.now().since(self.journal.last_time) >= self.options.time_every;
        let is_in_trouble = self.shared.health.trouble(Part::Journal).is_some();
        if (is_due || is_in_trouble) && self.closing.is_none() {
            self.append(&[], 0, Vec::new());
        }
    }

    /// The size of the journal at which a checkpoint begins.
    fn checkpoint_threshold(&self) -> u64 {
        self.options.checkpoint_bytes.max(self.snapshot.manifest.bytes() / 2)
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
    fn may_begin_checkpoint(&self) -> bool {
        !self.owners.is_empty() && self.running.is_none() && self.shared.health.failure().is_none()
    }

    fn checkpoint_if_due(&mut self) {
        if !self.may_begin_checkpoint() {
            return;
        }
        let (Grown { bytes, records }, now) = (self.grown, self.options.clock.now());
        let is_due = if let Some(repeat_at) = self.repeat_at {
            now >= repeat_at
        } else {
            let is_old = now.since(self.snapshot.manifest.time) >= self.options.checkpoint_every;
            bytes >= self.checkpoint_threshold() || is_old && records > 0
        };
        if is_due && self.closing.is_none() || !self.wanted.is_empty() {
            self.begin_checkpoint();
        }
    }

    /// Begins a checkpoint of everything that was written so far. Every older batch has been answered; therefore the
    /// owners hold it when they get their streams. Without a new record, only removes what the last one replaces.
    fn begin_checkpoint(&mut self) {
        self.checkpoints += 1;
        let mut running = Running {
            replies: take(&mut self.wanted),
            range: (self.grown.records > 0).then_some(self.grown),
            began_at: self.grown.bytes,
            progress: Arc::default(),
            steps: (0, self.options.clock.now()),
            hangs: false,
            thread: None,
        };
        let begun = self.start_checkpoint(&mut running);
        self.running = Some(running);
        if begun.is_err() {
            self.checkpoint_ended(&begun);
        }
    }

    fn start_checkpoint(&mut self, running: &mut Running) -> Result<(), StoreError> {
        let (records, streams) = Collector::new(self.owners.len());
        let attempt = match running.range {
            None => None,
            Some(_) => Some(Attempt {
                covered: self.journal.begin_segment()?,
                disk: self.journal.disk.clone(),
                directory: self.directory.snapshot.clone(),
                number: self.checkpoints,
                time: self.journal.last_time,
                records,
                progress: running.progress.clone(),
                database_bytes: self.options.database_bytes,
                pause: if self.closing.is_some() { Duration::ZERO } else { self.options.pause },
            }),
        };
        let (shared, disk, directory) =
            (self.shared.clone(), self.journal.disk.clone(), self.directory.clone());
        let (mut covered, makes_snapshot) = (self.snapshot.manifest.covered.segment, attempt.is_some());
        let make = move || {
            if let Some(attempt) = attempt {
                let snapshot = attempt.make()?;
                covered = snapshot.manifest.covered.segment;
                // Before the removal: from then on readers get the new snapshot.
                shared.ask(move |writer| writer.sealed(snapshot));
            }
            discard(&disk, &directory.snapshot, &directory.journal, covered)
        };
        let shared = self.shared.clone();
        let run = move || {
            let result = make();
            shared.ask(move |writer| writer.checkpoint_ended(&result));
        };
        let thread = Builder::new().name("snapshot".into()).spawn(run);
        let failed = |error| StoreError::Checkpoint(format!("cannot start a thread: {error}"));
        running.thread = Some(thread.map_err(failed)?);
        if makes_snapshot {
            self.owners.iter().zip(streams).for_each(|(owner, stream)| owner(stream));
        }
        Ok(())
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
        self.shared.health.report(Part::Checkpoint, result.as_ref().err().map(StoreError::reason));
        let repeat_at = self.options.clock.now().plus(self.options.repeat_checkpoint_after);
        self.repeat_at = result.is_err().then_some(repeat_at);
        if self.closing.is_none() {
            // Not before, because the checkpoint may have needed the space. Without it the current segment goes on.
            let _ = self.journal.reserve();
        }
        for reply in replies {
            let _ = reply.send(result.clone());
        }
    }

    /// Reports a checkpoint as failed in which sled, or an owner of records, does nothing. A removal may wait for readers.
    fn notice_hanging_checkpoint(&mut self) {
        let (now, deadline) = (self.options.clock.now(), self.options.deadline);
        let running = self.running.as_mut().filter(|running| running.range.is_some() && !running.hangs);
        let Some(running) = running else { return };
        let steps = running.progress.steps.load(Ordering::Relaxed);
        if running.steps.0 != steps {
            running.steps = (steps, now);
        }
        if now.since(running.steps.1) >= deadline {
            running.hangs = true;
            let replies = take(&mut running.replies);
            let reason = format!("neither sled nor an owner of records did anything for {deadline:?}");
            self.answer_checkpoint(replies, &Err(StoreError::Checkpoint(reason)));
        }
    }

    /// Waits for the thread of a checkpoint, which would go on to write into the directory.
    fn end_attempt(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.progress.has_ended.store(true, Ordering::Relaxed);
        if let Some(thread) = running.thread.filter(|_| !running.hangs) {
            let _ = thread.join();
        }
    }

    /// While closing: takes a last checkpoint, for which the owners may still commit, and then ends the journal.
    fn proceed_closing(&mut self) -> Option<Result<(), StoreError>> {
        self.closing.as_ref()?;
        // If it fails, the journal has everything.
        let is_wanted = self.grown.records > 0 || self.repeat_at.is_some();
        if is_wanted && self.may_begin_checkpoint() && !self.has_begun_last_checkpoint {
            self.has_begun_last_checkpoint = true;
            self.begin_checkpoint();
        }
        let is_free = self.running.as_ref().is_none_or(|running| running.hangs);
        is_free.then(|| self.finish())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.shared.close();
        self.end_attempt();
        if let Some(reason) = self.shared.health.failure() {
            return Err(StoreError::Unavailable(reason));
        }
        self.journal.close(self.options.clock.now())?;
        match self.shared.health.trouble(Part::Checkpoint) {
            Some(reason) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}
