//! Every hook: what its system sends, how it signs it, what it reads of the answer, and how long it waits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tracing::debug;

use crate::config::{HookKey, HookSettings};
use crate::delivery::Carried;
use crate::domain::{Channel, Code, Locale, PhoneNumber, Sid, Timestamp};
use crate::http::call::Call;
use crate::http::error::{Cause, Error};
use crate::http::request;
use crate::limits::guard::{ClientNet, ClientSignals};
use crate::node::Running;
use crate::registry::{Service, TextError};
use crate::template::MessageStyle;
use crate::verification::{self as verify, Outgoing};

pub struct Hook {
    pub path: &'static str,
    pub proof: Proof,
    pub read: Read,
    pub answer: Answer,
    /// How long the system waits, less the time on the network.
    pub within: Duration,
}

type Read = fn(&Value) -> Result<Task<'_>, Error>;
type Answer = fn(&Done) -> (StatusCode, Value);

/// How a system proves that it sends a request.
pub enum Proof {
    /// By an API key in a fixed header Authorization.
    Key,
    /// By a signature.
    Signature(for<'a> fn(&HeaderMap, &[u8], &'a HookSettings) -> Signed<'a>),
}

/// A body with its time and its signatures.
pub struct Signed<'a> {
    /// The keys of the system.
    pub keys: &'a [HookKey],
    /// Seconds since 1970; `None` if the request has no time that can be read.
    pub at: Option<u64>,
    pub bytes: Vec<u8>,
    pub signatures: Vec<Vec<u8>>,
}

/// What a payload asks for.
pub enum Task<'a> {
    Carry(Message<'a>),
    /// The system has verified this number.
    Verified(&'a str),
    Nothing,
}

pub static HOOKS: [Hook; 5] = [
    // Supabase waits 5 s.
    hook("/hooks/supabase", Proof::Signature(supabase_signed), supabase, supabase_answer, 4_000),
    // The connector has no time limit of its own. This is about as long as a person waits.
    hook("/hooks/logto", Proof::Key, logto, answer, 10_000),
    hook("/hooks/logto/events", Proof::Signature(logto_signed), logto_event, answer, 0),
    // Zitadel waits 5 s.
    hook("/hooks/zitadel", Proof::Signature(zitadel_signed), zitadel, answer, 4_000),
    // Okta waits 3 s, and tries its own provider after an error.
    hook("/hooks/okta", Proof::Key, okta, okta_answer, 2_500),
];

const fn hook(path: &'static str, proof: Proof, read: Read, answer: Answer, within_millis: u64) -> Hook {
    Hook { path, proof, read, answer, within: Duration::from_millis(within_millis) }
}

/// Supabase Auth: the Send SMS hook. Its numbers have no +.
fn supabase(payload: &Value) -> Result<Task<'_>, Error> {
    // `/user/phone` is empty until the first number is verified. `/user/new_phone` is to become the user's, and stays until
    // it is verified. `/sms/phone` is the recipient, since supabase/auth#2160.
    // Without it a change of the number and a sign-in beside one look alike. At the old number the code of a change would
    // prove a number that no person has shown. At the new one the code of a sign-in is of no use without the old.
    let numbers =
        [text(payload, "/sms/phone")?, text(payload, "/user/new_phone")?, text(payload, "/user/phone")?];
    let to = numbers.into_iter().flatten().find(|phone| !phone.is_empty()).unwrap_or_default();
    let address = text(payload, "/metadata/ip_address")?;
    Ok(Task::Carry(Message { address, ..Message::new(to, required(payload, "/sms/otp")?) }))
}

/// Logto: the HTTP SMS connector.
fn logto(payload: &Value) -> Result<Task<'_>, Error> {
    let message = Message::new(required(payload, "/to")?, required(payload, "/payload/code")?);
    let (locale, address) = (text(payload, "/payload/locale")?, text(payload, "/ip")?);
    Ok(Task::Carry(Message { locale, address, ..message }))
}

/// Logto: web hooks after a sign-in or a registration.
fn logto_event(payload: &Value) -> Result<Task<'_>, Error> {
    let phone = text(payload, "/user/primaryPhone")?.filter(|phone| !phone.is_empty());
    Ok(match (required(payload, "/event")?, phone) {
        ("PostSignIn" | "PostRegister", Some(phone)) => Task::Verified(phone),
        // A user without a number did not sign in by a message.
        _ => Task::Nothing,
    })
}

