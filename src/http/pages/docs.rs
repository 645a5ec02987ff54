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
