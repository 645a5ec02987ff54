//! `POST /api/verify-otp`: contract section 1.

use serde::Deserialize;

use super::json::{self, Object, Text};
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::api_check;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::shard::CheckRequest;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    user: Object<User<'a>>,
    #[serde(borrow)]
    code: Text<'a>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Text<'a>,
}

/// Checks a code.
pub async fn answer<V: Verify>(deps: &Deps<V>, body: &[u8]) -> Result<Answer, Problem> {
    let Body { user: Object(user), code } = json::read(body)?;
    let number = json::number(&user.phone_number, deps.default_region)?;
    let request = CheckRequest { service: ServiceId::DEFAULT, number, code: json::code(&code)? };
    let outcome = deps.verifier.check(request).await.map_err(Problem::Refused)?;
    Ok(api_check(deps.answers, &outcome, number, deps.lockout))
}
