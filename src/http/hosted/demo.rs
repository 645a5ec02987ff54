//! The demo: the page of an application, which leads to the hosted page and redeems the code. Only where every message
//! goes to the simulator.

use axum::response::Response;
use hyper::StatusCode;

use super::context::{PageContext, field};
use super::page::{Page, View};
use crate::domain::ServiceId;
use crate::http::call::Call;
use crate::http::error::Error;
use crate::http::pages::redirect;
use crate::verification::hosted::{SessionRequest, SessionSecret};

/// `GET /verify/demo`: makes a session and leads to its page; with the session's result, shows it.
pub async fn show(call: Call) -> Result<Response, Error> {
    let context = PageContext::of(&call)?;
    // The demo exists under the conditions of the inbox's form.
    if !call.app.settings.gateways.only_simulator() {
        return Err(Error::NOT_SERVED);
    }
    call.admit_compatible(&call.head)?;
    let (query, texts) = (call.query().as_bytes(), context.texts);
    if query.is_empty() {
        return begin(&context).await;
    }
    let code = field(query, "code");
    let is_verified = match SessionSecret::parse(&code) {
        Some(secret) => context.running.hosted.redeem(ServiceId::DEFAULT, &secret.sid(), &code).await.is_ok(),
        None => false,
    };
    let leads_on = |status, text| {
        let view = View::Over { text, back: Some("/".to_owned()) };
        Page::new(status, texts, view).answer()
    };
    Ok(match field(query, "error").as_str() {
        _ if is_verified => leads_on(StatusCode::OK, texts.verified),
        "" => leads_on(StatusCode::NOT_FOUND, texts.gone),
        _ => redirect("/"),
    })
}

async fn begin(context: &PageContext<'_>) -> Result<Response, Error> {
    let url = format!("{}/verify/demo", context.call.app.base(context.call.host.as_ref()));
    let (secret, _) = context.running.hosted.create(ServiceId::DEFAULT, SessionRequest::back_to(url)).await?;
    Ok(redirect(&format!("/verify/{}", secret.expose())))
}
