//! `POST /api/send-otp`: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json;
use super::send_wishes::Wishes;
use crate::domain::{Channel, Region, ServiceId};
use crate::http::answer::Answer;
use crate::http::answers::api_send;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::numbers::SendRequest;
use crate::template::Wording;

/// Go programs that marshal a struct without tags spell its fields like this, and the Redis version,
/// which reads names in any case, understood them.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    phone_number: Cow<'a, str>,
    #[serde(alias = "Channel")]
    channel: Option<String>,
    #[serde(alias = "Locale")]
    locale: Option<String>,
    #[serde(rename = "appHash", alias = "AppHash", alias = "apphash")]
    app_hash: Option<String>,
}

/// Reads the body. `channels` are those that may be asked for.
pub fn read(body: &[u8], region: Option<Region>, channels: &[Channel]) -> Result<SendRequest, Problem> {
    let Body { phone_number, channel, locale, app_hash } = json::read(body)?;
    let number = json::number(&phone_number, region)?;
    let wishes = Wishes { channel, locale, app_hash };
    let (channel, style) = wishes.read(channels, Wording::Api)?;
    Ok(SendRequest { service: ServiceId::DEFAULT, number, options: None, channel, style, verification: None })
}

/// Sends a code and waits until the provider has taken it.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let request = read(body, call.deps.default_region, &call.deps.channels)?;
    let number = request.number;
    let reply = call.send(request).await?;
    Ok(api_send(call.deps.answers, &reply, number))
}
