//! The hosted page below `/verify`: a person enters a number, gets a code and enters it. No JavaScript is needed.
//!
//! The address of a session shows a button. Only that button exchanges the address for a cookie: a link scanner, which
//! follows links, does not use the address up. `docs/guides/hosted-page.md` is for users.

mod texts;

use std::net::IpAddr;
use std::sync::LazyLock;

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderValue, SET_COOKIE};
use hyper::{Method, StatusCode};
use tracing::{debug, info};
use url::Url;
use zeroize::Zeroizing;

use self::texts::Texts;
use super::api::error::Error;
use super::api::verifications::log_check;
use super::app::V2;
use super::call::Call;
use super::pages::{GROUP, csp_hash, redirect};
use super::request;
use super::response::{self, NotServed, Problem, REFUSED_SECONDS, ResponseExt as _};
use super::route::{ApiRouter, Operation};
use super::transport::Transport;
use crate::domain::{Channel, Code, Locale, NumberError, PhoneNumber, Region, ServiceId, Sid, seconds_up};
use crate::limits::guard::ClientSignals;
use crate::registry::Service;
use crate::verification::hosted::{
    Denied, HostedSession, HostedSessions, ReturnTarget, SESSION_LIFE, SessionRequest, SessionSecret,
};
use crate::verification::numbers::Refusal;
use crate::verification::verify::{BeginRequest, CheckCode, Refused, Status, VerificationTarget};

const STYLE: &str = include_str!("hosted.css");
const SCRIPT: &str = include_str!("hosted.js");

/// Longest field of a form.
const MAX_FIELD_BYTES: usize = 1_600;

/// What a request below `/verify` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostedStep {
    /// The page of the session in the cookie.
    Page,
    /// The page at the address of a session, or its button.
    Address,
    /// A first or further message.
    Send,
    Check,
    /// Enter another number.
    Change,
    Cancel,
}

/// What the page shows.
enum View {
    Start {
        address: String,
    },
    Number {
        fixed: Option<String>,
        hint: String,
        region: Option<Region>,
        countries: Vec<(Region, i32)>,
    },
    Code {
        number: String,
        wait: u64,
        may_resend: bool,
        may_change: bool,
    },
    Verified,
    /// Every check is used: the person can only go back.
    NoneLeft,
    Message {
        text: &'static str,
    },
}

impl View {
    const fn may_cancel(&self) -> bool {
        matches!(self, Self::Number { .. } | Self::Code { .. } | Self::NoneLeft)
    }
}

/// The look of a service.
#[derive(Default)]
struct Brand<'a> {
    name: &'a str,
    logo: Option<&'a str>,
    privacy: Option<&'a str>,
    terms: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "hosted.html")]
struct HostedPage<'a> {
    texts: &'a Texts,
    brand: Brand<'a>,
    style: String,
    script: &'static str,
    /// Attributes that the script reads.
    data: Vec<(&'static str, &'a str)>,
    token: String,
    problem: Option<&'a str>,
    buttons: Vec<(&'static str, &'static str)>,
    view: View,
}

/// Answers a request below `/verify`.
async fn answer(call: Call, step: HostedStep) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    match context.answer(&call, step).await {
        Err(Problem::Refused(refusal)) => {
            let page = context.message(StatusCode::SERVICE_UNAVAILABLE, context.texts.failed());
            Ok(page.retry_after(REFUSED_SECONDS).because(NotServed::Refused(refusal)))
        }
        answered => answered,
    }
}

