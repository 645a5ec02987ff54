//! The page that describes every route, for people. It asks for nothing from elsewhere and has no
//! script, so that it works offline, with a keyboard alone, and read aloud.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::Page;

const STYLE: &str = include_str!("docs/docs.css");

/// What the page shows.
pub struct Docs {
    /// The program's name.
    pub title: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// How to say who asks.
    pub access: &'static str,
    /// The routes.
    pub groups: Vec<DocsGroup>,
}

/// Routes that belong together.
pub struct DocsGroup {
    /// What they are called.
    pub name: &'static str,
    /// Where they are on the page.
    pub anchor: String,
    /// What they are for.
    pub about: &'static str,
    /// Each of them.
    pub routes: Vec<DocsRoute>,
}

/// A method at a path.
pub struct DocsRoute {
    /// Where it is on the page.
    pub anchor: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else is to be known.
    pub about: &'static str,
    /// Who may ask.
    pub access: &'static str,
    /// What it takes.
    pub params: Vec<DocsParam>,
    /// A call.
    pub curl: String,
    /// What it may be answered.
    pub answers: Vec<DocsAnswer>,
    /// A good answer's body; empty if it has none.
    pub example: String,
}

/// A parameter.
pub struct DocsParam {
    /// Its name.
    pub name: String,
    /// Where it goes: `path`, `header`, `query` or `body`.
    pub place: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it may be.
    pub accepts: String,
    /// What it means.
    pub about: String,
}

/// A status and what it means.
pub struct DocsAnswer {
    /// The status.
    pub status: u16,
    /// What it means.
    pub about: &'static str,
}

/// The page, as it is written.
#[derive(Template)]
#[template(path = "docs.html")]
struct Written<'a> {
    style: &'a str,
    docs: &'a Docs,
}

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Only this style may be used, nothing may be loaded, and no script runs.
static HEADERS: LazyLock<[(&str, &str); 4]> = LazyLock::new(|| {
    [
        ("content-security-policy", POLICY.as_str()),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ]
});

/// The page for `GET /docs`.
pub fn docs_page(docs: &Docs) -> Page {
    // A template of texts does not fail.
    let body = Written { style: STYLE, docs }.render().unwrap_or_default();
    Page { content_type: "text/html; charset=utf-8", headers: &*HEADERS, body: body.into() }
}

#[cfg(test)]
mod tests;
