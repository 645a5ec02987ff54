//! What the pages of the dashboard share: who may see them, their frame and their notices; and the sign-in.

use std::borrow::Borrow;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode};
use tracing::info;
use zeroize::Zeroizing;

use super::session::{Made, Notice, Session, SessionId};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp};
use crate::http::app::App;
use crate::http::call::{Call, Transport};
use crate::http::error::{Cause, Error, REFUSED_SECONDS};
use crate::http::form::Form;
use crate::http::pages::{self, Frame, LIVE_HEADERS, NoticePage, address, redirect};
use crate::http::request;
use crate::http::response::{NotServed, ResponseExt as _};
use crate::limits::guard::operator::readable;
use crate::net::form_field;
use crate::node::Running;
use crate::registry::audit::Author;
use crate::registry::{Caller, Registry, Scope, Service};
use crate::verification::Refusal;

/// The pages that each page leads to, and their names.
pub const PAGES: &[(&str, &str)] = &[
    ("/admin", "Overview"),
    ("/admin/messages", "Messages"),
    ("/admin/delivery", "Delivery"),
    ("/admin/refusals", "Refusals"),
    ("/admin/webhooks", "Webhooks"),
    ("/admin/services", "Services"),
    ("/admin/keys", "Keys"),
    ("/admin/guard", "Guard"),
    ("/admin/audit", "Audit log"),
];

/// The most services to choose from: one takes some 100 bytes of a page.
const SERVICES: usize = 24;

/// Longest field of a form.
const MAX_FIELD_BYTES: usize = 200;

/// A name with the prefix `__Host-` is kept only with `Secure`, which browsers accept only over TLS, and with the path
/// `/`. Otherwise the path keeps the cookie from most other servers at this host: cookies are for every port.
const fn cookie(transport: Transport) -> (&'static str, &'static str) {
    match transport {
        Transport::Encrypted => ("__Host-onceward", "/"),
        Transport::Loopback | Transport::Cleartext => ("onceward", "/admin"),
    }
}

/// The header that sets the cookie, or removes it.
fn set_cookie(transport: Transport, id: Option<&SessionId>) -> HeaderValue {
    let secure = if transport == Transport::Encrypted { "; Secure" } else { "" };
    let end = if id.is_some() { "" } else { "; Max-Age=0" };
    let id = id.map(SessionId::expose).unwrap_or_default();
    let (name, path) = cookie(transport);
    let cookie = format!("{name}={id}; Path={path}; HttpOnly; SameSite=Strict{secure}{end}");
    // Ids are hex digits.
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    user: &'a str,
    /// The page that was asked for.
    to: &'a str,
    problem: Option<&'a str>,
}

/// The answer of a page or a form. The layer around them makes a page of a refusal.
pub type PageResult = Result<Response, Error>;

/// A request of a person who is signed in. The templates of pages take the top of the page from it.
pub struct AdminRequest {
    pub call: Call,
    pub running: Arc<Running>,
    /// The fields of its form.
    pub form: Form,
    /// What became of the form, or of the one that led to the page.
    pub notice: Option<Notice>,
    /// What the form that led to the page made, with its secret.
    pub made: Option<Made>,
    pub id: SessionId,
    /// For the forms of the session.
    pub token: String,
    pub frame: Frame,
    pub caller: Caller,
}

impl AdminRequest {
    pub fn now(&self) -> Timestamp {
        self.running.verifier.now()
    }

    /// A field of the form; empty if it is absent or too long.
    pub fn field(&self, name: &str) -> &str {
        let text = self.form.first(name).trim();
        if text.len() <= MAX_FIELD_BYTES { text } else { "" }
    }

    /// The service with this id.
    pub fn service(&self, sid: &str) -> Option<Arc<Service>> {
        self.running.registry.service(&Sid::parse(SidKind::Service, sid)?).ok()
    }

    /// Services to choose from: the newest, and the one that the address or the form names.
    pub fn services(&self) -> Vec<(Sid, String)> {
        let mut services = self.running.registry.services(0, SERVICES);
        let asked = Form::of_text(self.call.query().as_bytes());
        for named in
            [&asked, &self.form].into_iter().filter_map(|fields| self.service(fields.first("service")))
        {
            if !services.iter().any(|known| known.sid == named.sid) {
                services.push(named);
            }
        }
        services.iter().map(|service| (service.sid, service.title())).collect()
    }

    /// Whether the request is for this page, or for one below it.
    pub fn is_below(&self, page: &str) -> bool {
        let part = |path: &str| path.split('/').nth(2).map(str::to_owned);
        part(self.call.head.uri.path()) == part(page)
    }

    /// Who is signed in.
    pub fn name(&self) -> String {
        let Some(key) = self.caller.key() else { return "the account".to_owned() };
        self.caller.session().name.unwrap_or_else(|| key.to_string())
    }

