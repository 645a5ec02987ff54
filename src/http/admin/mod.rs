//! The dashboard below `/admin`: pages for the operator, behind a sign-in with the account's credentials or a key for all
//! services with the scope `admin`.
//!
//! * `session`: sessions, and the limit on failed sign-ins.
//! * `overview`: counts over time, gateways, lockouts; `plot`: a plot in SVG.
//! * `number`: what is known of a number, and what can be done about it; `answer`: why its owner got no code.
//! * `list`: lists with filters in the address; `messages`, `webhooks`, `services`, `keys`, and `audit`, the audit log.
//! * `guard`: blocks and manual entries of the pumping guard.
//!
//! No URL and no log line has a number: each session gives a number its own URL.

mod answer;
pub mod audit;
pub mod guard;
pub mod keys;
mod list;
pub mod messages;
pub mod number;
pub mod overview;
mod plot;
pub mod services;
mod session;
pub mod webhooks;

use std::borrow::Borrow;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use futures_util::future::BoxFuture;
use hyper::header::{FORWARDED, HeaderName, HeaderValue, SET_COOKIE, VIA};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode};
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;
use zeroize::Zeroizing;

use self::list::List;
use self::overview::LockoutScan;
use self::session::{Notice, SessionId, Sessions, SignInLimit};
use super::pages::{self, Frame, LIVE_HEADERS, redirect};
use super::request;
use super::response::{NotServed, Problem, REFUSED_SECONDS, Response};
use super::service::Call;
use super::v2::params::Fields;
use super::v2::{self, V2, masked_user};
use crate::domain::{PhoneNumber, Sid, SidKind, Timestamp, seconds_up};
use crate::net::is_loopback_host;
use crate::node::history::History;
use crate::observe::log_limit::OncePerSecond;
use crate::registry::audit::Author;
use crate::registry::{Caller, Registry, Scope, Service};
use crate::verification::numbers::Refusal;
use crate::verification::verify::Verifying;

/// The pages that each page leads to, and their names.
const PAGES: [(&str, &str); 7] = [
    ("/admin", "Overview"),
    ("/admin/messages", "Messages"),
    ("/admin/webhooks", "Webhooks"),
    ("/admin/services", "Services"),
    ("/admin/keys", "Keys"),
    ("/admin/guard", "Guard"),
    ("/admin/audit", "Audit log"),
];

/// The dependencies of the dashboard beside those of `/v2`.
pub struct Admin {
    history: History,
    verifying: Verifying,
    sessions: Sessions,
    limit: SignInLimit,
    /// Lines in the log about sign-ins that failed, and that were refused by the limit.
    failed: OncePerSecond,
    limited: OncePerSecond,
    lockouts: LockoutScan,
}

impl Admin {
    /// `rng` must be seeded by the system.
    pub fn new(history: History, verifying: Verifying, rng: StdRng) -> Self {
        Self {
            history,
            verifying,
            sessions: Sessions::new(rng),
            limit: SignInLimit::default(),
            failed: OncePerSecond::default(),
            limited: OncePerSecond::default(),
            lockouts: LockoutScan::default(),
        }
    }
}

/// The most services to choose from.
const SERVICES: usize = 200;

/// Longest field of a form.
const MAX_FIELD_BYTES: usize = 200;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether only proxies add the header.
fn is_of_proxy(name: &HeaderName) -> bool {
    [FORWARDED, VIA].contains(name) || name == "x-real-ip" || name.as_str().starts_with("x-forwarded-")
}

/// How the browser reaches the server, which decides whether a secret may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By TLS, to this server or to a trusted proxy.
    Encrypted,
    /// In cleartext to the browser's own machine: this one, or the near end of a tunnel.
    Loopback,
    Cleartext,
}

impl Transport {
    /// A proxy may write any `Host`, such as its own address of this server. Only a trusted one says how the browser
    /// reached it.
    pub fn of(call: &Call<'_>, head: &Parts) -> Self {
        let is_forwarded = || head.headers.keys().any(is_of_proxy);
        let is_local = || request::host_of(head).is_some_and(|host| is_loopback_host(host.host()));
        if call.deps.tls.is_some() {
            Self::Encrypted
        } else if call.deps.proxies.trusts(call.peer) && is_forwarded() {
            let scheme = request::only(&head.headers, &X_FORWARDED_PROTO);
            if scheme == Some("https") { Self::Encrypted } else { Self::Cleartext }
        } else if is_local() && !is_forwarded() {
            Self::Loopback
        } else {
            Self::Cleartext
        }
    }

