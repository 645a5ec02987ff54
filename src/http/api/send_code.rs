//! `POST /send-code`, the tutorial's API: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json;
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::tutorial_send;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::shard::SendRequest;
use crate::template::{MessageStyle, Wording};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Cow<'a, str>,
}

/// Sends a code with the tutorial's life, length and text.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let request = SendRequest {
        service: ServiceId::DEFAULT,
        number: json::number(&body.phone_number, call.deps.default_region)?,
        options: Some(call.deps.tutorial_code),
        channel: None,
        style: MessageStyle { wording: Wording::Tutorial, ..MessageStyle::default() },
    };
    let outcome = call.send(request).await?;
    Ok(tutorial_send(&outcome))
}
