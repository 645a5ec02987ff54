//! `POST /api/verify-otp`: `docs/api.md`.

use std::borrow::Cow;

use serde::Deserialize;

use super::call::Call;
use super::json::{self, Object};
use crate::domain::{Region, ServiceId};
use crate::http::answer::Answer;
use crate::http::answers::api_check;
use crate::http::deps::Verify;
use crate::http::problem::Problem;
use crate::numbers::CheckRequest;

/// The further spellings are explained at `/api/send-otp`.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, alias = "User")]
    user: Object<User<'a>>,
    #[serde(borrow, alias = "Code")]
    code: Cow<'a, str>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, rename = "phoneNumber", alias = "PhoneNumber", alias = "phonenumber")]
    phone_number: Cow<'a, str>,
}

/// Reads the body.
pub fn read(body: &[u8], region: Option<Region>) -> Result<CheckRequest, Problem> {
    let Body { user: Object(user), code } = json::read(body)?;
    let number = json::number(&user.phone_number, region)?;
    Ok(CheckRequest {
        service: ServiceId::DEFAULT,
        number,
        code: json::code(&code)?,
        named: None,
        is_test: false,
    })
}

/// Checks a code.
pub async fn answer<V: Verify>(call: &Call<'_, V>, body: &[u8]) -> Result<Answer, Problem> {
    let request = read(body, call.deps.default_region)?;
    let number = request.number;
    let reply = call.check(request).await?;
    Ok(api_check(call.deps.answers, &reply, number, call.deps.lockout))
}
