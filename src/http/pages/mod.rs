//! The pages that the server shows to people, built into the program.

mod docs;
pub mod inbox;

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

pub use docs::docs_page;

use super::response::Response;

/// The style sheet of every page.
const STYLE: &str = include_str!("page.css");

/// The headers of pages without a script.
static STYLE_ONLY: LazyLock<Headers> = LazyLock::new(|| html_headers(""));

type Headers = [(&'static str, &'static str); 4];

/// A page from its template, with the headers that `html_headers` made for it.
fn html(template: &impl Template, headers: &Headers) -> Response {
    // A template of texts does not fail.
    Response::page("text/html; charset=utf-8", headers, template.render().unwrap_or_default())
}

/// Allows only [`STYLE`] and the additions in `sources`: a text could do nothing even if it became markup. The page
/// loads nothing from elsewhere. Called once for each kind of page, because the policy is never freed.
fn html_headers(sources: &str) -> Headers {
    let style = csp_hash(STYLE);
    let policy = format!(
        "default-src 'none'; style-src {style}; {sources}img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    [
        ("content-security-policy", policy.leak()),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ]
}

/// A source expression for inline content (CSP Level 3, 2.3.1).
pub fn csp_hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content.as_bytes())))
}

/// The top of every page.
struct Frame {
    style: &'static str,
    version: &'static str,
    /// Paths of pages and their names.
    links: Vec<(&'static str, &'static str)>,
    /// The path of this page.
    here: &'static str,
}

impl Frame {
    fn new(here: &'static str, has_inbox: bool) -> Self {
        let inbox = has_inbox.then_some(("/inbox", "Inbox"));
        let links = [("/", "Start")].into_iter().chain(inbox).chain([("/docs", "Docs")]).collect();
        Self { style: STYLE, version: env!("CARGO_PKG_VERSION"), links, here }
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    has_inbox: bool,
}

/// The page for `GET /` with `Accept: text/html`. `has_inbox` says that the simulator runs.
pub fn home_page(has_inbox: bool) -> Response {
    html(&HomePage { frame: Frame::new("/", has_inbox), has_inbox }, &STYLE_ONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_links_to_the_inbox_only_when_the_simulator_runs() {
        for has_inbox in [true, false] {
            let page = String::from_utf8(home_page(has_inbox).body.to_vec()).expect("UTF-8");
            for link in ["/docs", "/openapi.json", "/healthz", "/readyz"] {
                assert!(page.contains(&format!("<a href=\"{link}\">")), "{link} in {page}");
            }
            assert_eq!(page.contains("href=\"/inbox\""), has_inbox, "{page}");
            assert!(page.contains(env!("CARGO_PKG_VERSION")) && !page.contains("<script"), "{page}");
        }
    }
}
