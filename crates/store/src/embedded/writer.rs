//! The journal's thread: joins the batches that wait into one frame, makes it durable, answers. It also begins the
//! checkpoints, since only it knows which commits are older than one.

use std::mem::take;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use onceward_core::clock::Clock as _;
use onceward_core::domain::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::{Attempt, discard};
use super::directory::{Directory, OpenOptions};
use super::journal::Journal;
use super::snapshot::Manifest;
use crate::{Done, Owner, StoreError, StoreSizes, Write};

/// Commits are refused once the journal has grown to this multiple of [`Writer::checkpoint_threshold`].
const MAX_THRESHOLDS: u64 = 4;

/// A checkpoint begins when the last one is this old and the journal has grown. Therefore expired records leave the disk.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20 * 60);

/// The time until a failed checkpoint is repeated.
const REPEATED_AFTER: Duration = Duration::from_secs(60);

/// A checkpoint that takes longer beside a full journal or a stop will not end.
const CHECKPOINT_HANGS_AFTER: Duration = Duration::from_secs(300);

/// Slices of records that wait to be written to a snapshot.
const WAITING_SLICES: usize = 16;

/// The interval at which an idle store records the time.
const TIME_EVERY: Duration = Duration::from_secs(60);

/// Ticks without a step after which `/readyz` says so, and after which the store gives up.
const IS_REPORTED_AFTER: u32 = 5;
const GIVES_UP_AFTER: u32 = 30;

/// Receives the result of a checkpoint or of the close.
pub(super) type Reply = oneshot::Sender<Result<(), StoreError>>;

/// Something that the thread does between two frames.
type Ask = Box<dyn FnOnce(&mut Writer) + Send>;

/// Writes that one caller wants durable.
type Batch = (Vec<Write>, Done);

/// What the store's handle, the thread, and the one that watches it share.
#[derive(Default)]
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    pub(super) sizes: Mutex<StoreSizes>,
    /// Why the last batch was refused, if it was.
    trouble: Mutex<Option<String>>,
    /// Why the store has failed for good, if it has.
    failed: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Batch>,
    asks: Vec<Ask>,
    /// The answers of the turn, or of the frame that is being written.
    in_flight: Vec<Done>,
    /// Why every further batch is refused.
    refusal: Option<StoreError>,
    /// The ticks since the thread began a turn or a frame; `None` while it waits.
    busy: Option<u32>,
}

