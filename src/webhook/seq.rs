//! Numbers of what is kept: greater for what came later, also across restarts.

use crate::domain::Timestamp;

/// The bits below the millisecond: so many numbers in each before they run ahead of time.
const BELOW: u32 = 12;

/// Names one record. Part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Seq(pub u64);

impl Seq {
    /// The next one after `self` at `now`. Never one that was given before, even if that is gone by now: time goes on
    /// across restarts.
    pub(super) fn next(self, now: Timestamp) -> Self {
        let by_time = now.as_millis().saturating_mul(1 << BELOW);
        Self(by_time.max(self.0.saturating_add(1)))
    }

    /// When it was given, unless numbers had run ahead.
    pub(super) fn at(self) -> Timestamp {
        Timestamp::from_millis(self.0 >> BELOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_within_a_moment_with_time_and_when_time_stands_still_for_long() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let first = Seq::default().next(now);
        assert_eq!(first.at(), now);
        let mut last = first;
        for _ in 0..5_000 {
            let next = last.next(now);
            assert!(next > last);
            last = next;
        }
        let later = Timestamp::from_millis(1_700_000_000_010);
        assert!(last.next(later) > last && last.next(later).at() == later);
        let end = Seq::default().next(crate::clock::LATEST);
        assert_eq!(end.at(), crate::clock::LATEST);
    }
}
