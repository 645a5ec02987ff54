//! The hosted page below `/verify`: a person enters a number, gets a code and enters it. Only the operator's challenge
//! needs JavaScript.
//!
//! The address of a session shows the form for the number. Only that form exchanges the address for a cookie: a link
//! scanner, which follows links, does not use the address up. `docs/guides/hosted-page.md` is for users.

pub mod captcha;
mod demo;
mod notice;
mod open;
mod page;
mod texts;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use hyper::header::{ACCEPT_LANGUAGE, HeaderValue, SET_COOKIE};
use hyper::{Method, StatusCode};
use tracing::info;
use url::Url;
use zeroize::Zeroizing;

use self::notice::Notice;
use self::open::OpenSession;
use self::page::{Page, View};
use self::texts::Texts;
use super::call::Call;
use super::pages::{GROUP, of_cookie, redirect};
use super::request;
use super::response::{Problem, REFUSED_SECONDS, ResponseExt as _};
use super::route::{ApiRouter, Operation};
use super::transport::Transport;
use crate::domain::{Channel, Locale, Region, ServiceId, Timestamp};
use crate::node::Running;
use crate::registry::Service;
use crate::verification::hosted::{Denied, HostedSession, RECORD_LIFE, ReturnTarget, SessionSecret};

/// Longest field of a form.
const MAX_FIELD_BYTES: usize = 1_600;

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
async fn answer(call: Call, step: HostedStep) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    match context.answer(step).await {
        Err(Problem::Refused(refusal)) => {
            let page = context.message(StatusCode::SERVICE_UNAVAILABLE, context.texts.failed);
            Ok((Extension(refusal), page.retry_after(REFUSED_SECONDS)).into_response())
        }
        answered => answered,
    }
}

impl PageContext<'_> {
    async fn answer(&self, step: HostedStep) -> Result<Response, Problem> {
        if self.transport == Transport::Cleartext {
            return Ok(self.message(StatusCode::FORBIDDEN, NEEDS_TLS));
        }
        let is_post = self.call.head.method == Method::POST;
        if is_post && !request::is_own_form(&self.call.head) {
            return Err(Problem::CrossSite);
        }
        let is_begun = step != HostedStep::Address;
        let secret = if is_begun {
            self.cookie()
        } else {
            SessionSecret::parse(self.call.param("Token").unwrap_or_default())
        };
        let Some(secret) = &secret else { return Ok(self.gone()) };
        let found = if is_begun {
            self.running.hosted.by_cookie(secret).await
        } else {
            self.running.hosted.by_address(secret).await
        };
        let (service, session) = match found {
            Ok(found) => found,
            // The form was sent twice.
            Err(Denied::NoSession) if !is_begun && self.has_session(secret).await => {
                return Ok(redirect("/verify"));
            }
            Err(denied) => return self.denied(denied),
        };
        let Some(service) = &self.running.registry.service_by_id(service) else { return Ok(self.gone()) };
        let context = &self.for_session(&session);
        if !context.may_return(service, &session) {
            return context.end_unlisted(secret, &session).await;
        }
        if session.is_over(context.now) {
            let place = if is_begun { "/verify" } else { self.call.head.uri.path() };
            return Ok(if is_post { redirect(place) } else { context.over(service, &session) });
        }
        let open = OpenSession { context, secret, is_begun, service, session: &session };
        if !is_post {
            return open.page().await;
        }
        let form = Zeroizing::new(self.call.read_body().await?.to_vec());
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

/// What every page below `/verify` needs of its request.
#[derive(Clone)]
struct PageContext<'a> {
    call: &'a Call,
    running: &'a Running,
    transport: Transport,
    texts: &'static Texts,
    /// The countries that the form may preselect: that of the browser's language, the server's, and the one where most
    /// people have that language.
    regions: [Option<Region>; 3],
    /// What the last form led to.
    notice: Option<Notice>,
    now: Timestamp,
}

