//! What Twilio's error codes mean for what happens next.
//!
//! Source: Twilio's Error and Warning Dictionary, <https://www.twilio.com/docs/api/errors>. The
//! words are ours; Twilio's own message is never read, for it can contain the number.

use std::time::Duration;

use super::ErrorClass;
use super::ErrorClass::{
    Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
};

/// The account's credentials were not accepted.
pub(super) const CREDENTIALS: u32 = 20_003;

/// The account is suspended.
pub(super) const SUSPENDED: u32 = 30_002;

/// Too many requests: Twilio says that these were never processed.
const TOO_MANY_REQUESTS: u32 = 20_429;

const SOON: ErrorClass = Retry { after: None };

/// The daily cap counts a rolling 24 hours, so it is certain to have room after as long.
const NEXT_DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };

#[rustfmt::skip]
const MEANINGS: &[(u32, ErrorClass, &str)] = &[
    (13_225, Fraud, "calls to this number are blocked by the fraud protection"),
    (13_227, Configuration, "the country is not permitted; enable it under Geo Permissions"),
    (14_107, SOON, "too many messages between these two numbers"),
    (CREDENTIALS, Configuration, "the credentials were not accepted; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
    (TOO_MANY_REQUESTS, SOON, "too many requests"),
    (20_500, Ambiguous, "an internal error"),
    (20_503, Ambiguous, "the service is unavailable"),
    (21_211, BadNumber, "the recipient is not a phone number"),
    (21_212, Configuration, "the sender number is not valid; check TWILIO_PHONE_NUMBER"),
    (21_215, Configuration, "the country is not permitted; enable it under Geo Permissions"),
    (21_216, Fraud, "calls to this number are blocked"),
    (21_219, Configuration, "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_408, Configuration, "the country is not permitted; enable it under Messaging Geo Permissions"),
    (21_603, Configuration, "a sender is missing; set TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
    (21_606, Configuration, "the sender cannot send such messages; check TWILIO_PHONE_NUMBER"),
    (21_608, Configuration, "the account is a trial and this recipient is not one of its verified numbers; upgrade it or verify the number"),
    (21_610, OptedOut, "the recipient has sent STOP to this sender"),
    (21_611, SOON, "the sender's queue is full"),
    (21_612, NotReachableHere, "the recipient cannot be reached from this sender"),
    (21_614, NotReachableHere, "the recipient is not a mobile number"),
    (21_701, Configuration, "the messaging service does not exist; check TWILIO_MESSAGING_SERVICE_SID"),
    (21_703, Configuration, "the messaging service has no sender"),
    (21_704, Configuration, "the messaging service has no sender"),
    (21_705, Configuration, "the messaging service is not valid; check TWILIO_MESSAGING_SERVICE_SID"),
    (30_001, SOON, "the queue is full"),
    (SUSPENDED, Configuration, "the account is suspended; see the Twilio console"),
    (30_003, Refused, "the handset is unreachable"),
    (30_004, Refused, "the message is blocked"),
    (30_005, BadNumber, "the recipient is unknown"),
    (30_006, NotReachableHere, "the recipient is a landline or its carrier is unreachable"),
    (30_007, Refused, "the message is filtered"),
    (30_008, Refused, "an unknown error"),
    (30_018, Configuration, "the destination country asks for a registered sender"),
    (30_022, SOON, "the sender's rate limit is reached"),
    (30_023, SOON, "the sender's daily cap is reached"),
    (30_024, Configuration, "the sender is not provisioned for this destination"),
    (30_027, SOON, "the carrier's daily cap is reached"),
    (30_034, Configuration, "the sender is not registered for A2P 10DLC"),
    (30_035, Configuration, "the sender's A2P 10DLC registration is not finished"),
    (30_450, Fraud, "the SMS pumping protection blocked it"),
    (60_205, NotReachableHere, "the recipient is a landline"),
    (60_410, Fraud, "the fraud protection blocked the number's prefix"),
    (60_605, Configuration, "the country is not permitted; enable it under Verify Geo Permissions"),
    (63_003, NotReachableHere, "the recipient has no such WhatsApp address"),
    (63_016, Configuration, "outside the WhatsApp window only an approved template can be sent"),
    (63_024, NotReachableHere, "the recipient has no such WhatsApp address"),
    (63_038, NEXT_DAY, "the account's daily cap is reached"),
];

/// The class of an answer that is not a success, from Twilio's own code, if its body had one, and
/// the HTTP status.
///
/// A status of 500 and above says that nobody knows how far the request came, whatever the body
/// says, except for 20429 ("too many requests"), which was never processed. Otherwise a code from
/// the table decides, then the status:
///
/// * 429: not processed, may be tried again;
/// * 401, 403: credentials or permissions;
/// * 301, 307, 308: the base URL is wrong, for they mean "repeat this elsewhere". Other redirects
///   may follow a request that was carried out, and tell nothing;
/// * 408: sent by servers that never read the request and by proxies that did;
/// * every other 4xx: this message was refused.
pub(super) fn class_of(code: Option<u32>, http_status: u16) -> ErrorClass {
    if http_status >= 500 && code != Some(TOO_MANY_REQUESTS) {
        return Ambiguous;
    }
    if let Some((_, class, _)) = code.and_then(meaning) {
        return *class;
    }
    match http_status {
        429 => SOON,
        301 | 307 | 308 | 401 | 403 => Configuration,
        408 => Ambiguous,
        400..=499 => Refused,
        _ => Ambiguous,
    }
}

/// What a code means, in words of ours; `None` for a code that is not in the table.
pub(super) fn words_for(code: u32) -> Option<&'static str> {
    meaning(code).map(|(_, _, words)| *words)
}

fn meaning(code: u32) -> Option<&'static (u32, ErrorClass, &'static str)> {
    let place = MEANINGS.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    MEANINGS.get(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_class_that_the_security_rules_give_it() {
        let expected: &[(&[u32], ErrorClass)] = &[
            (&[21_211, 30_005], BadNumber),
            (&[21_614, 30_006, 60_205, 21_612, 63_003, 63_024], NotReachableHere),
            (&[21_610], OptedOut),
            (&[21_408, 21_215, 13_227, 60_605], Configuration),
            (&[21_608, 21_219], Configuration),
            (&[21_212, 21_603, 21_606, 21_701, 21_703, 21_704, 21_705], Configuration),
            (&[20_003, 30_002, 30_018, 30_024, 30_034, 30_035, 63_016], Configuration),
            (&[20_429, 21_611, 30_001, 14_107, 30_022, 30_023, 30_027], SOON),
            (&[63_038], Retry { after: Some(Duration::from_secs(86_400)) }),
            (&[20_500, 20_503], Ambiguous),
            (&[30_003, 30_008, 30_004, 30_007], Refused),
            (&[30_450, 60_410, 21_216, 13_225], Fraud),
        ];
        let mut tested = 0;
        for (codes, class) in expected {
            for code in *codes {
                assert_eq!(class_of(Some(*code), 400), *class, "{code}");
                assert!(words_for(*code).is_some(), "{code}");
                tested += 1;
            }
        }
        assert_eq!(tested, MEANINGS.len(), "a code of the table is not tested");
    }

    #[test]
    fn the_table_is_in_order_so_that_a_code_is_found() {
        assert!(MEANINGS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn without_a_known_code_the_status_decides() {
        for code in [None, Some(1), Some(99_999)] {
            for (status, class) in [
                (400, Refused),
                (401, Configuration),
                (403, Configuration),
                (404, Refused),
                (408, Ambiguous),
                (422, Refused),
                (429, SOON),
                (301, Configuration),
                (302, Ambiguous),
                (303, Ambiguous),
                (307, Configuration),
                (308, Configuration),
                (304, Ambiguous),
                (101, Ambiguous),
                (200, Ambiguous),
                (500, Ambiguous),
                (503, Ambiguous),
                (599, Ambiguous),
                (999, Ambiguous),
            ] {
                assert_eq!(class_of(code, status), class, "{code:?} {status}");
            }
        }
    }

    #[test]
    fn a_server_error_leaves_open_whether_it_was_sent_unless_it_was_never_processed() {
        assert_eq!(class_of(Some(21_211), 500), Ambiguous);
        assert_eq!(class_of(Some(21_611), 503), Ambiguous);
        assert_eq!(class_of(Some(20_429), 503), SOON);
    }

    #[test]
    fn a_known_code_says_more_than_the_status() {
        assert_eq!(class_of(Some(30_450), 429), Fraud);
        assert_eq!(class_of(Some(63_038), 429), NEXT_DAY);
        assert_eq!(class_of(Some(21_608), 403), Configuration);
    }
}
