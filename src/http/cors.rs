//! Requests of web pages from other origins (CORS), which the operator allows by `cors-origins`.

use axum::Extension;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

use super::request;
use super::response::NeedsMethods;

/// The headers that a page may send.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id");

/// The headers of answers that a page may read, besides those that browsers always show.
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("retry-after, x-onceward-reason, x-onceward-retry-after, x-request-id");

/// Seconds for which a browser may remember a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origin of the page that sends the request, if the operator allows it.
pub fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = request::only(headers, &ORIGIN)?;
    let is_allowed = origins.iter().any(|allowed| allowed == origin);
    HeaderValue::from_str(origin).ok().filter(|_| is_allowed)
}

pub fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight. The router knows the methods of the path.
pub fn preflight() -> Response {
    let headers = [(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS), (ACCESS_CONTROL_MAX_AGE, MAX_AGE)];
    (StatusCode::NO_CONTENT, Extension(NeedsMethods(None)), headers).into_response()
}

/// Lets the page of an allowed origin read an answer, and tells caches that other origins get another one.
pub fn add_headers(answer: &mut Response, allowed_origin: Option<HeaderValue>) {
    answer.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed_origin {
        let page = [(ACCESS_CONTROL_ALLOW_ORIGIN, origin), (ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS)];
        answer.headers_mut().extend(page);
    }
}
