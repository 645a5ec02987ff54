//! What each system sends, how it signs it, and what it reads of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::carry::Message;
use super::{Done, Refused, Signed, Task};
use crate::config::HookSettings;
use crate::domain::{Channel, Timestamp};
use crate::http::request;

/// Supabase Auth: the Send SMS hook.
#[derive(Deserialize)]
pub struct Supabase {
    user: SupabaseUser,
    sms: SupabaseSms,
    metadata: Option<Client>,
}

#[derive(Deserialize)]
struct SupabaseUser {
    /// Without +. Empty until the first number is verified.
    phone: Option<String>,
    /// The number that is to become the user's. It stays until it is verified.
    new_phone: Option<String>,
}

#[derive(Deserialize)]
struct SupabaseSms {
    otp: String,
    /// The recipient, since supabase/auth#2160.
    phone: Option<String>,
}

/// The person.
#[derive(Deserialize)]
struct Client {
    #[serde(alias = "ipAddress")]
    ip_address: Option<String>,
}

/// Logto: the HTTP SMS connector.
#[derive(Deserialize)]
pub struct Logto {
    to: String,
    payload: LogtoPayload,
    ip: Option<String>,
}

#[derive(Deserialize)]
struct LogtoPayload {
    code: String,
    locale: Option<String>,
}

/// Logto: web hooks after a sign-in or a registration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogtoEvent {
    event: String,
    created_at: String,
    user: Option<LogtoUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogtoUser {
    /// Without +.
    primary_phone: Option<String>,
}

/// Zitadel: an SMS provider of the type HTTP.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Zitadel {
    context_info: ZitadelContext,
    args: ZitadelArgs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZitadelContext {
    recipient_phone_number: String,
}

#[derive(Deserialize)]
struct ZitadelArgs {
    code: String,
}

