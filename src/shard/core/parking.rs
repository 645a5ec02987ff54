//! Commands that wait until a check of their number is settled.

use std::collections::VecDeque;

use indexmap::IndexMap;

use crate::shard::command::{Command, NumberKey};

/// The commands, by number, in the order in which they came. Bounded by the commands in flight. The numbers are in the
/// order in which they began to wait: what is decided never depends on how a map is laid out in memory.
#[derive(Default)]
pub struct Parking {
    by_number: IndexMap<NumberKey, VecDeque<Command>>,
}

impl Parking {
    /// Whether a command of this number waits here.
    pub fn holds(&self, key: &NumberKey) -> bool {
        self.by_number.contains_key(key)
    }

    /// Behind the other commands of its number.
    pub fn park(&mut self, command: Command) {
        self.by_number.entry(command.key).or_default().push_back(command);
    }

    /// All commands of a number.
    pub fn take(&mut self, key: &NumberKey) -> VecDeque<Command> {
        self.by_number.shift_remove(key).unwrap_or_default()
    }

    /// All commands but those of numbers that have to stay.
    pub fn take_all_but(&mut self, mut stays: impl FnMut(&NumberKey) -> bool) -> Vec<Command> {
        self.by_number.extract_if(.., |key, _| !stays(key)).flat_map(|(_, commands)| commands).collect()
    }
}