    /// A name with the prefix `__Host-` is kept only with `Secure`, which browsers accept only over TLS, and with the path
    /// `/`. Otherwise the path keeps the cookie from most other servers at this host: cookies are for every port.
    const fn cookie(self) -> (&'static str, &'static str) {
        match self {
            Self::Encrypted => ("__Host-onceward", "/"),
            Self::Loopback | Self::Cleartext => ("onceward", "/admin"),
        }
    }

    /// The header that sets the cookie, or removes it.
    fn set_cookie(self, id: Option<&SessionId>) -> HeaderValue {
        let secure = if self == Self::Encrypted { "; Secure" } else { "" };
        let end = if id.is_some() { "" } else { "; Max-Age=0" };
        let id = id.map(SessionId::expose).unwrap_or_default();
        let (name, path) = self.cookie();
        let cookie = format!("{name}={id}; Path={path}; HttpOnly; SameSite=Strict{secure}{end}");
        // Ids are hex digits.
        HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage<'a> {
    frame: Frame,
    title: &'a str,
    text: &'a str,
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

/// The top of the pages behind the sign-in, and the result of what the person did before. Only
/// [`AdminRequest::render`] makes one.
struct PageHeader {
    name: String,
    token: String,
    here: &'static str,
    /// Their paths and names.
    pages: &'static [(&'static str, &'static str)],
    notice: Option<Notice>,
}

/// A request of a person who is signed in.
pub struct AdminRequest<'a> {
    call: &'a Call<'a>,
    admin: &'a Admin,
    v2: &'a V2,
    /// The fields of its form.
    form: Fields,
    id: SessionId,
    caller: Caller,
    /// Whether a person asks, and not the script.
    is_use: bool,
}

impl AdminRequest<'_> {
    fn now(&self) -> Timestamp {
        (self.v2.now)()
    }

    /// A field of the form; empty if it is absent or too long.
    fn field(&self, name: &str) -> &str {
        let text = self.form.first(name).trim();
        if text.len() <= MAX_FIELD_BYTES { text } else { "" }
    }

    /// The service with this id.
    fn service(&self, sid: &str) -> Option<Arc<Service>> {
        self.v2.registry.service(&Sid::parse(SidKind::Service, sid)?).ok()
    }

    /// Services to choose from, the newest.
    fn services(&self) -> Vec<(Sid, String)> {
        let services = self.v2.registry.services(0, SERVICES);
        let titles = self.v2.registry.titles(&services);
        services.iter().map(|service| service.sid).zip(titles).collect()
    }

    /// Renders a page. Takes the notice: a page that failed before leaves it to the next one.
    fn render<T: Template>(&self, here: &'static str, page: impl FnOnce(Frame, PageHeader) -> T) -> Response {
        let name = self.caller.key().map_or_else(
            || "the account".to_owned(),
            |sid| self.caller.session().name().map_or_else(|| sid.to_string(), str::to_owned),
        );
        let header =
            PageHeader { name, token: self.id.form_token(), here, pages: &PAGES, notice: self.take_notice() };
        pages::html(&page(frame(self.call), header), &LIVE_HEADERS)
    }

    /// Renders a page with a list, whose address may be wrong.
    fn render_list<T: Template>(
        &self,
        here: &'static str,
        list: List,
        page: impl FnOnce(Frame, PageHeader, List) -> T,
    ) -> Response {
        let is_wrong = list.problem.is_some();
        let page = self.render(here, |frame, header| page(frame, header, list));
        if is_wrong { bad_request(page) } else { page }
    }

    /// The registry, for changes on behalf of the person.
    fn registry(&self) -> Registry {
        self.v2.registry.on_behalf_of(self.author())
    }

    fn author(&self) -> Author {
        self.v2.registry.author(self.caller.session(), Some(self.call.request_id))
    }

    /// Leads to the page at `path`, which shows the result of what the person did.
    fn redirect_with_notice(&self, path: &str, notice: Notice) -> Response {
        self.notify(notice);
        redirect(path)
    }