impl PageContext<'_> {
    async fn answer(&self, call: &Call, step: HostedStep) -> Result<Response, Problem> {
        if self.transport == Transport::Cleartext {
            return Ok(self.message(StatusCode::FORBIDDEN, NEEDS_TLS));
        }
        let is_post = call.head.method == Method::POST;
        if is_post && !request::is_own_form(&call.head) {
            return Err(Problem::CrossSite);
        }
        if step == HostedStep::Address {
            return self.at_address(call, is_post).await;
        }
        let cookie = request::cookie(&call.head.headers, self.cookie_name()).and_then(SessionSecret::parse);
        let Some(cookie) = cookie else { return Ok(self.gone()) };
        let (service, session) = match self.sessions.by_cookie(&cookie).await {
            Ok(found) => found,
            Err(denied) => return self.denied(denied),
        };
        let Some(service) = self.v2.registry.service_by_id(service) else { return Ok(self.gone()) };
        if !may_return(call, &service, &session) {
            return self.end_unlisted(call, &cookie, &session).await;
        }
        let form =
            if is_post { Zeroizing::new(call.read_body().await?.to_vec()) } else { Zeroizing::default() };
        let field = |name| field(&form, name);
        if is_post && !cookie.has_form_token(&field("token")) {
            return Ok(self.message(StatusCode::FORBIDDEN, self.texts.gone()));
        }
        let texts = Texts::choose(session.request.locale.into_iter().chain(languages(call)));
        let context = &Self { texts, ..*self };
        let open = OpenSession { context, cookie: &cookie, service: &service, session };
        match step {
            HostedStep::Page | HostedStep::Address => Ok(open.page(StatusCode::OK, None)),
            HostedStep::Send => open.send(call, &form).await,
            HostedStep::Check => open.check(call, &field("code")).await,
            HostedStep::Change => open.after(context.sessions.change_number(&cookie).await),
            HostedStep::Cancel => open.cancel().await,
        }
    }
}

const NEEDS_TLS: &str = "This page needs TLS (https).";

/// What every page below `/verify` needs of its request.
struct PageContext<'a> {
    v2: &'a V2,
    sessions: &'a HostedSessions,
    transport: Transport,
    texts: &'static Texts,
    /// The countries that the form may preselect: that of the browser's language, and the server's.
    regions: [Option<Region>; 2],
    /// Channels that this server has.
    channels: &'a [Channel],
}