    /// The registry, for changes on behalf of the person.
    pub fn registry(&self) -> Registry {
        self.running.registry.on_behalf_of(self.author())
    }

    pub fn author(&self) -> Author {
        self.running.registry.author(self.caller.session(), Some(self.call.request_id()))
    }

    /// Leads to the page at `path`, which shows once what became of what the person did.
    #[expect(clippy::unnecessary_wraps, reason = "it is the answer of a form")]
    pub fn tell(&self, path: &str, notice: Notice) -> PageResult {
        self.session(|session| session.notice = Some(notice));
        Ok(redirect(path))
    }

    /// Leads to the page at `path`, which shows once what was made.
    #[expect(clippy::unnecessary_wraps, reason = "it is the answer of a form")]
    pub fn show_made(&self, path: &str, sid: Sid, secret: String) -> PageResult {
        self.session(|session| session.made = Some((sid, Zeroizing::new(secret))));
        Ok(redirect(path))
    }

    /// The request of a form that was not carried out: its page says why, and has what was typed.
    pub fn failed(self, problem: String) -> Self {
        Self { notice: Some(Err(problem)), ..self }
    }

    /// Changes what the session remembers.
    fn session(&self, change: impl FnOnce(&mut Session)) {
        self.call.app.sessions.with(&self.id, change);
    }

    /// The path of a number's page.
    pub fn path_of(&self, number: PhoneNumber) -> String {
        format!("/admin/numbers/{}", self.running.verifier.pseudonym(number))
    }
}

/// The dashboard, and how the browser reaches it. `Err` is the answer to a request that may not come to it.
#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn enter(call: &Call) -> Result<(Arc<Running>, Transport), Response> {
    let head = &call.head;
    let running = call.app.running().map_err(|refusal| refused(&call.app, refusal))?;
    let transport = Transport::of(call);
    if transport == Transport::Cleartext {
        return Err(notice(&call.app, StatusCode::FORBIDDEN, "The dashboard needs TLS", NEEDS_TLS));
    }
    if head.method == Method::POST && !call.has_own_form() {
        let title = "The form is not from this address";
        return Err(notice(&call.app, StatusCode::FORBIDDEN, title, OTHER_ORIGIN));
    }
    Ok((Arc::clone(running), transport))
}

impl FromRequest<App> for AdminRequest {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let call = Call::from_request(request, app).await.map_err(IntoResponse::into_response)?;
        let (running, transport) = enter(&call)?;
        let sessions = &call.app.sessions;
        // What the script asks for by itself does not prolong a session.
        let is_use = call.head.headers.get("sec-fetch-dest").is_none_or(|destination| destination != "empty");
        let session = SessionId::of(&call.head.headers, cookie(transport).0).and_then(|id| {
            let caller = sessions.caller(&id, is_use, &running.registry, running.verifier.now())?;
            Some((id, caller))
        });
        let Some((id, caller)) = session else { return Err(signed_out(&call)) };
        let (mut form, mut told) = (Form::default(), (None, None));
        if call.head.method == Method::POST {
            form = Form::of_text(&call.body);
            if !id.made_form(form.first("token")) {
                return Err(notice(&call.app, StatusCode::FORBIDDEN, "The form is out of date", OLD_FORM));
            }
        } else if is_use {
            let take = |session: &mut Session| (session.notice.take(), session.made.take());
            told = sessions.with(&id, take).unwrap_or_default();
        }
        let ((notice, made), token, frame) = (told, id.form_token(), frame(&call.app));
        Ok(Self { call, running, form, notice, made, id, token, frame, caller })
    }
}

/// The answer to a request without a session.
fn signed_out(call: &Call) -> Response {
    let head = &call.head;
    if head.method == Method::POST {
        return notice(&call.app, StatusCode::UNAUTHORIZED, "You are signed out", SIGNED_OUT);
    }
    match head.uri.path_and_query().map_or("", PathAndQuery::as_str) {
        "/admin" => redirect(SIGN_IN),
        page => redirect(&address(SIGN_IN, [("to", page)])),
    }
}

/// `POST /admin/sign-out`.
pub async fn sign_out(request: AdminRequest) -> Response {
    request.call.app.sessions.end(&request.id);
    redirect(SIGN_IN).with(SET_COOKIE, set_cookie(Transport::of(&request.call), None))
}

pub const SIGN_IN: &str = "/admin/sign-in";

/// The page of the dashboard that a sign-in leads to; empty for an address elsewhere.
fn page_behind_sign_in(to: &str) -> &str {
    let below = to.strip_prefix("/admin");
    let is_below = below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if is_below && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "" }
}

