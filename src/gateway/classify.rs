//! What an answer, or none, means by HTTP's own rules: for gateways that say no more, and for what comes from a proxy
//! in front of them. Also the ids of messages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::client::{Answer, NoAnswer};
use super::{ErrorClass, GatewayError};
use crate::clock::Clock;
use crate::domain::GatewayName;

/// A class, and whether any other message would have fared the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classification {
    pub class: ErrorClass,
    pub whole_gateway: bool,
}

impl Classification {
    pub(super) const fn of_this_message(class: ErrorClass) -> Self {
        Self { class, whole_gateway: false }
    }

    pub(super) const fn of_the_gateway(class: ErrorClass) -> Self {
        Self { class, whole_gateway: true }
    }

    pub(super) fn error(self, gateway: GatewayName, code: Option<u32>, detail: String) -> GatewayError {
        let Self { class, whole_gateway } = self;
        GatewayError { gateway, class, code, detail, whole_gateway }
    }

    /// The same, with the wait that the provider asks for, if it is about waiting.
    pub(super) fn with_wait_of(self, answer: &Answer) -> Self {
        match self.class {
            ErrorClass::Retry { after } => {
                let after = retry_after(&answer.headers).or(after);
                Self { class: ErrorClass::Retry { after }, ..self }
            }
            _ => self,
        }
    }
}

/// A provider's error codes in ascending order, each with its classification and its words.
pub(super) type CodeTable = [(u32, Classification, &'static str)];

/// What a provider's own error code means; `None` for a code that is not in the table.
pub(super) fn known_code(table: &CodeTable, code: u32) -> Option<(Classification, &'static str)> {
    let place = table.binary_search_by_key(&code, |(known, ..)| *known).ok()?;
    table.get(place).map(|(_, classification, words)| (*classification, *words))
}

/// What a status means that is not the success of the API in question:
///
/// * 401, 402, 403: credentials, credit or permissions. A 403 is often about one country, so that a caller could
///   cause it;
/// * 429: not processed, may be tried again;
/// * 301, 307, 308: the URL is wrong, for they mean "repeat this elsewhere". Other redirects may follow a request
///   that was carried out, and tell nothing;
/// * 408: sent by servers that never read the request and by proxies that did;
/// * every other 4xx: this message was refused;
/// * 5xx, and a success that is not understood: it is unknown how far it came.
pub(super) fn classify_status(answer: &Answer) -> Classification {
    let (of_the_gateway, of_this_message) = (Classification::of_the_gateway, Classification::of_this_message);
    match answer.status.as_u16() {
        401 | 402 | 301 | 307 | 308 => of_the_gateway(ErrorClass::Configuration),
        403 => of_this_message(ErrorClass::Configuration),
        429 => of_the_gateway(ErrorClass::Retry { after: None }).with_wait_of(answer),
        408 => of_the_gateway(ErrorClass::Ambiguous),
        400..=499 => of_this_message(ErrorClass::Refused),
        // The body broke off, or was longer than any answer: the server or the network is in trouble.
        200..=299 if answer.body.is_some() => of_this_message(ErrorClass::Ambiguous),
        _ => of_the_gateway(ErrorClass::Ambiguous),
    }
}

pub(super) fn words_for_status(answer: &Answer, url_setting: &str) -> String {
    let status = answer.status.as_u16();
    match status {
        401 | 403 => {
            format!("answered HTTP {status}: the credentials were not accepted, or do not permit this")
        }
        402 => "answered HTTP 402: the account has no credit".to_owned(),
        429 => "answered HTTP 429: too many requests".to_owned(),
        300..=399 => {
            format!("answered HTTP {status}: a redirect, which is not followed; check {url_setting}")
        }
        200..=299 if answer.body.is_none() => {
            format!("answered HTTP {status} with a body that broke off or is too long")
        }
        200..=299 => format!("answered HTTP {status} and nothing that is known as success"),
        _ => format!("answered HTTP {status} and no reason that is known"),
    }
}

/// There was no answer. Without a connection the same call may work on the next try.
pub(super) fn not_answered(gateway: GatewayName, no_answer: NoAnswer) -> GatewayError {
    let (of_the_gateway, of_this_message) = (Classification::of_the_gateway, Classification::of_this_message);
    let (classification, detail) = match no_answer {
        NoAnswer::OutOfReach | NoAnswer::Unsendable => (
            of_this_message(ErrorClass::Configuration),
            "cannot be asked: the message does not fit into its URL".to_owned(),
        ),
        NoAnswer::NotConnected(why) => {
            (of_the_gateway(ErrorClass::Retry { after: None }), format!("was not reached: {why}"))
        }
        NoAnswer::Broken(why) => (of_the_gateway(ErrorClass::Ambiguous), format!("did not answer: {why}")),
    };
    classification.error(gateway, None, detail)
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own `Date`, so that it
/// does not matter how far the two machines' clocks are apart.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let answered = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(answered).unwrap_or_default())
}

/// Longest id taken over from an answer: twice a UUID leaves room, and records stay small.
const ID_MAX: usize = 72;

pub(super) fn usable_id(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(&b);
    ((1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

pub(super) fn id_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => usable_id(text),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Makes ids for providers that give none: unique within a run, and between runs as long as no two of them start in
/// the same millisecond.
pub(super) struct OwnIds {
    prefix: String,
    given: AtomicU64,
}

impl OwnIds {
    pub(super) fn new(gateway: GatewayName, clock: &dyn Clock) -> Self {
        let prefix = format!("{gateway}-{:x}", clock.now().as_millis());
        Self { prefix, given: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.given.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[cfg(test)]
mod tests;
