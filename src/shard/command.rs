//! What a shard is asked to decide.

use super::core::Leaving;
use super::transaction::Transaction;

/// What a command is about: its commands are decided in the order in which they came, and at most so many of them wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The slot of every record that the command may read or change.
    pub slot: u8,
    /// Tells subjects of one slot apart.
    pub id: super::record::Id,
}

/// One command. It carries its own decision, which leaves only when everything that it rests on is durable.
pub trait Command: Send + 'static {
    /// What it is about.
    fn subject(&self) -> Subject;

    /// How it counts against the bound of its subject.
    fn load(&self) -> Load {
        Load::Unbounded
    }

    /// Whether an answer from outside has to come before this command can be decided. It waits in order; what reports that
    /// answer ([`Load::Report`]) does not.
    fn must_wait(&self, view: &mut Transaction<'_>) -> bool {
        let _ = view;
        false
    }

    /// Whether deciding it now is certain to change nothing, so that its answer need not wait for the batch in flight.
    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        let _ = view;
        false
    }

    /// Decides, and notes the decision in itself.
    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision;

    /// Answers: all that the decision rests on is durable.
    fn leave(self: Box<Self>, leaving: &mut Leaving<'_>);

    /// Answers that nothing was decided.
    fn refuse(self: Box<Self>, refusal: Refusal);
}

/// What came of deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is noted in the command.
    Made,
    /// Not made: an answer from outside has to come first.
    Wait,
    /// Not made, for this reason.
    Refused(Refusal),
    /// Not made, because there is no room for a new record of this kind. Tried once more if ended ones can be freed.
    Full(u8, Refusal),
}

/// How a command counts against the bound of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Not at all.
    Unbounded,
    /// Until its decision leaves.
    UntilDecided,
    /// Until it is answered, also while a gateway has it.
    UntilAnswered,
    /// It reports how an earlier command ended: it is never refused for want of room and never waits.
    Report,
}

/// Why a command was not decided. Nothing was guessed and nothing was sent.
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
    /// As many numbers are remembered as may be, and this one is not among them.
    #[error("too many numbers are remembered already")]
    TooManyNumbers,
    /// The decision could not be made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The server is stopping, or the shard that owns the subject is being restored.
    #[error("the server is stopping or restarting")]
    Stopping,
}
