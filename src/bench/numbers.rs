//! Which numbers the load uses: none twice in a run, and not those of another seed.

/// Numbers in one area: seven digits, of which the first is 2 to 8.
const IN_AREA: u64 = 7_000_000;

/// Areas of numbers that are put into a store before it is opened: enough for [`LIVE_AT_MOST`].
const LIVE_FROM: u64 = 200;

/// How many live numbers can be asked for.
pub const LIVE_AT_MOST: u64 = 20_000_000;

/// Areas of numbers that were not used before.
const FRESH_FROM: u64 = 230;
const FRESH_AREAS: u64 = 730;

/// Areas of numbers that are locked before a window begins. Servers that keep no state know them by that.
const LOCKED_FROM: u64 = 960;
const LOCKED_AREAS: u64 = 30;

/// A large prime. Neighbours in the order of use are far apart, as numbers of people are: in order they would be cheaper
/// for a server than in life.
const STEP: u64 = 2_654_435_761;

/// Numbers of one kind in an order that a seed decides, each once until all were used.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    first_area: u64,
    count: u64,
    offset: u64,
}

impl Numbers {
    /// Those that were not used before; more than five thousand million.
    pub fn fresh(seed: u64) -> Self {
        Self::of(FRESH_FROM, FRESH_AREAS, seed)
    }

    /// Those that are locked before a window.
    pub fn locked(seed: u64) -> Self {
        Self::of(LOCKED_FROM, LOCKED_AREAS, seed)
    }

    fn of(first_area: u64, areas: u64, seed: u64) -> Self {
        let count = areas * IN_AREA;
        // Mixed, so that seeds that are neighbours do not use the same numbers.
        let offset = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) % count;
        Self { first_area, count, offset }
    }

    /// The digits of one, without the plus.
    pub fn at(&self, index: u64) -> u64 {
        let place = (self.offset + index % self.count) % self.count;
        number(self.first_area, place * STEP % self.count)
    }
}

/// The digits of a number that is put into a store, without the plus; different for each index below [`LIVE_AT_MOST`].
pub fn live(index: u64) -> u64 {
    // Mixed within an area, as above.
    number(LIVE_FROM, index / IN_AREA * IN_AREA + index % IN_AREA * STEP % IN_AREA)
}

/// Whether a number is one of those that are locked before a window.
pub fn is_locked(digits: u64) -> bool {
    (LOCKED_FROM..LOCKED_FROM + LOCKED_AREAS).contains(&(digits / 10_000_000 % 1_000))
}

fn number(first_area: u64, place: u64) -> u64 {
    10_000_000_000 + (first_area + place / IN_AREA) * 10_000_000 + 2_000_000 + place % IN_AREA
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice_and_all_are_possible() {
        for numbers in [Numbers::fresh(1), Numbers::locked(1)] {
            let some: HashSet<u64> = (0..100_000).map(|index| numbers.at(index)).collect();
            assert_eq!(some.len(), 100_000);
            let possible = |digits: &u64| {
                let text = format!("+{digits}");
                crate::domain::PhoneNumber::parse(&text, None).is_ok_and(|number| number.e164() == text)
            };
            assert!(some.iter().take(1_000).all(possible));
        }
        let live: HashSet<u64> = (0..100_000).map(live).collect();
        assert_eq!(live.len(), 100_000);
    }

    #[test]
    fn the_kinds_have_no_number_in_common() {
        assert!((0..10_000).all(|index| is_locked(Numbers::locked(5).at(index))));
        assert!((0..10_000).all(|index| !is_locked(Numbers::fresh(5).at(index))));
        assert!(live(LIVE_AT_MOST - 1) / 10_000_000 % 1_000 < FRESH_FROM);
    }

    #[test]
    fn another_seed_means_other_numbers() {
        let first: HashSet<u64> = (0..10_000).map(|index| Numbers::fresh(1).at(index)).collect();
        assert!((0..10_000).all(|index| !first.contains(&Numbers::fresh(2).at(index))));
        assert_eq!(Numbers::fresh(1).at(7), Numbers::fresh(1).at(7));
    }
}
