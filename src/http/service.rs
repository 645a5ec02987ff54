//! One request, from its head to its response: whether there is such a route, who may use it, and its handler.

use std::mem::discriminant;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{Level, debug, enabled, error, info, warn};

use super::api::error::Error;
use super::app::{App, ServedRoutes};
use super::call::{Call, Received};
use super::connection::Arrived;
use super::request::{self, LocalUser, X_REQUEST_ID};
use super::response::{BadBody, ErrorFormat, NotServed, Problem, ResponseExt as _};
use super::route::{Access, method_name};
use super::routes::{self, Resource};
use super::{admin, cors, hooks, pages};
use crate::clock::Stopwatch;
use crate::config::Bounds;
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::observe::trace::Span;
use crate::verification::numbers::Refusal;
use crate::verification::verify::Refused;

/// The router with all routes, as connections use it.
pub fn router(app: &App) -> Router {
    let unknown = || async { Problem::NotFound };
    routes::router().fallback(unknown).layer(from_fn(answer)).with_state(Arc::clone(app))
}

/// The middleware around every route. Whatever happens, the client gets an answer with an id.
async fn answer(request: Request, next: Next) -> Response {
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);
    let (mut head, body) = request.into_parts();
    let target = Resource::of(head.extensions.get().map(MatchedPath::as_str), head.uri.path());
    let Some(Arrived { connection, number, sent_uri }) = head.extensions.remove() else {
        return Problem::Panicked.answer(target.group.errors);
    };
    let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
    // The signature of a provider's report covers the address as it was sent.
    if let Some(uri) = sent_uri {
        head.uri = uri;
    }
    if let Some(user) = connection.user {
        head.extensions.insert(user);
    }
    let server = Arc::clone(&connection.server);
    let (app, peer) = (&server.app, connection.peer);
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| connection.request_id(number));
    let method = method_name(&head.method);
    let is_of_owner =
        app.node.is_some() && !target.group.is_of_this_node && server.routes == ServedRoutes::All;
    let stands_by = || is_of_owner && !app.is_owner();
    let is_http1 = head.version <= Version::HTTP_11;
    let mut breaks_off = false;
    // Before the body: a standby need not wait for it.
    let body = if stands_by() { Err(Problem::StandsBy) } else { read_body(body, &app.settings.bounds).await };
    // Held until the answer, and not while the client sends a body: a node that hands over waits for it.
    let in_progress = app.in_progress.try_read();
    let mut response = if stands_by() || is_of_owner && in_progress.is_err() {
        Problem::StandsBy.answer(target.group.errors)
    } else {
        // HTTP/2 has no such header; there only the stream ends.
        breaks_off =
            is_http1 && matches!(body, Err(Problem::BodyTooSlow | Problem::BadBody(BadBody::Broken)));
        let proxies = &app.settings.proxies;
        let client = request::client_address(proxies, &head.headers, peer);
        if client.is_err() {
            let header = proxies.client_address_header.as_ref().map(HeaderName::as_str);
            let words = "client address not read; the clients behind the proxy have no limits of their own";
            server.logs.unread_address.get_or_init(|| warn!(header, "{words}"));
        }
        let is_trusted = request::is_trusted(proxies, &head.headers, peer);
        if is_trusted.is_err() {
            let header = proxies.risk_check_header.as_ref().map(HeaderName::as_str);
            let words = "risk check not read; the guard asks as without it, send one line: disable or enable";
            server.logs.unread_risk_check.get_or_init(|| warn!(header, "{words}"));
        }
        let mut span = span_of(app, &head, target, id.to_str().unwrap_or_default());
        let call = Call(Arc::new(Received {
            is_trusted: is_trusted.unwrap_or_default(),
            client: client.unwrap_or_default(),
            operation: target.operation(&head.method),
            span: span.as_ref().map(|span| span.context().clone()),
            app: Arc::clone(app),
            head,
            params,
            id: id.clone(),
            peer,
            port: server.port,
            connection: Arc::clone(&connection),
            body,
            permit: Mutex::default(),
        }));
        answer_here(&call, target, next, span.as_mut()).await
    };
    if let Some(start) = start {
        let (status, request_id) = (response.status().as_u16(), id.to_str().unwrap_or_default());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route = target.name, status, micros, request_id, "request answered");
    }
    let headers = response.headers_mut();
    headers.insert(&X_REQUEST_ID, id);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // Another node can answer the next request.
    let is_leaving = is_http1 && app.node.is_some() && app.is_stopping.load(Ordering::Relaxed);
    if breaks_off || is_leaving {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The whole body, before anything else is done: a connection with an unread rest is reset after an early answer, and the
/// reset can overtake the answer. Of a body that is too large the rest is discarded.
async fn read_body(mut body: Body, bounds: &Bounds) -> Result<Bytes, Problem> {
    let (limit, mut length, mut whole) = (bounds.body_bytes, 0, Vec::new());
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::BadBody(BadBody::Broken))?;
            let data = frame.into_data().unwrap_or_default();
            length += data.len();
            if length <= limit {
                whole.extend_from_slice(&data);
            }
        }
        if length > limit { Err(Problem::BodyTooLarge(limit)) } else { Ok(whole.into()) }
    };
    timeout(bounds.body_timeout, read).await.unwrap_or(Err(Problem::BodyTooSlow))
}