    /// Leaves a notice for the page that is rendered next.
    fn notify(&self, notice: Notice) {
        self.admin.sessions.with(&self.id, |session| session.notice = Some(notice));
    }

    fn take_notice(&self) -> Option<Notice> {
        if !self.is_use {
            return None;
        }
        self.admin.sessions.with(&self.id, |session| session.notice.take()).flatten()
    }

    /// The path of a number's page.
    fn path_of(&self, number: PhoneNumber) -> String {
        let id = self.admin.sessions.with(&self.id, |session| session.address_of(number));
        format!("/admin/numbers/{}", id.unwrap_or_default())
    }
}

/// A page of the dashboard, or what a form of it does.
type AdminHandler = for<'c, 'a> fn(&'c AdminRequest<'a>) -> BoxFuture<'c, Result<Response, Refusal>>;

/// The dashboard, and how the browser reaches it. `Err` is the answer to a request that may not come to it.
#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn enter<'a>(call: &Call<'a>) -> Result<(&'a V2, &'a Admin, Transport), Response> {
    let (deps, head) = (call.deps, call.head);
    let Some((v2, admin)) = deps.v2.get().zip(deps.admin.get()) else {
        return Err(refused(call, Refusal::Starting));
    };
    let transport = Transport::of(call, head);
    if transport == Transport::Cleartext {
        return Err(notice(call, StatusCode::FORBIDDEN, "The dashboard needs TLS", NEEDS_TLS));
    }
    if head.method == Method::POST && !request::is_own_form(head) {
        return Err(notice(call, StatusCode::FORBIDDEN, "The form is not from this address", OTHER_ORIGIN));
    }
    Ok((v2, admin, transport))
}

