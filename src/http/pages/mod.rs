//! The pages that the server shows to people, built into the program.

pub mod inbox;

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use base16ct::lower::encode_string;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::app::App;
use super::call::Call;
use super::request;
use crate::http::call::Access;
use crate::http::openapi::{ACCESS, ERRORS, INTRODUCTION, Routes, schema_text};

/// The style sheet of every page, and the script of those that keep themselves current.
const STYLE: &str = include_str!("page.css");
const LIVE: &str = include_str!("live.js");

/// The addresses of both.
pub static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("page.css", STYLE));
pub static LIVE_PATH: LazyLock<String> = LazyLock::new(|| path("live.js", LIVE));

/// An address with a digest: a browser asks once for what never changes. It is below `/admin`, which a proxy may serve
/// alone.
fn path(name: &str, content: &str) -> String {
    let digest = encode_string(&Sha256::digest(content));
    format!("/admin/{name}?{}", &digest[..16])
}

/// The headers of pages without a script and forms.
const STYLE_ONLY: Headers = headers(
    "default-src 'none'; style-src 'self'; form-action 'none'; img-src data:; base-uri 'none'; frame-ancestors 'none'",
);

/// The headers of pages with the script and forms.
pub const LIVE_HEADERS: Headers = headers(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; img-src data:; \
     base-uri 'none'; frame-ancestors 'none'",
);

pub type Headers = [(&'static str, &'static str); 4];

/// A page from its template, with the headers of its kind.
pub fn html(template: &impl Template, headers: Headers) -> Response {
    // A template of texts does not fail.
    (headers, Html(template.render().unwrap_or_default())).into_response()
}

#[derive(Template)]
#[template(path = "home.html")]
struct StartPage {
    frame: Frame,
    has_inbox: bool,
    /// Where every message goes to the simulator.
    code_life: Option<String>,
}

/// `GET /` for a browser.
pub fn start(has_inbox: bool, code_life: Option<Duration>) -> Response {
    let headers = if code_life.is_some() { LIVE_HEADERS } else { STYLE_ONLY };
    let code_life = code_life.map(|life| span(life.as_secs()));
    html(&StartPage { frame: Frame::new("/", has_inbox), has_inbox, code_life }, headers)
}

/// A time span for a person. Under two minutes seconds matter.
fn span(seconds: u64) -> String {
    let minutes = seconds / 60;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "notice.html")]
pub struct NoticePage<'a> {
    pub frame: Frame,
    pub title: &'a str,
    pub text: &'a str,
    /// The address of the page that it leads to, and its words.
    pub link: (&'static str, &'static str),
}

/// What a form led to, as a cookie has it: the page after the form tells it, and a reload asks for nothing again.
pub fn as_cookie(told: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(postcard::to_extend(told, Vec::new()).unwrap_or_default())
}

/// The same from the cookie with this name.
pub fn of_cookie<T: DeserializeOwned>(call: &Call, name: &str) -> Option<T> {
    let text = request::cookie(&call.head.headers, name)?;
    postcard::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// A path with a query.
pub fn address<'a>(path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// Leads to another page of this server.
pub fn redirect(address: &str) -> Response {
    // Our own addresses are ASCII.
    let address = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, address)], Html("")).into_response()
}

/// The policy allows only files of this server: a text that became markup would run nothing of its own.
const fn headers(policy: &'static str) -> Headers {
    [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        // With no-referrer browsers would not say which site a form comes from.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]
}

/// The top of every page.
pub struct Frame {
    /// Paths of pages and their names.
    pub links: Vec<(&'static str, &'static str)>,
    /// The path of this page.
    pub here: &'static str,
}

impl Frame {
    pub fn new(here: &'static str, has_inbox: bool) -> Self {
        let inbox = has_inbox.then_some(("/inbox", "Simulator inbox"));
        let others = [("/admin", "Dashboard"), ("/docs", "Docs")];
        let links = [("/", "Start")].into_iter().chain(inbox).chain(others).collect();
        Self { links, here }
    }
}

/// A browser keeps the file under its own address only: that of another version may be asked for during an upgrade.
fn asset(call: &Call, address: &str, media_type: &'static str, content: &'static str) -> Response {
    let is_this = call.head.uri.path_and_query().is_some_and(|asked| asked.as_str() == address);
    let cache = if is_this { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers =
        [("content-type", media_type), ("x-content-type-options", "nosniff"), ("cache-control", cache)];
    (headers, content).into_response()
}

pub fn routes() -> Router<App> {
    let style = |call: Call| async move { asset(&call, &STYLE_PATH, "text/css; charset=utf-8", STYLE) };
    let script = |call: Call| async move { asset(&call, &LIVE_PATH, "text/javascript; charset=utf-8", LIVE) };
    Router::new().route("/admin/page.css", get(style)).route("/admin/live.js", get(script))
}

// The page that describes every route, for people. It loads nothing from other hosts and has no script: it works with a
// keyboard alone, and read aloud.

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    groups: &'static [Routes],
}

/// The page for `GET /docs`.
pub fn docs_page(docs: &'static [Routes], has_inbox: bool) -> Response {
    /// Without and with a link to the inbox.
    static PAGES: [OnceLock<Bytes>; 2] = [const { OnceLock::new() }; 2];
    let page = PAGES[usize::from(has_inbox)].get_or_init(|| text(docs, has_inbox).into());
    (STYLE_ONLY, Html(page.clone())).into_response()
}

fn text(groups: &'static [Routes], has_inbox: bool) -> String {
    // A template of texts does not fail.
    DocsPage { frame: Frame::new("/docs", has_inbox), groups }.render().unwrap_or_default()
}

fn anchor(group: &Routes) -> String {
    group.name.to_lowercase().replace(' ', "-")
}

const fn access(group: &Routes) -> &'static str {
    match group.group.access {
        Access::Open => "No credential is needed.",
        Access::Compatible => "Needs an API key if the server requires one.",
        Access::Scope(_) | Access::Account(_) => "Needs the account's token or an API key.",
    }
}