impl<'a> PageContext<'a> {
    fn of(call: &'a Call) -> Result<Self, Problem> {
        let running = call.app.running()?;
        let (transport, texts) = (Transport::of(call), Texts::choose(languages(call)));
        let tag = accepted(call).next().unwrap_or_default();
        let of_tag = tag.rsplit_once('-').and_then(|(_, region)| Region::parse(region));
        let likely = Locale::parse(tag).unwrap_or(texts.locale).likely_region();
        let mut context = Self {
            call,
            running,
            transport,
            texts,
            regions: [of_tag, call.app.settings.storage.default_region, likely],
            notice: None,
            now: running.verifier.now(),
        };
        context.notice = of_cookie(call, &context.notice_name());
        Ok(context)
    }

    /// In the language of the session.
    fn for_session(&self, session: &HostedSession) -> Self {
        let texts = Texts::choose(session.request.locale.into_iter().chain(languages(self.call)));
        Self { texts, ..self.clone() }
    }

    /// The secret of the browser's session.
    fn cookie(&self) -> Option<SessionSecret> {
        request::cookie(&self.call.head.headers, self.cookie_name()).and_then(SessionSecret::parse)
    }

    /// The country of a number in national form.
    fn default_region(&self) -> Option<Region> {
        self.regions.into_iter().flatten().next()
    }

    /// A name with the prefix `__Host-` is kept only over TLS.
    const fn cookie_name(&self) -> &'static str {
        match self.transport {
            Transport::Encrypted => "__Host-onceward-verify",
            Transport::Loopback | Transport::Cleartext => "onceward-verify",
        }
    }

    fn notice_name(&self) -> String {
        format!("{}-notice", self.cookie_name())
    }

    /// Attributes of the cookies. In a frame of another site browsers keep only a partitioned cookie (CHIPS). On loopback
    /// every port is the same site.
    const fn cookie_attributes(&self, target: &ReturnTarget) -> &'static str {
        match (self.transport, target) {
            (Transport::Encrypted, ReturnTarget::Embed { .. }) => {
                "Path=/; Secure; SameSite=None; Partitioned"
            }
            (Transport::Encrypted, ReturnTarget::Url { .. }) => "Path=/; Secure; SameSite=Lax",
            _ => "Path=/verify; SameSite=Lax",
        }
    }

    /// Sets a cookie; without a value, removes it.
    fn with_cookie(
        &self,
        mut response: Response,
        name: &str,
        value: Option<&str>,
        target: &ReturnTarget,
    ) -> Response {
        let (attributes, life) = (self.cookie_attributes(target), value.map_or(0, |_| RECORD_LIFE.as_secs()));
        let value = value.unwrap_or_default();
        let header = format!("{name}={value}; HttpOnly; {attributes}; Max-Age={life}");
        // Values are base64url.
        response.headers_mut().extend(HeaderValue::from_str(&header).ok().map(|header| (SET_COOKIE, header)));
        response
    }

    /// Whether the service still lists where the session leads back to.
    fn may_return(&self, service: &Service, session: &HostedSession) -> bool {
        self.is_demo(service) || session.request.returns_to.is_listed(&service.settings)
    }

    /// Whether the sessions of a service are the demo's, whose codes live as long as themselves.
    fn is_demo(&self, service: &Service) -> bool {
        self.call.app.settings.gateways.only_simulator() && service.id == ServiceId::DEFAULT
    }

    /// Ends a session that can no longer lead back to its application. Its page says so.
    async fn end_unlisted(
        &self,
        secret: &SessionSecret,
        session: &HostedSession,
    ) -> Result<Response, Problem> {
        if let Err(Denied::Refused(refusal)) = self.running.hosted.end(secret).await {
            return Err(Problem::Refused(refusal));
        }
        let reason = "the service no longer lists its return address";
        info!(request_id = self.call.request_id(), session = %secret.sid(), reason, "hosted session ended");
        let page = self.message(StatusCode::FORBIDDEN, self.texts.cannot_return);
        Ok(self.with_cookie(page, self.cookie_name(), None, &session.request.returns_to))
    }

    /// Whether the browser already has the session of this address.
    async fn has_session(&self, address: &SessionSecret) -> bool {
        match self.cookie().filter(|cookie| cookie.sid() == address.sid()) {
            Some(cookie) => self.running.hosted.by_cookie(&cookie).await.is_ok(),
            None => false,
        }
    }

    fn denied(&self, denied: Denied) -> Result<Response, Problem> {
        match denied {
            Denied::Refused(refusal) => Err(Problem::Refused(refusal)),
            _ => Ok(self.gone()),
        }
    }

    fn gone(&self) -> Response {
        self.message(StatusCode::NOT_FOUND, self.texts.gone)
    }

    /// The page of a session whose time is over. It leads back, and the application learns why there is no code.
    fn over(&self, service: &Service, session: &HostedSession) -> Response {
        let back = return_url(&session.request.returns_to, ("error", "expired"));
        let view = View::Over { text: self.texts.gone, back };
        let page = Page::new(StatusCode::NOT_FOUND, self.texts, view);
        Page { of: Some((service, session)), ..page }.answer()
    }

    fn message(&self, status: StatusCode, text: &'static str) -> Response {
        Page::new(status, self.texts, View::Message { text }).answer()
    }

    /// The channels that a person may choose: names for forms, `auto` for the service's first one, and labels.
    fn buttons(&self, session: &HostedSession) -> Vec<(&'static str, &'static str)> {
        let (texts, chosen) = (self.texts, &session.request.channels);
        let name = |channel: Channel| {
            let label = if channel == Channel::Call { texts.call } else { channel.title() };
            (channel.as_str(), label)
        };
        let mut buttons: Vec<_> = chosen.iter().copied().map(name).collect();
        if chosen.is_empty() {
            buttons.push((AUTO, ""));
            buttons.extend(self.call.app.channels.contains(&Channel::Call).then(|| name(Channel::Call)));
        }
        if let Some((_, label)) = buttons.first_mut() {
            *label = if session.awaits_code { texts.again } else { texts.send };
        }
        buttons
    }
}

