//! `POST /api/send-otp`: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json;
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::api_send;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::shard::SendRequest;
use crate::template::{MessageStyle, Wording};

/// Go programs that marshal a struct without tags spell its fields like this, and the Redis version,
/// which reads names in any case, understood them.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    phone_number: Cow<'a, str>,
}

/// Sends a code and waits until the provider has taken it.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let number = json::number(&body.phone_number, call.deps.default_region)?;
    let request = SendRequest {
        service: ServiceId::DEFAULT,
        number,
        options: None,
        channel: None,
        style: MessageStyle { wording: Wording::Api, ..MessageStyle::default() },
    };
    let outcome = call.send(request).await?;
    Ok(api_send(call.deps.answers, &outcome, number))
}