impl<'a> PageContext<'a> {
    fn of(call: &'a Call) -> Result<Self, Problem> {
        let v2 = call.app.v2().ok_or(Problem::Refused(Refusal::Starting))?;
        let sessions = v2.hosted.as_ref().ok_or(Problem::Refused(Refusal::Starting))?;
        let tag = accepted(call).next().and_then(|tag| tag.rsplit_once('-'));
        let regions = [tag.and_then(|(_, region)| Region::parse(region)), call.app.settings.default_region];
        let (transport, texts) = (Transport::of(call), Texts::choose(languages(call)));
        Ok(Self { v2, sessions, transport, texts, regions, channels: &call.app.settings.channels })
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

    /// The header that sets the cookie; without a cookie, the header that removes it. In a frame of another site browsers
    /// keep only a partitioned cookie (CHIPS). On loopback every port is the same site.
    fn set_cookie(&self, cookie: Option<&SessionSecret>, target: &ReturnTarget) -> HeaderValue {
        let attributes = match (self.transport, target) {
            (Transport::Encrypted, ReturnTarget::Embed { .. }) => {
                "Path=/; Secure; SameSite=None; Partitioned"
            }
            (Transport::Encrypted, ReturnTarget::Url { .. }) => "Path=/; Secure; SameSite=Lax",
            _ => "Path=/verify; SameSite=Lax",
        };
        let life = cookie.map_or(0, |_| SESSION_LIFE.as_secs());
        let (name, value) = (self.cookie_name(), cookie.map(SessionSecret::expose).unwrap_or_default());
        let header = format!("{name}={value}; HttpOnly; {attributes}; Max-Age={life}");
        // Secrets are base64url.
        HeaderValue::from_str(&header).unwrap_or(HeaderValue::from_static(""))
    }

    /// The page at the address of a session, and its button.
    async fn at_address(&self, call: &Call, is_post: bool) -> Result<Response, Problem> {
        let token = call.param("Token").unwrap_or_default();
        let Some(address) = SessionSecret::parse(token) else { return Ok(self.gone()) };
        let (service, session) = match self.sessions.by_address(&address).await {
            Ok(found) => found,
            // The button was pressed twice.
            Err(Denied::NoSession) if self.has_session(call, &address).await => {
                return Ok(redirect("/verify"));
            }
            Err(denied) => return self.denied(denied),
        };
        let Some(service) = self.v2.registry.service_by_id(service) else { return Ok(self.gone()) };
        if !may_return(call, &service, &session) {
            return self.end_unlisted(call, &address, &session).await;
        }
        if !is_post {
            let texts = Texts::choose(session.request.locale.into_iter().chain(languages(call)));
            let view = View::Start { address: call.head.uri.path().to_owned() };
            return Ok(self.page(
                StatusCode::OK,
                texts,
                Some((&service, &session)),
                view,
                None,
                String::new(),
            ));
        }
        match self.sessions.begin(&address).await {
            Ok(cookie) => {
                let cookie = self.set_cookie(Some(&cookie), &session.request.returns_to);
                Ok(redirect("/verify").with(SET_COOKIE, cookie))
            }
            Err(denied) => self.denied(denied),
        }
    }

    /// Ends a session that can no longer lead back to its application. Its page says so.
    async fn end_unlisted(
        &self,
        call: &Call,
        secret: &SessionSecret,
        session: &HostedSession,
    ) -> Result<Response, Problem> {
        if let Err(Denied::Refused(refusal)) = self.sessions.end(secret).await {
            return Err(Problem::Refused(refusal));
        }
        let reason = "the service no longer lists its return address";
        info!(request_id = call.request_id(), session = %secret.sid(), reason, "hosted session ended");
        let texts = Texts::choose(session.request.locale.into_iter().chain(languages(call)));
        let page = Self { texts, ..*self }.message(StatusCode::FORBIDDEN, texts.cannot_return());
        Ok(page.with(SET_COOKIE, self.set_cookie(None, &session.request.returns_to)))
    }

    /// Whether the browser already has the session of this address.
    async fn has_session(&self, call: &Call, address: &SessionSecret) -> bool {
        let cookie = request::cookie(&call.head.headers, self.cookie_name()).and_then(SessionSecret::parse);
        match cookie.filter(|cookie| cookie.sid() == address.sid()) {
            Some(cookie) => self.sessions.by_cookie(&cookie).await.is_ok(),
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
        self.message(StatusCode::NOT_FOUND, self.texts.gone())
    }

    fn message(&self, status: StatusCode, text: &'static str) -> Response {
        self.page(status, self.texts, None, View::Message { text }, None, String::new())
    }

    fn page(
        &self,
        status: StatusCode,
        texts: &Texts,
        of: Option<(&Service, &HostedSession)>,
        view: View,
        problem: Option<&str>,
        token: String,
    ) -> Response {
        let settings = of.map(|(service, _)| &service.settings);
        let accent = settings.and_then(|settings| settings.accent_color.as_deref()).unwrap_or("#1d5688");
        let digits = settings.map_or(6, |settings| settings.code_length.get());
        let on_accent = text_color_on(accent);
        let style = format!("{STYLE}:root{{--accent:{accent};--on-accent:{on_accent};--digits:{digits}}}");
        let brand = settings.map(|settings| Brand {
            name: &settings.friendly_name,
            logo: settings.logo_url.as_deref(),
            privacy: settings.privacy_url.as_deref(),
            terms: settings.terms_url.as_deref(),
        });
        let brand = brand.unwrap_or_default();
        let target = of.map(|(_, session)| &session.request.returns_to);
        let policy = policy(&style, brand.logo, target, framed_by(&view, target));
        let buttons = of.map(|(_, session)| self.buttons(texts, session)).unwrap_or_default();
        let data = match (&view, target) {
            (View::Start { .. }, Some(ReturnTarget::Embed { origin, .. })) => {
                vec![("origin", origin.as_str())]
            }
            (View::Message { .. }, _) if status != StatusCode::OK => vec![("error", ENDED)],
            _ => Vec::new(),
        };
        let script = SCRIPT;
        let page = HostedPage { texts, brand, style, script, data, token, problem, buttons, view };
        (status, rendered(&page, &policy)).into_response()
    }

    /// The channels that a person may choose: names for forms, `auto` for the service's first one, and labels.
    fn buttons(&self, texts: &Texts, session: &HostedSession) -> Vec<(&'static str, &'static str)> {
        let chosen = &session.request.channels;
        let name = |channel: Channel| {
            (
                channel.as_str(),
                match channel {
                    Channel::Sms => "SMS",
                    Channel::Call => texts.call(),
                    Channel::WhatsApp => "WhatsApp",
                    Channel::Telegram => "Telegram",
                },
            )
        };
        let mut buttons: Vec<_> = chosen.iter().copied().map(name).collect();
        if chosen.is_empty() {
            buttons.push((AUTO, ""));
            buttons.extend(self.channels.contains(&Channel::Call).then(|| name(Channel::Call)));
        }
        if let Some((_, label)) = buttons.first_mut() {
            *label = if session.awaits_code { texts.again() } else { texts.send() };
        }
        buttons
    }
}

/// In a form: the first channel of the service.
const AUTO: &str = "auto";
/// The error of the widget when the page cannot go on.
const ENDED: &str = "ended";

/// Whether the service still lists where the session leads back to. The sessions of the default service are the demo's.
fn may_return(call: &Call, service: &Service, session: &HostedSession) -> bool {
    let is_demo = call.app.settings.simulates_all && service.id == ServiceId::DEFAULT;
    is_demo || session.request.returns_to.is_listed(&service.settings)
}

/// A request from the browser that has the session.
struct OpenSession<'a> {
    context: &'a PageContext<'a>,
    cookie: &'a SessionSecret,
    service: &'a Service,
    session: HostedSession,
}

impl OpenSession<'_> {
    /// The page of the session.
    fn page(&self, status: StatusCode, problem: Option<&str>) -> Response {
        let view = self.view();
        self.show(status, view, problem)
    }

