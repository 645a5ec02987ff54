//! The records of the guard.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::{Counter, History};
use super::decide::{Entry, Guard};
use super::signals::Key;
use crate::domain::Timestamp;

/// A record of the guard, whole: the last one written under a name wins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GuardRow(State);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    /// A page of counters.
    Counters(u32, Vec<(Key, Counter)>),
    History(Key, History),
    Entry(Key, Entry),
}

/// The name of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RowName {
    Counters(u32),
    History(Key),
    Entry(Key),
}

impl GuardRow {
    pub const fn name(&self) -> RowName {
        match &self.0 {
            State::Counters(page, _) => RowName::Counters(*page),
            State::History(key, _) => RowName::History(*key),
            State::Entry(key, _) => RowName::Entry(*key),
        }
    }

    /// A row that has expired replaces the stored one all the same.
    pub fn expires(&self) -> Timestamp {
        match &self.0 {
            State::Counters(_, counters) => {
                counters.iter().map(|(_, counter)| counter.expires()).max().unwrap_or(Timestamp::EPOCH)
            }
            // History may pause for 14 days.
            State::History(_, history) => history.counter.expires().plus(Duration::from_secs(14 * 86_400)),
            State::Entry(_, entry) => entry.expires(),
        }
    }
}

impl Guard {
    /// At most `most` changed records, whole. The caller stores them in the order of the answers.
    pub fn take_changed(&mut self, most: usize) -> Vec<GuardRow> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(key) = self.changed_entries.pop()
        {
            rows.extend(self.entries.get(&key).map(|entry| State::Entry(key, *entry)));
        }
        for (key, history) in &mut self.histories {
            if rows.len() < most && std::mem::take(&mut history.is_changed) {
                rows.push(State::History(*key, history.clone()));
            }
        }
        while rows.len() < most
            && let Some((page, counters)) = self.table.take_changed()
        {
            rows.push(State::Counters(page, counters));
        }
        rows.into_iter().map(GuardRow).collect()
    }

    /// Takes a stored record, before the first send.
    pub fn restore(&mut self, row: GuardRow, now: Timestamp) {
        if row.expires() <= now {
            return;
        }
        match row.0 {
            State::Counters(page, counters) => self.table.restore(page, counters, now),
            State::History(key, history) if self.histories.len() < self.bounds.histories => {
                self.histories.insert(key, history);
            }
            // No place is left.
            State::History(..) => {}
            State::Entry(key, entry) => self.put_entry(key, entry),
        }
    }
}
