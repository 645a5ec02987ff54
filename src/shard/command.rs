//! Commands: the requests that shards decide.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::capacity::LimitedTable;
use super::core::ReplyContext;
use super::transaction::Transaction;
use crate::domain::{ServiceId, record_id};
use crate::engine::SlotHash;

/// The unit of ordering and of limits, for example a number. A shard decides the commands of one subject in arrival
/// order, and limits how many of them wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The slot of every record that the command may read or change.
    pub slot: u8,
    /// Tells subjects of one slot apart.
    pub id: super::record::Id,
}

impl Subject {
    /// The record of a name: a digest, in no service.
    pub fn of_name(name: &impl Serialize, slots: &SlotHash) -> Self {
        #[expect(clippy::expect_used, reason = "postcard can describe a name")]
        let bytes = postcard::to_allocvec(name).expect("a name in memory");
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let first = digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        let id = record_id(ServiceId::DEFAULT, first);
        Self { slot: slots.of(id), id }
    }
}

/// A request to a shard. It stores its own decision. The shard answers it once every record that the decision read or
/// changed is durable.
pub trait Command: Send + 'static {
    /// The subject of all records that it reads or changes.
    fn subject(&self) -> Subject;

    /// Its weight against the bound of its subject.
    fn load(&self) -> Load {
        Load::Unbounded
    }

    /// Whether the changes of a settlement may all be lazy. If they are, the shard applies them beside the batch in
    /// flight; otherwise it decides the settlement again with the next batch.
    fn may_be_lazy(&self) -> bool {
        false
    }

    /// Returns `true` while the command must wait for a gateway's answer. Waiting commands keep their order. The
    /// command that delivers the answer ([`Load::Settlement`]) never waits.
    fn must_wait(&self, view: &mut Transaction<'_>) -> bool {
        let _ = view;
        false
    }

    /// Returns `true` if the decision certainly changes nothing. The answer then need not wait for the batch in flight.
    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        let _ = view;
        false
    }

    /// Decides the command and stores the decision in it.
    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision;

    /// Answers the command. Every record that the decision read or changed is durable.
    fn answer(self: Box<Self>, context: &mut ReplyContext<'_>);

    /// Answers that the shard refused the command.
    fn refuse(self: Box<Self>, refusal: Refusal);
}

/// The result of [`Command::decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The command stores the decision.
    Made,
    /// The command waits for a gateway's answer.
    Wait,
    /// The shard refuses the command, for this reason.
    Refused(Refusal),
    /// The service has no room in the table of this kind of record. The shard decides once more if it can free expired
    /// records that take its place, else it refuses the command with [`Refusal::TableFull`].
    Full {
        /// [`Record::KIND`](super::Record::KIND).
        kind: u8,
        /// The table, for the refusal.
        table: LimitedTable,
    },
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

/// A change in one function, carried out even if the caller does not wait for the answer.
pub(super) struct OneDecision<D, T, E> {
    pub(super) subject: Subject,
    pub(super) load: Load,
    pub(super) decide: Option<D>,
    pub(super) decided: Option<Result<T, E>>,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<D, T, E> Command for OneDecision<D, T, E>
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

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        self.decided = self.decide.take().map(|decide| decide(view));
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {
        let Self { decided, reply, .. } = *self;
        // The caller may be gone.
        let _ = decided.map(|decided| reply.send(decided));
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let _ = self.reply.send(Err(refusal.into()));
    }
}

/// The reason why a client gets no decision. After `StoreUnavailable` or `Stopping` a message may have been sent and an
/// attempt may count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many commands are waiting for an answer.
    #[error("too many requests are in progress")]
    Overloaded,
    /// Too many commands for this one number are waiting for an answer.
    #[error("too many requests for this number are in progress")]
    NumberBusy,
    /// The messages waiting for the gateway have filled their queue.
    #[error("too many messages are waiting for the gateway")]
    SendsOverloaded,
    /// The record is new, and the service has used up its share of the table.
    #[error("the server has too many {table} already")]
    TableFull {
        /// The full table.
        table: LimitedTable,
    },
    /// The decision could not be made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The store is still being loaded.
    #[error("the server is starting")]
    Starting,
    /// The server is stopping, or the shard that owns the subject is being restored.
    #[error("the server is stopping or restarting")]
    Stopping,
}

impl Refusal {
    /// The names in metrics, each at the position of its kind.
    pub const NAMES: [&'static str; 7] = [
        "overloaded",
        "number_busy",
        "sends_overloaded",
        "store_unavailable",
        "stopping",
        "table_full",
        "starting",
    ];

    /// The position of its name.
    pub const fn kind(self) -> usize {
        match self {
            Self::Overloaded => 0,
            Self::NumberBusy => 1,
            Self::SendsOverloaded => 2,
            Self::StoreUnavailable => 3,
            Self::Stopping => 4,
            Self::TableFull { .. } => 5,
            Self::Starting => 6,
        }
    }

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.kind()]
    }
}
