//! One request, from its head to its response: whether there is such a route, who may use it, and its handler.

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
use super::connection::ActiveRequest;
use super::deps::{Callbacks, Deps, Verify};
use super::problem::Problem;
use super::request::{self, RequestBody, X_REQUEST_ID};
use super::route::{Access, Handler, Resource, Target, method_name};
use super::{compatible, server_routes, v2};

/// Answers one request. Whatever goes wrong becomes an answer.
pub async fn respond<V: Verify>(
    active: ActiveRequest<V>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, Arc::clone(&active.server().bodies_in_parts));
    let target = target_of(head.uri.path(), active.server().deps.callbacks.as_deref());
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| active.request_id());
    let start = enabled!(Level::DEBUG).then(log_clock);

    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    let request_id = id.to_str().unwrap_or_default();
    let call = Call { deps: &active.server().deps, request_id };
    let work = answer(&call, target, &head, &mut body);
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

/// One request at a route.
pub struct Call<'a, V> {
    /// What the handler may use.
    pub deps: &'a Deps<V>,
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
}

/// Answers a request.
async fn answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    head: &Parts,
    body: &mut RequestBody,
) -> Answer {
    match try_answer(call, target, head, body).await {
        Ok(answer) => answer,
        Err(problem) => {
            if let Problem::BadBody(reason) = problem {
                debug!(request_id = call.request_id, route = target.name(), %reason, "bad request body");
            }
            problem.answer(target.errors())
        }
    }
}

async fn try_answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    head: &Parts,
    body: &mut RequestBody,
) -> Result<Answer, Problem> {
    let deps = call.deps;
    let Target::Resource(resource) = target else { return Err(Problem::NotFound) };
    if !is_served(deps, resource) {
        return Err(Problem::NotFound);
    }
    let found = resource.route(&head.method);
    if found.is_none() && !resource.allows(&head.method) {
        return Err(Problem::MethodNotAllowed(&resource.allow));
    }
    let changes = head.method == Method::POST || head.method == Method::DELETE;
    if changes && request::is_cross_site(&head.headers) {
        return Err(Problem::CrossSite);
    }
    let Some((access, route)) = found else {
        let what = resource.not_served.unwrap_or_default();
        return Ok(v2::not_served(call, what, head).answer());
    };
    if access == Access::Compatible
        && let Some(v2) = deps.v2.get()
    {
        v2.admit_compatible(&head.headers)?;
    }
    let (limit, time) = (deps.bounds.body_bytes, deps.bounds.body_timeout);
    match route.handler {
        Handler::SendOtp => compatible::send_otp(call, &body.read(limit, time).await?).await,
        Handler::VerifyOtp => compatible::verify_otp(call, &body.read(limit, time).await?).await,
        Handler::SendCode => compatible::send_code(call, &body.read(limit, time).await?).await,
        Handler::VerifyCode => compatible::verify_code(call, &body.read(limit, time).await?).await,
        Handler::V2(handler) => {
            let answer = v2::answer(call, (access, handler), head, body).await;
            Ok(answer.unwrap_or_else(v2::Error::answer))
        }
        Handler::Callback(kind) => {
            server_routes::callback(deps, kind, head, body.read(limit, time).await?).await
        }
        Handler::Inbox => server_routes::inbox(deps, head),
        Handler::Ready => Ok(server_routes::ready(deps)),
        Handler::Index => {
            Ok(server_routes::index(&head.headers, deps.inbox.is_some(), deps.callbacks.is_some()))
        }
        Handler::Fixed(answer) => Ok(answer()),
    }
}

/// Whether this server has a resource: the inbox and the callbacks depend on its gateways.
fn is_served<V>(deps: &Deps<V>, resource: &Resource) -> bool {
    match resource.first() {
        Some(Handler::Inbox) => deps.inbox.is_some(),
        Some(Handler::Callback(_)) => deps.callbacks.is_some(),
        _ => true,
    }
}
