//! The messages of shards, and the router that hands them to the shard of a slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, ActorStatus};
use tokio::sync::{Mutex, MutexGuard, oneshot};

use super::command::{Command, DecideOnce, Load, Subject};
use super::core::Core;
use super::map::END;
use super::record::{Record, RecordKey};
use super::refusal::Refusal;
use super::tables::{Records, Tables};
use super::transaction::Transaction;
use crate::domain::Timestamp;
use crate::engine::SLOTS;
use crate::store::{RecordStream, Slots, StoreError, StreamTurn};

/// Where a shard takes messages. The limit on commands in flight bounds them.
pub type Mailbox = ActorRef<ShardMessage>;

/// A function that runs on a shard.
type CallFn = Box<dyn FnOnce(&mut Core, Timestamp) + Send>;

/// The messages of a shard.
pub enum ShardMessage {
    Command(Box<dyn Command>),
    /// Hands the store what was decided. The shard sends it to itself behind the commands that came together.
    HandOver,
    /// The result of the commit in flight.
    Committed(Result<(), StoreError>),
    /// Runs a function between two commands.
    Call(CallFn),
    /// Time for a step of the sweep.
    Sweep,
    /// A checkpoint wants every record of the shard.
    Stream(RecordStream),
    /// The checkpoint has room for a slice of records; `None` if it was aborted.
    Slice(Option<StreamTurn>),
}

/// Maps slots to shards, and shards to mailboxes. The slot modulo the number of shards is the index of its owner.
pub struct Router {
    shards: Box<[ArcSwapOption<Mailbox>]>,
    /// Held while a page of a list is read.
    page: Mutex<()>,
}

impl Router {
    /// A router for `shards` shards, at least one and at most 256, none of which runs yet.
    pub fn new(shards: usize) -> Self {
        let shards = shards.clamp(1, SLOTS);
        Self { shards: (0..shards).map(|_| ArcSwapOption::empty()).collect(), page: Mutex::default() }
    }

    /// The number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The index of the shard that owns a slot.
    pub fn owner(&self, slot: u8) -> usize {
        usize::from(slot) % self.shards.len()
    }

    /// The slots of a shard.
    pub fn slots_of(&self, shard: usize) -> Slots {
        (0..=u8::MAX).filter(|slot| self.owner(*slot) == shard).collect()
    }

    /// Sets the mailbox of a shard; `None` while it restarts.
    pub(super) fn set_mailbox(&self, index: usize, shard: Option<Mailbox>) {
        if let Some(place) = self.shards.get(index) {
            place.store(shard.map(Arc::new));
        }
    }

    /// Hands a shard a message. One that ends meanwhile drops it; `None` if it does not run.
    pub(super) fn cast(&self, shard: usize, message: ShardMessage) -> Option<()> {
        self.shards.get(shard)?.load().as_ref()?.cast(message).ok()
    }

    /// Returns `true` if every shard is running.
    pub fn is_complete(&self) -> bool {
        self.shards.iter().all(|place| {
            place.load().as_deref().is_some_and(|shard| shard.get_status() == ActorStatus::Running)
        })
    }

    /// Hands a command to the shard that owns its slot. If that shard fails meanwhile, the command is dropped and its
    /// reply channel closes.
    pub fn send(&self, command: impl Command) {
        match &*self.shards[self.owner(command.subject().slot)].load() {
            Some(shard) => drop(shard.cast(ShardMessage::Command(Box::new(command)))),
            None => Box::new(command).refuse(Refusal::Stopping),
        }
    }

