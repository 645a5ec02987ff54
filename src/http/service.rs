//! One request, from its head to its response.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tracing::{Level, debug, enabled, error};

use super::answer::Answer;
use super::api::{self, Call};
use super::body::RequestBody;
use super::connection::ActiveRequest;
use super::deps::{Callbacks, Verify};
use super::problem::Problem;
use super::request_id::{self, X_REQUEST_ID};
use super::route::{Target, method_name};

/// Answers one request. Whatever goes wrong becomes an answer.
pub async fn respond<V: Verify>(
    active: ActiveRequest<V>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, Arc::clone(&active.server().bodies_in_parts));
    let target = target_of(head.uri.path(), active.server().deps.callbacks.as_deref());
    let id = request_id::from_client(&head.headers).unwrap_or_else(|| active.request_id());
    let start = enabled!(Level::DEBUG).then(log_clock);

    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    let request_id = id.to_str().unwrap_or_default();
    let call = Call { deps: &active.server().deps, request_id };
    let work = api::answer(&call, target, &head, &mut body);
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    let answer = outcome.unwrap_or_else(|_| {
        // The panic hook has printed what and where; its payload may repeat input.
        error!(request_id, route = target.name(), "a handler panicked; the answer is 500");
        Problem::Panicked.answer(target.errors())
    });
    if body.is_left_over() {
        body.discard_arrived().await;
    }
    if let Some(refusal) = answer.refusal {
        active.server().refusals.note(refusal);
    }
    if let Some(start) = start {
        let (method, status) = (method_name(&head.method), answer.status.as_u16());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route = target.name(), status, micros, request_id, "answered");
    }
    let closes = body.is_left_over();
    if closes {
        active.leave_input();
    }
    Ok(response(answer, head, id, closes))
}

#[expect(clippy::disallowed_methods, reason = "a duration in a log line; nothing is decided by it")]
fn log_clock() -> Instant {
    Instant::now()
}

/// Reports may come with the path of the public address in front of ours; nothing else does.
fn target_of(path: &str, callbacks: Option<&dyn Callbacks>) -> Target {
    let target = Target::of(path);
    if matches!(target, Target::Unknown(_))
        && let Some(ours) = callbacks.and_then(|callbacks| path.strip_prefix(callbacks.path_prefix()))
        && let report = Target::of(ours)
        && report.is_callback()
    {
        return report;
    }
    target
}

/// The headers that all answers share, around the answer. `closes` says that the rest of the
/// request will not be read.
fn response(answer: Answer, head: Parts, id: HeaderValue, closes: bool) -> Response<Full<Bytes>> {
    static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    static CLOSE: HeaderValue = HeaderValue::from_static("close");

    // The request's map serves again, so that a connection in use allocates no more of them:
    // hyper takes the next request's from this response.
    let mut headers: HeaderMap = head.headers;
    headers.clear();
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, answer.content_type);
    }
    headers.insert(&X_REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, NO_STORE.clone());
    // Not `extend`, which would keep both where an answer has a value of its own.
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    // HTTP/2 has no such header; there only the stream ends.
    if closes && head.version <= Version::HTTP_11 {
        headers.insert(CONNECTION, CLOSE.clone());
    }
    let body = if head.method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        Bytes::new()
    } else {
        answer.body
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}