    fn show(&self, status: StatusCode, view: View, problem: Option<&str>) -> Response {
        let (context, token) = (self.context, self.cookie.form_token());
        context.page(status, context.texts, Some((self.service, &self.session)), view, problem, token)
    }

    fn view(&self) -> View {
        let session = &self.session;
        match session.number {
            _ if session.is_approved() => View::Verified,
            _ if !session.has_checks() => View::NoneLeft,
            Some(number) if session.awaits_code => View::Code {
                number: number.to_string(),
                wait: seconds_up(session.next_send.since((self.context.v2.now)())),
                may_resend: session.has_sends(),
                may_change: session.may_change(),
            },
            number => self.number_view(number.map(PhoneNumber::e164).unwrap_or_default()),
        }
    }

    fn number_view(&self, hint: String) -> View {
        let request = &self.session.request;
        let fixed = request.to.filter(|_| !request.may_change).map(|number| number.to_string());
        let guard = self.context.v2.verifications.guard();
        let is_offered =
            |region: Region| guard.as_ref().is_none_or(|guard| guard.permits(self.service.id, region));
        let countries = COUNTRIES.iter().copied().filter(|(region, _)| is_offered(*region)).collect();
        let of_number = self.session.number.and_then(PhoneNumber::region);
        let known = [of_number].into_iter().chain(self.context.regions).flatten();
        let region = known.chain(Region::parse("US")).find(|region| is_offered(*region));
        View::Number { fixed, hint, region, countries }
    }

