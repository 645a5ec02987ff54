//! `GET /openapi.json` and `GET /docs`: what every route takes and answers, for programs and for people.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use crate::http::answer::Answer;
use crate::http::openapi;

/// The `OpenAPI` document.
pub fn json() -> Answer {
    Answer::json_text(StatusCode::OK, openapi::text())
}

/// The same as a page.
pub fn page() -> Answer {
    let page = openapi::page();
    let headers = page.headers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    });
    Answer {
        status: StatusCode::OK,
        content_type: HeaderValue::from_static(page.content_type),
        body: page.body,
        headers: headers.collect(),
        refusal: None,
    }
}
