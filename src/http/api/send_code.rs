//! `POST /send-code`, the tutorial's API: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json;
use super::send_wishes::Wishes;
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::tutorial_send;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::numbers::SendRequest;
use crate::template::Wording;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Cow<'a, str>,
    channel: Option<String>,
    locale: Option<String>,
    #[serde(rename = "appHash")]
    app_hash: Option<String>,
}

/// Sends a code with the tutorial's life, length and text.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let Body { phone_number, channel, locale, app_hash } = json::read(body)?;
    let number = json::number(&phone_number, call.deps.default_region)?;
    let wishes = Wishes { channel, locale, app_hash };
    let (channel, style) = wishes.read(&call.deps.channels, Wording::Tutorial)?;
    let options = Some(call.deps.tutorial_code);
    let request =
        SendRequest { service: ServiceId::DEFAULT, number, options, channel, style, verification: None };
    let reply = call.send(request).await?;
    Ok(tutorial_send(&reply))
}