    /// Redirects to the page as it is now, or shows the problem on the page as it was.
    fn after(&self, done: Result<(), Denied>) -> Result<Response, Problem> {
        match done {
            Ok(()) => Ok(redirect("/verify")),
            Err(denied) => self.denied(denied),
        }
    }

    fn denied(&self, denied: Denied) -> Result<Response, Problem> {
        let texts = self.context.texts;
        let (status, words) = match denied {
            Denied::NoSession => return Ok(self.context.gone()),
            Denied::Refused(refusal) => return Err(Problem::Refused(refusal)),
            Denied::NoneLeft => (StatusCode::TOO_MANY_REQUESTS, texts.none_left().to_owned()),
            Denied::Wait { until } => {
                let wait = seconds_up(until.since((self.context.v2.now)()));
                (StatusCode::TOO_MANY_REQUESTS, texts.wait().replace("{}", &wait.to_string()))
            }
            Denied::Fixed | Denied::NotSent => (StatusCode::FORBIDDEN, texts.failed().to_owned()),
        };
        Ok(self.page(status, Some(&words)))
    }

    /// Sends a code to the number of the form, or to that of the session.
    async fn send(self, call: &Call, form: &[u8]) -> Result<Response, Problem> {
        let context = self.context;
        let (sessions, texts) = (context.sessions, context.texts);
        let (text, region) =
            (field(form, "number"), Region::parse(&field(form, "country")).or(context.default_region()));
        let number = match self.session.number.filter(|_| text.is_empty()) {
            Some(known) => Ok(known),
            None => PhoneNumber::parse(&text, region),
        };
        let number = match number {
            Ok(number) => number,
            Err(error) => {
                let view = self.number_view(text.chars().take(40).collect());
                let words = match error {
                    NumberError::Unreadable | NumberError::Impossible => texts.bad_number().to_owned(),
                    NumberError::Sign(sign) => format!("{} (U+{:04X})", texts.bad_number(), u32::from(sign)),
                    NumberError::Renumbered(change) => format!("{} ({change})", texts.bad_number()),
                };
                return Ok(self.show(StatusCode::BAD_REQUEST, view, Some(&words)));
            }
        };
        let buttons = context.buttons(texts, &self.session);
        let asked = field(form, "channel");
        let offered = buttons.iter().find(|(name, _)| *name == *asked).or(buttons.first());
        let channel = offered.and_then(|(name, _)| Channel::parse(name));
        if let Err(denied) = sessions.begin_send(self.cookie, number).await {
            return self.denied(denied);
        }
        let session = &self.session;
        let begin = |locale| BeginRequest {
            channel,
            locale,
            web_host: self.web_host(),
            client: ClientSignals { address: address_of(call), ..ClientSignals::default() },
            request_id: Some(call.traced_id()),
            ..BeginRequest::new(number)
        };
        let verifications = &context.v2.verifications;
        let mut outcome = verifications.begin(self.service.id, begin(session.request.locale)).await;
        if matches!(outcome, Err(Refused::Text(_))) {
            // The service's texts are not in that language.
            outcome = verifications.begin(self.service.id, begin(None)).await;
        }
        let refused = match outcome {
            Ok(verification) => {
                debug!(request_id = call.request_id(), %number, "hosted page: code sent");
                let channel = verification.channel;
                let sent = sessions.sent(self.cookie, number, verification.sid, channel).await;
                return self.after(sent);
            }
            Err(refused) => refused,
        };
        if let Err(denied) = sessions.not_sent(self.cookie, number).await {
            return self.denied(denied);
        }
        let (status, words) = match refused {
            Refused::Unavailable(refusal) => return Err(Problem::Refused(refusal)),
            Refused::OutOfService { .. } => {
                call.log_out_of_service();
                (StatusCode::BAD_GATEWAY, texts.failed())
            }
            Refused::GatewayFailed => (StatusCode::BAD_GATEWAY, texts.failed()),
            // A client that tries numbers out must not learn why one is refused.
            refused => {
                let (_, reason) = Error::from(refused).status_and_message((context.v2.now)());
                info!(request_id = call.request_id(), %number, %reason, "hosted page: no code sent");
                (StatusCode::FORBIDDEN, texts.cannot_send())
            }
        };
        let view = if session.awaits_code { self.view() } else { self.number_view(text.to_string()) };
        Ok(self.show(status, view, Some(words)))
    }

