//! What the routes of a group have in common: the layer around them, from the head of a request to its answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
    ORIGIN, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{Level, debug, enabled, error, warn};

use super::app::{App, ServedRoutes};
use super::call::{Access, Group, Origin};
use super::connection::Connection;
use super::error::{Cause, Error, X_ONCEWARD_RETRY_AFTER};
use super::request::{self, IDEMPOTENCY_KEY, SEC_FETCH_SITE, X_REQUEST_ID};
use super::response::{ErrorFormat, NotServed, ResponseExt as _, X_ONCEWARD_REASON};
use crate::clock::Stopwatch;
use crate::observe::trace::{RequestId, Span};
use crate::verification::Refusal;

/// The routes of a group, with what they have in common.
pub fn around(group: Group, routes: Router<App>) -> Router<App> {
    routes.layer(from_fn_with_state(group, answer))
}

/// Lets pages of these origins read the answers of the API and of the compatible routes, and of no others: those have codes,
/// or are for a session.
pub fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, X_REQUEST_ID])
        .expose_headers([RETRY_AFTER, X_ONCEWARD_REASON, X_ONCEWARD_RETRY_AFTER, X_REQUEST_ID])
        .max_age(Duration::from_secs(600))
}

/// The layer around every route. Whatever happens, the client gets an answer with an id.
async fn answer(State(mut group): State<Group>, request: Request, next: Next) -> Response {
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);
    let (mut head, body) = request.into_parts();
    let Some(connection) = head.extensions.remove::<Arc<Connection>>() else {
        return Error::PANICKED.answer(group.errors);
    };
    let app = Arc::clone(&connection.server.app);
    let matched: Option<MatchedPath> = head.extensions.remove();
    let is_twilio = || ["/v1/", "/v2/", "/v3/"].iter().any(|version| head.uri.path().starts_with(version));
    if matched.is_none() && is_twilio() {
        group.errors = ErrorFormat::Twilio;
    }
    let is_of_owner =
        app.node.is_some() && !group.is_of_this_node && connection.server.routes == ServedRoutes::All;
    let stands_by = || is_of_owner && !app.is_owner();
    let is_http1 = head.version <= Version::HTTP_11;
    // Before the body: a standby need not wait for it.
    let body = if stands_by() { Err(Error::STANDS_BY) } else { read_body(&head, body, group, &app).await };
    // Held until the answer, and not while the client sends a body: a node that hands over waits for it.
    let in_progress = app.node.as_ref().map(|_| app.in_progress.try_read());
    let has_left = stands_by() || is_of_owner && matches!(in_progress, Some(Err(_)));
    let body = if has_left { Err(Error::STANDS_BY) } else { body };
    // A large body keeps its place until the answer.
    let (body, _place) = body.map_or_else(|error| (Err(error), None), |(bytes, place)| (Ok(bytes), place));
    let host = request::host(&head);
    let refused = body.as_ref().err().or(host.as_ref().err()).cloned();
    let number = connection.server.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let of_server = || format!("{:08x}-{number:x}", connection.server.request_id_prefix);
    let id = request::id_of_client(&head.headers).map_or_else(of_server, str::to_owned);
    let mut origin = Origin {
        id: RequestId::new(&id, None),
        host: host.unwrap_or_default(),
        app: Arc::clone(&app),
        client: request::client_address(&app.settings.proxies, &head.headers, connection.peer),
        is_exempt: request::is_exempt(&app.settings.proxies, &head.headers, connection.peer),
        connection,
        group,
        matched,
        unread: refused.clone().filter(|error| group.tells_of_bodies && *error != Error::STANDS_BY),
        body: body.unwrap_or_default(),
    };
    let method = method_name(&head.method);
    let mut span = origin.begin_span(&head);
    if let Some(span) = &span {
        origin.id = RequestId::new(&id, Some(span.context().clone()));
    }
    let origin = Arc::new(origin);
    let mut response = origin.answer(head, refused, next, span.as_mut()).await;
    if let Some(start) = start {
        let (status, route, request_id) = (response.status().as_u16(), origin.route(), origin.request_id());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route, status, micros, request_id, "request answered");
    }
    let headers = response.headers_mut();
    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    headers.insert(&X_REQUEST_ID, HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-")));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // Another node can answer the next request. HTTP/2 has no such header.
    if is_http1 && app.node.is_some() && app.is_stopping.load(Ordering::Relaxed) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Most bytes of a report or of a hook's body. Meta says that its reports have up to 3 MB
/// (<https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components>, "Webhook payload size", read 2026-12-01).
const LARGE_BODY: usize = 3 * 1024 * 1024;

/// The whole body, before anything else is done: a connection with an unread rest is reset after an early answer, and the
/// reset can overtake the answer. `docs/internals/http.md` has two exceptions. A large one comes with its place among them.
async fn read_body(
    head: &Parts,
    mut body: Body,
    group: Group,
    app: &App,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Error> {
    let bounds = &app.settings.bounds;
    let is_small = body.size_hint().upper().is_some_and(|most| most <= bounds.body_bytes as u64);
    let (limit, place) = if is_small || !group.is_large {
        (bounds.body_bytes, None)
    } else if let Ok(place) = Arc::clone(&app.large_bodies).try_acquire_owned() {
        (LARGE_BODY.max(bounds.body_bytes), Some(place))
    } else {
        let rest = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
        let _ = timeout(bounds.body_timeout, rest).await;
        return Err(Refusal::Overloaded.into());
    };
    let read = timeout(bounds.body_timeout, Limited::new(body, limit).collect()).await;
    if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Error::COMPRESSED);
    }
    match read {
        Ok(Ok(whole)) => Ok((whole.to_bytes(), place)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Error::BODY_TOO_LARGE.say(format!("Request body too large. At most {limit} bytes are read.")))
        }
        Ok(Err(_)) => Err(Error::body("it broke off, or its chunks are not valid")),
        Err(_) => Err(Error::BODY_TOO_SLOW),
    }
}

