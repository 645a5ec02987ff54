//! Zitadel: an SMS provider of the type HTTP. Zitadel waits 5 s, and signs with the key that it shows when the provider is
//! made; while it changes the key it signs with both.

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;

use super::carry::{GROUP, Message, Refused, Signed, answer, body, carry, header, read_payload, signed, v2};
use crate::http::call::Call;
use crate::http::route::{ApiRouter, Operation};

const WITHIN: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    context_info: Context,
    args: Args,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    recipient_phone_number: String,
}

#[derive(Deserialize)]
struct Args {
    code: String,
}

/// `POST /hooks/zitadel`.
async fn send_sms(call: Call) -> Response {
    let done = try_send(&call).await;
    answer(&call, "zitadel", done)
}

async fn try_send(call: &Call) -> Result<(), Refused> {
    let body = body(call).await?;
    let parts = || header(call, "zitadel-signature").split(',').filter_map(|part| part.split_once('='));
    let at = parts().find(|(name, _)| *name == "t").map_or("", |(_, at)| at);
    let given = parts().filter(|(name, _)| *name == "v1");
    let service = signed(
        call,
        &Signed {
            keys: &v2(call)?.hooks.zitadel,
            at: at.parse().ok(),
            parts: &[at.as_bytes(), b".", &body],
            signatures: &given
                .filter_map(|(_, hex)| base16ct::mixed::decode_vec(hex).ok())
                .collect::<Vec<_>>(),
        },
    )?;
    let Payload { context_info, args } = read_payload(&body)?;
    let message = Message {
        to: &context_info.recipient_phone_number,
        code: &args.code,
        channel: None,
        locale: None,
        address: None,
        within: WITHIN,
    };
    carry(call, &service, &message).await.map(|_| ())
}

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP).post("/hooks/zitadel", send_sms, Operation::page())
}