/// In a form: the first channel of the service.
const AUTO: &str = "auto";

/// The address of the application, with the code or why there is none; `None` for a page in a frame.
fn return_url(target: &ReturnTarget, (name, value): (&str, &str)) -> Option<String> {
    let ReturnTarget::Url { url, state } = target else { return None };
    // The service's settings have only valid addresses.
    let mut url = Url::parse(url).ok()?;
    url.query_pairs_mut().append_pair(name, value).extend_pairs(state.iter().map(|state| ("state", state)));
    Some(url.into())
}

/// `GET /verify.js`: shows the page in a frame or a window of another site.
async fn widget() -> impl IntoResponse {
    let headers = [
        ("content-type", "text/javascript; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "public, max-age=3600"),
    ];
    (headers, include_str!("verify.js"))
}

/// A field of a form or a query; empty if it is absent or longer than [`MAX_FIELD_BYTES`].
fn field(form: &[u8], name: &str) -> Zeroizing<String> {
    request::secret_field(form, name, MAX_FIELD_BYTES)
}

/// The tags of `Accept-Language`, in their order: browsers put the preferred one first.
fn accepted(call: &Call) -> impl Iterator<Item = &str> + use<'_> {
    let header = request::only(&call.head.headers, &ACCEPT_LANGUAGE).unwrap_or_default();
    header.split(',').take(10).map(|range| range.split(';').next().unwrap_or_default().trim())
}

fn languages(call: &Call) -> impl Iterator<Item = Locale> + use<'_> {
    accepted(call).filter_map(Locale::parse)
}

pub fn routes() -> ApiRouter {
    let at = |step| move |call: Call| answer(call, step);
    let page = Operation::page;
    ApiRouter::of(GROUP)
        .get("/verify", at(HostedStep::Page), page())
        .get("/verify.js", widget, page())
        .get("/verify/{Token}", at(HostedStep::Address), page())
        .post("/verify/{Token}", at(HostedStep::Address), page())
        .post("/verify/send", at(HostedStep::Send), page())
        .post("/verify/check", at(HostedStep::Check), page())
        .post("/verify/resend", at(HostedStep::Send), page())
        .post("/verify/change", at(HostedStep::Change), page())
        .post("/verify/cancel", at(HostedStep::Cancel), page())
        .get("/verify/demo", demo::show, page())
}
