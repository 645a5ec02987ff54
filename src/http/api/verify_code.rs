//! `POST /verify-code`, the tutorial's API: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json;
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::tutorial_check;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::numbers::CheckRequest;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Cow<'a, str>,
    #[serde(borrow, rename = "smsCode")]
    sms_code: Cow<'a, str>,
}

/// Checks a code.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let request = CheckRequest {
        service: ServiceId::DEFAULT,
        number: json::number(&body.phone_number, call.deps.default_region)?,
        code: json::code(&body.sms_code)?,
        named: None,
        is_test: false,
    };
    let reply = call.check(request).await?;
    Ok(tutorial_check(&reply))
}
