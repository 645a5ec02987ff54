//! Refusals in the log: the first of each second, with the number of those it stands for.
//! `app` says in the same way which reports it refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tracing::warn;

use super::stopwatch::Stopwatch;
use crate::numbers::Refusal;

/// One slot for each kind of refusal. Under overload there can be tens of thousands in a second,
/// and a line for each would make it worse.
pub struct RefusalLog {
    since_start: Stopwatch,
    slots: Arc<[Slot; 6]>,
}

/// One kind of event of which anybody can cause as many as they like: a line a second at most.
pub struct OncePerSecond {
    since_start: Stopwatch,
    slot: Slot,
}

impl OncePerSecond {
    /// Nothing was logged yet.
    pub fn start() -> Self {
        Self { since_start: Stopwatch::start(), slot: Slot::default() }
    }

    /// The number of events that a line now stands for; `None` when this second has its line.
    pub fn count(&self) -> Option<u64> {
        self.slot.count(self.since_start.elapsed().as_secs())
    }
}

#[derive(Default)]
struct Slot {
    unlogged: AtomicU64,
    // The second after the one of the last line; 0 before the first.
    next_second: AtomicU64,
    /// Whether a task tells the rest.
    is_followed: AtomicBool,
}

impl Slot {
    fn count(&self, second: u64) -> Option<u64> {
        self.unlogged.fetch_add(1, Ordering::Relaxed);
        let next = second + 1;
        (self.next_second.swap(next, Ordering::Relaxed) != next)
            .then(|| self.unlogged.swap(0, Ordering::Relaxed))
    }

    /// How many a line is to be about now, which no line was about yet: 0 if this `second` has its line; `None` if there
    /// are none.
    fn rest(&self, second: u64) -> Option<u64> {
        if self.unlogged.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let has_line = self.next_second.swap(second + 1, Ordering::Relaxed) == second + 1;
        Some(if has_line { 0 } else { self.unlogged.swap(0, Ordering::Relaxed) })
    }

    /// Whether a task is to begin to tell the rest.
    fn begins_to_be_followed(&self) -> bool {
        !self.is_followed.swap(true, Ordering::SeqCst)
    }
}

impl RefusalLog {
    /// An empty log.
    pub fn new() -> Self {
        Self { since_start: Stopwatch::start(), slots: Arc::default() }
    }

    /// Notes a refusal that a client is about to be told of.
    pub fn note(&self, refusal: Refusal) {
        if let Some(count) = self.count(refusal, self.since_start.elapsed().as_secs()) {
            say(refusal, count);
            let runtime = tokio::runtime::Handle::try_current();
            if let Ok(runtime) = runtime
                && self.slots[place_of(refusal)].begins_to_be_followed()
            {
                runtime.spawn(say_the_rest(Arc::clone(&self.slots), self.since_start, refusal));
            }
        }
    }

    /// The number of refusals that a line at this `second` stands for; `None` when this second has
    /// its line.
    fn count(&self, refusal: Refusal, second: u64) -> Option<u64> {
        self.slots[place_of(refusal)].count(second)
    }
}

const fn place_of(refusal: Refusal) -> usize {
    match refusal {
        Refusal::Overloaded => 0,
        Refusal::NumberBusy => 1,
        Refusal::SendsOverloaded => 2,
        Refusal::StoreUnavailable => 3,
        Refusal::Stopping => 4,
        Refusal::TooManyNumbers => 5,
    }
}

fn say(refusal: Refusal, count: u64) {
    warn!(reason = %refusal, count, "requests were refused");
}

/// After a line, once a second, those that came since; until there are none.
async fn say_the_rest(slots: Arc<[Slot; 6]>, since_start: Stopwatch, refusal: Refusal) {
    let slot = &slots[place_of(refusal)];
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match slot.rest(since_start.elapsed().as_secs()) {
            Some(0) => {}
            Some(count) => say(refusal, count),
            None => {
                slot.is_followed.store(false, Ordering::SeqCst);
                // One may have come just before.
                if slot.unlogged.load(Ordering::SeqCst) == 0 || !slot.begins_to_be_followed() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_makes_one_line_a_second_that_counts_them() {
        let log = RefusalLog::new();
        assert_eq!(log.count(Refusal::Overloaded, 0), Some(1));
        for _ in 0..999 {
            assert_eq!(log.count(Refusal::Overloaded, 0), None);
        }
        assert_eq!(log.count(Refusal::Overloaded, 7), Some(1000));
    }

    #[test]
    fn refusals_after_the_line_of_their_second_are_counted_by_the_next_one_even_if_no_more_come() {
        let log = RefusalLog::new();
        assert_eq!(log.count(Refusal::TooManyNumbers, 3), Some(1));
        for _ in 0..9 {
            assert_eq!(log.count(Refusal::TooManyNumbers, 3), None);
        }
        let slot = &log.slots[place_of(Refusal::TooManyNumbers)];
        assert_eq!(slot.rest(4), Some(9));
        assert_eq!(slot.rest(5), None);
        assert_eq!(log.count(Refusal::TooManyNumbers, 4), None, "that second has its line");
        assert_eq!(slot.rest(5), Some(1));
    }

    #[test]
    fn each_kind_of_refusal_has_lines_of_its_own() {
        let log = RefusalLog::new();
        assert_eq!(log.count(Refusal::StoreUnavailable, 3), Some(1));
        assert_eq!(log.count(Refusal::NumberBusy, 3), Some(1));
        assert_eq!(log.count(Refusal::StoreUnavailable, 3), None);
    }
}
