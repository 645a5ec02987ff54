//! What Twilio's error codes mean for what happens next.
//!
//! Source: Twilio's Error and Warning Dictionary, <https://www.twilio.com/docs/api/errors>. The
//! words are ours; Twilio's own message is never read, for it can contain the number.

mod table;

use self::table::MEANINGS;
use crate::gateway::ErrorClass;
use crate::gateway::wire::{Answer, Meaning, by_status, known_code};

/// The account's credentials were not accepted.
pub(super) const CREDENTIALS: u32 = 20_003;

/// The account is suspended.
pub(super) const SUSPENDED: u32 = 30_002;

/// What was asked for does not exist: to Verify, a verification that is used up, expired or
/// was never started.
pub(super) const NOT_FOUND: u32 = 20_404;

/// Verify looks at no further codes for a verification.
pub(super) const CHECKS_USED_UP: u32 = 60_202;

/// Too many requests: Twilio says that these were never processed.
const TOO_MANY_REQUESTS: u32 = 20_429;

/// The meaning of an answer that is not a success, and what its code says in words of ours, if
/// that is known.
///
/// A status of 500 and above says that nobody knows how far the request came, whatever the body
/// says, except for 20429 ("too many requests"), which was never processed. Otherwise a code from
/// the table decides, then the status.
pub(super) fn judge(code: Option<u32>, answer: &Answer) -> (Meaning, Option<&'static str>) {
    let known = code.and_then(|code| known_code(MEANINGS, code));
    let may_be_processed = answer.status.as_u16() >= 500 && code != Some(TOO_MANY_REQUESTS);
    let meaning = match known {
        Some((meaning, _)) if !may_be_processed => meaning.with_wait_of(answer),
        _ => by_status(answer),
    };
    (meaning, known.map(|(_, words)| words))
}

/// The class of a code that comes in a report about a message that was taken: it has surely not
/// arrived. A code that is not in the table says no more than that.
pub(super) fn class_of_report(code: u32) -> ErrorClass {
    known_code(MEANINGS, code).map_or(ErrorClass::Refused, |(meaning, _)| meaning.class)
}

#[cfg(test)]
mod tests;
