//! What the hooks share: keys and signatures, payloads, and the code that is carried.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tracing::{debug, info, warn};

use crate::config::HookKey;
use crate::domain::{Channel, Code, Locale, NumberError, PhoneNumber, Timestamp};
use crate::http::api::error::Error;
use crate::http::app::V2;
use crate::http::call::Call;
use crate::http::request;
use crate::http::response::{self, NotServed, Problem, ResponseExt as _};
use crate::http::route::ApiGroup;
use crate::limits::guard::ClientSignals;
use crate::registry::{Scope, Service, TextError};
use crate::verification::numbers::Refusal;
use crate::verification::verify::{self, BeginRequest, CarriedMessage, CarryCode};

/// The largest difference between the time of a signature and the clock, either way.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// How long a signed request can be replayed: its time may be ahead of the clock by the tolerance.
const REPLAYABLE: Duration = TOLERANCE.saturating_mul(2);

/// Why a hook was not carried out.
pub struct Refused {
    pub status: StatusCode,
    /// Repeats nothing that was sent.
    pub message: Cow<'static, str>,
    /// For the operator's log, if the system or its hook is configured wrongly. Repeats nothing that was sent.
    reason: Option<Cow<'static, str>>,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, reason: Some(message.clone()), message }
    }

    /// The answer with this body. Notes why for metrics and the log.
    pub fn answer(
        &self,
        call: &Call,
        hook: &'static str,
        status: StatusCode,
        body: &impl serde::Serialize,
    ) -> Response {
        if let (Some(reason), Some(v2)) = (self.reason.clone(), call.app.v2()) {
            let request_id = call.request_id().to_owned();
            // A reason that is made for one payload counts with all of its kind.
            let kind = if let Cow::Borrowed(reason) = reason { reason } else { "" };
            v2.refused_hooks.note(hook, kind, move |count, is_first| {
                if is_first {
                    return warn!(request_id, hook, %reason, count, "hook refused");
                }
                info!(request_id, hook, %reason, count, "hook refused");
            });
        }
        let reason = match self.status {
            StatusCode::UNAUTHORIZED => NotServed::Unauthenticated,
            StatusCode::FORBIDDEN => NotServed::Forbidden,
            StatusCode::BAD_REQUEST => NotServed::Invalid,
            _ => return response::json(status, body),
        };
        response::json(status, body).because(reason)
    }
}

/// A code to carry, as a hook's payload describes it.
pub struct Message<'a> {
    /// The number; some systems leave out the +.
    pub to: &'a str,
    pub code: &'a str,
    pub channel: Option<Channel>,
    pub locale: Option<&'a str>,
    pub address: Option<&'a str>,
    /// How long the system waits, less the time on the network.
    pub within: Duration,
}

/// A body with its time and its signatures.
pub struct Signed<'a> {
    /// The keys of the system.
    pub keys: &'a [HookKey],
    /// Seconds since 1970; `None` if the request has no time that can be read.
    pub at: Option<u64>,
    /// The signed bytes, one part after the other.
    pub parts: &'a [&'a [u8]],
    pub signatures: &'a [Vec<u8>],
}

/// The answer of a system that reads only the status: an error has its message in `message`.
pub fn answer(call: &Call, hook: &'static str, done: Result<(), Refused>) -> Response {
    match done {
        Ok(()) => response::ok(&json!({})),
        Err(refused) => refused.answer(call, hook, refused.status, &json!({ "message": refused.message })),
    }
}

pub fn v2(call: &Call) -> Result<Arc<V2>, Refused> {
    call.app.v2().cloned().ok_or_else(|| Problem::Refused(Refusal::Starting).into())
}

/// Reads the body of a request whose sender may still be unknown.
pub async fn body(call: &Call) -> Result<Bytes, Refused> {
    Ok(call.read_body().await?)
}

/// The value of a header; empty unless it came exactly once.
pub fn header<'a>(call: &'a Call, name: &'static str) -> &'a str {
    let name = hyper::header::HeaderName::from_static(name);
    request::only(&call.head.headers, &name).unwrap_or_default()
}

/// The service whose key has signed the body.
///
/// # Errors
/// 401 for a wrong signature, and for one that is too old.
pub fn signed(call: &Call, signed: &Signed<'_>) -> Result<Arc<Service>, Refused> {
    let v2 = v2(call)?;
    let Signed { keys, at, parts, signatures } = *signed;
    let mac_of = |key: &HookKey| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    };
    let is_right = |key: &&HookKey| {
        let mac = mac_of(key);
        mac.is_some_and(|mac| signatures.iter().any(|given| mac.clone().verify_slice(given).is_ok()))
    };
    let now = v2.registry.wall();
    let distance = |at: Timestamp| now.since(at).max(at.since(now));
    let is_fresh =
        at.is_some_and(|at| distance(Timestamp::from_millis(at.saturating_mul(1_000))) <= TOLERANCE);
    let reason = match keys.iter().find(is_right) {
        None if keys.is_empty() => "no key is configured",
        None if signatures.is_empty() => "it has no signature that can be read",
        None => "no key has made the signature",
        Some(_) if at.is_none() => "it has no timestamp that can be read",
        Some(_) if !is_fresh => "the timestamp is too old, or the clock is wrong",
        Some(key) => match v2.registry.find_service_exact(&key.service) {
            Some(service) => return Ok(service),
            None => "the key names no service by its id, its name in config.json, or default",
        },
    };
    let message = "The signature is wrong or too old.";
    Err(Refused { reason: Some(reason.into()), ..Refused::new(StatusCode::UNAUTHORIZED, message) })
}

