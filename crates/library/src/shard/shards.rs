//! The start of the shards, the handle on all of them, and the actor that passes messages to a [`Core`] and the core's
//! commits to the store.

use std::ops::ControlFlow::{self, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::core::{Admission, Command, Core, Decide, Subject};
use super::record::{Kinds, Record, RecordKey, Refusal, Stored};
use super::tables::{Change, Records, Tables, Transaction, first};
use crate::clock::{Clock, EngineClock, Stopwatch};
use crate::config::Bounds;
use crate::engine::SLOTS;
use crate::observe::metrics::Metrics;
use crate::store::{RecordStream, SLICE_RECORDS, Store, StoreError, Write};

/// Wait before a slice that was refused is read again.
const STREAM_RETRY: Duration = Duration::from_millis(1);

/// The dependencies of shards.
pub struct ShardDeps {
    /// Makes batches durable.
    pub store: Box<dyn Store>,
    /// The time of decisions.
    pub clock: EngineClock,
    /// The most commands of a number, and the longest duration of a commit.
    pub bounds: Bounds,
    /// Counts commits.
    pub metrics: Arc<Metrics>,
}

/// A cheap handle on all shards. The slot modulo their number is the index of its shard.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

struct Inner {
    mailboxes: Vec<Mailbox>,
    shared: Arc<Shared>,
    /// Held while a page of a list is read.
    page: tokio::sync::Mutex<()>,
}

impl Shards {
    /// Restores every record of these kinds from the store and starts so many shards, at least 1. `rng` seeds the random
    /// source of each.
    ///
    /// # Errors
    /// If the store cannot be read or contains a record that this version cannot decode: a shard never starts empty over
    /// unreadable data.
    pub async fn start(
        deps: ShardDeps,
        shards: usize,
        kinds: Kinds,
        mut rng: StdRng,
    ) -> Result<Self, StoreError> {
        let limits = deps.store.limits();
        let count = shards.min(limits.owners).clamp(1, SLOTS);
        let tables = restore(&*deps.store, kinds, count).await?;
        let shared = Arc::new(Shared { deps, has_failed: watch::Sender::default() });
        let mut mailboxes = Vec::with_capacity(count);
        for tables in tables {
            let core = Core::new(tables, StdRng::from_rng(&mut rng), shared.deps.bounds.clone(), limits);
            let state = Shard { core, hands_over: false, last_batch: 0, shared: Arc::clone(&shared) };
            // One without a name always starts.
            let spawned = ShardActor::spawn(None, ShardActor, state).await;
            mailboxes.push(spawned.map_err(|error| StoreError::Unavailable(error.to_string()))?.0);
        }
        let shards = Self(Arc::new(Inner { mailboxes, shared, page: tokio::sync::Mutex::default() }));
        let (weak, runtime) = (Arc::downgrade(&shards.0), Handle::current());
        let stream = move |to| {
            // Without it the stream is dropped, which aborts the checkpoint.
            if let Some(inner) = weak.upgrade() {
                runtime.spawn(Self(inner).stream(to));
            }
        };
        shards.store().attach(Box::new(stream));
        Ok(shards)
    }

    /// Gives a checkpoint every record, as it is when it is durable. The checkpoint is aborted if this ends before.
    async fn stream(self, to: RecordStream) {
        for slot in self.one_of_each() {
            let mut next = Some(first(0, 0));
            while let Some(from) = next {
                let read = move |view: &Transaction<'_>| view.tables.slice(from, SLICE_RECORDS, view.now());
                match self.read(slot, read).await {
                    Ok((slice, behind)) => {
                        let slice = slice.into_iter().map(|(key, Stored { bytes, expires })| Write {
                            key,
                            put: Some(bytes),
                            expires,
                        });
                        if to.send(Some(slice.collect())).await.is_err() {
                            return;
                        }
                        next = behind;
                    }
                    // It was behind a change that is undone.
                    Err(Refusal::StoreUnavailable) if self.owns_records() && !to.is_closed() => {
                        tokio::time::sleep(STREAM_RETRY).await;
                    }
                    // It would be refused for good, or is not wanted any more.
                    Err(_) => return,
                }
            }
        }
        let _ = to.send(None).await;
    }

    /// The number of shards.
    pub fn count(&self) -> usize {
        self.0.mailboxes.len()
    }

    /// One slot of each shard.
    pub(super) fn one_of_each(&self) -> impl Iterator<Item = u8> + use<> {
        (0..=u8::MAX).take(self.count())
    }

    /// The time of decisions.
    pub fn clock(&self) -> &dyn Clock {
        &self.0.shared.deps.clock
    }

    /// Counts what happens in this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.shared.deps.metrics
    }

    /// What makes the records durable.
    pub fn store(&self) -> &dyn Store {
        &*self.0.shared.deps.store
    }

    /// Hands a command to the shard that owns its slot.
    pub fn submit(&self, command: Command) {
        let shard = &self.0.mailboxes[usize::from(command.subject.slot) % self.count()];
        let sent = shard.cast(ShardMessage::Command(command));
        if let Err(MessagingErr::SendErr(ShardMessage::Command(Command { decide, .. }))) = sent {
            decide(Err(Refusal::Stopping));
        }
    }

    /// Decides a change of records of one subject, even if the caller does not wait for the answer. It comes when the
    /// change, or what an error rests on, is durable; none comes if the decision panics. After [`Refusal::OutcomeUnknown`] the
    /// change may have been made.
    pub fn decide<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        subject: Subject,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        let (reply, answer) = oneshot::channel();
        let decide: Decide = Box::new(move |view| match view {
            Ok(view) => {
                let made = decide(view).inspect_err(|_| view.discard());
                Some(Box::new(move |fate, _| {
                    let _ = reply.send(fate.map_err(E::from).and(made));
                    None
                }))
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal.into()));
                None
            }
        });
        self.submit(Command { subject, admit: Admission::Unbounded, decide });
        answer
    }

    /// Reads the records of the shard that owns a slot, as they are now. The answer comes when they are durable.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn read<T: Send + 'static>(
        &self,
        slot: u8,
        read: impl FnOnce(&Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let read = self.decide(Subject::of_slot(slot), move |view| Ok(read(view)));
        read.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Those of these keys under which there is a live record.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn existing(&self, keys: impl Iterator<Item = RecordKey>) -> Result<Vec<RecordKey>, Refusal> {
        let exists = async |key: RecordKey| {
            let is_live = move |view: &Transaction<'_>| view.tables.is_live(&key, view.now());
            Ok(self.read(key.slot, is_live).await?.then_some(key))
        };
        Ok(try_join_all(keys.map(exists)).await?.into_iter().flatten().collect())
    }

    /// Reads the records of each shard in pages, from `first` on, until `visit` breaks or there is no further one. All lists
    /// together read one page at a time, and the network and all other tasks run before each. Otherwise a few clients that
    /// read long lists would delay every commit.
    pub(super) async fn pages<P: Copy + Send + 'static>(
        &self,
        first: P,
        read: impl Fn(&Transaction<'_>, P) -> (Records, Option<P>) + Clone + Send + 'static,
        mut visit: impl FnMut(Records, Option<P>) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        for slot in self.one_of_each() {
            let mut next = Some(first);
            while let Some(from) = next {
                let _turn = self.0.page.lock().await;
                tokio::task::yield_now().await;
                let read = read.clone();
                let records;
                (records, next) = self.read(slot, move |view| read(view, from)).await?;
                if visit(records, next).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands every live record of a kind to `visit`, in pages.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn for_each<R: Record>(&self, mut visit: impl FnMut(RecordKey, R)) -> Result<(), Refusal> {
        let page = |view: &Transaction<'_>, from| view.tables.page(from, PAGE, view.now());
        let each = |records: Records, _| {
            for (key, stored) in records {
                stored.record().into_iter().for_each(|record| visit(key, record));
            }
            Continue(())
        };
        self.pages(first(0, R::KIND), page, each).await
    }

    /// Does this to the tables of every shard, before all later commands.
    pub(super) fn set_up(&self, set_up: impl Fn(&mut Tables) + Clone + Send + 'static) {
        for slot in self.one_of_each() {
            let set_up = set_up.clone();
            let decide: Decide = Box::new(move |view| {
                set_up(view.ok()?.tables);
                None
            });
            self.submit(Command { subject: Subject::of_slot(slot), admit: Admission::Settlement, decide });
        }
    }

    /// Tells `follower` the durable changes of a kind, those of a decision together, and first all records.
    pub fn follow<R: Record>(
        &self,
        follower: impl FnMut(&mut dyn Iterator<Item = Change>) + Clone + Send + 'static,
    ) {
        self.set_up(move |tables| tables.follow(R::KIND, Box::new(follower.clone())));
    }

    /// Waits until everything that the shards were asked before is durable, or refused by the store. Returns `false` if a
    /// shard has ended.
    pub async fn flush(&self) -> bool {
        let mut is_complete = true;
        for slot in self.one_of_each() {
            is_complete &= self.read(slot, |_| ()).await != Err(Refusal::Stopping);
        }
        is_complete
    }

    /// Whether this process certainly owns the records now. While it does not, no message may be sent.
    pub fn owns_records(&self) -> bool {
        self.0.shared.owns_records()
    }

    /// Whether a shard has failed.
    pub fn has_failed(&self) -> bool {
        *self.0.shared.has_failed.borrow()
    }

    /// Returns when a shard has failed: all of them refuse everything, and only a new process helps.
    pub async fn failed(&self) {
        let mut has_failed = self.0.shared.has_failed.subscribe();
        // The sender lives as long as `self`.
        let _ = has_failed.wait_for(|has_failed| *has_failed).await;
    }

    /// Commits all changes that the shards hold, closes the store and stops the shards. The last checkpoint needs the shards.
    /// The caller must first wait for all commands in flight.
    ///
    /// # Errors
    /// When the store could not be closed in an orderly way; what was answered is in the journal.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.flush().await;
        let closed = self.store().close().await;
        self.stop();
        closed
    }

    /// Stops the shards, and leaves the store open.
    pub fn stop(&self) {
        self.0.mailboxes.iter().for_each(|shard| shard.stop(None));
    }
}

/// Records that are read at once: a shard copies them in some 50 us.
pub(super) const PAGE: usize = 512;

/// Records that one step of the sweep looks at: about 0.1 ms of work.
const SWEEP_STEP: usize = 8_000;

/// From so many records in the last batch on, the next one waits for a turn of the event loop, in which every socket that is
/// ready is read. A commit costs 40 to 60 us of CPU whatever it has; a few clients would only wait longer for the disk.
const GATHERS_FROM: usize = 16;

/// Time between two steps: a million records are seen in 19 s.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// Where a shard takes messages. The limit on commands in flight bounds them.
type Mailbox = ActorRef<ShardMessage>;

/// The messages of a shard.
enum ShardMessage {
    Command(Command),
    /// Hands the store what was decided. The shard sends it to itself behind the commands that came together.
    HandOver,
    /// The result of the commit in flight.
    Committed(Result<(), StoreError>),
    /// Time for a step of the sweep.
    Sweep,
}

/// State that all shards share.
struct Shared {
    deps: ShardDeps,
    /// Whether a shard has panicked: then all of them refuse everything, and only a new process helps.
    has_failed: watch::Sender<bool>,
}

impl Shared {
    /// Whether this process certainly owns the records, and its memory is right.
    fn owns_records(&self) -> bool {
        self.deps.store.owns_records() && !*self.has_failed.borrow()
    }
}

struct ShardActor;

struct Shard {
    core: Core,
    /// Whether [`ShardMessage::HandOver`] is on its way.
    hands_over: bool,
    /// Records of the last batch; 0 once the next one has waited.
    last_batch: usize,
    shared: Arc<Shared>,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = Shard;
    type Arguments = Shard;

    async fn pre_start(&self, myself: Mailbox, shard: Shard) -> Result<Shard, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || ShardMessage::Sweep);
        Ok(shard)
    }

    async fn handle(
        &self,
        myself: Mailbox,
        message: ShardMessage,
        shard: &mut Shard,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(message, ShardMessage::HandOver) && shard.last_batch >= GATHERS_FROM {
            shard.last_batch = 0;
            tokio::task::yield_now().await;
            return Ok(myself.cast(ShardMessage::HandOver)?);
        }
        catch_unwind(AssertUnwindSafe(|| shard.handle(&myself, message))).unwrap_or_else(|_| {
            shard.shared.has_failed.send_replace(true);
            tracing::error!("shard failed, everything is refused until a restart");
            Err("it panicked".into())
        })
    }
}

