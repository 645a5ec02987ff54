//! What comes after a gateway's error.

use std::time::Duration;

use crate::gateway::ErrorClass;

/// Attempts at one message, the first included.
const ATTEMPTS: u32 = 2;

/// The wait before a second attempt when the gateway did not ask for one.
const WAIT: Duration = Duration::from_millis(500);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Ask the gateway again after a wait.
    TryAgain { after: Duration },
    /// Tell the caller.
    GiveUp,
}

/// What comes after attempt number `attempt` (from 1) ended with `class` and `left` of the budget
/// remained, when an attempt is worth its while with `least` time or more.
///
/// Only an error that is sure that nothing was sent, and that may go away by itself, gets a
/// second attempt.
pub(super) fn next_step(attempt: u32, class: ErrorClass, left: Duration, least: Duration) -> NextStep {
    match class {
        ErrorClass::Retry { after } => {
            let after = after.unwrap_or(WAIT);
            let fits = after.saturating_add(least) <= left;
            if attempt < ATTEMPTS && fits { NextStep::TryAgain { after } } else { NextStep::GiveUp }
        }
        ErrorClass::BadNumber
        | ErrorClass::NotReachableHere
        | ErrorClass::OptedOut
        | ErrorClass::Configuration
        | ErrorClass::Fraud
        | ErrorClass::Refused
        | ErrorClass::Ambiguous => NextStep::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_error_that_surely_sent_nothing_and_fits_the_budget_is_tried_again() {
        let ms = Duration::from_millis;
        let retry = |after| ErrorClass::Retry { after };
        let again = |after| NextStep::TryAgain { after };
        for (attempt, class, left_ms, expected) in [
            (1, retry(None), 10_000, again(ms(500))),
            (1, retry(None), 1_500, again(ms(500))),
            (1, retry(None), 1_499, NextStep::GiveUp),
            (1, retry(None), 0, NextStep::GiveUp),
            (1, retry(Some(ms(3_000))), 10_000, again(ms(3_000))),
            (1, retry(Some(ms(0))), 1_000, again(ms(0))),
            (1, retry(Some(ms(9_000))), 10_000, again(ms(9_000))),
            (1, retry(Some(ms(9_001))), 10_000, NextStep::GiveUp),
            (1, retry(Some(Duration::MAX)), 10_000, NextStep::GiveUp),
            (2, retry(None), 10_000, NextStep::GiveUp),
            (2, retry(Some(ms(0))), 10_000, NextStep::GiveUp),
            (1, ErrorClass::Ambiguous, 10_000, NextStep::GiveUp),
            (1, ErrorClass::BadNumber, 10_000, NextStep::GiveUp),
            (1, ErrorClass::NotReachableHere, 10_000, NextStep::GiveUp),
            (1, ErrorClass::OptedOut, 10_000, NextStep::GiveUp),
            (1, ErrorClass::Configuration, 10_000, NextStep::GiveUp),
            (1, ErrorClass::Fraud, 10_000, NextStep::GiveUp),
            (1, ErrorClass::Refused, 10_000, NextStep::GiveUp),
        ] {
            let step = next_step(attempt, class, ms(left_ms), ms(1_000));
            assert_eq!(step, expected, "attempt {attempt}, {class:?}, {left_ms} ms left");
        }
    }
}