impl Origin {
    /// The template of the path, or what logs say in its place: never the path of a request, which can contain a number.
    fn route(&self) -> &str {
        match &self.matched {
            Some(path) => path.as_str(),
            None if self.group.errors == ErrorFormat::Twilio => "/v2, unknown",
            None => "unknown",
        }
    }

    /// The answer of the handler, or why there is none; then what metrics and traces tell of it.
    async fn answer(
        self: &Arc<Self>,
        head: Parts,
        refused: Option<Error>,
        next: Next,
        span: Option<&mut Span>,
    ) -> Response {
        let answer = AssertUnwindSafe(self.checked(head, refused, next)).catch_unwind().await;
        let response = answer.unwrap_or_else(|_| {
            // The panic hook has printed what and where; its payload may repeat input.
            error!(request_id = self.request_id(), route = self.route(), "handler panicked");
            Error::PANICKED.answer(self.group.errors)
        });
        let (status, told) = (response.status(), response.extensions());
        if let Some(refusal) = told.get::<Refusal>().copied() {
            self.app.metrics.refused(refusal.name());
            self.connection.server.logs.note(refusal.name(), move |count| {
                warn!(reason = %refusal, count, "requests refused");
            });
        } else if let Some(reason) = told.get::<NotServed>() {
            self.app.metrics.refused(reason.as_str());
        }
        if let Some(span) = span {
            span.number("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                span.fail();
            }
        }
        response
    }

    async fn checked(self: &Arc<Self>, mut head: Parts, refused: Option<Error>, next: Next) -> Response {
        let refused = refused.filter(|_| self.unread.is_none());
        let mut answer = if let Err(error) = refused.map_or_else(|| self.admit(&head), Err) {
            error.into_response()
        } else {
            head.extensions.insert(Arc::clone(self));
            next.run(Request::from_parts(head, Body::empty())).await
        };
        if let Some(error) = answer.extensions_mut().remove() {
            self.told(error)
        } else if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            Error::WRONG_METHOD.answer(self.group.errors)
        } else {
            answer
        }
    }

    /// Whether the request may reach its handler.
    fn admit(&self, head: &Parts) -> Result<(), Error> {
        let changes = head.method == Method::POST || head.method == Method::DELETE;
        // Clients that are no browsers say nothing.
        let is_cross_site = head.headers.get_all(&SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
        let is_listed = |origin| self.app.settings.cors_origins.iter().any(|listed| listed == origin);
        let may_pass =
            || self.group.access != Access::Open && head.headers.get(ORIGIN).is_some_and(is_listed);
        if changes && is_cross_site && !may_pass() {
            return Err(Error::CROSS_SITE);
        }
        if self.group.is_compatible() && changes { self.admit_compatible(head) } else { Ok(()) }
    }

    /// An error in the form of the group. A compatible route has no other place for a reason than a header.
    fn told(&self, mut error: Error) -> Response {
        let (group, mut reason) = (self.group, None);
        match error.cause.clone() {
            Cause::Body(why) => {
                debug!(request_id = self.request_id(), route = self.route(), reason = %why, "request body refused");
                reason = Some(why.into_owned());
            }
            // The contract has one message for each 500 of these routes.
            Cause::Refused(Refusal::OutcomeUnknown)
                if group.is_compatible() && group.errors == ErrorFormat::Envelope =>
            {
                reason = Some(error.to_string());
                error.message = Error::PANICKED.message;
            }
            Cause::Other if error == Error::BAD_HOST => reason = Some(error.to_string()),
            Cause::Refused(_) | Cause::Other => {}
        }
        let answer = error.answer(group.errors);
        match reason {
            Some(reason) if group.is_compatible() => answer.explained(&reason),
            _ => answer,
        }
    }

    /// Begins the span of a request. Those of machines that watch the server have none.
    fn begin_span(&self, head: &Parts) -> Option<Span> {
        let (tracer, method, route) = (self.app.tracer.as_ref()?, method_name(&head.method), self.route());
        if matches!(route, "/healthz" | "/readyz" | "/owner" | "/metrics") {
            return None;
        }
        let caller = request::only(&head.headers, &TRACEPARENT);
        let mut span = tracer.request(format!("{method} {route}"), caller)?;
        span.text("http.request.method", method);
        span.text("http.route", route.to_owned());
        span.text("onceward.request_id", self.request_id().to_owned());
        Some(span)
    }
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of a method for logs: a method that a client made up is not repeated.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
