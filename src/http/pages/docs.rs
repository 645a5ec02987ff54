//! The page that describes every route, for people. It loads nothing from other hosts and has no script: it works with a
//! keyboard alone, and read aloud.

use std::sync::OnceLock;

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;

use super::{Frame, STYLE_ONLY};
use crate::http::call::Access;
use crate::http::openapi::{ACCESS, ERRORS, INTRODUCTION, Routes, schema_text};

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    frame: Frame,
    groups: Vec<&'static Routes>,
}

/// The page for `GET /docs`.
pub fn page(docs: &'static [Routes], has_inbox: bool) -> Response {
    /// Without and with a link to the inbox.
    static PAGES: [OnceLock<Bytes>; 2] = [const { OnceLock::new() }; 2];
    let page = PAGES[usize::from(has_inbox)].get_or_init(|| text(docs, has_inbox).into());
    (STYLE_ONLY, Html(page.clone())).into_response()
}

fn text(docs: &'static [Routes], has_inbox: bool) -> String {
    let groups = docs.iter().filter(|docs| !docs.rows.is_empty()).collect();
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
        Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
            "Needs the account's token or an API key."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::DOCS;

    #[test]
    fn a_route_is_shown_with_its_parameters_and_its_response() {
        let page = text(&DOCS, true);
        for part in [
            "<h2 id=\"rate-limits\">Rate limits</h2>",
            "<a href=\"#ListRateLimit\">List rate limits</a>",
            "<code>/v2/Services/{ServiceSid}/RateLimits/{Sid}</code>",
            "<code>Max</code> <em>required</em></th><td>body</td><td>1 to 1000000</td><td>5</td><td>Requests.</td>",
            "<code>DateCreatedAfter</code></th><td>query</td><td>text</td><td>2026-01-31T12:00:00Z</td>",
            "    &#34;unique_name&#34;: {",
            "Without buckets it counts nothing yet. Needs the account&#39;s token or an API key.",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        // It loads one style sheet of this server, and runs nothing.
        for part in ["<script", "http-equiv", "<img", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<link rel=\"stylesheet\" href=\"/admin/page.css?").count(), 1);
        assert!(STYLE_ONLY[0].1.starts_with("default-src 'none'; style-src 'self'; form-action 'none'"));
    }
}
