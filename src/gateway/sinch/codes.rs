//! What Sinch's error codes mean for what happens next.
//!
//! Source: <https://developers.sinch.com/docs/verification/api-reference/errors>. The words are ours;
//! Sinch's own message can contain the number.

use crate::gateway::ErrorClass;
use crate::gateway::ErrorClass::{Ambiguous, BadNumber, Configuration, Refused, Retry};
use crate::gateway::classify::{Classification, CodeTable, known_code};

/// For a check: no verification of this number was ever started.
pub(super) const NOT_FOUND: u32 = 40_400;

const SOON: ErrorClass = Retry { after: None };

/// Of what we post only the number differs from message to message, so a parameter that is not
/// valid is the number. The limit per number (42901) is not about the gateway: strangers reach it.
#[rustfmt::skip]
const CODES: &CodeTable = &[
    (40_001, Classification::of_this_message(BadNumber), "the number is not valid"),
    (40_003, Classification::of_this_message(Refused), "the request cannot be carried out"),
    (40_100, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_101, Classification::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_102, Classification::of_the_gateway(Configuration), "the application asks for signed requests; permit Basic authentication in the Sinch dashboard"),
    (40_104, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_107, Classification::of_the_gateway(Configuration), "the credentials were not accepted; check SINCH_APP_ID and SINCH_APP_SECRET"),
    (40_200, Classification::of_the_gateway(Configuration), "the account has no credit"),
    (40_300, Classification::of_this_message(Configuration), "this number or destination is not permitted; see the Sinch dashboard"),
    (40_303, Classification::of_this_message(Configuration), "the application's settings or its callback do not permit this; see the Sinch dashboard"),
    (NOT_FOUND, Classification::of_the_gateway(Configuration), "there is nothing at this address; check SINCH_VERIFICATION_URL"),
    (40_900, Classification::of_this_message(Refused), "a reference that was used before"),
    (42_200, Classification::of_the_gateway(Configuration), "the application has no name; give it one in the Sinch dashboard"),
    (42_201, Classification::of_this_message(Refused), "there is no route to this number"),
    (42_900, Classification::of_the_gateway(SOON), "too many requests"),
    (42_901, Classification::of_this_message(SOON), "too many verifications of this number"),
    (50_000, Classification::of_the_gateway(Ambiguous), "an internal error"),
    (50_300, Classification::of_the_gateway(Ambiguous), "the service is unavailable"),
    (50_301, Classification::of_the_gateway(Configuration), "the account is set up wrongly at Sinch; ask its support"),
];

/// What a code means, and in words of ours; `None` for one that is not in the table, or that
/// does not begin with the HTTP status it came with and so was not Sinch's.
pub(super) fn classification(code: u32, http_status: u16) -> Option<(Classification, &'static str)> {
    if code / 100 != u32::from(http_status) {
        return None;
    }
    known_code(CODES, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_code_is_found_with_its_own_status_only() {
        assert!(CODES.is_sorted_by_key(|(code, ..)| *code));
        for (code, expected, words) in CODES {
            let status = u16::try_from(code / 100).expect("a status");
            assert_eq!(classification(*code, status), Some((*expected, *words)));
            assert_eq!(classification(*code, status + 1), None, "{code}");
        }
        assert_eq!(classification(40_099, 400), None);
    }
}
