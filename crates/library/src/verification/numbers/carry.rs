//! The codes of other systems that are being carried, in memory only.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::delivery::{CodeLiveness, CodeState};
use crate::domain::NumberKey;
use crate::shard::Shards;

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
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let mut messages = self.in_progress.lock();
        if messages.get(&self.key) == Some(&self.id) {
            messages.remove(&self.key);
        }
    }
}