/// Whether the route may be used, its handler, and the form of errors; then what logs, metrics and traces tell of it.
async fn answer_here(
    call: &Call,
    target: &'static Resource,
    next: Next,
    span: Option<&mut Span>,
) -> Response {
    let outcome = AssertUnwindSafe(checked(call, target, next)).catch_unwind().await;
    let response = outcome.unwrap_or_else(|_| {
        // The panic hook has printed what and where; its payload may repeat input.
        error!(request_id = call.request_id(), route = target.name, "handler panicked");
        Problem::Panicked.answer(target.group.errors)
    });
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        call.app.metrics.refused(refusal.name());
        call.connection.server.logs.refusals.note(*refusal, service_name(call, target));
    } else if let Some(reason) = response.extensions().get::<NotServed>() {
        call.app.metrics.refused(reason.as_str());
    }
    let status = response.status();
    if let Some(span) = span {
        span.number("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.fail();
        }
    }
    response
}

async fn checked(call: &Call, target: &'static Resource, next: Next) -> Response {
    let origins = &call.app.settings.cors_origins;
    let depends_on_origin = !target.group.is_closed_to_pages && !origins.is_empty();
    let origin = if depends_on_origin { cors::allowed_origin(origins, &call.head.headers) } else { None };
    let answer = try_answer(call, target, next, origin.is_some()).await;
    let mut answer = answer.unwrap_or_else(|problem| {
        not_found_for_browser(call, problem, target).unwrap_or_else(|| refusal(&problem, call, target))
    });
    if depends_on_origin {
        cors::add_headers(&mut answer, origin);
    }
    answer
}

