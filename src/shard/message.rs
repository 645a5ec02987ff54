//! What a shard is told.

use tokio::sync::oneshot;

use super::Facts;
use super::command::{Command, NumberKey};
use crate::engine::{Salt, Verification};
use crate::store::{Outcome, StoreError};

/// What a shard is told.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "ractor boxes every message by itself")]
pub enum Message {
    /// A command to decide.
    Command(Command),
    /// How the commit in flight ended.
    Committed(Result<Vec<Outcome>, StoreError>),
    /// Is this code still worth sending?
    IsUsable(NumberKey, Salt, oneshot::Sender<bool>),
    /// What is the code made from that is out for the verification with this track?
    Live(NumberKey, u64, oneshot::Sender<Option<Verification>>),
    /// What is known of the verification that is under way?
    Facts(NumberKey, oneshot::Sender<Option<Facts>>),
    /// The moment in which a batch waits for company is over.
    Gathered,
    /// Time for a step of the sweep.
    Sweep,
}
