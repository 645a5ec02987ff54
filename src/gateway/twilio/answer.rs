//! What an answer of Twilio's means.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::super::http_client::Answer;
use super::super::twilio_codes::{class_of, words_for};
use super::super::{Accepted, ErrorClass, GatewayError};
use super::failure;

#[derive(Deserialize)]
struct MessageCreated {
    sid: String,
}

/// The message in an error answer stays unread, for it can repeat the number.
#[derive(Deserialize)]
struct ErrorAnswer {
    code: u32,
}

/// Longest message id taken over from an answer. Twilio's have 34 characters; servers with the
/// same API use others, such as UUIDs.
const SID_MAX: usize = 64;

/// A message id, or why there is none.
pub(super) fn judge(answer: &Answer) -> Result<Accepted, GatewayError> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        let created: Option<MessageCreated> = read_json(answer);
        let sid = created.map(|c| c.sid).filter(|sid| {
            (1..=SID_MAX).contains(&sid.len())
                && sid.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        return match sid {
            Some(message_id) => Ok(Accepted { message_id }),
            None => Err(failure(
                ErrorClass::Ambiguous,
                None,
                format!("answered HTTP {status} without a readable message id"),
            )),
        };
    }
    let code = read_json(answer).map(|error: ErrorAnswer| error.code);
    let class = match class_of(code, status) {
        ErrorClass::Retry { after } => ErrorClass::Retry { after: retry_after(&answer.headers).or(after) },
        class => class,
    };
    let words = match code.and_then(words_for) {
        Some(words) => words,
        None if answer.status.is_redirection() => "a redirect, which is not followed; check TWILIO_BASE_URL",
        None => "no reason that is known",
    };
    Err(failure(class, code, format!("answered HTTP {status}: {words}")))
}

fn read_json<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Option<T> {
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