/// Answers a request behind the sign-in.
pub async fn answer(call: &mut Call<'_>, handler: AdminHandler) -> Result<Response, Problem> {
    let (v2, admin, transport) = match enter(call) {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    // What the script asks for by itself does not prolong a session.
    let is_use = call.head.headers.get("sec-fetch-dest").is_none_or(|destination| destination != "empty");
    let session = SessionId::of(&call.head.headers, transport.cookie().0).and_then(|id| {
        let caller = admin.sessions.caller(&id, is_use, &v2.registry, (v2.now)())?;
        Some((id, caller))
    });
    let Some((id, caller)) = session else { return Ok(signed_out(call)) };
    call.body.note_admitted();
    let mut form = Fields::default();
    if call.head.method == Method::POST {
        form = Fields::of_form(&call.read_body().await?);
        if !id.made_form(form.first("token")) {
            return Ok(notice(call, StatusCode::FORBIDDEN, "The form is out of date", OLD_FORM));
        }
    }
    let request = AdminRequest { call, admin, v2, form, id, caller, is_use };
    Ok(handler(&request).await.unwrap_or_else(|refusal| refused(request.call, refusal)))
}

/// The answer to a request without a session.
fn signed_out(call: &Call<'_>) -> Response {
    let (head, path) = (call.head, call.head.uri.path());
    if head.method == Method::POST {
        return notice(call, StatusCode::UNAUTHORIZED, "You are signed out", SIGNED_OUT);
    }
    match head.uri.path_and_query().map_or("", PathAndQuery::as_str) {
        "/admin" => redirect(SIGN_IN),
        _ if path == EVENTS => counted(Response::plain(StatusCode::UNAUTHORIZED, "The session is over.")),
        page => redirect(&sign_in_for(page)),
    }
}

/// `POST /admin/sign-out`.
pub fn sign_out(request: &AdminRequest<'_>) -> Response {
    request.admin.sessions.end(&request.id);
    let mut response = redirect(SIGN_IN);
    let transport = Transport::of(request.call, request.call.head);
    response.headers.push((SET_COOKIE, transport.set_cookie(None)));
    response
}

const EVENTS: &str = "/admin/events";

const SIGN_IN: &str = "/admin/sign-in";

/// The address of the sign-in that leads to this page.
fn sign_in_for(page: &str) -> String {
    let to = url::form_urlencoded::Serializer::new(String::new()).append_pair("to", page).finish();
    format!("{SIGN_IN}?{to}")
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
     open the dashboard through a tunnel, as http://localhost.";

const OTHER_ORIGIN: &str = "The form's Origin differs from the Host header. A proxy in front must pass the header Host on unchanged.";

const SIGNED_OUT: &str = "The session has ended. Nothing was changed. Sign in, then try again.";

const OLD_FORM: &str =
    "It belongs to another session. Nothing was changed. Open the dashboard, then try again.";

const LIMITED: &str =
    "Too many sign-ins from your address have failed. Nothing was compared: wait before the next.";

fn frame(call: &Call<'_>) -> Frame {
    Frame::new("/admin", call.deps.inbox.is_some())
}

fn notice(call: &Call<'_>, status: StatusCode, title: &str, text: &str) -> Response {
    let page = NoticePage { frame: frame(call), title, text };
    counted(Response { status, ..pages::html_shared(&page, &LIVE_HEADERS) })
}

fn refused(call: &Call<'_>, refusal: Refusal) -> Response {
    let (status, text) = Problem::Refused(refusal).status_and_message();
    notice(call, status, "Temporarily unavailable", &text)
        .retry_after(REFUSED_SECONDS)
        .because(NotServed::Refused(refusal))
}

/// The page after a form or an address that cannot be used.
fn bad_request(page: Response) -> Response {
    Response { status: StatusCode::BAD_REQUEST, ..page }
}

/// The response, with the reason for metrics that follows from its status.
fn counted(response: Response) -> Response {
    let reason = match response.status {
        StatusCode::UNAUTHORIZED => NotServed::Unauthenticated,
        StatusCode::FORBIDDEN => NotServed::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => NotServed::RateLimited,
        _ => return response,
    };
    response.because(reason)
}

/// Why the API does not read a form, for a person.
fn words_of(request: &AdminRequest<'_>, error: v2::Error) -> String {
    error.status_and_message(request.now()).1.into_owned()
}

/// `GET /admin/sign-in`.
pub fn sign_in_page(call: &Call<'_>) -> Response {
    if let Err(answer) = enter(call) {
        return answer;
    }
    let to = request::form_field(call.head.uri.query().unwrap_or_default().as_bytes(), "to");
    sign_in_form(call, "", page_behind_sign_in(to.as_deref().unwrap_or_default()), None)
}

fn sign_in_form(call: &Call<'_>, user: &str, to: &str, problem: Option<(StatusCode, &str)>) -> Response {
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, text)| (status, Some(text)));
    let page = SignInPage { frame: frame(call), user, to, problem };
    let html = if user.is_empty() && to.is_empty() { pages::html_shared } else { pages::html };
    counted(Response { status, ..html(&page, &LIVE_HEADERS) })
}

/// `POST /admin/sign-in`.
pub async fn sign_in(call: &mut Call<'_>) -> Result<Response, Problem> {
    let (v2, admin, transport) = match enter(call) {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let form = Zeroizing::new(call.read_body().await?.to_vec());
    let field = |name| {
        let text = Zeroizing::new(request::form_field(&form, name).unwrap_or_default());
        if text.len() <= MAX_FIELD_BYTES {
            Zeroizing::new(text.trim().to_owned())
        } else {
            Zeroizing::default()
        }
    };
    let [user, secret, to] = ["user", "secret", "to"].map(field);
    let (now, to) = ((v2.now)(), page_behind_sign_in(&to));
    // Without a permit a refusal is the page that all clients share, which has no user and no address. A 503 would hide
    // that the attempt counts.
    call.permit = call.deps.long_answers.acquire(None);
    let (shown_user, shown_to) = if call.permit.is_some() { (user.as_str(), to) } else { ("", "") };
    let refused = |status, text| sign_in_form(call, shown_user, shown_to, Some((status, text)));
    let user_in_log = masked_user(&user);
    let failed = || {
        let user = user_in_log.clone();
        admin.failed.note(move |count| info!(user, count, "dashboard sign-in failed"));
    };
    let address = call.client.unwrap_or(call.peer);
    if let Err(wait) = admin.limit.begin(address, now) {
        admin.limited.note(move |count| info!(user = user_in_log, count, "dashboard sign-in limited"));
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, LIMITED).retry_after(seconds_up(wait)));
    }
    let Ok(caller) = v2.registry.authenticate(&user, &secret) else {
        failed();
        return Ok(refused(StatusCode::UNAUTHORIZED, "Unknown SID or wrong secret."));
    };
    admin.limit.give_back(address);
    let fingerprint = v2.registry.fingerprint_of(&caller).filter(|_| caller.may_everywhere(Scope::Admin));
    let Some(fingerprint) = fingerprint else {
        failed();
        let text =
            "This key cannot sign in. The dashboard needs a key for all services with the scope admin.";
        return Ok(refused(StatusCode::FORBIDDEN, text));
    };
    let id = admin.sessions.begin(fingerprint, now);
    let actor = caller.key().map_or_else(|| "account".to_owned(), |sid| sid.to_string());
    info!(actor, request_id = call.request_id, "dashboard sign-in");
    let mut response = redirect(if to.is_empty() { "/admin" } else { to });
    response.headers.push((SET_COOKIE, transport.set_cookie(Some(&id))));
    Ok(response)
}

