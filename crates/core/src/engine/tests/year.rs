//! The number of guesses that a hard stop leaves to the best attacker in a year.

use std::collections::HashMap;

use super::world::{World, mins};
use crate::domain::Timestamp;
use crate::engine::{BeginOutcome, CheckOutcome, CheckStep::Decided, Ending, FailureCount};

const DAY: u64 = 24 * 60;
const YEAR: u64 = 365 * DAY;

/// What an attacker can do: wait, stop one guess before the hard stop, or guess until it begins. The count of wrong codes
/// that ends its guesses, and the days until it decides again.
const CHOICES: [(u8, u64); 3] =
    [(0, 10), (FailureCount::HARD_STOP_AT - 1, 10), (FailureCount::HARD_STOP_AT, 30)];

/// The most guesses that a number leaves until `end`; those of each state are `known`.
fn most_guesses(number: &World, end: Timestamp, known: &mut HashMap<[u64; 4], u32>) -> u32 {
    if number.now > end {
        return 0;
    }
    let FailureCount { in_a_row, last, forgotten } = number.failures();
    let state = [number.now.as_millis(), u64::from(in_a_row), last.as_millis(), forgotten.as_millis()];
    if let Some(most) = known.get(&state) {
        return *most;
    }
    let of_choice = |(most_wrong, days): (u8, u64)| {
        let (mut next, mut guesses) = (number.clone(), 0);
        while next.failures().in_a_row < most_wrong
            && let Some(after) = guessed(&next)
        {
            next = after;
            guesses += 1;
        }
        next.now = number.now.plus(mins(days * DAY));
        guesses + most_guesses(&next, end, known)
    };
    let most = CHOICES.map(of_choice).into_iter().max().expect("three choices");
    known.insert(state, most);
    most
}

/// The guesses of a year while the owner enters a right code each day, if the server still sends one. A careful attacker
/// begins no stop.
fn guesses_beside_the_owner(is_careful: bool) -> u32 {
    let mut number = World::of_a_new_service();
    let (end, mut guesses) = (number.now.plus(mins(YEAR)), 0);
    while number.now < end {
        while let Some(next) =
            guessed(&number).filter(|next| !is_careful || next.state.locked_until().is_none())
        {
            number = next;
            guesses += 1;
        }
        number.ends(Ending::Canceled);
        if let BeginOutcome::Permitted(permit) = number.ask() {
            let code = number.code_of(&permit);
            assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::Approved));
        }
        number.now = number.now.plus(mins(DAY));
    }
    guesses
}

/// The number after a further guess, in a verification of its own; `None` if none is looked at.
fn guessed(number: &World) -> Option<World> {
    let mut next = number.clone();
    next.ends(Ending::Canceled);
    let BeginOutcome::Permitted(_) = next.ask() else { return None };
    matches!(next.checks_wrong(), Decided(CheckOutcome::Wrong { .. })).then_some(next)
}

#[test]
fn an_attacker_has_some_1300_guesses_a_year_if_the_owner_signs_in_daily() {
    let [careful, greedy] = [true, false].map(guesses_beside_the_owner);
    assert!((1_300..=1_320).contains(&careful) && greedy < careful, "{careful} {greedy}");
}

#[test]
fn the_best_attacker_has_700_guesses_in_a_year() {
    let number = World::of_a_new_service();
    assert_eq!(most_guesses(&number, number.now.plus(mins(YEAR)), &mut HashMap::new()), 700);
}