impl Shared {
    pub(super) fn commit(&self, writes: Vec<Write>, done: Done) {
        let mut waiting = self.waiting.lock();
        if let Some(refusal) = waiting.refusal.clone() {
            drop(waiting);
            return done(Err(refusal));
        }
        waiting.batches.push((writes, done));
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

    /// Everything that came since the last call; waits for the first, for so long at most. From now on a failure answers the
    /// callers, wherever the disk hangs.
    fn next(&self, longest: Duration) -> (Vec<Vec<Write>>, Vec<Ask>) {
        let mut waiting = self.waiting.lock();
        if waiting.batches.is_empty() && waiting.asks.is_empty() {
            waiting.busy = None;
            let _ = self.arrived.wait_for(&mut waiting, longest);
        }
        waiting.busy = Some(0);
        let (batches, callers) = take(&mut waiting.batches).into_iter().unzip();
        waiting.in_flight = callers;
        (batches, take(&mut waiting.asks))
    }

    /// The outcome of the frame that was being written is unknown: everything is refused from now on.
    pub(super) fn fail(&self, reason: &str) {
        self.refuse(&StoreError::Unavailable(reason.to_owned()), &StoreError::Unknown(reason.to_owned()));
        // Last: a reader of the failure finds every batch answered.
        self.failed.send_if_modified(|failed| {
            let is_first = failed.is_none();
            if is_first {
                tracing::error!(reason, "store failed, everything is refused until a restart");
                *failed = Some(reason.to_owned());
            }
            is_first
        });
    }

    /// Why the store has failed, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Returns why the store has failed, when it has.
    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        // The sender lives as long as `self`.
        let reason = failed.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// Why the journal refused the last batch, if it did. The log has the first refusal, and the end of them.
    pub(super) fn report(&self, trouble: Option<String>) {
        let mut before = self.trouble.lock();
        match (&*before, &trouble) {
            (None, Some(reason)) => tracing::error!(reason, "journal unavailable, writes refused"),
            (Some(_), None) => tracing::info!("journal available again"),
            _ => {}
        }
        *before = trouble;
    }

    /// `Ok` while writes can be expected to succeed.
    pub(super) fn health(&self) -> Result<(), String> {
        let ticks = self.waiting.lock().busy.unwrap_or_default();
        match (self.failure(), &*self.trouble.lock()) {
            (Some(reason), _) => Err(format!("the store has failed, and only a restart helps: {reason}")),
            _ if ticks > IS_REPORTED_AFTER => Err(format!("the disk has not finished a write for {ticks} s")),
            (None, Some(reason)) => Err(format!("the journal is not writable: {reason}")),
            (None, None) => Ok(()),
        }
    }

    /// The thread has ended.
    pub(super) fn close(&self) {
        {
            let mut waiting = self.waiting.lock();
            (waiting.refusal, waiting.busy) = (Some(StoreError::Closed), None);
        }
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
        for (_, done) in refused {
            done(Err(refusal.clone()));
        }
    }

    /// Looks at each tick whether the thread goes on, until the store is dropped. A write that hangs for 30 ticks has an
    /// unknown outcome. Ticks are counted, because a suspended machine writes nothing.
    pub(super) fn watch(shared: &Weak<Self>, tick: Duration, journal: &Path) {
        loop {
            thread::sleep(tick);
            let Some(shared) = shared.upgrade() else { return };
            let ticks = shared.waiting.lock().busy.as_mut().map_or(0, |ticks| {
                *ticks += 1;
                *ticks
            });
            if ticks >= GIVES_UP_AFTER {
                let journal = journal.display();
                return shared.fail(&format!("the disk has not finished a write for {ticks} s in {journal}"));
            }
        }
    }
}

/// The checkpoint that is being made.
pub(super) struct Running {
    replies: Vec<Reply>,
    /// The size of the journal at its beginning: the part that it replaces.
    began_at: u64,
    began: Timestamp,
    thread: JoinHandle<()>,
}

/// The state of the thread.
pub(super) struct Writer {
    pub(super) options: OpenOptions,
    pub(super) directory: Directory,
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) snapshot: Manifest,
    /// The bytes of the journal after the snapshot; 0 if it has no records.
    pub(super) grown: u64,
    pub(super) asked: Asked,
    /// The number of checkpoints that began.
    pub(super) checkpoints: u64,
    pub(super) running: Option<Running>,
    /// When a checkpoint that failed is repeated, and why it failed.
    pub(super) failed: Option<(Timestamp, String)>,
}

/// What the owner and the handle of the store want.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) owner: Option<Owner>,
    /// Callers that wait for the next checkpoint to begin.
    pub(super) checkpoints: Vec<Reply>,
    /// Whether that is the last one.
    pub(super) is_last: bool,
    /// The caller that waits for the end.
    pub(super) end: Option<Reply>,
    pub(super) is_abandoned: bool,
}

impl Writer {
    /// Runs until the store is closed or dropped. Returns the caller that waits for the end, and its result.
    pub(super) fn run(mut self) -> Option<(Reply, Result<(), StoreError>)> {
        let shared = Arc::clone(&self.shared);
        loop {
            *shared.sizes.lock() = StoreSizes {
                journal_bytes: self.grown,
                snapshot_bytes: self.snapshot.bytes(),
                snapshot_time: self.snapshot.time,
            };
            let (batches, asks) = shared.next(self.options.tick);
            if batches.is_empty() && asks.is_empty() {
                self.idle();
            }
            for ask in asks {
                ask(&mut self);
            }
            // Before a commit that the journal is too long for without one.
            self.checkpoint_if_due();
            if !batches.is_empty() {
                self.write(batches);
            }
            if self.asked.end.is_some() || self.asked.is_abandoned {
                shared.close();
                // The thread would go on to write into the directory, unless it hangs.
                let is_hopeless = self.checkpoint_hangs();
                self.running.take().filter(|_| !is_hopeless).map(|running| running.thread.join());
                return self.asked.end.take().map(|reply| (reply, self.finish()));
            }
        }
    }