impl Shard {
    fn handle(&mut self, myself: &Mailbox, message: ShardMessage) -> Result<(), ActorProcessingErr> {
        let (core, now) = (&mut self.core, self.shared.deps.clock.now());
        core.set_owns_records(self.shared.owns_records());
        match message {
            ShardMessage::Command(command) => core.submit(command, now),
            ShardMessage::HandOver => {
                self.hands_over = false;
                self.commit(myself);
            }
            ShardMessage::Committed(result) => core.committed(&result, now),
            ShardMessage::Sweep => core.sweep(SWEEP_STEP, now),
        }
        self.core.tables.hand_over_due(now);
        // Those that came together are one batch.
        if self.core.wants_commit() && !self.hands_over {
            self.hands_over = true;
            myself.cast(ShardMessage::HandOver)?;
        }
        Ok(())
    }

    /// Hands the store a batch, if the core has one.
    fn commit(&mut self, myself: &Mailbox) {
        if let Some(writes) = self.core.take_commit() {
            let (shard, metrics) = (myself.clone(), Arc::clone(&self.shared.deps.metrics));
            let (records, stopwatch) = (writes.len(), Stopwatch::start());
            self.last_batch = records;
            let done = move |result: Result<(), StoreError>| {
                metrics.commit(records, result.is_ok(), stopwatch.elapsed());
                let _ = shard.cast(ShardMessage::Committed(result));
            };
            self.shared.deps.store.commit(writes, Box::new(done));
        }
    }
}

