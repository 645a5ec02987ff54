//! `POST /verify-code`: the tutorial's API, contract section 2.

use serde::Deserialize;

use super::json::{self, Text};
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::tutorial_check;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::shard::CheckRequest;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Text<'a>,
    #[serde(borrow, rename = "smsCode")]
    sms_code: Text<'a>,
}

/// Checks a code.
pub async fn answer<V: Verify>(deps: &Deps<V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let request = CheckRequest {
        service: ServiceId::DEFAULT,
        number: json::number(&body.phone_number, deps.default_region)?,
        code: json::code(&body.sms_code)?,
    };
    let outcome = deps.verifier.check(request).await.map_err(Problem::Refused)?;
    Ok(tutorial_check(&outcome))
}