/// The service of the API key in the header Authorization. A key for all services is for the default one.
///
/// # Errors
/// 401 or 403.
pub fn keyed(call: &Call) -> Result<Arc<Service>, Refused> {
    let v2 = v2(call)?;
    let caller = v2.caller(&call.head)?;
    let own = caller.service().and_then(|own| v2.registry.service_by_id(own));
    let service = own.unwrap_or_else(|| v2.registry.default_service());
    if !caller.may(Scope::Messages, service.id) {
        return Err(Refused::new(StatusCode::FORBIDDEN, "The API key lacks the scope messages."));
    }
    Ok(service)
}

/// Reads a payload.
pub fn read_payload<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        let message = "The body is not what this hook of the system sends.";
        let reason = format!("payload: {}", what_is_wrong(&error));
        Refused { reason: Some(reason.into()), ..Refused::new(StatusCode::BAD_REQUEST, message) }
    })
}

/// What is wrong with a payload, without anything that was sent.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These messages only name a field of ours. Others can quote the payload.
    if ["missing field", "duplicate field"].iter().any(|ours| text.starts_with(ours)) {
        return text;
    }
    let what = if error.is_data() { "a value of another type" } else { "not JSON" };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// Reads a number in E.164 form. Some identity systems leave out the +.
fn number(text: &str) -> Result<PhoneNumber, Refused> {
    let number = PhoneNumber::parse(text, None);
    let number = number.or_else(|error| PhoneNumber::parse(&format!("+{text}"), None).map_err(|_| error));
    number.map_err(|error| {
        let message = match error {
            NumberError::Unreadable | NumberError::Impossible => {
                "The phone number is not in E.164 form.".into()
            }
            other => format!("The phone number cannot be used: {other}."),
        };
        Refused::new(StatusCode::BAD_REQUEST, message)
    })
}

/// Carries a code. If the service has no text in the system's language, the service's own language is used.
pub async fn carry(call: &Call, service: &Service, message: &Message<'_>) -> Result<CarriedMessage, Refused> {
    let v2 = v2(call)?;
    let (to, code) = (number(message.to)?, message.code);
    let code = Code::submitted(code, service.settings.code_length);
    let code = code.filter(Code::is_alphanumeric).ok_or_else(|| {
        Refused::new(StatusCode::BAD_REQUEST, "There is no code of 4 to 10 letters or digits.")
    })?;
    if let Some(channel) = message.channel.filter(|channel| !call.app.settings.channels.contains(channel)) {
        let message = format!("No gateway serves the channel {}.", channel.as_str());
        return Err(Refused::new(StatusCode::BAD_REQUEST, message));
    }
    let address = message.address.and_then(|text| {
        let address = request::read_address(text);
        if address.is_none() {
            let service = service.name();
            v2.refused_hooks.note("", "address", move |_, is_first| {
                if is_first {
                    warn!(service, "address of a hook's payload not read; it has no limit of its own");
                }
            });
        }
        address
    });
    let within = Some(message.within);
    let in_language = |locale| {
        let message = BeginRequest {
            channel: message.channel,
            locale,
            client: ClientSignals { address, ..ClientSignals::default() },
            request_id: Some(call.traced_id()),
            ..BeginRequest::new(to)
        };
        CarryCode { remembered_for: REPLAYABLE, within, ..CarryCode::new(code.clone(), message) }
    };
    let mut carried =
        v2.verifications.carry(service.id, in_language(message.locale.and_then(Locale::parse))).await;
    if let Err(verify::Refused::Text(TextError::OtherLanguage(_))) = carried {
        carried = v2.verifications.carry(service.id, in_language(None)).await;
    }
    let carried = carried.map_err(|refused| of_error(&v2, refused))?;
    debug!(request_id = call.request_id(), number = %to, "code carried");
    Ok(carried)
}

/// Notes that another system has verified the number.
pub async fn outcome(call: &Call, service: &Service, to: &str) -> Result<bool, Refused> {
    let v2 = v2(call)?;
    let outcome = v2.verifications.outcome(service.id, number(to)?).await;
    outcome.map_err(|refused| of_error(&v2, refused))
}

fn of_error(v2: &V2, refused: verify::Refused) -> Refused {
    let (status, message) = Error::from(refused).status_and_message((v2.now)());
    Refused { status, message, reason: None }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let (status, message) = problem.status_and_message();
        Self { status, message, reason: None }
    }
}

/// Not described: their bodies and answers are those of the systems.
pub const GROUP: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    bodies: &["application/json"],
    ..ApiGroup::open(
        "Hooks of identity systems",
        "Each takes a code, or an outcome, in the form of its system: docs/guides/identity-systems.md.",
    )
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_with_and_without_its_plus() {
        for text in ["+14155552671", "14155552671", "\u{202a}14155552671\u{202c}", " +1 415-555-2671"] {
            assert_eq!(number(text).ok().map(PhoneNumber::e164), Some("+14155552671".to_owned()));
        }
        assert!(number("").is_err() && number("owl").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_payload_repeats_nothing_of_it() {
        #[derive(Debug, Deserialize)]
        struct Payload {
            #[expect(dead_code, reason = "only read")]
            code: String,
        }
        for (body, expected) in [
            (r#"{"secret": 1}"#, "payload: missing field `code` at line 1 column 13"),
            (r#"{"code": "secret"#, "payload: not JSON at line 1 column 16"),
            (r#"{"code": ["secret"]}"#, "payload: a value of another type at line 1 column 9"),
            (r#"{"code": "secret", "code": 2}"#, "payload: duplicate field `code` at line 1 column 25"),
            (r#""secret""#, "payload: a value of another type at line 1 column 8"),
        ] {
            let refused = read_payload::<Payload>(body.as_bytes()).expect_err(body);
            assert_eq!(refused.reason.as_deref(), Some(expected), "{body}");
        }
    }
}
