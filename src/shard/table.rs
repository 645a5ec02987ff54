//! The numbers a shard owns, in memory.

use std::sync::Arc;

use indexmap::IndexMap;

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

/// State by number. An index map, because a sweep can walk it in small steps.
#[derive(Debug)]
pub struct Table {
    entries: IndexMap<NumberKey, Entry>,
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
        Self { entries: IndexMap::new(), sweep_at: 0, came: 0, room }
    }

    /// The room that its numbers count in.
    pub const fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Whether this number has its place, be its record still good or not.
    pub fn holds(&self, key: &NumberKey) -> bool {
        self.entries.contains_key(key)
    }

    /// What is known of a number.
    pub fn entry(&self, key: &NumberKey) -> Entry {
        self.entries.get(key).copied().unwrap_or(Entry::UNKNOWN)
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
            let is_new = self.entries.insert(key, entry).is_none();
            self.came += usize::from(is_new);
            return is_new;
        }
        if self.entries.swap_remove(&key).is_some() {
            self.room.leave(1);
        }
        false
    }

    /// Frees a number whose record has ended, before the sweep comes by: it is a new one from here on.
    pub fn forget_ended(&mut self, key: &NumberKey, now: Timestamp) -> bool {
        let ended = self.entries.get(key).is_some_and(|entry| entry.state.at(now) == NumberState::Fresh);
        if ended {
            self.entries.swap_remove(key);
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
            let ended = self
                .entries
                .get_index(self.sweep_at)
                .is_some_and(|(_, entry)| entry.state.at(now) == NumberState::Fresh);
            if ended {
                // The last entry moves here and is looked at next.
                if let Some((key, _)) = self.entries.swap_remove_index(self.sweep_at) {
                    freed(&key);
                }
                count += 1;
            } else {
                self.sweep_at += 1;
            }
        }
        if count > 0 {
            self.room.leave(count);
        }
        // After a flood the memory is given back, with room to grow into again.
        if self.entries.capacity() > 1024 && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PhoneNumber, ServiceId};

    fn key(digits: u64) -> NumberKey {
        let number = PhoneNumber::from_u64(digits).expect("a number");
        NumberKey { service: ServiceId::DEFAULT, number }
    }

    fn locked_until(millis: u64) -> Entry {
        let until = Timestamp::from_millis(millis);
        Entry { state: NumberState::Locked { until }, revision: Revision(1) }
    }

    #[test]
    fn a_sweep_in_small_steps_frees_exactly_what_has_ended() {
        let mut table = Table::default();
        for i in 1..=1000 {
            table.set(key(i), locked_until(if i % 3 == 0 { 5_000 } else { 500 }));
        }
        let now = Timestamp::from_millis(1_000);
        let mut freed = 0;
        for _ in 0..200 {
            freed += table.sweep(10, now, |_| ());
        }
        assert_eq!(freed, 667);
        assert_eq!(table.numbers(), 333);
        assert!((1..=1000).all(|i| (table.entry(&key(i)) == Entry::UNKNOWN) == (i % 3 != 0)));
    }

    #[test]
    fn when_numbers_come_faster_than_a_sweep_walks_the_table_stays_bounded() {
        const NEW: u64 = 5_000;
        const LIVES: u64 = 10;
        let mut table = Table::default();
        let mut most = 0;
        for turn in 0..200 {
            for i in 1..=NEW {
                table.set(key(turn * NEW + i), locked_until(turn + LIVES));
            }
            most = most.max(table.numbers());
            table.sweep(1_000, Timestamp::from_millis(turn), |_| ());
        }
        let live = usize::try_from(NEW * LIVES).unwrap();
        assert!(most < live + live / 2, "{most} numbers are held for {live} that live");
        for _ in 0..200 {
            table.sweep(1_000, Timestamp::from_millis(1_000), |_| ());
        }
        assert_eq!(table.numbers(), 0);
        assert!(table.entries.capacity() <= 1024 * 8, "room for {} is kept", table.entries.capacity());
    }

    #[test]
    fn a_sweep_names_what_it_freed() {
        let mut table = Table::default();
        table.set(key(1), locked_until(1));
        table.set(key(2), locked_until(99));
        let mut freed = Vec::new();
        table.sweep(10, Timestamp::from_millis(9), |key| freed.push(*key));
        assert_eq!(freed, [key(1)]);
    }

    #[test]
    fn a_fresh_number_takes_no_memory() {
        let mut table = Table::default();
        table.set(key(1), locked_until(1));
        table.set(key(1), Entry { state: NumberState::Fresh, revision: Revision(2) });
        assert_eq!(table.numbers(), 0);
    }
}
