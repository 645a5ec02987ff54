//! Commands: the requests that shards decide.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::record::{Hasher, Id, Record, RecordKey};
use super::refusal::Refusal;
use super::tables::Tables;
use super::transaction::Transaction;
use crate::domain::{ServiceId, Timestamp, record_id};
use crate::engine::SlotHash;

/// The unit of ordering and of limits, for example a number. A shard decides the commands of one subject in arrival
/// order, and limits how many of them wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The slot of every record that the command may read or change.
    pub slot: u8,
    /// Tells subjects of one slot apart.
    pub id: Id,
}

impl Subject {
    /// A record of a service in the slot of its id, in which `subject` says what it is about.
    pub fn of(service: ServiceId, subject: u64, slots: &SlotHash) -> Self {
        let id = record_id(service, subject);
        Self { slot: slots.of(id), id }
    }

    /// The record of a name, in no service.
    pub fn of_name(name: &impl Serialize, slots: &SlotHash) -> Self {
        Self::of(ServiceId::DEFAULT, name_digest(name), slots)
    }
}

/// The first 8 bytes of the SHA-256 of a name.
pub fn name_digest(name: &impl Serialize) -> u64 {
    #[expect(clippy::expect_used, reason = "postcard can describe a name")]
    let bytes = postcard::to_extend(name, Vec::new()).expect("a name in memory");
    Sha256::digest(&bytes).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Whether what a decision wrote is durable.
pub type Fate = Result<(), Refusal>;

/// What a decision leaves to do, with either fate: the answer, and further effects.
pub type Then = Box<dyn FnOnce(Fate, &mut After<'_>) + Send>;

/// A request to a shard.
pub trait Command: Send + 'static {
    /// The subject of all records that it reads or changes.
    fn subject(&self) -> Subject;

    /// Its weight against the bound of its subject.
    fn load(&self) -> Load {
        Load::Unbounded
    }

    /// Decides, once. What is left to do happens when all that it wrote or read is durable, or has failed. `None` if the
    /// command is refused, which it has answered: then its writes are undone.
    fn decide(self: Box<Self>, view: &mut Transaction<'_>) -> Option<Then>;

    /// Answers that the shard refused the command before it was decided.
    fn refuse(self: Box<Self>, refusal: Refusal);
}

/// The weight of a command against the bound of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Without a bound.
    Unbounded,
    /// Until its decision is answered or its message goes to a gateway.
    UntilDecided,
    /// Until it is answered, also while a gateway has it.
    UntilAnswered,
    /// Delivers the result of an earlier command. It has no limit, and is decided also while the store hangs: what a gateway
    /// has done cannot be refused.
    Settlement,
}

/// What is at hand when the fate of a decision is known. Memory may be ahead of it.
pub struct After<'a> {
    pub(super) tables: &'a Tables,
    pub(super) now: Timestamp,
    pub(super) queued: &'a mut VecDeque<Box<dyn Command>>,
    pub(super) at_gateway: bool,
}

impl After<'_> {
    /// The moment of the answer.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A record as it is now.
    pub fn get<R: Record>(&self, slot: u8, id: Id) -> Option<R> {
        self.tables.get(&RecordKey { slot, kind: R::KIND, id }, self.now)
    }

    /// Queues a command ahead of all later commands.
    pub fn enqueue(&mut self, command: impl Command) {
        self.queued.push_back(Box::new(command));
    }

    /// Marks the command as waiting for a gateway.
    pub const fn mark_at_gateway(&mut self) {
        self.at_gateway = true;
    }
}

/// A change in one function, carried out even if the caller does not wait for the answer.
pub(super) struct DecideOnce<D, T, E> {
    pub(super) subject: Subject,
    pub(super) load: Load,
    pub(super) decide: D,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<D, T, E> Command for DecideOnce<D, T, E>
where
    D: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Refusal> + Send + 'static,
{
    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        self.load
    }

    fn decide(self: Box<Self>, view: &mut Transaction<'_>) -> Option<Then> {
        let Self { decide, reply, .. } = *self;
        let made = decide(view);
        if made.is_err() {
            view.discard();
        }
        // The caller may be gone.
        Some(Box::new(move |fate, _| drop(reply.send(fate.map_err(E::from).and(made)))))
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let Self { decide, reply, .. } = *self;
        // The caller finds free what the change held.
        drop(decide);
        let _ = reply.send(Err(refusal.into()));
    }
}

/// Commands about one subject that are not answered yet.
#[derive(Default, Clone, Copy)]
struct SubjectLoad {
    /// All of them, those at a gateway included.
    unanswered: usize,
    /// Commands that wait for the store.
    queued: usize,
}

/// The number of commands in progress for each subject.
#[derive(Default)]
pub struct Loads(HashMap<Subject, SubjectLoad, Hasher>);

impl Loads {
    /// The number of commands that count against this command's limit. A send at a gateway does not count against
    /// checks: a hanging gateway blocks no check.
    pub fn of(&self, command: &dyn Command) -> usize {
        let counts = || self.0.get(&command.subject()).copied().unwrap_or_default();
        match command.load() {
            Load::Unbounded | Load::Settlement => 0,
            Load::UntilDecided => counts().queued,
            Load::UntilAnswered => counts().unanswered,
        }
    }

    /// Whether nothing is in progress.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a command.
    pub fn add(&mut self, command: &dyn Command) {
        let counts = self.0.entry(command.subject()).or_default();
        // A settlement is about a command that is counted already.
        counts.unanswered += usize::from(command.load() != Load::Settlement);
        counts.queued += 1;
    }

    /// A command of this subject went on to a gateway, or has its answer.
    pub fn unqueue(&mut self, subject: &Subject, answered: bool) {
        let Some(counts) = self.0.get_mut(subject) else { return };
        counts.queued = counts.queued.saturating_sub(1);
        counts.unanswered = counts.unanswered.saturating_sub(usize::from(answered));
        if counts.queued == 0 && counts.unanswered == 0 {
            self.0.remove(subject);
        }
    }
}
