//! The pages that the server shows to people, built into the program.

pub mod docs;
pub mod inbox;

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::response::{self, ResponseExt as _};
use super::route::ApiGroup;
use crate::domain::{NumberError, PhoneNumber};

/// The style sheet of every page.
const STYLE: &str = include_str!("page.css");

/// The script of every page that keeps itself current.
pub const LIVE: &str = include_str!("live.js");

/// The headers of pages without a script and forms.
static STYLE_ONLY: LazyLock<Headers> = LazyLock::new(|| html_headers("form-action 'none'; "));

/// The headers of pages with [`LIVE`] and forms.
pub static LIVE_HEADERS: LazyLock<Headers> = LazyLock::new(|| {
    let sources = format!("script-src {}; connect-src 'self'; form-action 'self'; ", csp_hash(LIVE));
    html_headers(&sources)
});

/// Asks for a page without style and script.
static X_ONCEWARD_PART: HeaderName = HeaderName::from_static("x-onceward-part");

/// The most pages whose memory is shared; there are fewer.
const MOST_SHARED: usize = 64;

pub type Headers = [(&'static str, &'static str); 4];

/// A page from its template, with the headers that `html_headers` made for it.
pub fn html(template: &impl Template, headers: &Headers) -> Response {
    // A template of texts does not fail.
    response::page("text/html; charset=utf-8", headers, template.render().unwrap_or_default())
}

/// A page from a template that depends on no request: all answers with it share its memory.
pub fn html_shared(template: &impl Template, headers: &Headers) -> Response {
    static PAGES: Mutex<BTreeSet<Bytes>> = Mutex::new(BTreeSet::new());
    let mut page = Bytes::from(template.render().unwrap_or_default());
    let mut pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    match pages.get(&page) {
        Some(known) => page = known.clone(),
        None if pages.len() < MOST_SHARED => drop(pages.insert(page.clone())),
        None => {}
    }
    response::page("text/html; charset=utf-8", headers, page)
}

#[derive(Template)]
#[template(path = "home.html")]
struct StartPage {
    frame: Frame,
    has_inbox: bool,
    /// Whether every message goes to the simulator.
    has_demo: bool,
}

/// `GET /` for a browser.
pub fn start(has_inbox: bool, has_demo: bool) -> Response {
    html_shared(&StartPage { frame: Frame::new("/", has_inbox), has_inbox, has_demo }, &STYLE_ONLY)
}

#[derive(Template)]
#[template(path = "not_found.html")]
struct NotFoundPage {
    frame: Frame,
}

/// Whether [`LIVE`] asks, which needs neither style nor script.
pub fn is_part(head: &Parts) -> bool {
    head.headers.contains_key(&X_ONCEWARD_PART)
}

/// The answer to a browser at an unknown path.
pub fn not_found(has_inbox: bool) -> Response {
    let page = html_shared(&NotFoundPage { frame: Frame::new("", has_inbox) }, &STYLE_ONLY);
    (StatusCode::NOT_FOUND, page).into_response()
}

/// Leads to another page of this server.
pub fn redirect(address: &str) -> Response {
    // Our own addresses are ASCII.
    let address = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    let response = response::page("text/html; charset=utf-8", &[], String::new());
    (StatusCode::SEE_OTHER, response.with(LOCATION, address)).into_response()
}

pub fn words_for_number(error: NumberError) -> String {
    match error {
        NumberError::Unreadable => format!(
            "This is not a phone number. Begin with + and the country code, such as {}.",
            PhoneNumber::EXAMPLE
        ),
        NumberError::Impossible => "No number of that country has this length.".to_owned(),
        NumberError::Sign(sign) => {
            format!("This is not a phone number. It has the sign U+{:04X}.", u32::from(sign))
        }
        NumberError::Renumbered(change) => format!("This number is an old one: {change}."),
    }
}

/// Allows only [`STYLE`] and the additions in `sources`: a text could do nothing even if it became markup. The page
/// loads nothing from elsewhere. Called once for each kind of page, because the policy is never freed.
fn html_headers(sources: &str) -> Headers {
    let style = csp_hash(STYLE);
    let policy = format!(
        "default-src 'none'; style-src {style}; {sources}img-src data:; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    [
        ("content-security-policy", policy.leak()),
        ("x-content-type-options", "nosniff"),
        // With no-referrer browsers would not say which site a form comes from.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]
}

/// A source expression for inline content (CSP Level 3, 2.3.1).
pub fn csp_hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content.as_bytes())))
}

/// The top of every page.
pub struct Frame {
    pub style: &'static str,
    /// The script of a page that keeps itself current.
    pub script: &'static str,
    pub version: &'static str,
    /// Paths of pages and their names.
    pub links: Vec<(&'static str, &'static str)>,
    /// The path of this page.
    pub here: &'static str,
}

impl Frame {
    /// The frame of a page with [`LIVE`]; `is_part` for an answer to that script, which has the style.
    pub fn live(self, is_part: bool) -> Self {
        let (style, script) = if is_part { ("", "") } else { (self.style, LIVE) };
        Self { style, script, ..self }
    }

    pub fn new(here: &'static str, has_inbox: bool) -> Self {
        let inbox = has_inbox.then_some(("/inbox", "Inbox"));
        let others = [("/admin", "Dashboard"), ("/docs", "Docs")];
        let links = [("/", "Start")].into_iter().chain(inbox).chain(others).collect();
        Self { style: STYLE, script: "", version: env!("CARGO_PKG_VERSION"), links, here }
    }
}

/// Pages for people, and what their forms and scripts lead to.
pub const GROUP: ApiGroup = ApiGroup {
    is_closed_to_pages: true,
    ..ApiGroup::open("Pages", "The list of the routes. For a browser it is the start page.")
};