    /// The host name of the page, if browsers may fill in a code for it: over TLS, and not in a frame of another site.
    /// It is that of `public-url`, not of the request, because it becomes part of a message.
    fn web_host(&self) -> Option<String> {
        let is_own = matches!(self.session.request.returns_to, ReturnTarget::Url { .. });
        let is_encrypted = self.context.transport == Transport::Encrypted;
        let public_url = self.context.v2.base.public_url.as_deref().filter(|_| is_own && is_encrypted)?;
        Url::parse(public_url).ok()?.domain().map(str::to_owned)
    }

    /// Checks a code, and leads the person back if it is right. In a verified session, draws a new code for the
    /// application.
    async fn check(mut self, call: &Call, code: &str) -> Result<Response, Problem> {
        let (sessions, texts) = (self.context.sessions, self.context.texts);
        if self.session.is_approved() {
            return self.approve(None).await;
        }
        let code = Code::submitted(code, self.service.settings.code_length);
        if code.is_none() {
            return Ok(self.page(StatusCode::BAD_REQUEST, Some(texts.wrong_code())));
        }
        let sid = match sessions.begin_check(self.cookie).await {
            Ok((sid, counted)) => {
                self.session = counted;
                sid
            }
            Err(denied) => return self.denied(denied),
        };
        let (target, request_id) = (VerificationTarget::Sid(sid), Some(call.traced_id()));
        let check = CheckCode { request_id, ..CheckCode::new(target, code) };
        let outcome = self.context.v2.verifications.check(self.service.id, check).await;
        if let Ok(verification) = &outcome {
            log_check(call, verification);
        }
        let (status, words) = match outcome.map(|verification| verification.status) {
            Ok(Status::Approved) => return self.approve(Some(sid)).await,
            Ok(Status::Pending | Status::Canceled | Status::Expired | Status::Failed)
            | Err(Refused::NotFound)
                if self.session.has_checks() =>
            {
                (StatusCode::BAD_REQUEST, texts.wrong_code())
            }
            Ok(_) | Err(Refused::NotFound | Refused::NoChecksLeft { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, texts.none_left())
            }
            Err(Refused::Unavailable(refusal)) => return Err(Problem::Refused(refusal)),
            Err(_) => (StatusCode::BAD_GATEWAY, texts.failed()),
        };
        Ok(self.page(status, Some(words)))
    }

    async fn approve(&self, verification: Option<Sid>) -> Result<Response, Problem> {
        match self.context.sessions.approve(self.cookie, verification).await {
            Ok(code) => Ok(self.leave(("code", code.expose()))),
            Err(denied) => self.denied(denied),
        }
    }

    async fn cancel(&self) -> Result<Response, Problem> {
        match self.context.sessions.end(self.cookie).await {
            Ok(()) => {
                let cookie = self.context.set_cookie(None, &self.session.request.returns_to);
                Ok(self.leave(("error", "canceled")).with(SET_COOKIE, cookie))
            }
            Err(denied) => self.denied(denied),
        }
    }

