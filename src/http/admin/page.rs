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

use super::session::{Kept, Made, Notice, Session, SessionId};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp, seconds_up};
use crate::http::app::App;
use crate::http::call::{Call, Transport, masked_user};
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
    /// The fields of its form; of a page, those of the form that led to it.
    pub form: Form,
    /// What that form made, with its secret.
    pub made: Option<Made>,
    pub id: SessionId,
    /// For the forms of the session.
    pub token: String,
    pub frame: Frame,
    pub caller: Caller,
    /// Whether a person asks, and not the script.
    pub is_use: bool,
}

impl AdminRequest {
    pub fn now(&self) -> Timestamp {
        self.running.verifying.now()
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
        self.notify(notice);
        Ok(redirect(path))
    }

    /// Leads to the page at `path`, which shows once what was typed, and why it was not done.
    pub fn ask_again(&self, path: &str, problem: Option<String>) -> PageResult {
        self.keep(path, problem, self.form.clone(), None)
    }

    /// Leads to the page at `path`, which shows once what was made.
    pub fn show_made(&self, path: &str, sid: Sid, secret: String) -> PageResult {
        self.keep(path, None, Form::default(), Some((sid, Zeroizing::new(secret))))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is the answer of a form")]
    fn keep(&self, path: &str, problem: Option<String>, form: Form, made: Option<Made>) -> PageResult {
        let kept = Kept { path: path.to_owned(), form, made };
        self.session(|session| (session.notice, session.kept) = (problem.map(Err), Some(kept)));
        Ok(redirect(path))
    }

    /// Leaves a notice for the page that is rendered next.
    pub fn notify(&self, notice: Notice) {
        self.session(|session| session.notice = Some(notice));
    }

    /// The notice, once: a page that failed before leaves it to the next one.
    pub fn take_notice(&self) -> Option<Notice> {
        if !self.is_use {
            return None;
        }
        self.session(|session| session.notice.take()).flatten()
    }

    /// Changes what the session remembers.
    pub fn session<T>(&self, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.call.app.sessions.with(&self.id, change)
    }

    /// The path of a number's page.
    pub fn path_of(&self, number: PhoneNumber) -> String {
        format!("/admin/numbers/{}", self.running.verifying.pseudonym(number))
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
    if head.method == Method::POST && !request::is_own_form(head, call.host.as_ref()) {
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
            let caller = sessions.caller(&id, is_use, &running.registry, running.verifying.now())?;
            Some((id, caller))
        });
        let Some((id, caller)) = session else { return Err(signed_out(&call)) };
        let (mut form, mut made) = (Form::default(), None);
        if call.head.method == Method::POST {
            form = Form::of_text(&call.body);
            if !id.made_form(form.first("token")) {
                return Err(notice(&call.app, StatusCode::FORBIDDEN, "The form is out of date", OLD_FORM));
            }
        } else if is_use {
            let take = |kept: &mut Option<Kept>| kept.take_if(|kept| kept.path == call.head.uri.path());
            if let Some(kept) = sessions.with(&id, |session| take(&mut session.kept)).flatten() {
                (form, made) = (kept.form, kept.made);
            }
        }
        let (token, frame) = (id.form_token(), frame(&call.app));
        Ok(Self { call, running, form, made, id, token, frame, caller, is_use })
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
        page => redirect(&sign_in_for(page)),
    }
}

/// `POST /admin/sign-out`.
pub async fn sign_out(request: AdminRequest) -> Response {
    request.call.app.sessions.end(&request.id);
    redirect(SIGN_IN).with(SET_COOKIE, set_cookie(Transport::of(&request.call), None))
}

pub const SIGN_IN: &str = "/admin/sign-in";

/// The address of the sign-in that leads to this page.
fn sign_in_for(page: &str) -> String {
    address(SIGN_IN, [("to", page)])
}

/// The page of the dashboard that a sign-in leads to; empty for another address, and for one that is no page.
fn page_behind_sign_in(to: &str) -> &str {
    let path = to.split('?').next().unwrap_or_default();
    let is_id = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let below = ["/admin/numbers/", "/admin/webhooks/", "/admin/services/"];
    let is_page = PAGES.iter().any(|(page, _)| *page == path)
        || below.iter().any(|above| path.strip_prefix(above).is_some_and(is_id));
    if is_page && to.bytes().all(|byte| byte.is_ascii_graphic()) { to } else { "" }
}

const NEEDS_TLS: &str = "Your secret would travel in cleartext. Give the server a certificate (tls-cert), or put a proxy with TLS in \
     front, list its address in trusted-proxies, and let it pass the header Host on and set X-Forwarded-Proto. Without either, \
     open the dashboard through a tunnel to the same port, as http://localhost, in a browser of 2023 or later.";

const OTHER_ORIGIN: &str = "The form's Origin differs from the Host header. A proxy in front must pass the header Host on unchanged.";

const SIGNED_OUT: &str = "The session has ended. Nothing was changed. Sign in, then try again.";

const OLD_FORM: &str =
    "It belongs to another session. Nothing was changed. Open the dashboard, then try again.";

const LIMITED: &str =
    "Too many sign-ins from your address have failed. Nothing was compared: wait before the next.";

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
        StatusCode::TOO_MANY_REQUESTS => NotServed::RateLimited,
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
    let (now, to) = (running.verifying.now(), page_behind_sign_in(&to));
    let (address, limit) = (call.address(), &call.app.sign_ins);
    let refused = |status, text| sign_in_form(&call, &user, to, Some((status, text)));
    let user_in_log = masked_user(&user);
    let failed = || {
        let user = user_in_log.clone();
        limit.failed.note(move |count| info!(user, count, "dashboard sign-in failed"));
    };
    if let Err(wait) = limit.begin(address, now) {
        limit.limited.note(move |count| info!(user = user_in_log, count, "dashboard sign-in limited"));
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, LIMITED).retry_after(seconds_up(wait)));
    }
    let Some(caller) = running.registry.authenticate(&user, &secret) else {
        failed();
        return Ok(refused(StatusCode::UNAUTHORIZED, "Unknown SID or wrong secret."));
    };
    limit.give_back(address);
    let fingerprint =
        running.registry.fingerprint_of(&caller).filter(|_| caller.may_everywhere(Scope::Admin));
    let Some(fingerprint) = fingerprint else {
        failed();
        let text =
            "This key cannot sign in. The dashboard needs a key for all services with the scope admin.";
        return Ok(refused(StatusCode::FORBIDDEN, text));
    };
    let id = call.app.sessions.begin(fingerprint, now);
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
        for page in [
            "/admin",
            "/admin?range=14d&service=VA1",
            "/admin/guard",
            "/admin/audit?page=2",
            "/admin/numbers/VE0",
            "/admin/messages?status=receipt%3Afailed",
            "/admin/webhooks/YW0",
        ] {
            assert_eq!(page_behind_sign_in(page), page);
        }
        for other in [
            "",
            "/",
            "/administrator",
            "//evil.example/admin",
            "https://evil.example/admin",
            "/admin/sign-out",
            "/admin/numbers/../../inbox",
            "/admin?\r\nset-cookie: a=b",
        ] {
            assert_eq!(page_behind_sign_in(other), "", "{other:?}");
        }
        assert_eq!(sign_in_for("/admin?range=14d&a=b"), "/admin/sign-in?to=%2Fadmin%3Frange%3D14d%26a%3Db");
    }
}
