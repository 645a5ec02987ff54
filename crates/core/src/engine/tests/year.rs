//! The number of guesses that a hard stop leaves to the best attacker in a year.

use std::collections::HashMap;

use super::world::{ACCEPTED, World, mins};
use crate::domain::Timestamp;
use crate::engine::{BeginOutcome, CheckOutcome, CheckStep::Decided, Ending, FailureCount, SendLimit};

const DAY: u64 = 24 * 60;
const YEAR: u64 = 365 * DAY;

/// Days between two decisions of an attacker who is not stopped.
const STEP: u64 = 10;

/// The choice of an attacker who may go on.
#[derive(Clone, Copy)]
enum Choice {
    Wait,
    /// Stops one guess before the hard stop.
    Careful,
    /// Guesses until the server refuses for longer than a day.
    Greedy,
}

struct Attacker {
    start: Timestamp,
    /// The most guesses that a state leaves in the rest of the year.
    best: HashMap<[u64; 4], u32>,
}

impl Attacker {
    fn best(&mut self, number: &World) -> u32 {
        if number.now > self.start.plus(mins(YEAR)) {
            return 0;
        }
        let FailureCount { in_a_row, last, forgotten } = number.failures();
        let key = [number.now.as_millis(), u64::from(in_a_row), last.as_millis(), forgotten.as_millis()];
        if let Some(best) = self.best.get(&key) {
            return *best;
        }
        let choices = [Choice::Wait, Choice::Careful, Choice::Greedy];
        let best = choices.into_iter().map(|choice| {
            let mut next = number.clone();
            let guesses = guesses(&mut next, choice);
            next.now = match choice {
                Choice::Greedy => next.now.plus(FailureCount::HARD_STOP_TIME),
                Choice::Wait | Choice::Careful => number.now.plus(mins(STEP * DAY)),
            };
            guesses + self.best(&next)
        });
        let best = best.max().expect("three choices");
        self.best.insert(key, best);
        best
    }
}

fn guesses(number: &mut World, choice: Choice) -> u32 {
    let mut guesses = 0;
    let patience = number.now.plus(mins(5 * DAY));
    let most = match choice {
        Choice::Wait => return 0,
        Choice::Careful => FailureCount::HARD_STOP_AT - 1,
        Choice::Greedy => FailureCount::HARD_STOP_AT,
    };
    while number.failures().in_a_row < most {
        let until = match number.ask() {
            BeginOutcome::Permitted(permit) => {
                number.settles(&permit, &ACCEPTED);
                match number.checks_wrong() {
                    Decided(CheckOutcome::Wrong { .. }) => {
                        guesses += 1;
                        continue;
                    }
                    Decided(CheckOutcome::NoChecksLeft { until }) => until,
                    other => panic!("{other:?}"),
                }
            }
            BeginOutcome::Limited(SendLimit::NoChecksLeft { until } | SendLimit::NoSendsLeft { until }) => {
                until
            }
            other => panic!("{other:?}"),
        };
        if until > patience {
            break;
        }
        number.now = until;
    }
    guesses
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
            number.settles(&permit, &ACCEPTED);
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
    let BeginOutcome::Permitted(permit) = next.ask() else { return None };
    next.settles(&permit, &ACCEPTED);
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
    let mut attacker = Attacker { start: number.now, best: HashMap::new() };
    assert_eq!(attacker.best(&number), 700);
}
