//! `POST /api/send-otp`: contract section 1.

use std::sync::Arc;

use serde::Deserialize;

use super::json::{self, Text};
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::api_send;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::shard::SendRequest;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Text<'a>,
}

/// Sends a code and waits until the provider has taken it.
pub async fn answer<V: Verify>(deps: &Deps<V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let number = json::number(&body.phone_number, deps.default_region)?;
    let request = SendRequest {
        service: ServiceId::DEFAULT,
        number,
        options: None,
        template: Arc::clone(&deps.api_template),
    };
    let outcome = deps.verifier.send(request).await.map_err(Problem::Refused)?;
    Ok(api_send(deps.answers, &outcome, number))
}