    /// Leads back to the application, with the code or why there is none.
    fn leave(&self, (name, value): (&'static str, &str)) -> Response {
        let texts = self.context.texts;
        match &self.session.request.returns_to {
            ReturnTarget::Url { url, state } => {
                // The service's settings have only valid addresses.
                let Ok(mut url) = Url::parse(url) else { return self.context.gone() };
                url.query_pairs_mut()
                    .append_pair(name, value)
                    .extend_pairs(state.iter().map(|state| ("state", state)));
                redirect(url.as_str())
            }
            ReturnTarget::Embed { origin, state } => {
                let data = [("origin", origin.as_str()), (name, value)].into_iter();
                let data = data.chain(state.iter().map(|state| ("state", state.as_str()))).collect();
                let text = if name == "code" { texts.verified() } else { texts.cancel() };
                let (brand, style, token) = (Brand::default(), STYLE.to_owned(), String::new());
                let policy = policy(&style, None, Some(&self.session.request.returns_to), origin);
                let (script, view) = (SCRIPT, View::Message { text });
                let (problem, buttons) = (None, Vec::new());
                rendered(
                    &HostedPage { texts, brand, style, script, data, token, problem, buttons, view },
                    &policy,
                )
            }
        }
    }
}

/// `GET /verify.js`: shows the page in a frame or a window of another site.
async fn widget() -> Response {
    let headers = [("x-content-type-options", "nosniff"), ("cache-control", "public, max-age=3600")];
    response::page("text/javascript; charset=utf-8", &headers, include_str!("verify.js").to_owned())
}

/// The demo: a button, and the page of an application, which redeems the code. Only where every message goes to the
/// simulator.
async fn demo(call: Call) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    check_demo(&call, context.v2)?;
    let query = call.query().as_bytes();
    let code = field(query, "code");
    if query.is_empty() {
        let view = View::Start { address: "/verify/demo".to_owned() };
        return Ok(context.page(StatusCode::OK, context.texts, None, view, None, String::new()));
    }
    let is_verified = match SessionSecret::parse(&code) {
        Some(secret) => context.sessions.redeem(ServiceId::DEFAULT, &secret.sid(), &code).await.is_ok(),
        None => false,
    };
    let texts = context.texts;
    let (status, text) =
        if is_verified { (StatusCode::OK, texts.verified()) } else { (StatusCode::NOT_FOUND, texts.gone()) };
    Ok(context.message(status, text))
}

/// `POST /verify/demo`: makes a session and leads to its page.
async fn begin_demo(call: Call) -> Result<Response, Problem> {
    let context = PageContext::of(&call)?;
    check_demo(&call, context.v2)?;
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
fn check_demo(call: &Call, v2: &V2) -> Result<(), Problem> {
    if !call.app.settings.simulates_all {
        return Err(Problem::NotFound);
    }
    v2.admit_compatible(call)
}

/// The IP address of the person; `None` behind a proxy that does not report it.
fn address_of(call: &Call) -> Option<IpAddr> {
    let is_proxy = call.peer.is_loopback() || call.app.settings.proxies.trusts(call.peer);
    call.client.or((!is_proxy).then_some(call.peer))
}

/// A field of a form or a query; empty if it is absent or longer than [`MAX_FIELD_BYTES`].
fn field(form: &[u8], name: &str) -> Zeroizing<String> {
    let text = request::form_field(form, name).map(Zeroizing::new).unwrap_or_default();
    if text.len() > MAX_FIELD_BYTES { Zeroizing::default() } else { Zeroizing::new(text.trim().to_owned()) }
}

/// The tags of `Accept-Language`, in their order: browsers put the preferred one first.
fn accepted(call: &Call) -> impl Iterator<Item = &str> + use<'_> {
    let header = request::only(&call.head.headers, &ACCEPT_LANGUAGE).unwrap_or_default();
    header.split(',').take(10).map(|range| range.split(';').next().unwrap_or_default().trim())
}

fn languages(call: &Call) -> impl Iterator<Item = Locale> + use<'_> {
    accepted(call).filter_map(Locale::parse)
}

/// Every country with its calling code, by its two letters.
static COUNTRIES: LazyLock<Vec<(Region, i32)>> = LazyLock::new(|| {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|first| letters().map(move |second| [first, second]));
    let codes = codes.filter_map(|code| Region::parse(std::str::from_utf8(&code).ok()?));
    codes.filter_map(|region| Some((region, region.calling_code()?))).collect()
});

