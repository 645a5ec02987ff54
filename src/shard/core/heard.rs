//! What was heard of sends that the states of their numbers do not have.

use std::collections::HashMap;

use crate::domain::Timestamp;
use crate::engine::{NumberState, Reports, Verification};
use crate::shard::command::{Command, CommandKind, NumberKey};
use crate::shard::decide::result_of;

/// The reports, by number. Only numbers have some of which a message is on its way that has not settled the fate
/// of its code.
#[derive(Default)]
pub struct Heard {
    by_number: HashMap<NumberKey, Reports>,
}

impl Heard {
    /// Of this number.
    pub fn of(&self, key: &NumberKey) -> &Reports {
        self.by_number.get(key).unwrap_or(Reports::NONE)
    }

    /// Takes note of a decision that led to `next`.
    pub fn note(&mut self, command: &Command, next: &NumberState, now: Timestamp) {
        let key = &command.key;
        let matters = next.at(now).verification().is_some_and(|v| Verification::may_be_withdrawn(&v));
        if !matters {
            self.forget(key);
        } else if let CommandKind::Settle(settle) = &command.kind {
            let reports = self.by_number.entry(*key).or_default();
            reports.note(&settle.permit, result_of(&settle.end), next);
            if reports.is_empty() {
                self.by_number.remove(key);
            }
        }
    }

    /// What was noted since is not so.
    pub fn restore(&mut self, key: NumberKey, reports: Reports) {
        if reports.is_empty() {
            self.forget(&key);
        } else {
            self.by_number.insert(key, reports);
        }
    }

    /// Nothing of this number matters any more.
    pub fn forget(&mut self, key: &NumberKey) {
        self.by_number.remove(key);
    }
}
