//! The hosted page below `/verify`: a person enters a number, gets a code and enters it. Only the operator's challenge
//! needs JavaScript.
//!
//! The address of a session shows the form for the number. Only that form exchanges the address for a cookie: a link
//! scanner, which follows links, does not use the address up. `docs/guides/hosted-page.md` is for users.

pub mod captcha;
mod context;
mod open;
mod page;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::{Method, StatusCode};
use zeroize::Zeroizing;

use self::context::{PageContext, field};
use self::open::OpenSession;
use super::app::App;
use super::call::{Call, Transport};
use super::error::{Cause, Error, REFUSED_SECONDS};
use super::pages::redirect;
use super::response::ResponseExt as _;
use crate::verification::Refusal;
use crate::verification::hosted::{Denied, SessionSecret};

/// What a request below `/verify` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostedStep {
    /// The page of the session in the cookie.
    Page,
    /// The page at the address of a session, or its form.
    Address,
    /// A first or further message.
    Send,
    Check,
    /// Enter another number.
    Change,
    Cancel,
}

/// Answers a request below `/verify`.
async fn answer(call: Call, step: HostedStep) -> Result<Response, Error> {
    let context = PageContext::of(&call)?;
    match context.answer(step).await {
        Err(Error { status, cause: Cause::Refused(refusal), .. }) => {
            let page = context.message(status, context.texts.failed);
            let page =
                if refusal == Refusal::OutcomeUnknown { page } else { page.retry_after(REFUSED_SECONDS) };
            Ok((Extension(refusal), page).into_response())
        }
        answered => answered,
    }
}

impl PageContext<'_> {
    async fn answer(&self, step: HostedStep) -> Result<Response, Error> {
        if self.transport == Transport::Cleartext {
            return Ok(self.message(StatusCode::FORBIDDEN, NEEDS_TLS));
        }
        let is_post = self.call.head.method == Method::POST;
        if is_post && !self.call.has_own_form() {
            return Ok(self.message(StatusCode::FORBIDDEN, self.texts.failed));
        }
        let is_begun = step != HostedStep::Address;
        let secret = if is_begun {
            self.cookie()
        } else {
            SessionSecret::parse(self.call.param("Token").unwrap_or_default())
        };
        let Some(secret) = &secret else { return Ok(self.gone()) };
        let (service, session) = match self.running.hosted.find(secret, is_begun).await {
            Ok(found) => found,
            // The form was sent twice.
            Err(Denied::NoSession) if !is_begun && self.has_session(secret).await => {
                return Ok(redirect("/verify"));
            }
            Err(denied) => return self.denied(denied),
        };
        let Some(service) = &self.running.registry.service_by_id(service) else { return Ok(self.gone()) };
        let context = &self.for_session(&session);
        // The service may no longer list where the session leads back to.
        if !session.request.returns_to.is_listed(&service.settings) {
            return Ok(context.message(StatusCode::FORBIDDEN, context.texts.cannot_return));
        }
        if session.is_over(context.now) {
            let place = if is_begun { "/verify" } else { self.call.head.uri.path() };
            return Ok(if is_post { redirect(place) } else { context.over(service, &session) });
        }
        let open = OpenSession { context, secret, is_begun, service, session: &session };
        if !is_post {
            return open.page().await;
        }
        let form = Zeroizing::new(self.call.body.to_vec());
        if is_begun && !secret.has_form_token(&field(&form, "token")) {
            return Ok(context.message(StatusCode::FORBIDDEN, context.texts.gone));
        }
        let done = match step {
            HostedStep::Page => return open.page().await,
            HostedStep::Address => open.begin(&form).await,
            HostedStep::Send => open.send(&form).await,
            HostedStep::Check => open.check(&field(&form, "code")).await,
            HostedStep::Change => open.change_number().await,
            HostedStep::Cancel => open.cancel().await,
        };
        open.answer(done)
    }
}

const NEEDS_TLS: &str = "This page needs TLS (https).";

/// `GET /verify.js`: shows the page in a frame or a window of another site.
async fn widget() -> impl IntoResponse {
    let headers = [
        ("content-type", "text/javascript; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "public, max-age=3600"),
    ];
    (headers, include_str!("verify.js"))
}

pub fn routes() -> Router<App> {
    let at = |step| move |call: Call| answer(call, step);
    Router::new()
        .route("/verify", get(at(HostedStep::Page)))
        .route("/verify.js", get(widget))
        .route("/verify/{Token}", get(at(HostedStep::Address)).post(at(HostedStep::Address)))
        .route("/verify/send", post(at(HostedStep::Send)))
        .route("/verify/check", post(at(HostedStep::Check)))
        .route("/verify/resend", post(at(HostedStep::Send)))
        .route("/verify/change", post(at(HostedStep::Change)))
        .route("/verify/cancel", post(at(HostedStep::Cancel)))
}