    /// Makes these batches durable in one frame, and answers them. Without one the frame only has the time.
    fn write(&mut self, batches: Vec<Vec<Write>>) {
        if self.shared.failure().is_some() {
            // Every caller has been answered.
            return;
        }
        // The disk has so long for each frame, whatever the turn did before.
        self.shared.waiting.lock().busy = Some(0);
        let writes: Vec<Write> = batches.into_iter().flatten().collect();
        let appended = self.append(&writes);
        if let Err(StoreError::Unknown(reason)) = &appended {
            return self.shared.fail(reason);
        }
        self.shared.report(appended.as_ref().err().map(StoreError::reason));
        let callers = take(&mut self.shared.waiting.lock().in_flight);
        for done in callers {
            done(appended.clone());
        }
    }

    fn append(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let now = self.options.clock.now();
        if self.grown >= self.most_bytes() {
            let why = self.failed.as_ref().map_or("the next checkpoint is not finished yet", |(_, why)| why);
            let reason = format!("the journal is full, because no checkpoint has emptied it: {why}");
            // Only a restart ends one that hangs.
            let refused = if self.checkpoint_hangs() { StoreError::Unknown } else { StoreError::Unavailable };
            return Err(refused(reason));
        }
        let length = self.journal.append(now, writes)?;
        if self.grown > 0 || !writes.is_empty() {
            self.grown += length as u64;
        }
        Ok(())
    }

    /// Handles an idle period: writes the time for the next start, and tries a journal in trouble. A load balancer that
    /// only asks for health sends no writes until it is good; therefore writes alone would not find out.
    fn idle(&mut self) {
        let is_due = self.options.clock.now().since(self.journal.last_time) >= TIME_EVERY;
        let is_in_trouble = self.shared.trouble.lock().is_some();
        if (is_due || is_in_trouble) && !self.asked.is_last {
            self.write(Vec::new());
        }
    }

