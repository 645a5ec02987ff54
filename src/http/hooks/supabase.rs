//! Supabase Auth: the Send SMS hook. Supabase waits 5 s, and signs as Standard Webhooks has it, with each of its secrets. Its
//! header separates several signatures with a comma and a space. It shows the error of a body with the status 200 to the
//! client, and makes a 500 of any other status.

use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::carry::{GROUP, Message, Refused, Signed, body, carry, header, read_payload, signed, v2};
use crate::http::call::Call;
use crate::http::response;
use crate::http::route::{ApiRouter, Operation};

const WITHIN: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
struct Payload {
    user: User,
    sms: Sms,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct User {
    /// Without +. Empty until the first number is verified.
    phone: Option<String>,
    /// The number that is to be verified. Before supabase/auth#2160 no other field had it.
    new_phone: Option<String>,
}

#[derive(Deserialize)]
struct Sms {
    otp: String,
    /// A new number of the user that is to be verified.
    phone: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    ip_address: Option<String>,
}

/// `POST /hooks/supabase`.
async fn send_sms(call: Call) -> Response {
    match try_send(&call).await {
        Ok(()) => response::ok(&json!({})),
        Err(refused) => {
            let error =
                json!({ "error": { "http_code": refused.status.as_u16(), "message": refused.message } });
            let is_unsigned = refused.status == StatusCode::UNAUTHORIZED;
            let status = if is_unsigned { refused.status } else { StatusCode::OK };
            refused.answer(&call, "supabase", status, &error)
        }
    }
}

async fn try_send(call: &Call) -> Result<(), Refused> {
    let body = body(call).await?;
    let (id, at) = (header(call, "webhook-id"), header(call, "webhook-timestamp"));
    let given = header(call, "webhook-signature").split([' ', '\t']);
    let given = given.filter_map(|one| STANDARD.decode(one.trim_end_matches(',').strip_prefix("v1,")?).ok());
    let service = signed(
        call,
        &Signed {
            keys: &v2(call)?.hooks.supabase,
            at: at.parse().ok(),
            parts: &[id.as_bytes(), b".", at.as_bytes(), b".", &body],
            signatures: &given.collect::<Vec<_>>(),
        },
    )?;
    let Payload { user, sms, metadata } = read_payload(&body)?;
    let mut numbers = [sms.phone, user.phone, user.new_phone].into_iter().flatten();
    let to = numbers.find(|phone| !phone.is_empty()).unwrap_or_default();
    let address = metadata.and_then(|metadata| metadata.ip_address);
    let message = Message {
        to: &to,
        code: &sms.otp,
        channel: None,
        locale: None,
        address: address.as_deref(),
        within: WITHIN,
    };
    carry(call, &service, &message).await.map(|_| ())
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).post("/hooks/supabase", send_sms, Operation::page())
}
