//! What an answer of Sinch's means.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::codes::{NOT_FOUND, meaning};
use super::{NAME, URL_SETTING};
use crate::gateway::wire::{Answer, Meaning, by_status, id_in, words_for_status};
use crate::gateway::{Accepted, ErrorClass, GatewayError, Verdict};

/// What Sinch writes when a number has no verification to check.
const NO_LIVE_VERIFICATION: &[u8] = b"Invalid identity or code";

#[derive(Deserialize)]
struct Started {
    id: Value,
}

#[derive(Deserialize)]
struct Reported {
    status: String,
    reason: Option<String>,
}

/// Sinch writes the code as a number; its documents also show a text.
#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "errorCode")]
    code: Value,
}

/// A message id, or why there is none.
pub(super) fn judge_send(answer: &Answer) -> Result<Accepted, GatewayError> {
    if answer.status.is_success() {
        let started: Option<Started> = answer.json();
        return match started.and_then(|s| id_in(&s.id)) {
            Some(message_id) => Ok(Accepted { message_id }),
            None => Err(not_understood(answer)),
        };
    }
    Err(refusal(answer, |known| known))
}

/// What Sinch says about a code, or why it does not.
///
/// A verification that was denied, replaced, could not be delivered or has expired has no code that
/// could be right. One that is still pending has looked at the code without being convinced.
pub(super) fn judge_check(answer: &Answer) -> Result<Verdict, GatewayError> {
    if answer.status == StatusCode::OK {
        let reported: Option<Reported> = answer.json();
        let Some(reported) = reported else { return Err(not_understood(answer)) };
        return match (reported.status.as_str(), reported.reason.as_deref()) {
            ("SUCCESSFUL", _) => Ok(Verdict::Approved),
            ("FAIL", Some("Expired")) | ("DENIED" | "ABORTED" | "ERROR", _) => Ok(Verdict::NotLive),
            ("FAIL" | "PENDING", _) => Ok(Verdict::Wrong),
            _ => Err(not_understood(answer)),
        };
    }
    let says_not_live = !answer.status.is_success()
        && answer.body.as_deref().is_some_and(|body| contains(body, NO_LIVE_VERIFICATION));
    if says_not_live || code_of(answer) == Some(NOT_FOUND) && answer.status == StatusCode::NOT_FOUND {
        return Ok(Verdict::NotLive);
    }
    // Here a parameter that is not valid is as likely the code, and nothing was compared.
    Err(refusal(answer, |known| match known.class {
        ErrorClass::BadNumber => Meaning::of_this_message(ErrorClass::Refused),
        _ => known,
    }))
}

fn refusal(answer: &Answer, adapted: impl Fn(Meaning) -> Meaning) -> GatewayError {
    let code = code_of(answer);
    let status = answer.status.as_u16();
    match code.and_then(|code| meaning(code, status)) {
        Some((known, words)) => {
            // What a parameter that is not valid means depends on what was asked.
            let meaning = adapted(known);
            let words = if meaning == known { words } else { "a value is not valid" };
            let detail = format!("answered HTTP {status}: {words}");
            meaning.with_wait_of(answer).error(NAME, code, detail)
        }
        None => by_status(answer).error(NAME, code, words_for_status(answer, URL_SETTING)),
    }
}

/// A success without what belongs to it. One that is not even JSON does not come from Sinch, or
/// comes from a Sinch in trouble.
fn not_understood(answer: &Answer) -> GatewayError {
    let meaning = match answer.json::<Value>() {
        Some(_) => Meaning::of_this_message(ErrorClass::Ambiguous),
        None => Meaning::of_the_gateway(ErrorClass::Ambiguous),
    };
    meaning.error(NAME, None, words_for_status(answer, URL_SETTING))
}

fn code_of(answer: &Answer) -> Option<u32> {
    let error: ErrorAnswer = answer.json()?;
    match error.code {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}
