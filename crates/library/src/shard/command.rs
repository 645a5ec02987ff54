//! Commands: the requests that shards decide.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::record::{Id, Record, RecordKey};
use super::refusal::{Full, Refusal};
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

/// A request to a shard. A decision is data: nothing of it happens before its changes are durable, and one that the shard
/// discards leaves no trace.
pub trait Command: Sized + Send + 'static {
    /// What is left to do when the changes are durable: the answer, and further effects.
    type Made: Send + 'static;

    /// The subject of all records that it reads or changes.
    fn subject(&self) -> Subject;

    /// Its weight against the bound of its subject.
    fn load(&self) -> Load {
        Load::Unbounded
    }

    /// Whether the decision may have no durable change: then the shard decides it beside the batch in flight. A decision
    /// that has one nevertheless is made again with the next batch.
    fn may_be_lazy(&self, view: &mut Transaction<'_>) -> bool {
        let _ = view;
        false
    }

    /// Decides the command. The shard may call it again: when room was made, when changes cannot be lazy, or when the
    /// command had to wait.
    fn decide(&self, view: &mut Transaction<'_>) -> Decided<Self::Made>;

    /// Does what the last decision left to do. Every record that it read or changed is durable.
    fn perform(self, made: Self::Made, after: &mut After<'_>);

    /// Answers that the shard refused the command.
    fn refuse(self, refusal: Refusal);
}

/// The result of [`Command::decide`].
#[derive(Debug, PartialEq, Eq)]
pub enum Decided<M> {
    /// The changes are in the transaction, and this is left to do.
    Made(M),
    /// The command waits for a gateway's answer, and later ones about its subject behind it. A command that delivers an
    /// answer ([`Load::Settlement`]) never waits.
    Wait,
    /// The shard refuses the command, for this reason.
    Refused(Refusal),
    /// The shard decides once more if it can free expired records that take the place, else it refuses the command with
    /// [`Refusal::TableFull`].
    Full(Full),
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
    /// Delivers the result of an earlier command. It has no limit and never waits.
    Settlement,
}

/// What is at hand when the changes of a command are durable.
pub struct After<'a> {
    pub(super) tables: &'a Tables,
    pub(super) now: Timestamp,
    pub(super) queued: Vec<Box<dyn AnyCommand>>,
    pub(super) at_gateway: bool,
}

impl After<'_> {
    /// The moment of the answer.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A record as it is now that the whole batch is durable.
    pub fn get<R: Record>(&self, slot: u8, id: Id) -> Option<R> {
        self.tables.get(&RecordKey { slot, kind: R::KIND, id }, self.now)
    }

    /// Queues a command ahead of all later commands.
    pub fn enqueue(&mut self, command: impl Command) {
        self.queued.push(boxed(command));
    }

    /// Marks the command as waiting for a gateway.
    pub const fn mark_at_gateway(&mut self) {
        self.at_gateway = true;
    }
}

/// A command of any type, with what its last decision left to do.
pub trait AnyCommand: Send {
    fn subject(&self) -> Subject;
    fn load(&self) -> Load;
    fn may_be_lazy(&self, view: &mut Transaction<'_>) -> bool;
    fn decide(&mut self, view: &mut Transaction<'_>) -> Decided<()>;
    fn perform(self: Box<Self>, after: &mut After<'_>);
    fn refuse(self: Box<Self>, refusal: Refusal);
}

struct WithDecision<C: Command> {
    command: C,
    made: Option<C::Made>,
}

/// The form in which shards hold commands.
pub fn boxed(command: impl Command) -> Box<dyn AnyCommand> {
    Box::new(WithDecision { command, made: None })
}

impl<C: Command> AnyCommand for WithDecision<C> {
    fn subject(&self) -> Subject {
        self.command.subject()
    }

    fn load(&self) -> Load {
        self.command.load()
    }

    fn may_be_lazy(&self, view: &mut Transaction<'_>) -> bool {
        self.command.may_be_lazy(view)
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decided<()> {
        // What an earlier decision reserved is free for this one.
        self.made = None;
        match self.command.decide(view) {
            Decided::Made(made) => {
                self.made = Some(made);
                Decided::Made(())
            }
            Decided::Wait => Decided::Wait,
            Decided::Refused(refusal) => Decided::Refused(refusal),
            Decided::Full(full) => Decided::Full(full),
        }
    }

    fn perform(self: Box<Self>, after: &mut After<'_>) {
        let Self { command, made } = *self;
        match made {
            Some(made) => command.perform(made, after),
            None => command.refuse(Refusal::StoreUnavailable),
        }
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        self.command.refuse(refusal);
    }
}

/// A change in one function, carried out even if the caller does not wait for the answer.
pub(super) struct Change<D, T, E> {
    pub(super) subject: Subject,
    pub(super) load: Load,
    pub(super) decide: D,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<D, T, E> Command for Change<D, T, E>
where
    D: Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Refusal> + Send + 'static,
{
    type Made = Result<T, E>;

    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        self.load
    }

    fn decide(&self, view: &mut Transaction<'_>) -> Decided<Result<T, E>> {
        Decided::Made((self.decide)(view))
    }

    fn perform(self, made: Result<T, E>, _: &mut After<'_>) {
        let Self { decide, reply, .. } = self;
        // The caller finds free what the change held. It may be gone.
        drop(decide);
        let _ = reply.send(made);
    }

    fn refuse(self, refusal: Refusal) {
        let Self { decide, reply, .. } = self;
        drop(decide);
        let _ = reply.send(Err(refusal.into()));
    }
}
