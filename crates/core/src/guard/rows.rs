//! The records of the guard.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::{Counter, History};
use super::decide::{Block, Entry, Guard, MEMORY_OF_BLOCKS};
use super::signals::Key;
use crate::domain::Timestamp;

/// A record of the guard, whole: the last one written for a key wins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GuardRow {
    pub key: Key,
    state: RowState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum RowState {
    Counter(Counter),
    History(History),
    Block(Block),
    Entry(Entry),
}

impl GuardRow {
    /// Tells the records of one key apart.
    pub const fn kind(&self) -> u8 {
        match self.state {
            RowState::Counter(_) | RowState::History(_) => 0,
            RowState::Block(_) => 1,
            RowState::Entry(_) => 2,
        }
    }

    pub fn expires(&self) -> Timestamp {
        match &self.state {
            RowState::Counter(counter) => counter.expires(),
            // History may pause for 14 days.
            RowState::History(history) => history.counter.expires().plus(Duration::from_secs(14 * 86_400)),
            RowState::Block(block) => block.until.plus(MEMORY_OF_BLOCKS),
            RowState::Entry(entry) => entry.until,
        }
    }
}

impl Guard {
    /// At most `most` changed records, whole. The caller stores them in the order of the answers.
    pub fn take_changed(&mut self, most: usize) -> Vec<GuardRow> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(key) = self.changed_blocks.pop()
        {
            rows.extend(self.blocks.get(&key).map(|block| GuardRow { key, state: RowState::Block(*block) }));
            rows.extend(self.entries.get(&key).map(|entry| GuardRow { key, state: RowState::Entry(*entry) }));
        }
        while rows.len() < most
            && let Some(key) = self.changed.pop()
        {
            if let Some(counter) = self.table.get_mut(&key) {
                counter.is_changed = false;
                rows.push(GuardRow { key, state: RowState::Counter(*counter) });
            } else if let Some(history) = self.histories.get_mut(&key) {
                history.counter.is_changed = false;
                rows.push(GuardRow { key, state: RowState::History(history.clone()) });
            }
        }
        rows
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow, now: Timestamp) {
        if row.expires() <= now {
            return;
        }
        let GuardRow { key, state } = row;
        match state {
            RowState::Counter(counter) => *self.table.entry(key, now) = counter,
            RowState::History(history) if self.histories.len() < self.bounds.histories => {
                self.histories.insert(key, history);
            }
            RowState::Block(block) => self.put_block(key, block),
            RowState::Entry(entry) if self.entries.len() < self.bounds.blocks => {
                self.entries.insert(key, entry);
            }
            // No place is left.
            RowState::History(_) | RowState::Entry(_) => {}
        }
    }
}
