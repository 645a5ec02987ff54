//! Phone numbers of the load: each is used once in a run, and another seed uses others.

/// Numbers in one area: seven digits, of which the first is 2 to 8.
const IN_AREA: u64 = 7_000_000;
const LIVE_FROM: u64 = 200;
const LIVE_AREAS: u64 = 30;
const FRESH_FROM: u64 = 230;
const FRESH_AREAS: u64 = 730;
const LOCKED_FROM: u64 = 960;
const LOCKED_AREAS: u64 = 30;
const HANGING_FROM: u64 = 990;

pub const LIVE_AT_MOST: u64 = 20_000_000;

/// A large prime: consecutive numbers are far apart, as those of people are.
const STEP: u64 = 2_654_435_761;

/// Numbers of one kind in an order that the seed decides.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    first_area: u64,
    count: u64,
    offset: u64,
}

impl Numbers {
    /// Numbers that were not used before; more than five billion.
    pub fn fresh(seed: u64) -> Self {
        Self::new(FRESH_FROM, FRESH_AREAS, seed)
    }

    /// Numbers that are locked before a window. The stateless ceiling knows them by their area.
    pub fn locked(seed: u64) -> Self {
        Self::new(LOCKED_FROM, LOCKED_AREAS, seed)
    }

    fn new(first_area: u64, areas: u64, seed: u64) -> Self {
        let count = areas * IN_AREA;
        let offset = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) % count;
        Self { first_area, count, offset }
    }

    /// The digits, without the plus.
    pub fn at(&self, index: u64) -> u64 {
        let place = (self.offset + index % self.count) % self.count;
        number(self.first_area, place * STEP % self.count)
    }
}

/// Number `index` of `count` that are imported before the start; they ascend.
pub fn live(index: u64, count: u64) -> u64 {
    number(LIVE_FROM, index * (LIVE_AREAS * IN_AREA / count.max(1)))
}

/// A number whose message the mock never acknowledges.
pub fn hanging(index: u64) -> u64 {
    number(HANGING_FROM, index % (9 * IN_AREA))
}

pub fn is_locked(digits: u64) -> bool {
    (LOCKED_FROM..LOCKED_FROM + LOCKED_AREAS).contains(&area(digits))
}

pub fn is_hanging(digits: u64) -> bool {
    area(digits) >= HANGING_FROM
}

fn area(digits: u64) -> u64 {
    digits / 10_000_000 % 1_000
}

fn number(first_area: u64, place: u64) -> u64 {
    10_000_000_000 + (first_area + place / IN_AREA) * 10_000_000 + 2_000_000 + place % IN_AREA
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        for numbers in [Numbers::fresh(1), Numbers::locked(1)] {
            let some: HashSet<u64> = (0..100_000).map(|index| numbers.at(index)).collect();
            assert_eq!(some.len(), 100_000);
        }
        for count in [1, 3, 100_000] {
            let live: Vec<u64> = (0..count).map(|index| live(index, count)).collect();
            assert!(live.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn the_kinds_have_no_number_in_common() {
        assert!((0..10_000).all(|index| is_locked(Numbers::locked(5).at(index))));
        assert!((0..10_000).all(|index| area(Numbers::fresh(5).at(index)) < LOCKED_FROM));
        assert!(is_hanging(hanging(LIVE_AT_MOST)) && !is_locked(hanging(0)));
        assert!(area(live(LIVE_AT_MOST - 1, LIVE_AT_MOST)) < FRESH_FROM);
    }

    #[test]
    fn another_seed_means_other_numbers() {
        let first: HashSet<u64> = (0..10_000).map(|index| Numbers::fresh(1).at(index)).collect();
        assert!((0..10_000).all(|index| !first.contains(&Numbers::fresh(2).at(index))));
    }
}
