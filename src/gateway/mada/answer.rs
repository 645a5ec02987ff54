//! What an answer of Mada's means.

use super::status::{SUCCESS, meaning};
use super::xml_read::{SoapAnswer, read_answer};
use super::{NAME, URL_SETTING};
use crate::gateway::wire::{Answer, Meaning, OwnIds, by_status, usable_id, words_for_status};
use crate::gateway::{Accepted, ErrorClass, GatewayError};

/// A message id, or why there is none.
///
/// SOAP 1.1 sends faults with HTTP 500, so a fault is looked at first: one that blames the request
/// says that nothing was done. A command status counts only in a success of HTTP.
pub(super) fn judge(answer: &Answer, own_ids: &OwnIds) -> Result<Accepted, GatewayError> {
    let status = answer.status.as_u16();
    let soap = answer.body.as_deref().and_then(|body| read_answer(std::str::from_utf8(body).ok()?));
    let by_http = || Err(by_status(answer).error(NAME, None, words_for_status(answer, URL_SETTING)));
    // What these say is about the credentials, whatever the body is.
    if matches!(status, 401..=403) {
        return by_http();
    }
    let Some(SoapAnswer { command_status, message_id, fault_code }) = soap else {
        // Not SOAP at all: this is not Mada, or Mada in trouble.
        return if answer.status.is_success() {
            let detail = words_for_status(answer, URL_SETTING);
            Err(Meaning::of_the_gateway(ErrorClass::Ambiguous).error(NAME, None, detail))
        } else {
            by_http()
        };
    };
    if let Some(fault) = fault_code {
        let (meaning, words) = meaning_of_fault(&fault);
        return Err(meaning.error(NAME, None, format!("answered HTTP {status} with a SOAP fault: {words}")));
    }
    let command_status = command_status.and_then(|text| text.parse::<u32>().ok());
    match command_status.filter(|_| answer.status.is_success()) {
        None => by_http(),
        Some(SUCCESS) => {
            let message_id = message_id.and_then(|id| usable_id(&id)).unwrap_or_else(|| own_ids.next());
            Ok(Accepted { message_id })
        }
        Some(failure) => {
            let (meaning, words) = meaning(failure);
            let detail = format!("answered command status {failure}: {words}");
            Err(meaning.with_wait_of(answer).error(NAME, Some(failure), detail))
        }
    }
}

/// Fault codes of SOAP 1.1 (4.4.1), made more specific after a dot, and those of SOAP 1.2.
fn meaning_of_fault(code: &str) -> (Meaning, &'static str) {
    let (class, detail) = code.split_once('.').unwrap_or((code, ""));
    match class {
        "Client" | "Sender" if detail.starts_with("Authenti") || detail.starts_with("Authoriz") => (
            Meaning::of_the_gateway(ErrorClass::Configuration),
            "the credentials were not accepted; check MADA_USERNAME and MADA_PASSWORD",
        ),
        "Client" | "Sender" => (Meaning::of_this_message(ErrorClass::Refused), "the request was refused"),
        "VersionMismatch" | "MustUnderstand" => (
            Meaning::of_the_gateway(ErrorClass::Configuration),
            "the server speaks another SOAP; check MADA_URL",
        ),
        _ => (Meaning::of_the_gateway(ErrorClass::Ambiguous), "the server failed"),
    }
}
