//! Okta: the telephony inline hook. Okta waits 3 s, sends a fixed header, and tries its own provider after an error.

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::carry::{GROUP, Message, Refused, body, carry, keyed, read_payload};
use crate::domain::Channel;
use crate::http::call::Call;
use crate::http::response;
use crate::http::route::{ApiRouter, Operation};
use crate::verification::verify::CarriedMessage;

const WITHIN: Duration = Duration::from_millis(2_500);

#[derive(Deserialize)]
struct Payload {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    message_profile: Profile,
    context: Option<Context>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    phone_number: String,
    otp_code: String,
    /// `SMS`, or a call.
    delivery_channel: String,
    locale: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    ip_address: Option<String>,
}

/// `POST /hooks/okta`.
async fn send(call: Call) -> Response {
    match try_send(&call).await {
        Ok(message) => {
            let id = message.sid.map(|sid| sid.to_string());
            let value = json!({ "status": "SUCCESSFUL", "provider": "onceward", "transactionId": id });
            response::ok(&json!({ "commands": [{ "type": "com.okta.telephony.action", "value": [value] }] }))
        }
        Err(refused) => {
            let summary = "onceward did not send the code";
            let cause = json!({ "errorSummary": refused.message, "reason": refused.message });
            let body = json!({ "error": { "errorSummary": summary, "errorCauses": [cause] } });
            refused.answer(&call, "okta", refused.status, &body)
        }
    }
}

async fn try_send(call: &Call) -> Result<CarriedMessage, Refused> {
    let service = keyed(call)?;
    let body = body(call).await?;
    let Payload { data: Data { message_profile, context } } = read_payload(&body)?;
    let is_text = message_profile.delivery_channel.eq_ignore_ascii_case("sms");
    let address = context.and_then(|context| context.request?.ip_address);
    let message = Message {
        to: &message_profile.phone_number,
        code: &message_profile.otp_code,
        channel: Some(if is_text { Channel::Sms } else { Channel::Call }),
        locale: message_profile.locale.as_deref(),
        address: address.as_deref(),
        within: WITHIN,
    };
    carry(call, &service, &message).await
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).post("/hooks/okta", send, Operation::page())
}
