//! What Sinch's error codes mean for what happens next.
//!
//! Source: <https://developers.sinch.com/docs/verification/api-reference/errors>. The words are ours;
//! Sinch's own message can contain the number.

use crate::gateway::ErrorClass;
use crate::gateway::ErrorClass::{Ambiguous, BadNumber, Configuration, Refused, Retry};
use crate::gateway::wire::{Meaning, known_code};

/// For a check: no verification of this number was ever started.
pub(super) const NOT_FOUND: u32 = 40_400;

const SOON: ErrorClass = Retry { after: None };

/// Of what we post only the number differs from message to message, so a parameter that is not
/// valid is the number. The limit per number (42901) is not about the gateway: strangers reach it.
#[rustfmt::skip]
const MEANINGS: &[(u32, Meaning, &str)] = &[
    (40_001, Meaning::of_this_message(BadNumber), "the number is not valid"),
    (40_003, Meaning::of_this_message(Refused), "the request cannot be carried out"),
    (40_100, Meaning::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_101, Meaning::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_102, Meaning::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_104, Meaning::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_107, Meaning::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_200, Meaning::of_the_gateway(Configuration), "the account has no credit"),
    (40_300, Meaning::of_this_message(Configuration), "this number or destination is not permitted; see the Sinch dashboard"),
    (40_303, Meaning::of_this_message(Configuration), "the application's settings or its callback do not permit this; see the Sinch dashboard"),
    (NOT_FOUND, Meaning::of_the_gateway(Configuration), "there is nothing at this address; check SINCH_VERIFICATION_URL"),
    (40_900, Meaning::of_this_message(Refused), "a reference that was used before"),
    (42_200, Meaning::of_the_gateway(Configuration), "the application has no name; give it one in the Sinch dashboard"),
    (42_201, Meaning::of_this_message(Refused), "there is no route to this number"),
    (42_900, Meaning::of_the_gateway(SOON), "too many requests"),
    (42_901, Meaning::of_this_message(SOON), "too many verifications of this number"),
    (50_000, Meaning::of_the_gateway(Ambiguous), "an internal error"),
    (50_300, Meaning::of_the_gateway(Ambiguous), "the service is unavailable"),
    (50_301, Meaning::of_the_gateway(Configuration), "the account is set up wrongly at Sinch; ask its support"),
];

/// What a code means, and in words of ours; `None` for one that is not in the table, or that
/// does not begin with the HTTP status it came with and so was not Sinch's.
pub(super) fn meaning(code: u32, http_status: u16) -> Option<(Meaning, &'static str)> {
    if code / 100 != u32::from(http_status) {
        return None;
    }
    known_code(MEANINGS, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_code_is_found_with_its_own_status_only() {
        assert!(MEANINGS.is_sorted_by_key(|(code, ..)| *code));
        for (code, expected, words) in MEANINGS {
            let status = u16::try_from(code / 100).expect("a status");
            assert_eq!(meaning(*code, status), Some((*expected, *words)));
            assert_eq!(meaning(*code, status + 1), None, "{code}");
        }
        assert_eq!(meaning(40_099, 400), None);
    }
}
