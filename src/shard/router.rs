//! Which shard owns a number, and how to reach it while it may be restarting.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ractor::{ActorRef, ActorStatus};
use tokio::sync::oneshot;

use super::Facts;
use super::command::{Command, NumberKey};
use super::message::Message;
use crate::engine::{Salt, Verification};

/// The address book of the shards.
pub struct Router {
    /// Keyed, so that nobody can choose numbers that all fall to one shard.
    hasher: RandomState,
    shards: Box<[ArcSwapOption<ActorRef<Message>>]>,
}

impl Router {
    /// A router for `shards` shards, none of which is there yet; at least one.
    pub fn new(shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| ArcSwapOption::empty()).collect();
        Self { hasher: RandomState::new(), shards }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The index of the shard that owns a number.
    pub fn owner(&self, key: &NumberKey) -> usize {
        let hash = self.hasher.hash_one(key);
        usize::try_from(hash % self.shards.len() as u64).unwrap_or(0)
    }

    /// Notes where a shard lives now; `None` while it restarts.
    pub fn place(&self, index: usize, shard: Option<ActorRef<Message>>) {
        if let Some(slot) = self.shards.get(index) {
            slot.store(shard.map(Arc::new));
        }
    }

    /// Whether every shard is there and running.
    pub fn is_complete(&self) -> bool {
        let runs = |shard: &ActorRef<Message>| shard.get_status() == ActorStatus::Running;
        self.shards.iter().all(|slot| slot.load().as_deref().is_some_and(runs))
    }

    /// Hands a command to the shard that owns its number. While that shard restarts the command is
    /// dropped, which its reply's other end notices.
    pub fn send(&self, command: Command) {
        let owner = self.owner(&command.key);
        if let Some(shard) = self.shards.get(owner).and_then(ArcSwapOption::load_full) {
            let _ = shard.cast(Message::Command(command));
        }
    }

    /// Whether a message with the code of `salt` is still worth sending. A shard that cannot say
    /// says no.
    pub async fn is_usable(&self, key: NumberKey, salt: Salt) -> bool {
        self.ask(&key, |reply| Message::IsUsable(key, salt, reply)).await.unwrap_or(false)
    }

    /// The verification with this track, while its code can still be used. A shard that cannot say says
    /// that there is none.
    pub async fn live(&self, key: NumberKey, track: u64) -> Option<Verification> {
        self.ask(&key, |reply| Message::Live(key, track, reply)).await.flatten()
    }

    /// The verification that is under way.
    ///
    /// # Errors
    /// `Err(())` when the shard cannot say.
    pub async fn facts(&self, key: NumberKey) -> Result<Option<Facts>, ()> {
        self.ask(&key, |reply| Message::Facts(key, reply)).await.ok_or(())
    }

    async fn ask<T>(
        &self,
        key: &NumberKey,
        question: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Option<T> {
        let shard = self.shards.get(self.owner(key)).and_then(ArcSwapOption::load_full)?;
        let (reply, answer) = oneshot::channel();
        shard.cast(question(reply)).ok()?;
        answer.await.ok()
    }
}