/// Zitadel: an SMS provider of the type HTTP.
fn zitadel(payload: &Value) -> Result<Task<'_>, Error> {
    let to = required(payload, "/contextInfo/recipientPhoneNumber")?;
    // Verification and recovery have `code`. A sign-in has `oTP` by default: zitadel/zitadel@0b9f41c
    // internal/notification/types/otp.go (SendOTPSMSCode sets OTP) and the argument's name with its first letter lowered.
    let code = text(payload, "/args/code")?.or(text(payload, "/args/oTP")?);
    Ok(Task::Carry(Message::new(to, code.ok_or_else(|| no_text("/args/code or /args/oTP"))?)))
}

/// Okta: the telephony inline hook.
fn okta(payload: &Value) -> Result<Task<'_>, Error> {
    let to = required(payload, "/data/messageProfile/phoneNumber")?;
    let code = required(payload, "/data/messageProfile/otpCode")?;
    // `SMS`, or a call.
    let channel = required(payload, "/data/messageProfile/deliveryChannel")?;
    let is_text = channel.eq_ignore_ascii_case("sms");
    Ok(Task::Carry(Message {
        channel: Some(if is_text { Channel::Sms } else { Channel::Call }),
        locale: text(payload, "/data/messageProfile/locale")?,
        address: text(payload, "/data/context/request/ipAddress")?,
        ..Message::new(to, code)
    }))
}

/// The text at a JSON pointer, if there is anything.
fn text<'a>(payload: &'a Value, pointer: &str) -> Result<Option<&'a str>, Error> {
    let given = payload.pointer(pointer).filter(|value| !value.is_null());
    given.map(|value| value.as_str().ok_or_else(|| no_text(pointer))).transpose()
}

fn required<'a>(payload: &'a Value, pointer: &str) -> Result<&'a str, Error> {
    text(payload, pointer)?.ok_or_else(|| no_text(pointer))
}

fn no_text(pointer: &str) -> Error {
    unreadable(&format!("no text at {pointer}"))
}

/// Reads the JSON of a payload.
pub fn payload(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(request::without_mark(body)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(&format!("not JSON at line {line} column {column}"))
    })
}

/// `what` is wrong with the payload, without anything that was sent.
fn unreadable(what: &str) -> Error {
    let message = "The body is not what this hook of the system sends.";
    Error { cause: Cause::Body(format!("payload: {what}").into()), ..Error::hook(message) }
}

/// Supabase signs as Standard Webhooks has it, with each of its secrets. Its header separates several signatures with a
/// comma and a space.
fn supabase_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    let given = header(headers, "webhook-signature").split([' ', '\t']);
    let given = given.filter_map(|one| STANDARD.decode(one.trim_end_matches(',').strip_prefix("v1,")?).ok());
    let bytes = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    Signed { keys: &keys.supabase, at: at.parse().ok(), bytes, signatures: given.collect() }
}

/// Zitadel signs with the key that it shows when the provider is made; while it changes the key it signs with both.
fn zitadel_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let parts = || header(headers, "zitadel-signature").split(',').filter_map(|part| part.split_once('='));
    let at = parts().find(|(name, _)| *name == "t").map_or("", |(_, at)| at);
    let given = parts().filter(|(name, _)| *name == "v1");
    let signatures = given.filter_map(|(_, hex)| base16ct::mixed::decode_vec(hex).ok()).collect();
    let bytes = [at.as_bytes(), b".", body].concat();
    Signed { keys: &keys.zitadel, at: at.parse().ok(), bytes, signatures }
}

/// Logto signs without a time of its own: the body has it.
fn logto_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let at = text(&event, "/createdAt").ok().flatten().and_then(Timestamp::parse_day_or_moment);
    let given = base16ct::mixed::decode_vec(header(headers, "logto-signature-sha-256")).ok();
    Signed {
        keys: &keys.logto,
        at: at.map(|at| at.as_millis() / 1_000),
        bytes: body.to_vec(),
        signatures: given.into_iter().collect(),
    }
}

/// The value of a header; empty unless it came exactly once.
fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> &'a str {
    request::only(headers, &HeaderName::from_static(name)).unwrap_or_default()
}

/// The answer to a system that reads only the status.
fn answer(done: &Done) -> (StatusCode, Value) {
    match done {
        Ok(_) => (StatusCode::OK, json!({})),
        Err(refused) => (refused.status, json!({ "message": refused.message })),
    }
}

/// Supabase shows the error of a body with the status 200 to the client, and makes a 500 of any other status.
fn supabase_answer(done: &Done) -> (StatusCode, Value) {
    let Err(Error { status, message, .. }) = done else { return answer(done) };
    let is_unsigned = *status == StatusCode::UNAUTHORIZED;
    let error = json!({ "error": { "http_code": status.as_u16(), "message": message } });
    (if is_unsigned { *status } else { StatusCode::OK }, error)
}