/// Okta: the telephony inline hook.
#[derive(Deserialize)]
pub struct Okta {
    data: OktaData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OktaData {
    message_profile: OktaProfile,
    context: Option<OktaContext>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OktaProfile {
    phone_number: String,
    otp_code: String,
    /// `SMS`, or a call.
    delivery_channel: String,
    locale: Option<String>,
}

#[derive(Deserialize)]
struct OktaContext {
    request: Option<Client>,
}

impl From<Supabase> for Task {
    fn from(Supabase { user, sms, metadata }: Supabase) -> Self {
        // Without `sms.phone` a change of the number and a sign-in beside one look alike. At the old number the code of a
        // change would prove a number that no person has shown. At the new one the code of a sign-in is of no use
        // without the old.
        let mut numbers = [sms.phone, user.new_phone, user.phone].into_iter().flatten();
        let to = numbers.find(|phone| !phone.is_empty()).unwrap_or_default();
        let address = metadata.and_then(|metadata| metadata.ip_address);
        Self::Carry(Message { address, ..Message::new(to, sms.otp) })
    }
}

impl From<Logto> for Task {
    fn from(Logto { to, payload: LogtoPayload { code, locale }, ip }: Logto) -> Self {
        Self::Carry(Message { locale, address: ip, ..Message::new(to, code) })
    }
}

impl From<LogtoEvent> for Task {
    fn from(LogtoEvent { event, user, .. }: LogtoEvent) -> Self {
        let phone = user.and_then(|user| user.primary_phone).filter(|phone| !phone.is_empty());
        match (phone, event.as_str()) {
            (Some(phone), "PostSignIn" | "PostRegister") => Self::Verified(phone),
            // A user without a number did not sign in by a message.
            _ => Self::Nothing,
        }
    }
}

impl From<Zitadel> for Task {
    fn from(Zitadel { context_info, args }: Zitadel) -> Self {
        Self::Carry(Message::new(context_info.recipient_phone_number, args.code))
    }
}

impl From<Okta> for Task {
    fn from(Okta { data: OktaData { message_profile: profile, context } }: Okta) -> Self {
        let is_text = profile.delivery_channel.eq_ignore_ascii_case("sms");
        Self::Carry(Message {
            channel: Some(if is_text { Channel::Sms } else { Channel::Call }),
            locale: profile.locale,
            address: context.and_then(|context| context.request?.ip_address),
            ..Message::new(profile.phone_number, profile.otp_code)
        })
    }
}

/// Reads a payload.
pub fn read<P: DeserializeOwned + Into<Task>>(body: &[u8]) -> Result<Task, Refused> {
    serde_json::from_slice(body).map(P::into).map_err(|error| {
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

/// Supabase signs as Standard Webhooks has it, with each of its secrets. Its header separates several signatures with a
/// comma and a space.
pub fn supabase_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    let given = header(headers, "webhook-signature").split([' ', '\t']);
    let given = given.filter_map(|one| STANDARD.decode(one.trim_end_matches(',').strip_prefix("v1,")?).ok());
    let bytes = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    Signed { keys: &keys.supabase, at: at.parse().ok(), bytes, signatures: given.collect() }
}

/// Zitadel signs with the key that it shows when the provider is made; while it changes the key it signs with both.
pub fn zitadel_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let parts = || header(headers, "zitadel-signature").split(',').filter_map(|part| part.split_once('='));
    let at = parts().find(|(name, _)| *name == "t").map_or("", |(_, at)| at);
    let given = parts().filter(|(name, _)| *name == "v1");
    let signatures = given.filter_map(|(_, hex)| base16ct::mixed::decode_vec(hex).ok()).collect();
    let bytes = [at.as_bytes(), b".", body].concat();
    Signed { keys: &keys.zitadel, at: at.parse().ok(), bytes, signatures }
}

/// Logto signs without a time of its own: the body has it.
pub fn logto_signed<'a>(headers: &HeaderMap, body: &[u8], keys: &'a HookSettings) -> Signed<'a> {
    let event = serde_json::from_slice::<LogtoEvent>(body).ok();
    let at = event.and_then(|event| Timestamp::parse_day_or_moment(&event.created_at));
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
pub fn answer(done: &Done) -> (StatusCode, Value) {
    match done {
        Ok(_) => (StatusCode::OK, json!({})),
        Err(refused) => (refused.status, json!({ "message": refused.message })),
    }
}

/// Supabase shows the error of a body with the status 200 to the client, and makes a 500 of any other status.
pub fn supabase_answer(done: &Done) -> (StatusCode, Value) {
    let Err(Refused { status, message, .. }) = done else { return answer(done) };
    let is_unsigned = *status == StatusCode::UNAUTHORIZED;
    let error = json!({ "error": { "http_code": status.as_u16(), "message": message } });
    (if is_unsigned { *status } else { StatusCode::OK }, error)
}

pub fn okta_answer(done: &Done) -> (StatusCode, Value) {
    match done {
        Ok(sid) => {
            let id = sid.map(|sid| sid.to_string());
            let value = json!({ "status": "SUCCESSFUL", "provider": "onceward", "transactionId": id });
            let command = json!({ "type": "com.okta.telephony.action", "value": [value] });
            (StatusCode::OK, json!({ "commands": [command] }))
        }
        Err(Refused { status, message, .. }) => {
            let summary = "onceward did not send the code";
            let cause = json!({ "errorSummary": message, "reason": message });
            (*status, json!({ "error": { "errorSummary": summary, "errorCauses": [cause] } }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_payload_repeats_nothing_of_it() {
        for (body, expected) in [
            (r#"{"code": "secret"#, "payload: not JSON at line 1 column 16"),
            (r#"{"args": ["secret"]}"#, "payload: missing field `contextInfo` at line 1 column 20"),
            (
                r#"{"args": {"code": "secret", "code": 2}}"#,
                "payload: duplicate field `code` at line 1 column 34",
            ),
            (r#""secret""#, "payload: a value of another type at line 1 column 8"),
        ] {
            let refused = read::<Zitadel>(body.as_bytes()).err().expect(body);
            assert_eq!(refused.reason.as_deref(), Some(expected), "{body}");
        }
    }
}
