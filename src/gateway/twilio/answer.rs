//! What an answer of Twilio's means.

use serde::Deserialize;

use super::codes::judge;
use super::settings::BASE_URL;
use crate::domain::GatewayName;
use crate::gateway::wire::{Answer, Meaning, words_for_status};
use crate::gateway::{Accepted, ErrorClass, GatewayError};

#[derive(Deserialize)]
struct Created {
    sid: String,
}

/// The message in an error answer stays unread, for it can repeat the number.
#[derive(Deserialize)]
struct ErrorAnswer {
    code: u32,
}

/// Longest id taken over from an answer. Twilio's have 34 characters; servers with the same API
/// use others, such as UUIDs.
const SID_MAX: usize = 64;

/// Whether a text can be an id: of a bounded length, and a harmless segment of a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=SID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// The id of what was created, or why there is none.
pub(super) fn created(gateway: GatewayName, answer: &Answer) -> Result<Accepted, GatewayError> {
    if !answer.status.is_success() {
        return Err(refused(gateway, answer));
    }
    match answer.json::<Created>().map(|created| created.sid).filter(|sid| is_id(sid)) {
        Some(message_id) => Ok(Accepted { message_id }),
        None => Err(unreadable(gateway, answer, "id")),
    }
}

/// A success whose body says nothing more.
pub(super) fn done(gateway: GatewayName, answer: &Answer) -> Result<(), GatewayError> {
    if answer.status.is_success() { Ok(()) } else { Err(refused(gateway, answer)) }
}

/// A success that does not say what it should: nobody knows what was done, and something else than
/// Twilio may be in its place.
pub(super) fn unreadable(gateway: GatewayName, answer: &Answer, what: &str) -> GatewayError {
    let detail = format!("answered HTTP {} without a readable {what}", answer.status.as_u16());
    Meaning::of_the_gateway(ErrorClass::Ambiguous).error(gateway, None, detail)
}

/// What an answer means that is no success.
pub(super) fn refused(gateway: GatewayName, answer: &Answer) -> GatewayError {
    let code = error_code(answer);
    let (meaning, words) = judge(code, answer);
    let detail = match words {
        Some(words) => format!("answered HTTP {}: {words}", answer.status.as_u16()),
        None => words_for_status(answer, BASE_URL),
    };
    meaning.error(gateway, code, detail)
}

/// Twilio's own code in an error answer.
pub(super) fn error_code(answer: &Answer) -> Option<u32> {
    answer.json().map(|error: ErrorAnswer| error.code)
}