    /// The size of the journal at which a checkpoint begins.
    fn checkpoint_threshold(&self) -> u64 {
        // No server waits for a checkpoint of an import: the next start makes one.
        let least = if self.options.importing { u64::MAX } else { self.options.checkpoint_bytes };
        least.max(self.snapshot.bytes() / 2)
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
    fn checkpoint_hangs(&self) -> bool {
        let now = self.options.clock.now();
        self.running.as_ref().is_some_and(|running| now.since(running.began) >= CHECKPOINT_HANGS_AFTER)
    }

    fn checkpoint_if_due(&mut self) {
        if self.running.is_some() {
            if !self.asked.checkpoints.is_empty() && self.checkpoint_hangs() {
                let replies = take(&mut self.asked.checkpoints);
                self.checkpoint_ended(replies, &Err(StoreError::Unavailable("it hangs".to_owned())));
            }
            return;
        }
        let now = self.options.clock.now();
        let is_old = now.since(self.snapshot.time) >= CHECKPOINT_EVERY;
        let is_wanted = self.grown >= self.checkpoint_threshold() || is_old;
        let repeats = self.failed.as_ref().map_or(is_wanted, |(repeat_at, _)| now >= *repeat_at);
        let is_due = repeats && !self.asked.is_last;
        let is_needed = self.grown > 0 || self.failed.is_some();
        let may_begin = self.asked.owner.is_some() && is_needed && self.shared.failure().is_none();
        let replies = take(&mut self.asked.checkpoints);
        if may_begin && (is_due || !replies.is_empty()) {
            self.begin_checkpoint(replies);
        } else {
            answer(replies, &Ok(()));
        }
    }

    /// Begins a checkpoint of everything that was written so far. Every older batch has been answered; therefore the
    /// owner holds it when it gets its stream. Without a new record, only removes what the last one replaces.
    fn begin_checkpoint(&mut self, replies: Vec<Reply>) {
        self.checkpoints += 1;
        match self.start_checkpoint() {
            Ok(thread) => {
                let (began_at, began) = (self.grown, self.options.clock.now());
                self.running = Some(Running { replies, began_at, began, thread });
            }
            Err(error) => self.checkpoint_ended(replies, &Err(error)),
        }
    }

    fn start_checkpoint(&mut self) -> Result<JoinHandle<()>, StoreError> {
        let Some(owner) = &self.asked.owner else { return Err(StoreError::Closed) };
        let (stream, records) = mpsc::channel(WAITING_SLICES);
        let (shared, directory) = (self.shared.clone(), self.directory.clone());
        let (disk, mut covered) = (self.journal.disk.clone(), self.snapshot.covered.segment);
        let mut attempt = None;
        if self.grown > 0 {
            attempt = Some(Attempt {
                covered: self.journal.begin_segment()?,
                disk: disk.clone(),
                directory: directory.snapshot.clone(),
                number: self.checkpoints,
                time: self.journal.last_time,
                records,
                database_bytes: self.options.database_bytes,
                pause: if self.asked.is_last { Duration::ZERO } else { self.options.pause },
            });
        }
        let makes_snapshot = attempt.is_some();
        let run = move || {
            let make = || {
                if let Some(attempt) = attempt {
                    let snapshot = attempt.make()?;
                    covered = snapshot.covered.segment;
                    // Also if the removal fails or hangs.
                    shared.ask(move |writer| writer.sealed(snapshot));
                }
                discard(&disk, &directory, covered)
            };
            let result = make();
            shared.ask(move |writer| {
                if let Some(running) = writer.running.take() {
                    writer.checkpoint_ended(running.replies, &result);
                }
            });
        };
        let thread = Builder::new().name("snapshot".into()).spawn(run);
        let failed = |error| StoreError::Unavailable(format!("cannot start a thread: {error}"));
        let thread = thread.map_err(failed)?;
        if makes_snapshot {
            owner(stream);
        }
        Ok(thread)
    }

    fn sealed(&mut self, snapshot: Manifest) {
        if let Some(running) = &self.running {
            self.grown -= running.began_at;
            self.snapshot = snapshot;
        }
    }

    fn checkpoint_ended(&mut self, replies: Vec<Reply>, result: &Result<(), StoreError>) {
        let repeat_at = self.options.clock.now().plus(REPEATED_AFTER);
        let trouble = result.as_ref().err().map(StoreError::reason);
        if let Some(reason) = &trouble {
            tracing::error!(reason, "checkpoint failed, will be repeated");
        } else if self.failed.is_some() {
            tracing::info!("checkpoint succeeded again");
        }
        self.failed = trouble.map(|reason| (repeat_at, reason));
        if !self.asked.is_last {
            // Not before, because the checkpoint may have needed the space. Without it the current segment goes on.
            let _ = self.journal.reserve();
        }
        answer(replies, result);
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        if let Some(reason) = self.shared.failure() {
            return Err(StoreError::Unavailable(reason));
        }
        self.journal.close(self.options.clock.now())?;
        if self.options.importing {
            self.directory.write_format(self.options.key_fingerprint, &self.journal.disk)?;
        }
        match &self.failed {
            Some((_, reason)) => Err(StoreError::Unavailable(format!(
                "the snapshot is not up to date ({reason}); what it lacks is in the journal, which the next start replays"
            ))),
            None => Ok(()),
        }
    }
}

fn answer(replies: Vec<Reply>, result: &Result<(), StoreError>) {
    for reply in replies {
        let _ = reply.send(result.clone());
    }
}
