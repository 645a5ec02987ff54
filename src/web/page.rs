//! What the pages have in common: the style, and the headers that keep anything else from running.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The style sheet of every page.
pub const STYLE: &str = include_str!("page.css");

/// The headers of pages without a script.
pub static STYLE_ONLY: LazyLock<Headers> = LazyLock::new(|| html_headers(""));

pub type Headers = [(&'static str, &'static str); 4];

/// A body with the headers that it must be served with.
#[derive(Debug, Clone)]
pub struct Page {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers, names in lower case. They are part of the page's safety: send them all.
    pub headers: &'static [(&'static str, &'static str)],
    /// The content.
    pub body: Bytes,
}

impl Page {
    /// A page from its template, with the headers that `html_headers` made for it.
    pub fn html(template: &impl Template, headers: &'static Headers) -> Self {
        // A template of texts does not fail.
        let body = template.render().unwrap_or_default();
        Self { content_type: "text/html; charset=utf-8", headers, body: body.into() }
    }
}

/// Lets exactly [`STYLE`] and what `sources` adds be used, so that a text could do nothing even if it became markup.
/// Nothing is loaded from elsewhere. Called once for each kind of page, since the policy is never freed.
pub fn html_headers(sources: &str) -> Headers {
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
