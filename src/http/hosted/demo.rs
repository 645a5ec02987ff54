//! The demo: a button, and the page of an application, which redeems the code. Only where every message goes to the
//! simulator.

use axum::response::Response;
use hyper::StatusCode;

use super::page::{Page, View};
use super::{PageContext, field};
use crate::domain::ServiceId;
use crate::http::app::V2;
use crate::http::call::Call;
use crate::http::pages::redirect;
use crate::http::request;
use crate::http::response::Problem;
use crate::verification::hosted::{ReturnTarget, SessionRequest, SessionSecret};

/// `GET /verify/demo`.
pub async fn show(call: Call) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    check(&call, context.v2)?;
    let (query, texts) = (call.query().as_bytes(), context.texts);
    if query.is_empty() {
        return Ok(Page::new(StatusCode::OK, texts, View::Demo).answer());
    }
    let code = field(query, "code");
    let is_verified = match SessionSecret::parse(&code) {
        Some(secret) => context.sessions.redeem(ServiceId::DEFAULT, &secret.sid(), &code).await.is_ok(),
        None => false,
    };
    let (status, text) = match field(query, "error").as_str() {
        _ if is_verified => (StatusCode::OK, texts.verified),
        "canceled" => (StatusCode::OK, texts.cancel),
        _ => (StatusCode::NOT_FOUND, texts.gone),
    };
    Ok(context.message(status, text))
}

/// `POST /verify/demo`: makes a session and leads to its page.
pub async fn begin(call: Call) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    check(&call, context.v2)?;
    if !request::is_own_form(&call.head) {
        return Err(Problem::CrossSite);
    }
    let base = context.v2.base.of(&call.head);
    let url = format!("{}/verify/demo", base.trim_end_matches("/v2"));
    let returns_to = ReturnTarget::Url { url, state: None };
    let request =
        SessionRequest { to: None, may_change: true, channels: Vec::new(), locale: None, returns_to };
    let made = context.sessions.create(ServiceId::DEFAULT, request).await;
    let (secret, _) = made.map_err(Problem::Refused)?;
    Ok(redirect(&format!("/verify/{}", secret.expose())))
}

/// The demo exists under the conditions of the inbox's form.
fn check(call: &Call, v2: &V2) -> Result<(), Problem> {
    if !call.app.settings.simulates_all {
        return Err(Problem::NotFound);
    }
    v2.admit_compatible(call)
}