fn rendered(page: &HostedPage<'_>, policy: &str) -> Response {
    const HEADERS: [(&str, &str); 2] =
        [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")];
    // Every address in it was parsed.
    let policy = HeaderValue::from_str(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    // A template of texts does not fail.
    let html = page.render().unwrap_or_default();
    response::page("text/html; charset=utf-8", &HEADERS, html).with(CONTENT_SECURITY_POLICY, policy)
}

/// The origin of pages that may show this one in a frame, for a content security policy.
fn framed_by<'a>(view: &View, target: Option<&'a ReturnTarget>) -> &'a str {
    match (view, target) {
        // A message has no form and no secret, and without a session its origin is unknown.
        (View::Message { .. }, _) => "*",
        (_, Some(ReturnTarget::Embed { origin, .. })) => origin,
        (_, Some(ReturnTarget::Url { .. }) | None) => "'none'",
    }
}

/// The content security policy. Only our own style and script run, and forms post here and lead back to the application.
/// The application may redirect further: browsers apply `form-action` to that too.
fn policy(style: &str, logo: Option<&str>, target: Option<&ReturnTarget>, framed_by: &str) -> String {
    let origin =
        |url: &str| Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let form_action = match target {
        Some(ReturnTarget::Url { url, .. }) if url.starts_with("http:") => " https: http:",
        Some(ReturnTarget::Url { .. }) => " https:",
        Some(ReturnTarget::Embed { .. }) | None => "",
    };
    format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data: {}; form-action 'self'{form_action}; \
         base-uri 'none'; frame-ancestors {framed_by}",
        csp_hash(style),
        csp_hash(SCRIPT),
        logo.map(origin).unwrap_or_default(),
    )
}

/// Black or white, whichever has more contrast on this color: at least 4.58 (WCAG 2.2, relative luminance).
fn text_color_on(color: &str) -> &'static str {
    let channel = |at: usize| {
        let value = color.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let value = f64::from(value.unwrap_or(0)) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    let on_white = 1.05 / (luminance + 0.05);
    if on_white >= (luminance + 0.05) / 0.05 { "#fff" } else { "#000" }
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
        .get("/verify/demo", demo, page())
        .post("/verify/demo", begin_demo, page())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_the_accent_color_is_the_one_that_is_easier_to_read() {
        for (color, expected) in
            [("#000000", "#fff"), ("#ffffff", "#000"), ("#1d5688", "#fff"), ("#ffd400", "#000")]
        {
            assert_eq!(text_color_on(color), expected, "{color}");
        }
    }

    #[test]
    fn only_the_origin_of_an_embedded_session_may_frame_its_page() {
        let url = ReturnTarget::Url { url: "https://app.example:8443/done?x=1".to_owned(), state: None };
        let embed = ReturnTarget::Embed { origin: "https://app.example".to_owned(), state: None };
        let framed_by = |view| [None, Some(&url), Some(&embed)].map(|target| framed_by(&view, target));
        assert_eq!(framed_by(View::Verified), ["'none'", "'none'", "https://app.example"]);
        assert_eq!(framed_by(View::Message { text: "" }), ["*"; 3], "without a form or a secret");
        let own = policy("", None, Some(&url), "'none'");
        assert!(own.contains("form-action 'self' https:;"), "{own}");
        assert!(own.ends_with("frame-ancestors 'none'"), "{own}");
    }

    #[test]
    fn the_page_lists_countries_with_their_calling_codes() {
        assert!(COUNTRIES.len() > 200, "{}", COUNTRIES.len());
        let has = |code, calling| {
            COUNTRIES.iter().any(|(region, known)| Region::parse(code) == Some(*region) && *known == calling)
        };
        assert!(has("DE", 49) && has("US", 1));
    }
}
