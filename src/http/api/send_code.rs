//! `POST /send-code`: the tutorial's API, contract section 2.

use std::sync::Arc;

use serde::Deserialize;

use super::json::{self, Text};
use crate::domain::ServiceId;
use crate::http::answer::Answer;
use crate::http::answers::tutorial_send;
use crate::http::deps::{Deps, Verify};
use crate::http::problem::Problem;
use crate::shard::SendRequest;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "phoneNumber")]
    phone_number: Text<'a>,
}

/// Sends a code with the tutorial's life, length and text.
pub async fn answer<V: Verify>(deps: &Deps<V>, body: &[u8]) -> Result<Answer, Problem> {
    let body: Body<'_> = json::read(body)?;
    let request = SendRequest {
        service: ServiceId::DEFAULT,
        number: json::number(&body.phone_number, deps.default_region)?,
        options: Some(deps.tutorial_code),
        template: Arc::clone(&deps.tutorial_template),
    };
    let outcome = deps.verifier.send(request).await.map_err(Problem::Refused)?;
    Ok(tutorial_send(&outcome))
}
