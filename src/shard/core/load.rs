//! How many commands of each number are under way: what their bound is measured by.

use std::collections::HashMap;

use crate::shard::command::{Command, CommandKind, NumberKey};

/// The loads of all numbers that have one.
#[derive(Default)]
pub struct Loads {
    by_number: HashMap<NumberKey, Load>,
}

/// Commands about one number that are not answered yet.
#[derive(Default, Clone, Copy)]
struct Load {
    /// All of them, those at a gateway included.
    unanswered: usize,
    /// Those that wait for a decision, a commit or the end of a check.
    queued: usize,
}

impl Loads {
    /// What counts against the bound for this command. Sends at a gateway that hangs fill their own
    /// measure, never that of checks.
    pub fn of(&self, command: &Command) -> usize {
        let load = self.by_number.get(&command.key).copied().unwrap_or_default();
        match command.kind {
            CommandKind::Check(_)
            | CommandKind::End(_)
            | CommandKind::Settle(_)
            | CommandKind::SettleCheck(_) => load.queued,
            CommandKind::Send(_) | CommandKind::Resume(_) => load.unanswered,
        }
    }

    /// Whether nothing about this number is under way.
    pub fn none_of(&self, key: &NumberKey) -> bool {
        !self.by_number.contains_key(key)
    }

    /// Counts a command in. Whether it is the only one of its number that waits for anything.
    pub fn add(&mut self, command: &Command) -> bool {
        let load = self.by_number.entry(command.key).or_default();
        // A report is about a command that is counted already.
        if !command.is_a_report() {
            load.unanswered += 1;
        }
        load.queued += 1;
        load.queued == 1
    }

    /// A command of this number went on to a gateway, or has its answer.
    pub fn unqueue(&mut self, key: NumberKey, answered: bool) {
        let Some(load) = self.by_number.get_mut(&key) else { return };
        load.queued = load.queued.saturating_sub(1);
        if answered {
            load.unanswered = load.unanswered.saturating_sub(1);
        }
        if load.queued == 0 && load.unanswered == 0 {
            self.by_number.remove(&key);
        }
    }
}
