//! Logto: the HTTP SMS connector, which sends a fixed header `Authorization`; and web hooks after a sign-in or a
//! registration, which are signed without a time of their own: the body has it.

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;

use super::carry::{
    GROUP, Message, Refused, Signed, answer, body, carry, header, keyed, outcome, read_payload, signed, v2,
};
use crate::domain::Timestamp;
use crate::http::call::Call;
use crate::http::route::{ApiRouter, Operation};

/// The connector has no time limit of its own. This is about as long as a person waits.
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
async fn send_sms(call: Call) -> Response {
    let done = try_send(&call).await;
    answer(&call, "logto", done)
}

async fn try_send(call: &Call) -> Result<(), Refused> {
    let service = keyed(call)?;
    let body = body(call).await?;
    let Sms { to, payload, ip } = read_payload(&body)?;
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
async fn event(call: Call) -> Response {
    let done = try_event(&call).await;
    answer(&call, "logto/events", done)
}

async fn try_event(call: &Call) -> Result<(), Refused> {
    let body = body(call).await?;
    let event = read_payload::<Event>(&body);
    let at = event.as_ref().ok().and_then(|event| Timestamp::parse_day_or_moment(&event.created_at));
    let given = base16ct::mixed::decode_vec(header(call, "logto-signature-sha-256")).ok();
    let service = signed(
        call,
        &Signed {
            keys: &v2(call)?.hooks.logto,
            at: at.map(|at| at.as_millis() / 1_000),
            parts: &[&body],
            signatures: &given.into_iter().collect::<Vec<_>>(),
        },
    )?;
    let Event { kind, user, .. } = event?;
    let phone = user.and_then(|user| user.primary_phone).filter(|phone| !phone.is_empty());
    // A user without a number did not sign in by a message.
    if let (Some(phone), "PostSignIn" | "PostRegister") = (phone, kind.as_str()) {
        outcome(call, &service, &phone).await?;
    }
    Ok(())
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).post("/hooks/logto", send_sms, Operation::page()).post(
        "/hooks/logto/events",
        event,
        Operation::page(),
    )
}
