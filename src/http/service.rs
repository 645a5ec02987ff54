//! What the routes of a group have in common: the layer around them, from the head of a request to its answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONNECTION, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode, Version};
use tokio::time::timeout;
use tracing::{Level, debug, enabled, error, info, warn};

use super::app::{App, ServedRoutes};
use super::call::{Group, Origin};
use super::connection::{Arrived, Connection};
use super::error::{BROKEN_OFF, Cause, Error};
use super::pages;
use super::request::{self, SEC_FETCH_SITE, X_REQUEST_ID};
use super::response::{ErrorFormat, NotServed, ResponseExt as _};
use crate::clock::Stopwatch;
use crate::config::Bounds;
use crate::domain::{ServiceId, Sid, SidKind};
use crate::observe::trace::{RequestId, Span};
use crate::verification::Refusal;

/// The routes of a group, with what they have in common.
pub fn around(group: Group, routes: Router<App>) -> Router<App> {
    routes.layer(from_fn_with_state(group, answer))
}

/// The layer around every route. Whatever happens, the client gets an answer with an id.
async fn answer(State(mut group): State<Group>, request: Request, next: Next) -> Response {
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);
    let (mut head, body) = request.into_parts();
    let Some(Arrived(connection, number)) = head.extensions.remove() else {
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
    // Before the body: a standby need not wait for it. The connection ends with what it has not read.
    let (mut breaks_off, body) = if stands_by() {
        (!body.is_end_stream(), Err(Error::STANDS_BY))
    } else {
        (false, read_body(body, &app.settings.bounds).await)
    };
    let refused = body.as_ref().err().cloned();
    let id =
        request::id_of_client(&head.headers).map_or_else(|| connection.request_id(number), str::to_owned);
    let (client, is_trusted) = client(&app, &connection, &head);
    let mut origin = Origin {
        id: RequestId::new(&id, None),
        uri: head.uri.clone(),
        host: request::host(&head),
        app: Arc::clone(&app),
        connection,
        group,
        matched,
        client,
        is_trusted,
        body: body.unwrap_or_default(),
    };
    let method = method_name(&head.method);
    // Held until the answer, and not while the client sends a body: a node that hands over waits for it.
    let in_progress = app.node.as_ref().map(|_| app.in_progress.try_read());
    let is_here = !(stands_by() || is_of_owner && matches!(in_progress, Some(Err(_))));
    let mut span = if is_here { origin.begin_span(&head) } else { None };
    if let Some(span) = &span {
        origin.id = RequestId::new(&id, Some(span.context().clone()));
    }
    let origin = Arc::new(origin);
    let mut response = if is_here {
        let is_cut =
            |error: &Error| *error == Error::BODY_TOO_SLOW || error.cause == Cause::Body(BROKEN_OFF.into());
        breaks_off = refused.as_ref().is_some_and(is_cut);
        origin.answer(head, refused, next, span.as_mut()).await
    } else {
        Error::STANDS_BY.answer(group.errors)
    };
    if let Some(start) = start {
        let (status, route, request_id) = (response.status().as_u16(), origin.route(), origin.request_id());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route, status, micros, request_id, "request answered");
    }
    let headers = response.headers_mut();
    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    headers.insert(&X_REQUEST_ID, HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-")));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // Another node can answer the next request.
    let is_leaving = app.node.is_some() && app.is_stopping.load(Ordering::Relaxed);
    // HTTP/2 has no such header; there only the stream ends.
    if is_http1 && (breaks_off || is_leaving) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Bytes of a body that is too large: such a client learns of it. One that sends more is cut off.
const MOST_DISCARDED: usize = 4 << 20;

/// The whole body, before anything else is done: a connection with an unread rest is reset after an early answer, and the
/// reset can overtake the answer. Of a body that is too large the rest is discarded, up to [`MOST_DISCARDED`].
async fn read_body(mut body: Body, bounds: &Bounds) -> Result<Bytes, Error> {
    let (limit, mut length, mut whole) = (bounds.body_bytes, 0, Vec::new());
    let read = async {
        while length <= MOST_DISCARDED
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|_| Error::body(BROKEN_OFF))?;
            let data = frame.into_data().unwrap_or_default();
            length += data.len();
            if length <= limit {
                whole.extend_from_slice(&data);
            }
        }
        if length > limit {
            Err(Error::BODY_TOO_LARGE.say(format!("Request body too large. At most {limit} bytes are read.")))
        } else {
            Ok(whole.into())
        }
    };
    timeout(bounds.body_timeout, read).await.unwrap_or(Err(Error::BODY_TOO_SLOW))
}

