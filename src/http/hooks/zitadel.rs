//! Zitadel: an SMS provider of the type HTTP. Zitadel waits 5 s, and signs with the key that it shows when the provider is
//! made; while it changes the key it signs with both.

use std::time::Duration;

use serde::Deserialize;

use super::{Message, Refused, Signed, answer, body, carry, header, read_payload, signed, v2};
use crate::http::response::{Problem, Response};
use crate::http::service::Call;

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
pub async fn send_sms(call: &mut Call<'_>) -> Result<Response, Problem> {
    let done = try_send(call).await;
    Ok(answer(call, "zitadel", done))
}

async fn try_send(call: &mut Call<'_>) -> Result<(), Refused> {
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