    /// Decides a change of records of one subject. The answer comes when it is durable; without one the shard has failed.
    /// After [`Refusal::OutcomeUnknown`] the change may have been made.
    pub fn decide<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        subject: Subject,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        self.decide_with(Load::UntilDecided, subject, decide)
    }

    /// The same for a change whose number the caller limits.
    pub fn decide_unbounded<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        subject: Subject,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        self.decide_with(Load::Unbounded, subject, decide)
    }

    fn decide_with<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        load: Load,
        subject: Subject,
        decide: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        let (reply, answer) = oneshot::channel();
        self.send(DecideOnce { subject, load, decide, reply });
        answer
    }

    /// The live record under a key.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn get<R: Record>(&self, key: RecordKey) -> Result<Option<R>, Refusal> {
        self.read(key.slot, move |tables, now| tables.get(&key, now)).await
    }

    /// The live records under these keys, encoded, in no exact order. The caller decodes them, because a shard that
    /// decodes decides nothing meanwhile.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while one of the shards does not run, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn get_each(&self, keys: impl IntoIterator<Item = RecordKey>) -> Result<Records, Refusal> {
        let mut by_owner = BTreeMap::<usize, Vec<RecordKey>>::new();
        for key in keys {
            by_owner.entry(self.owner(key.slot)).or_default().push(key);
        }
        let mut found = Vec::new();
        for (shard, keys) in by_owner {
            let get = move |tables: &Tables, now| {
                let stored = keys.into_iter().filter_map(|key| Some((key, tables.stored(&key)?)));
                stored.filter(|(_, stored)| now < stored.expires).collect::<Records>()
            };
            found.append(&mut self.read_shard(shard, get).await?);
        }
        Ok(found)
    }

    /// Waits for the turn to read one page of a list. All lists together read one page at a time, and the network and
    /// all other tasks run before each. Otherwise a few clients that read long lists would delay every commit.
    pub async fn page_turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.page.lock().await;
        tokio::task::yield_now().await;
        turn
    }

    /// Hands every live record of a kind to `visit`, in pages of so many. A record that moved meanwhile may come twice.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn for_each<R: Record>(
        &self,
        page: usize,
        mut visit: impl FnMut(RecordKey, R),
    ) -> Result<(), Refusal> {
        for shard in 0..self.shards() {
            let mut next = Some(END);
            while let Some(end) = next {
                let _turn = self.page_turn().await;
                let read = move |tables: &Tables, now| tables.page(R::KIND, end, page, now);
                let records;
                (records, next) = self.read_shard(shard, read).await?;
                for (key, stored) in records {
                    if let Some(record) = stored.record() {
                        visit(key, record);
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes those of these records for which `may_evict` returns `true`. Returns when they are gone from the disk.
    ///
    /// # Errors
    /// [`Refusal`]: some may be left.
    pub async fn evict<R: Record>(
        &self,
        keys: impl IntoIterator<Item = RecordKey>,
        may_evict: impl Fn(&R) -> bool + Copy + Send + 'static,
    ) -> Result<(), Refusal> {
        let evict = |RecordKey { slot, id, .. }| {
            self.decide_unbounded(Subject { slot, id }, move |view| {
                if view.get::<R>(id).is_some_and(|record| may_evict(&record)) {
                    view.put::<R>(id, None);
                }
                Ok::<_, Refusal>(())
            })
        };
        for evicted in keys.into_iter().map(evict).collect::<Vec<_>>() {
            evicted.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        Ok(())
    }

    /// Reads the records of the shard that owns a slot, as they are now. The answer comes when they are durable.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn read<T: Send + 'static>(
        &self,
        slot: u8,
        read: impl FnOnce(&Tables, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.read_shard(self.owner(slot), read).await
    }

    /// The same for a shard by its index.
    ///
    /// # Errors
    /// As [`Router::read`].
    pub async fn read_shard<T: Send + 'static>(
        &self,
        shard: usize,
        read: impl FnOnce(&Tables, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let read = move |core: &mut Core, now: Timestamp| {
            let found = read(core.tables(), now);
            core.when_durable(move |fate| drop(reply.send(fate.map(|()| found))), now);
        };
        self.cast(shard, ShardMessage::Call(Box::new(read))).ok_or(Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Returns once a shard has done what it was asked before, whatever the store says.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the shard does not run.
    pub async fn answers(&self, shard: usize) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let call = move |_: &mut Core, _| {
            let _ = reply.send(());
        };
        self.cast(shard, ShardMessage::Call(Box::new(call))).ok_or(Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)
    }
}
