//! The page that describes every route: the OpenAPI document for people. It asks for nothing from elsewhere and has no
//! script, so that it works offline, with a keyboard alone, and read aloud.

mod read;

use std::sync::OnceLock;

use askama::Template;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::read::{Group, groups};
use super::Page;

const STYLE: &str = include_str!("docs/docs.css");

/// The page, as it is written.
#[derive(Template)]
#[template(path = "docs.html")]
struct Docs<'a> {
    style: &'a str,
    title: &'a str,
    version: &'a str,
    about: &'a str,
    access: &'a str,
    groups: Vec<Group<'a>>,
}

static PAGE: OnceLock<(Bytes, [(&str, &str); 4])> = OnceLock::new();

/// The page for `GET /docs`, made of this document. It is made once, of the first document that it is asked for.
pub fn docs_page(document: &'static Value) -> Page {
    let (body, headers) = PAGE.get_or_init(|| (Bytes::from(written(document)), headers()));
    Page { content_type: "text/html; charset=utf-8", headers, body: body.clone() }
}

/// Only this style may be used, nothing may be loaded, and no script runs.
fn headers() -> [(&'static str, &'static str); 4] {
    static POLICY: OnceLock<String> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    [
        ("content-security-policy", policy.as_str()),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ]
}

fn written(document: &Value) -> String {
    let info = &document["info"];
    let docs = Docs {
        style: STYLE,
        title: text(&info["title"]),
        version: text(&info["version"]),
        about: text(&info["description"]),
        access: text(&document["components"]["securitySchemes"]["basic"]["description"]),
        groups: groups(document),
    };
    // A template of texts does not fail.
    docs.render().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