fn okta_answer(done: &Done) -> (StatusCode, Value) {
    match done {
        Ok(sid) => {
            let id = sid.map(|sid| sid.to_string());
            let value = json!({ "status": "SUCCESSFUL", "provider": "onceward", "transactionId": id });
            let command = json!({ "type": "com.okta.telephony.action", "value": [value] });
            (StatusCode::OK, json!({ "commands": [command] }))
        }
        Err(Error { status, message, .. }) => {
            let summary = "onceward did not send the code";
            let cause = json!({ "errorSummary": message, "reason": message });
            (*status, json!({ "error": { "errorSummary": summary, "errorCauses": [cause] } }))
        }
    }
}

// The code that a hook carries.

/// The largest difference between the time of a signature and the clock, either way.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long a signed request can be replayed: its time may be ahead of the clock by the tolerance.
const REPLAYABLE: Duration = TOLERANCE.saturating_mul(2);

/// The id of a message that was sent.
pub type Done = Result<Option<Sid>, Error>;

/// A code to carry, as a hook's payload describes it.
pub struct Message<'a> {
    /// The number; some systems leave out the +.
    pub to: &'a str,
    pub code: &'a str,
    pub channel: Option<Channel>,
    pub locale: Option<&'a str>,
    pub address: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub const fn new(to: &'a str, code: &'a str) -> Self {
        Self { to, code, channel: None, locale: None, address: None }
    }
}

/// Reads a number. Some identity systems leave out the +, which a space stands for.
fn number(text: &str) -> Result<PhoneNumber, Error> {
    let refused = |error| Error::hook(format!("The phone number cannot be used: {error}."));
    PhoneNumber::parse(&format!(" {text}"), None).map_err(refused)
}

/// Carries a code. If the service has no text in the system's language, the service's own language is used.
pub async fn carry(
    call: &Call,
    running: &Running,
    service: &Service,
    message: &Message<'_>,
    within: Duration,
) -> Done {
    let to = number(message.to)?;
    let code = Code::submitted(message.code);
    let code = code.ok_or_else(|| Error::hook("There is no code of 4 to 10 letters or digits."))?;
    if let Some(channel) = message.channel.filter(|channel| !call.app.channels.contains(channel)) {
        return Err(Error::hook(format!("No gateway serves the channel {}.", channel.as_str())));
    }
    let address = message.address.and_then(request::read_address);
    let in_language = |locale| Outgoing {
        style: MessageStyle { locale, ..MessageStyle::default() },
        client: ClientSignals { network: address.map(ClientNet::from), ..ClientSignals::default() },
        request_id: Some(call.id.clone()),
        supplied_code: Some(code.clone()),
        carried: Some(Carried { remembered_for: REPLAYABLE, within: Some(within), ..Carried::default() }),
        ..running.verifier.message(service.id, to, message.channel)
    };
    let locale = message.locale.and_then(Locale::parse);
    let mut carried = running.verifier.carry(in_language(locale)).await;
    if let Err(verify::Refused::Text(TextError::OtherLanguage(_))) = carried {
        carried = running.verifier.carry(in_language(None)).await;
    }
    let carried = carried.map_err(|refused| of_error(running, &refused))?;
    debug!(request_id = call.request_id(), number = %to, "code carried");
    Ok(carried.sid)
}

/// Notes that another system has verified the number.
pub async fn outcome(running: &Running, service: &Service, to: &str) -> Result<(), Error> {
    let outcome = running.verifier.outcome(service.id, number(to)?).await;
    outcome.map(|_| ()).map_err(|refused| of_error(running, &refused))
}

fn of_error(running: &Running, refused: &verify::Refused) -> Error {
    Error::refused(refused, running.verifier.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_payload_repeats_nothing_of_it() {
        for (body, expected) in [
            (r#"{"code": "secret"#, "payload: not JSON at line 1 column 16"),
            (r#"{"args": ["secret"]}"#, "payload: no text at /contextInfo/recipientPhoneNumber"),
            (
                r#"{"contextInfo": {"recipientPhoneNumber": 5}}"#,
                "payload: no text at /contextInfo/recipientPhoneNumber",
            ),
            (r#"{"to": "1", "payload": {"code": "1"}, "ip": 5}"#, "payload: no text at /ip"),
        ] {
            let system = if body.contains("\"to\"") { logto } else { zitadel };
            let read = payload(body.as_bytes()).and_then(|payload| system(&payload).map(|_| ()));
            let reason = Cause::Body(expected.into());
            assert_eq!(read.err().map(|error| error.cause), Some(reason), "{body}");
        }
    }
}