/// The person behind a proxy, and whether the proxy vouches for them.
fn client(app: &App, connection: &Connection, head: &Parts) -> (Option<IpAddr>, bool) {
    let (proxies, logs, peer) = (&app.settings.proxies, &connection.server.logs, connection.peer);
    let client = request::client_address(proxies, &head.headers, peer);
    if client.is_err() {
        let header = proxies.client_address_header.as_ref().map(HeaderName::as_str);
        let words = "client address not read; the clients behind the proxy have no limits of their own";
        logs.unread_address.get_or_init(|| warn!(header, "{words}"));
    }
    let is_trusted = request::is_trusted(proxies, &head.headers, peer);
    if is_trusted.is_err() {
        let header = proxies.risk_check_header.as_ref().map(HeaderName::as_str);
        let words = "risk check not read; the guard asks as without it, send one line: disable or enable";
        logs.unread_risk_check.get_or_init(|| warn!(header, "{words}"));
    }
    (client.unwrap_or_default(), is_trusted.unwrap_or_default())
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
            let (logs, service) = (&self.connection.server.logs, self.service_name());
            let about = service.clone().unwrap_or_default();
            logs.by_kind.note(&about, refusal.name(), move |count, _| {
                warn!(reason = %refusal, service, count, "requests refused");
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
        let (group, origins) = (self.group, &self.app.settings.cors_origins);
        let depends_on_origin = !group.is_closed_to_pages && !origins.is_empty();
        let page = if depends_on_origin { allowed_origin(origins, &head.headers) } else { None };
        let is_for_people = group.errors == ErrorFormat::Envelope
            && [Method::GET, Method::HEAD].contains(&head.method)
            && self.connection.server.routes != ServedRoutes::MetricsOnly
            && request::accepts(&head.headers, "text/html");
        let admitted = match refused {
            None => self.admit(&mut head, page.is_some()).await,
            Some(error) => Err(error),
        };
        let mut answer = match admitted {
            Err(error) => error.into_response(),
            // A preflight asks by OPTIONS, which no route has.
            Ok(()) if page.is_some() && is_preflight(&head) => preflight(),
            Ok(()) => {
                head.extensions.insert(Arc::clone(self));
                next.run(Request::from_parts(head, Body::empty())).await
            }
        };
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer = Error::WRONG_METHOD.answer(group.errors);
        } else if let Some(error) = answer.extensions_mut().remove() {
            answer = self.told(error, is_for_people);
        }
        if depends_on_origin {
            add_cors_headers(&mut answer, page);
        }
        answer
    }

    /// Whether the request may reach its handler.
    async fn admit(&self, head: &mut Parts, is_allowed_origin: bool) -> Result<(), Error> {
        if self.host.is_err() {
            return Err(Error::BAD_HOST);
        }
        if self.route().contains('{') && !has_proper_params(head).await {
            return Err(Error::BAD_PATH);
        }
        let changes = head.method == Method::POST || head.method == Method::DELETE;
        // Clients that are no browsers say nothing.
        let is_cross_site = || head.headers.get_all(&SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
        if changes && !is_allowed_origin && is_cross_site() {
            return Err(Error::CROSS_SITE);
        }
        if self.group.is_compatible() && changes { self.admit_compatible(head) } else { Ok(()) }
    }

    /// An error in the form of the group, with what its route tells beside. A compatible route has no other place for a
    /// reason than a header.
    fn told(&self, mut error: Error, is_for_people: bool) -> Response {
        let (group, mut reason) = (self.group, None);
        match error.cause.clone() {
            Cause::NoResource => error = error.at(self.uri.path()),
            Cause::Body(why) => {
                let (route, request_id) = (self.route().to_owned(), self.request_id().to_owned());
                debug!(request_id, route, reason = %why, "request body refused");
                if group.is_compatible() {
                    // The rest has places and signs.
                    let (kind, why) = (why.get(..16).unwrap_or(&why).to_owned(), why.clone());
                    self.connection.server.logs.by_kind.note(self.route(), &kind, move |count, _| {
                        info!(request_id, route, reason = %why, count, "request body refused");
                    });
                }
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
            Cause::Other if error == Error::NOT_SERVED && is_for_people => {
                return pages::not_found(self.app.inbox.is_some(), &self.uri);
            }
            _ => {}
        }
        let answer = error.answer(group.errors);
        match reason {
            Some(reason) if group.is_compatible() => answer.explained(&reason),
            _ => answer,
        }
    }

    /// The name of the service that a request is about, for the log.
    fn service_name(&self) -> Option<String> {
        if self.group.is_compatible() {
            return Some(ServiceId::DEFAULT_NAME.to_owned());
        }
        let sid = self.uri.path().strip_prefix("/v2/Services/")?.split('/').next()?;
        let sid = Sid::parse(SidKind::Service, sid)?;
        Some(self.app.running().ok()?.registry.service(&sid).ok()?.name())
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

/// Whether each variable segment of the path is one segment once it is decoded, and stays in its place: a proxy in front
/// that decodes others takes the path for another one. A subject of the guard may be a network, such as `192.0.2.0/24`, and
/// what is not served has any path.
async fn has_proper_params(head: &mut Parts) -> bool {
    let params = RawPathParams::from_request_parts(head, &()).await.ok();
    params.iter().flatten().all(|(name, value)| {
        let mut segments = value.split(['/', '\\']);
        (matches!(name, "Subject" | "Path") || !value.contains('/'))
            && segments.all(|part| part != "." && part != "..")
    })
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of a method for logs: a method that a client made up is not repeated.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// The headers that a page may send.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id");

/// The headers of answers that a page may read, besides those that browsers always show.
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("retry-after, x-onceward-reason, x-onceward-retry-after, x-request-id");

/// Seconds for which a browser may remember a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origin of the page that sends the request, if the operator allows it.
fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = request::only(headers, &ORIGIN)?;
    let is_allowed = origins.iter().any(|allowed| allowed == origin);
    HeaderValue::from_str(origin).ok().filter(|_| is_allowed)
}

fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight, to which the connection adds the methods of the path.
fn preflight() -> Response {
    let headers = [(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS), (ACCESS_CONTROL_MAX_AGE, MAX_AGE)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Lets the page of an allowed origin read an answer, and tells caches that other origins get another one.
fn add_cors_headers(answer: &mut Response, allowed_origin: Option<HeaderValue>) {
    answer.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed_origin {
        let page = [(ACCESS_CONTROL_ALLOW_ORIGIN, origin), (ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS)];
        answer.headers_mut().extend(page);
    }
}
