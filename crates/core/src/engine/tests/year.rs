//! The number of guesses that a hard stop leaves to the best attacker in a year.

use std::collections::HashMap;

use super::verification_steps::{Number, name_of};
use super::world::{GatewayResult, mins};
use crate::domain::Timestamp;
use crate::engine::{BeginOutcome, CheckOutcome, CheckStep::Decided, FailureCount, NumberState, SendLimit};

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
    is_named: bool,
    start: Timestamp,
    /// The most guesses that a state leaves in the rest of the year.
    best: HashMap<[u64; 3], u32>,
}

impl Attacker {
    fn best(&mut self, number: &Number) -> u32 {
        if number.now > self.start.plus(mins(YEAR)) {
            return 0;
        }
        let count = match number.state.at(&number.policy, number.now) {
            NumberState::Open(open) => open.failures,
            _ => FailureCount::NONE,
        };
        let key = [number.now.as_millis(), u64::from(count.in_a_row), count.last.as_millis()];
        if let Some(best) = self.best.get(&key) {
            return *best;
        }
        let choices = [Choice::Wait, Choice::Careful, Choice::Greedy];
        let best = choices.into_iter().map(|choice| {
            let mut next = number.clone();
            let guesses = self.guesses(&mut next, choice);
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

    fn guesses(&self, number: &mut Number, choice: Choice) -> u32 {
        let mut guesses = 0;
        let patience = number.now.plus(mins(5 * DAY));
        let most = match choice {
            Choice::Wait => return 0,
            Choice::Careful => FailureCount::HARD_STOP_AT - 1,
            Choice::Greedy => FailureCount::HARD_STOP_AT,
        };
        while in_a_row(number) < most {
            let until = match number.asks_for_a_code() {
                BeginOutcome::Permitted(permit) => {
                    number.settles(&permit, GatewayResult::Accepted);
                    match number.guesses(self.is_named.then(|| name_of(&permit))) {
                        Decided(CheckOutcome::Wrong { .. }) => {
                            guesses += 1;
                            continue;
                        }
                        Decided(CheckOutcome::NoChecksLeft { until }) => until,
                        other => panic!("{other:?}"),
                    }
                }
                BeginOutcome::Limited(
                    SendLimit::NoChecksLeft { until } | SendLimit::NoSendsLeft { until },
                ) => until,
                other => panic!("{other:?}"),
            };
            if until > patience {
                break;
            }
            number.now = until;
        }
        guesses
    }
}

fn in_a_row(number: &Number) -> u8 {
    match number.state.at(&number.policy, number.now) {
        NumberState::Open(open) => open.failures.in_a_row,
        _ => 0,
    }
}

fn guesses_in_a_year(is_named: bool) -> u32 {
    let number = Number::of_a_new_service();
    Attacker { is_named, start: number.now, best: HashMap::new() }.best(&number)
}

#[test]
fn the_best_attacker_has_700_guesses_in_a_year() {
    assert_eq!(guesses_in_a_year(false), 700);
    assert_eq!(guesses_in_a_year(true), 700);
}

#[test]
fn an_attacker_who_always_waits_for_the_end_of_the_count_has_fewer() {
    let mut number = Number::of_a_new_service();
    let attacker = Attacker { is_named: false, start: number.now, best: HashMap::new() };
    let mut guesses = 0;
    while number.now <= attacker.start.plus(mins(YEAR)) {
        guesses += attacker.guesses(&mut number, Choice::Careful);
        number.advance(mins(90 * DAY));
    }
    assert_eq!(guesses, 99 * 5);
}
