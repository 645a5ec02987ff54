//! The codes of other systems that are being carried, in memory only.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::delivery::attempts::AttemptLog;
use crate::delivery::{CodeLiveness, CodeState};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::limits::guard::Ticket;
use crate::shard::{Refusal, Shards, Subject};

/// The message that is being carried to each number, by the id of its attempts. A newer message replaces an older one.
pub(super) type InProgress = Arc<Mutex<HashMap<NumberKey, u64>>>;

/// A message that is being carried, until it is dropped.
pub(super) struct Carrying<'a> {
    in_progress: &'a InProgress,
    shards: &'a Shards,
    key: NumberKey,
    id: u64,
}

impl<'a> Carrying<'a> {
    pub(super) fn new(in_progress: &'a InProgress, shards: &'a Shards, key: NumberKey, id: u64) -> Self {
        in_progress.lock().insert(key, id);
        Self { in_progress, shards, key, id }
    }
}

impl CodeLiveness for Carrying<'_> {
    async fn code_state(&self) -> CodeState {
        let is_newest = self.in_progress.lock().get(&self.key) == Some(&self.id);
        if is_newest { CodeState::Live } else { CodeState::Ended }
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }

    async fn note_taken(&self, log: AttemptLogKey, taken: Ticket) -> bool {
        note_taken(self.shards, log, taken).await
    }
}

/// Makes durable what the guard has taken for a further message.
pub(super) async fn note_taken(shards: &Shards, log: AttemptLogKey, taken: Ticket) -> bool {
    let (slot, id) = (log.slot(), log.id());
    let noted = shards.router().decide_unbounded(Subject { slot, id }, move |view| {
        if let Some(mut log) = view.get::<AttemptLog>(id) {
            log.take(taken);
            view.put(id, Some(&log));
        }
        Ok::<_, Refusal>(())
    });
    matches!(noted.await, Ok(Ok(())))
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let mut messages = self.in_progress.lock();
        if messages.get(&self.key) == Some(&self.id) {
            messages.remove(&self.key);
        }
    }
}