async fn try_answer(
    call: &Call,
    target: &'static Resource,
    next: Next,
    is_allowed_origin: bool,
) -> Result<Response, Problem> {
    let (app, head) = (&call.app, &call.head);
    call.body()?;
    if !request::has_proper_host(head) {
        return Err(Problem::BadHost);
    }
    let is_in_listener = call.connection.server.routes != ServedRoutes::MetricsOnly || target.name == METRICS;
    let is_local = head.extensions.get::<LocalUser>().is_some();
    if !is_in_listener || !(target.group.is_served)(app) || target.is_local() && !is_local {
        return Err(Problem::NotFound);
    }
    if !call.has_proper_params() {
        return Err(Problem::BadPath);
    }
    // A preflight asks by OPTIONS, which no route has: below it would be 405.
    if is_allowed_origin && cors::is_preflight(head) {
        return Ok(cors::preflight(&target.allow));
    }
    if call.operation.is_none() {
        return Err(Problem::MethodNotAllowed(&target.allow));
    }
    if changes(head) && !is_allowed_origin && request::is_cross_site(&head.headers) {
        return Err(Problem::CrossSite);
    }
    if call.operation.is_some_and(|(access, _)| access == Access::Compatible) {
        call.admit_compatible()?;
    }
    // The body is in the call.
    let mut request = Request::new(Body::empty());
    *request.method_mut() = head.method.clone();
    request.extensions_mut().insert(call.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Arc<Error>>().as_deref() {
        None => Ok(match call.permit.lock().take() {
            None => response,
            // Lists that clients do not take would fill the memory.
            Some(permit) => response.map(|body| {
                Body::new(body.inspect_frame(move |_| {
                    let _held = &permit;
                }))
            }),
        }),
        Some(Error::Problem(Problem::Refused(refusal))) if target.name.starts_with("/admin") => {
            Ok(admin::refused(call, *refusal))
        }
        Some(Error::Problem(problem)) => Err(*problem),
        Some(error) => {
            if matches!(error, Error::Refused(Refused::OutOfService { .. })) {
                call.log_out_of_service();
            }
            let now = app.running().map_or(Timestamp::EPOCH, |running| running.verifier.now());
            Ok(error.answer(head.uri.path(), call.request_id(), now))
        }
    }
}

fn changes(head: &Parts) -> bool {
    head.method == Method::POST || head.method == Method::DELETE
}

/// For a browser's page that does not exist: the page of the path without its trailing slash, or a page that says so.
fn not_found_for_browser(call: &Call, problem: Problem, target: &Resource) -> Option<Response> {
    let (app, head) = (&call.app, &call.head);
    let is_get = [Method::GET, Method::HEAD].contains(&head.method);
    let is_for_machines = call.connection.server.routes == ServedRoutes::MetricsOnly;
    let is_of_api = target.group.errors != ErrorFormat::Envelope || is_for_machines;
    if problem != Problem::NotFound || !is_get || is_of_api || !request::accepts(&head.headers, "text/html") {
        return None;
    }
    let page = head.uri.path().trim_end_matches('/');
    if page == head.uri.path() || !Resource::of(Some(page), page).is_page(app) {
        return Some(pages::not_found(app.inbox.is_some()));
    }
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(pages::redirect(&format!("{page}{query}")))
}

/// The answer to a request with a problem. A compatible route has no other place for a reason than a header.
fn refusal(problem: &Problem, call: &Call, target: &Resource) -> Response {
    let answer = problem.answer(target.group.errors);
    let (route, request_id) = (target.name, call.request_id());
    match *problem {
        Problem::BadBody(reason) => {
            debug!(request_id, route, %reason, "request body refused");
            if !target.is_compatible() {
                return answer;
            }
            let first = request_id.to_owned();
            let mut logs = call.connection.server.logs.bad_bodies.lock();
            let log = logs.entry((route, discriminant(&reason))).or_default();
            log.note(move |count| info!(request_id = first, route, %reason, count, "request body refused"));
            answer.explained(&reason.to_string())
        }
        Problem::BadHost if target.is_compatible() => answer.explained(&problem.to_string()),
        // The contract has one message for each 500 of these routes.
        Problem::Refused(refusal @ Refusal::OutcomeUnknown)
            if target.is_compatible() && target.group.errors == ErrorFormat::Envelope =>
        {
            let answer = Problem::Panicked.answer(target.group.errors).explained(&problem.to_string());
            (Extension(refusal), answer).into_response()
        }
        Problem::NotFound if call.head.uri.path().starts_with("/hook") => {
            hooks::note_unknown(call);
            answer
        }
        _ => answer,
    }
}

const METRICS: &str = "/metrics";

/// The name of the service that a request is about, for the log.
fn service_name(call: &Call, target: &'static Resource) -> Option<String> {
    if target.is_compatible() {
        return Some(ServiceId::DEFAULT_NAME.to_owned());
    }
    let sid = Sid::parse(SidKind::Service, call.param("ServiceSid")?)?;
    Some(call.app.running().ok()?.registry.service(&sid).ok()?.name())
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins the span of a request. Those of machines that watch the server have none.
fn span_of(app: &App, head: &Parts, target: &Resource, request_id: &str) -> Option<Span> {
    let tracer = app.tracer.as_ref()?;
    let (method, route) = (method_name(&head.method), target.name);
    if matches!(route, "/healthz" | "/readyz" | "/owner" | "/metrics") {
        return None;
    }
    let caller = request::only(&head.headers, &TRACEPARENT);
    let mut span = tracer.request(format!("{method} {route}"), caller)?;
    span.text("http.request.method", method);
    span.text("http.route", route);
    span.text("onceward.request_id", request_id.to_owned());
    Some(span)
}
