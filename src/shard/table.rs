//! The numbers a shard owns, in memory.
//!
//! What is known of them is packed at this edge: `packed` has one number in 64 bytes, `lines` where these lie, `numbers`
//! how they are found. Nothing outside sees that, and no decision depends on it.

mod lines;
mod numbers;
mod packed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::numbers::Numbers;
use super::command::NumberKey;
use super::room::{Reserved, Room};
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::store::Revision;

/// What is known of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its state.
    pub state: NumberState,
    /// The revision of its record in the store.
    pub revision: Revision,
}

impl Entry {
    /// A number that nothing is known of.
    pub const UNKNOWN: Self = Self { state: NumberState::Fresh, revision: Revision::ABSENT };
}

/// A sweep looks at so many more numbers for each one that came since the last. A sweep at a fixed
/// pace would be overrun: whoever asks for codes faster than it walks, and never verifies, would make
/// the table grow for as long as that goes on. With this at most a quarter of a table under such a
/// load is dead.
const LOOKS_PER_NEW_NUMBER: usize = 4;

/// The most of these in one sweep, about a millisecond of work; the rest is left to the next. A start
/// that loads millions of numbers would otherwise sweep through all of them at once.
const MOST_LOOKS: usize = 32 * 1024;

/// State by number. A sweep can walk it in small steps.
#[derive(Debug)]
pub struct Table {
    entries: Numbers,
    sweep_at: usize,
    /// Numbers that came since the last sweep.
    came: usize,
    room: Arc<Room>,
}

impl Default for Table {
    /// Without a limit.
    fn default() -> Self {
        Self::within(Room::new(usize::MAX))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.room.leave(self.entries.len());
    }
}

impl Table {
    /// An empty table whose numbers count in `room`, which it may share with others.
    pub fn within(room: Arc<Room>) -> Self {
        Self::expecting(0, room)
    }

    /// The same, with an index that has room for about so many numbers. It spares a start that loads them the time in
    /// which the index would grow, and changes nothing else.
    pub fn expecting(numbers: usize, room: Arc<Room>) -> Self {
        Self { entries: Numbers::expecting(numbers), sweep_at: 0, came: 0, room }
    }

    /// The room that its numbers count in.
    pub const fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether this number has its place, be its record still good or not.
    pub fn holds(&self, key: &NumberKey) -> bool {
        self.entries.contains(key)
    }

    /// What is known of a number.
    pub fn entry(&self, key: &NumberKey) -> Entry {
        self.entries.get(key).unwrap_or(Entry::UNKNOWN)
    }

    /// Sets what is known; forgets a fresh number. A number that was not held takes a place, whether
    /// there is room or not.
    pub fn set(&mut self, key: NumberKey, entry: Entry) {
        if self.put(key, entry) {
            self.room.enter();
        }
    }

    /// The same, and a number that was not held takes a place of `reserved`.
    pub fn set_reserved(&mut self, key: NumberKey, entry: Entry, reserved: &mut Reserved) {
        if self.put(key, entry) && !reserved.take() {
            self.room.enter();
        }
    }

    /// Whether the number was not held before.
    fn put(&mut self, key: NumberKey, entry: Entry) -> bool {
        if entry.state != NumberState::Fresh {
            let is_new = self.entries.insert(key, entry);
            self.came += usize::from(is_new);
            return is_new;
        }
        if self.entries.remove(&key) {
            self.room.leave(1);
        }
        false
    }

    /// Frees a number whose record has ended, before the sweep comes by: it is a new one from here on.
    pub fn forget_ended(&mut self, key: &NumberKey, now: Timestamp) -> bool {
        let ended = self.entries.get(key).is_some_and(|entry| entry.state.at(now) == NumberState::Fresh);
        if ended {
            self.entries.remove(key);
            self.room.leave(1);
        }
        ended
    }

    /// How many numbers are held.
    pub fn numbers(&self) -> usize {
        self.entries.len()
    }

    /// Looks at the next `step` numbers and at some more for each that came since the last sweep; frees
    /// those whose record has ended and tells `freed` of them. Frees memory only: a decision never
    /// depends on whether a sweep has been by.
    pub fn sweep(&mut self, step: usize, now: Timestamp, mut freed: impl FnMut(&NumberKey)) -> usize {
        let came = self.came.min(MOST_LOOKS / LOOKS_PER_NEW_NUMBER);
        self.came -= came;
        let step = step.saturating_add(came * LOOKS_PER_NEW_NUMBER);
        let mut count = 0;
        for _ in 0..step.min(self.entries.len()) {
            if self.sweep_at >= self.entries.len() {
                self.sweep_at = 0;
            }
            let looked_at = self.entries.at(self.sweep_at);
            if let Some((key, _)) = looked_at.filter(|(_, entry)| entry.state.at(now) == NumberState::Fresh) {
                // The last entry moves here and is looked at next.
                self.entries.remove_at(self.sweep_at);
                freed(&key);
                count += 1;
            } else {
                self.sweep_at += 1;
            }
        }
        if count > 0 {
            self.room.leave(count);
        }
        count
    }
}