/// Time between two events of the overview.
const EVENTS_EVERY: Duration = Duration::from_secs(2);

/// `GET /admin/events`: an event when the overview has changed, every two seconds at most.
/// The stream ends with the session.
pub fn events(request: &AdminRequest<'_>) -> Response {
    let deps = request.call.deps;
    let (history, reading) = (request.admin.history.clone(), Arc::clone(&deps.reading));
    let state = move || {
        let mut hasher = DefaultHasher::new();
        history.facts().hash(&mut hasher);
        if let Some(reading) = reading() {
            reading.webhook_backlog.hash(&mut hasher);
            reading.gateways.iter().for_each(|gateway| gateway.circuit.hash(&mut hasher));
        }
        hasher.finish()
    };
    let (v2, admin, id) = (Arc::clone(&deps.v2), Arc::clone(&deps.admin), request.id.clone());
    let lives = move || {
        v2.get()
            .zip(admin.get())
            .is_some_and(|(v2, admin)| admin.sessions.caller(&id, false, &v2.registry, (v2.now)()).is_some())
    };
    let (sender, receiver) = watch::channel(());
    let mut before = state();
    let Ok(response) = deps.event_streams.open(receiver) else {
        return refused(request.call, Refusal::Overloaded);
    };
    tokio::spawn(async move {
        while !sender.is_closed() && lives() {
            sleep(EVENTS_EVERY).await;
            let now = state();
            if std::mem::replace(&mut before, now) != now {
                sender.send_replace(());
            }
        }
    });
    response
}

/// A moment, to the second: `2027-01-31 12:00:00`.
fn moment(at: impl Borrow<Timestamp>) -> String {
    readable(&at.borrow().rfc3339_seconds().to_string())
}

/// A moment in the form of RFC 3339, as the pages show it.
fn readable(moment: &str) -> String {
    moment.replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = hyper::Request::post("/admin/lookup");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_form_of_another_site_is_told_apart() {
        let host = ("host", "codes.example:8443");
        for own in [
            &[host][..],
            &[host, ("origin", "https://codes.example:8443"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(request::is_own_form(&head(own)), "{own:?}");
        }
        for other in [
            &[host, ("origin", "https://codes.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("origin", "https://codes.example:8443"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!request::is_own_form(&head(other)), "{other:?}");
        }
    }

    #[test]
    fn a_sign_in_leads_only_to_pages_of_the_dashboard() {
        for page in [
            "/admin",
            "/admin?range=14d&service=VA1",
            "/admin/guard",
            "/admin/audit?page=2",
            "/admin/numbers/7",
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
            "/admin/events",
            "/admin/sign-out",
            "/admin/numbers/../../inbox",
            "/admin?\r\nset-cookie: a=b",
        ] {
            assert_eq!(page_behind_sign_in(other), "", "{other:?}");
        }
        assert_eq!(sign_in_for("/admin?range=14d&a=b"), "/admin/sign-in?to=%2Fadmin%3Frange%3D14d%26a%3Db");
    }

    #[test]
    fn a_cookie_over_tls_is_for_this_host_and_secure() {
        let cookie = Transport::Encrypted.set_cookie(None);
        let cookie = cookie.to_str().expect("text");
        assert!(
            cookie.starts_with("__Host-onceward=; Path=/; HttpOnly; SameSite=Strict; Secure"),
            "{cookie}"
        );
    }
}
