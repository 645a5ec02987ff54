//! What Twilio's error codes mean for what happens next.
//!
//! Source: Twilio's Error and Warning Dictionary, <https://www.twilio.com/docs/api/errors>. The
//! words are ours; Twilio's own message is never read, for it can contain the number.

mod table;

use self::table::{MEANINGS, SOON};
use super::ErrorClass::{self, Ambiguous, Configuration, Refused};

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

/// Whom an error concerns. In doubt only its message, or strangers could put a gateway out of
/// service for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concerns {
    /// This message: its number, its pair of numbers, its country, its channel.
    This,
    /// Every message, whoever it is for.
    Everyone,
}

/// What an answer means that is not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What it means for what happens next.
    pub class: ErrorClass,
    /// Whether any other message would have fared the same just now.
    pub whole_gateway: bool,
}

/// The meaning of an answer that is not a success, or not a readable one, from Twilio's own code,
/// if its body had one, and the HTTP status.
///
/// A status of 500 and above says that nobody knows how far the request came, whatever the body
/// says, except for 20429 ("too many requests"), which was never processed. Otherwise a code from
/// the table decides, then the status:
///
/// * 429: not processed, may be tried again;
/// * 401, 403: credentials or permissions. A 403 without a known code may concern only this number;
/// * 301, 307, 308: the base URL is wrong, for they mean "repeat this elsewhere". Other redirects
///   may follow a request that was carried out, and tell nothing;
/// * 408: sent by servers that never read the request and by proxies that did;
/// * every other 4xx: this message was refused.
pub(super) fn judge(code: Option<u32>, http_status: u16) -> Judgement {
    let (class, concerns) = class_and_concern(code, http_status);
    Judgement { class, whole_gateway: concerns == Concerns::Everyone }
}

fn class_and_concern(code: Option<u32>, http_status: u16) -> (ErrorClass, Concerns) {
    if http_status >= 500 && code != Some(TOO_MANY_REQUESTS) {
        return (Ambiguous, Concerns::Everyone);
    }
    if let Some((_, class, concerns, _)) = code.and_then(meaning) {
        return (*class, *concerns);
    }
    match http_status {
        429 => (SOON, Concerns::Everyone),
        301 | 307 | 308 | 401 => (Configuration, Concerns::Everyone),
        403 => (Configuration, Concerns::This),
        408 => (Ambiguous, Concerns::Everyone),
        400..=499 => (Refused, Concerns::This),
        // Not what Twilio answers to anything: something else is in its place.
        _ => (Ambiguous, Concerns::Everyone),
    }
}

/// The class of a code that comes in a report about a message that was taken: it has surely not
/// arrived. A code that is not in the table says no more than that.
pub(super) fn class_of_report(code: u32) -> ErrorClass {
    meaning(code).map_or(Refused, |(_, class, ..)| *class)
}

/// What a code means, in words of ours; `None` for a code that is not in the table.
pub(super) fn words_for(code: u32) -> Option<&'static str> {
    meaning(code).map(|(.., words)| *words)
}

fn meaning(code: u32) -> Option<&'static (u32, ErrorClass, Concerns, &'static str)> {
    let place = MEANINGS.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    MEANINGS.get(place)
}

#[cfg(test)]
mod tests;