const NEEDS_TLS: &str = "Your secret would travel in cleartext. Give the server a certificate (tls-cert), or put a proxy with TLS in \
     front, list its address in trusted-proxies, and let it pass the header Host on and set X-Forwarded-Proto. Without either, \
     open the dashboard through a tunnel to the same port, as http://localhost, in a browser of 2023 or later.";

const OTHER_ORIGIN: &str = "The form's Origin differs from the Host header; the log has both. A proxy in front must pass the header Host on unchanged.";

const SIGNED_OUT: &str = "The session has ended. Nothing was changed. Sign in, then try again.";

const OLD_FORM: &str =
    "It belongs to another session. Nothing was changed. Open the dashboard, then try again.";

fn frame(app: &App) -> Frame {
    Frame::new("/admin", app.inbox.is_some())
}

fn notice(app: &App, status: StatusCode, title: &str, text: &str) -> Response {
    let page = NoticePage { frame: frame(app), title, text, link: ("/admin", "Open the dashboard") };
    counted((status, html(&page)).into_response())
}

/// The page that says that something is not available now, or may have been carried out.
fn refused(app: &App, refusal: Refusal) -> Response {
    let error = Error::from(refusal);
    let notice = |title| notice(app, error.status, title, &error.message);
    let page = match refusal {
        Refusal::OutcomeUnknown => notice("Outcome unknown"),
        _ => notice("Temporarily unavailable").retry_after(REFUSED_SECONDS),
    };
    (Extension(refusal), page).into_response()
}

/// The layer that makes pages of refusals.
pub async fn refusals(State(app): State<App>, response: Response) -> Response {
    match response.extensions().get() {
        Some(Error { cause: Cause::Refused(refusal), .. }) => refused(&app, *refusal),
        _ => response,
    }
}

/// A page behind the sign-in.
pub fn html(page: &impl Template) -> Response {
    pages::html(page, LIVE_HEADERS)
}

/// The response, with the reason for metrics that follows from its status.
fn counted(response: Response) -> Response {
    let reason = match response.status() {
        StatusCode::UNAUTHORIZED => NotServed::Unauthenticated,
        StatusCode::FORBIDDEN => NotServed::Forbidden,
        _ => return response,
    };
    response.because(reason)
}

/// `GET /admin/sign-in`.
pub async fn sign_in_page(call: Call) -> Result<Response, Response> {
    enter(&call)?;
    let to = form_field(call.query().as_bytes(), "to");
    Ok(sign_in_form(&call, "", page_behind_sign_in(to.as_deref().unwrap_or_default()), None))
}

fn sign_in_form(call: &Call, user: &str, to: &str, problem: Option<(StatusCode, &str)>) -> Response {
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, text)| (status, Some(text)));
    let page = SignInPage { frame: frame(&call.app), user, to, problem };
    counted((status, html(&page)).into_response())
}

/// `POST /admin/sign-in`.
pub async fn sign_in(call: Call) -> PageResult {
    let (running, transport) = match enter(&call) {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let form = Zeroizing::new(call.body.to_vec());
    let field = |name| request::secret_field(&form, name, MAX_FIELD_BYTES);
    let [user, secret, to] = ["user", "secret", "to"].map(field);
    let to = page_behind_sign_in(&to);
    let refused = |status, text| Ok(sign_in_form(&call, &user, to, Some((status, text))));
    let Ok(caller) = call.authenticate(&running, &user, &secret) else {
        return refused(StatusCode::UNAUTHORIZED, "Unknown SID or wrong secret.");
    };
    let fingerprint =
        running.registry.fingerprint_of(&caller).filter(|_| caller.may_everywhere(Scope::Admin));
    let Some(fingerprint) = fingerprint else {
        let text =
            "This key cannot sign in. The dashboard needs a key for all services with the scope admin.";
        return refused(StatusCode::FORBIDDEN, text);
    };
    let id = call.app.sessions.begin(fingerprint, running.verifier.now());
    let actor = caller.key().map_or_else(|| "account".to_owned(), |sid| sid.to_string());
    info!(actor, request_id = call.request_id(), "dashboard sign-in");
    let page = redirect(if to.is_empty() { "/admin" } else { to });
    Ok(page.with(SET_COOKIE, set_cookie(transport, Some(&id))))
}

/// A moment, to the second: `2027-01-31 12:00:00`.
pub fn moment(at: impl Borrow<Timestamp>) -> String {
    readable(&at.borrow().rfc3339_seconds().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_only_to_pages_of_the_dashboard() {
        for page in ["/admin", "/admin?range=14d&service=VA1", "/admin/messages?status=receipt%3Afailed"] {
            assert_eq!(page_behind_sign_in(page), page);
        }
        for other in ["", "/", "/administrator", "//evil.example/admin", "/admin?\r\nset-cookie: a=b"] {
            assert_eq!(page_behind_sign_in(other), "", "{other:?}");
        }
    }
}