/// The keys and lengths of some records, and the records one behind the other.
type Piece = (Vec<(RecordKey, usize)>, Vec<u8>);

/// Pieces that wait for their shards: nothing else of their size is in memory.
const PIECES: usize = 4;

/// A piece with more has no further record.
const PIECE_BYTES: usize = 1 << 20;

/// The tables of so many shards. One thread decodes what another one reads, which saves a sixth of a long start.
async fn restore(store: &dyn Store, kinds: Kinds, shards: usize) -> Result<Vec<Tables>, StoreError> {
    let (to, pieces) = sync_channel::<Piece>(PIECES);
    let load = spawn_blocking(move || {
        let mut tables: Vec<Tables> = std::iter::repeat_with(Tables::default).take(shards).collect();
        for (keys, records) in pieces {
            let mut rest = &records[..];
            for (key, len) in keys {
                let (record, behind) = rest.split_at(len);
                tables[usize::from(key.slot) % shards].load(key, record, &kinds)?;
                rest = behind;
            }
        }
        Ok::<_, StoreError>(tables)
    });
    let read = Arc::new(Mutex::new(Piece::default()));
    let (last, to_last) = (Arc::clone(&read), to.clone());
    let visit = move |key: RecordKey, _, record: &[u8]| {
        let mut piece = read.lock();
        piece.0.push((key, record.len()));
        piece.1.extend_from_slice(record);
        // After an error the receiver is gone; the error is the result.
        let is_whole = piece.0.len() == PAGE || piece.1.len() >= PIECE_BYTES;
        let is_taken = !is_whole || to.send(std::mem::take(&mut *piece)).is_ok();
        if is_taken { Ok(()) } else { Err(StoreError::Closed) }
    };
    let is_read = store.restore(Box::new(visit)).await;
    let _ = to_last.send(std::mem::take(&mut *last.lock()));
    drop(to_last);
    let tables = load.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
    is_read.map(|()| tables)
}
