//! What Mada's `commandStatus` means for what happens next. The numbers are SMPP's (3.4, 5.1.3),
//! with some of Mada's own from 88 on.

use crate::gateway::ErrorClass::{self, BadNumber, Configuration, Refused, Retry};
use crate::gateway::wire::{Meaning, known_code};

/// The message was taken.
pub(super) const SUCCESS: u32 = 0;

const SOON: ErrorClass = Retry { after: None };

/// A full queue and a temporary error can be those of one recipient, so they do not count against
/// the gateway.
#[rustfmt::skip]
const MEANINGS: &[(u32, Meaning, &str)] = &[
    (1, Meaning::of_this_message(Configuration), "the message is too long; shorten otp-message"),
    (8, Meaning::of_the_gateway(SOON), "a system error"),
    (10, Meaning::of_the_gateway(Configuration), "the sender is not valid; check MADA_SOURCE_NAME"),
    (11, Meaning::of_this_message(BadNumber), "the number is not valid"),
    (14, Meaning::of_the_gateway(Configuration), "the credentials were not accepted; check MADA_USERNAME and MADA_PASSWORD"),
    (20, Meaning::of_this_message(SOON), "the queue is full"),
    (88, Meaning::of_the_gateway(SOON), "too many messages"),
    (100, Meaning::of_this_message(SOON), "a temporary error"),
    (101, Meaning::of_this_message(Refused), "a permanent error"),
    (1_035, Meaning::of_the_gateway(Configuration), "the account has no credit"),
];

/// What a status other than success means, in words of ours.
pub(super) fn meaning(status: u32) -> (Meaning, &'static str) {
    known_code(MEANINGS, status)
        .unwrap_or((Meaning::of_this_message(Refused), "a status that is not known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_so_that_a_status_is_found() {
        assert!(MEANINGS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }
}
