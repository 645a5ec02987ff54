//! Logto: the HTTP SMS connector, which sends a fixed header `Authorization`; and web hooks after a sign-in or a
//! registration, which are signed without a time of their own: the body has it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Message, Refused, Signed, body, carry, header, json, keyed, outcome, signed, v2};
use crate::domain::Timestamp;
use crate::http::response::{Problem, Response};
use crate::http::service::Call;

/// The connector waits for as long as the connection lasts; a person does not.
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Sms {
    to: String,
    payload: Payload,
    ip: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    code: String,
    locale: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "event")]
    kind: String,
    created_at: String,
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    /// Without +.
    primary_phone: Option<String>,
}

/// `POST /hooks/logto`: a message.
pub async fn send_sms(call: &mut Call<'_>) -> Result<Response, Problem> {
    Ok(answer(try_send(call).await))
}

async fn try_send(call: &mut Call<'_>) -> Result<(), Refused> {
    let service = keyed(call)?;
    let body = body(call).await?;
    let Sms { to, payload, ip } = json(&body)?;
    let message = Message {
        to: &to,
        code: &payload.code,
        channel: None,
        locale: payload.locale.as_deref(),
        address: ip.as_deref(),
        within: WITHIN,
    };
    carry(call, &service, &message).await.map(|_| ())
}

/// `POST /hooks/logto/events`: a user has signed in or registered.
pub async fn event(call: &mut Call<'_>) -> Result<Response, Problem> {
    Ok(answer(try_event(call).await))
}

async fn try_event(call: &mut Call<'_>) -> Result<(), Refused> {
    let body = body(call).await?;
    let event = json::<Event>(&body);
    let at = event.as_ref().ok().and_then(|event| Timestamp::parse_day_or_moment(&event.created_at));
    let given = super::bytes_of_hex(header(call, "logto-signature-sha-256"));
    let service = signed(
        call,
        &Signed {
            hook: "logto",
            keys: &v2(call)?.hooks.logto,
            at: at.map(|at| at.as_millis() / 1_000),
            parts: &[&body],
            signatures: &given.into_iter().collect::<Vec<_>>(),
        },
    )?;
    let Event { kind, user, .. } = event?;
    let phone = user.and_then(|user| user.primary_phone).filter(|phone| !phone.is_empty());
    // A sign-in by other means has no message whose outcome it could be.
    if let (Some(phone), "PostSignIn" | "PostRegister") = (phone, kind.as_str()) {
        outcome(call, &service, &phone).await?;
    }
    Ok(())
}

fn answer(done: Result<(), Refused>) -> Response {
    match done {
        Ok(()) => Response::ok(&json!({})),
        Err(refused) => refused.answer(refused.status, &json!({ "message": refused.message })),
    }
}
