//! What an answer of Twilio's means.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::super::http_client::Answer;
use super::super::twilio_codes::{Judgement, judge, words_for};
use super::super::{Accepted, ErrorClass, GatewayError};
use crate::domain::GatewayName;

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
    match read_json::<Created>(answer).map(|created| created.sid).filter(|sid| is_id(sid)) {
        Some(message_id) => Ok(Accepted { message_id }),
        None => Err(unreadable(gateway, answer, "id")),
    }
}

/// A success whose body says nothing more.
pub(super) fn done(gateway: GatewayName, answer: &Answer) -> Result<(), GatewayError> {
    if answer.status.is_success() { Ok(()) } else { Err(refused(gateway, answer)) }
}

/// A success that does not say what it should: nobody knows what was done.
pub(super) fn unreadable(gateway: GatewayName, answer: &Answer, what: &str) -> GatewayError {
    let Judgement { class, whole_gateway } = judge(None, answer.status.as_u16());
    let detail = format!("answered HTTP {} without a readable {what}", answer.status.as_u16());
    GatewayError { gateway, class, code: None, detail, whole_gateway }
}

/// What an answer means that is no success.
pub(super) fn refused(gateway: GatewayName, answer: &Answer) -> GatewayError {
    let status = answer.status.as_u16();
    let code = error_code(answer);
    let Judgement { class, whole_gateway } = judge(code, status);
    let class = match class {
        ErrorClass::Retry { after } => ErrorClass::Retry { after: retry_after(&answer.headers).or(after) },
        class => class,
    };
    let words = match code.and_then(words_for) {
        Some(words) => words,
        None if answer.status.is_redirection() => "a redirect, which is not followed; check TWILIO_BASE_URL",
        None => "no reason that is known",
    };
    let detail = format!("answered HTTP {status}: {words}");
    GatewayError { gateway, class, code, detail, whole_gateway }
}

/// Twilio's own code in an error answer.
pub(super) fn error_code(answer: &Answer) -> Option<u32> {
    read_json(answer).map(|error: ErrorAnswer| error.code)
}

pub(super) fn read_json<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Option<T> {
    serde_json::from_slice(answer.body.as_deref()?).ok()
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own
/// `Date`, so that it does not matter how far the two machines' clocks are apart.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let answered = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(answered).unwrap_or_default())
}
