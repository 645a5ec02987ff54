//! What the routes of a group have in common: the layer around them, from the head of a request to its answer.

use std::mem::discriminant;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri, Version};
use tokio::time::timeout;
use tracing::{Level, debug, enabled, error, info, warn};

use super::app::{App, ServedRoutes};
use super::call::Origin;
use super::connection::{Arrived, Connection};
use super::error::{BadBody, Cause, Error};
use super::group::Group;
use super::request::{self, X_REQUEST_ID};
use super::response::{ErrorFormat, NeedsMethods, NotServed, ResponseExt as _};
use super::{cors, pages};
use crate::clock::Stopwatch;
use crate::config::Bounds;
use crate::domain::{ServiceId, Sid, SidKind};
use crate::observe::trace::Span;
use crate::verification::numbers::Refusal;

/// The routes of a group, with what they have in common.
pub fn around(group: Group, app: &App, routes: Router<App>) -> Router<App> {
    routes.layer(from_fn_with_state((Arc::clone(app), group), answer))
}

/// The layer around every route. Whatever happens, the client gets an answer with an id.
async fn answer(State((app, mut group)): State<(App, Group)>, request: Request, next: Next) -> Response {
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);
    let (mut head, body) = request.into_parts();
    let Some(Arrived { connection, number, sent_uri }) = head.extensions.remove() else {
        return Error::PANICKED.answer(group.errors);
    };
    let matched: Option<MatchedPath> = head.extensions.get().cloned();
    let is_twilio = || ["/v1/", "/v2/", "/v3/"].iter().any(|version| head.uri.path().starts_with(version));
    let unknown = if matched.is_none() && is_twilio() {
        group.errors = ErrorFormat::Twilio;
        "/v2, unknown"
    } else {
        "unknown"
    };
    let route = matched.as_ref().map_or(unknown, MatchedPath::as_str);
    // The signature of a provider's report covers the address as it was sent.
    if let Some(uri) = sent_uri {
        head.uri = uri;
    }
    let server = &connection.server;
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| connection.request_id(number));
    let method = method_name(&head.method);
    let is_of_owner = app.node.is_some() && !group.is_of_this_node && server.routes == ServedRoutes::All;
    let stands_by = || is_of_owner && !app.is_owner();
    let is_http1 = head.version <= Version::HTTP_11;
    // Before the body: a standby need not wait for it. The connection ends with what it has not read.
    let (mut breaks_off, body) = if stands_by() {
        (is_http1 && !body.is_end_stream(), Err(Error::STANDS_BY))
    } else {
        (false, read_body(body, &app.settings.bounds).await)
    };
    // Held until the answer, and not while the client sends a body: a node that hands over waits for it.
    let in_progress = app.in_progress.try_read();
    let mut response = if stands_by() || is_of_owner && in_progress.is_err() {
        Error::STANDS_BY.answer(group.errors)
    } else {
        // HTTP/2 has no such header; there only the stream ends.
        let is_cut =
            |error: &Error| *error == Error::BODY_TOO_SLOW || error.cause == Cause::Body(BadBody::Broken);
        breaks_off = is_http1 && body.as_ref().is_err_and(is_cut);
        let mut span = span_of(&app, &head, route, id.to_str().unwrap_or_default());
        let (client, is_trusted) = client(&app, &connection, &head);
        let origin = Origin {
            app: Arc::clone(&app),
            connection: Arc::clone(&connection),
            access: group.access,
            id: id.clone(),
            span: span.as_ref().map(|span| span.context().clone()),
            client,
            is_trusted,
        };
        let here = Here { app: &app, group, route, connection: &connection, id: &id, uri: head.uri.clone() };
        here.answer(origin, head, body, next, span.as_mut()).await
    };
    if let Some(start) = start {
        let (status, request_id) = (response.status().as_u16(), id.to_str().unwrap_or_default());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route, status, micros, request_id, "request answered");
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
            let frame = frame.map_err(|_| Error::body(BadBody::Broken))?;
            let data = frame.into_data().unwrap_or_default();
            length += data.len();
            if length <= limit {
                whole.extend_from_slice(&data);
            }
        }
        if length > limit { Err(Error::body_too_large(limit)) } else { Ok(whole.into()) }
    };
    timeout(bounds.body_timeout, read).await.unwrap_or(Err(Error::BODY_TOO_SLOW))
}

/// The person behind a proxy, and whether the proxy vouches for them.
fn client(app: &App, connection: &Connection, head: &Parts) -> (Option<std::net::IpAddr>, bool) {
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

/// A request that this node answers.
struct Here<'a> {
    app: &'a App,
    group: Group,
    /// The template of the path, or what logs say in its place: never the path of a request, which can contain a number.
    route: &'a str,
    connection: &'a Connection,
    id: &'a HeaderValue,
    uri: Uri,
}

impl Here<'_> {
    /// The answer of the handler, or why there is none; then what logs, metrics and traces tell of it.
    async fn answer(
        &self,
        origin: Origin,
        head: Parts,
        body: Result<Bytes, Error>,
        next: Next,
        span: Option<&mut Span>,
    ) -> Response {
        let Self { app, group, route, .. } = *self;
        let outcome = AssertUnwindSafe(self.checked(origin, head, body, next)).catch_unwind().await;
        let response = outcome.unwrap_or_else(|_| {
            // The panic hook has printed what and where; its payload may repeat input.
            error!(request_id = self.request_id(), route, "handler panicked");
            Error::PANICKED.answer(group.errors)
        });
        let found = response.extensions();
        let refusal = match found.get::<Error>().map(|error| error.cause) {
            Some(Cause::Refused(refusal)) => Some(refusal),
            Some(_) => None,
            None => found.get::<Refusal>().copied(),
        };
        let not_served = || match found.get::<Error>() {
            Some(error) => NotServed::of(error.status, error.code),
            None => found.get::<NotServed>().copied(),
        };
        if let Some(refusal) = refusal {
            app.metrics.refused(refusal.name());
            self.connection.server.logs.refusals.note(refusal, self.service_name());
        } else if let Some(reason) = not_served() {
            app.metrics.refused(reason.as_str());
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

    async fn checked(
        &self,
        origin: Origin,
        mut head: Parts,
        body: Result<Bytes, Error>,
        next: Next,
    ) -> Response {
        let origins = &self.app.settings.cors_origins;
        let depends_on_origin = !self.group.is_closed_to_pages && !origins.is_empty();
        let page = if depends_on_origin { cors::allowed_origin(origins, &head.headers) } else { None };
        let is_get = [Method::GET, Method::HEAD].contains(&head.method);
        let is_for_people = self.group.errors == ErrorFormat::Envelope
            && is_get
            && self.connection.server.routes != ServedRoutes::MetricsOnly
            && request::accepts(&head.headers, "text/html");
        let mut answer = match self.admit(&origin, &mut head, body, page.is_some()).await {
            Err(error) => error.answer(self.group.errors),
            // A preflight asks by OPTIONS, which no route has.
            Ok(_) if page.is_some() && cors::is_preflight(&head) => cors::preflight(),
            Ok(body) => {
                head.extensions.insert(origin);
                next.run(Request::from_parts(head, Body::from(body))).await
            }
        };
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer.extensions_mut().insert(NeedsMethods(Some(self.group.errors)));
            answer = answer.because(NotServed::Invalid);
        } else if let Some(error) = answer.extensions_mut().remove() {
            answer = self.told(error, answer, is_for_people);
        }
        if depends_on_origin {
            cors::add_headers(&mut answer, page);
        }
        answer
    }

    /// Whether the request may reach its handler.
    async fn admit(
        &self,
        origin: &Origin,
        head: &mut Parts,
        body: Result<Bytes, Error>,
        is_allowed_origin: bool,
    ) -> Result<Bytes, Error> {
        let body = body?;
        if !request::has_proper_host(head) {
            return Err(Error::BAD_HOST);
        }
        if self.route.contains('{') && !has_proper_params(head).await {
            return Err(Error::BAD_PATH);
        }
        let changes = head.method == Method::POST || head.method == Method::DELETE;
        if changes && !is_allowed_origin && request::is_cross_site(&head.headers) {
            return Err(Error::CROSS_SITE);
        }
        if self.group.is_compatible() && changes {
            origin.admit_compatible(head)?;
        }
        Ok(body)
    }

    /// An error in the form of the group, with what its route tells beside.
    fn told(&self, error: Error, answer: Response, is_for_people: bool) -> Response {
        let Self { group, route, .. } = *self;
        match error.cause {
            Cause::NoResource => error.at(self.uri.path()).answer(group.errors),
            Cause::Body(reason) => {
                debug!(request_id = self.request_id(), route, %reason, "request body refused");
                let answer = error.answer(group.errors);
                if group.is_compatible() { self.explained(reason, answer) } else { answer }
            }
            // The contract has one message for each 500 of these routes.
            Cause::Refused(Refusal::OutcomeUnknown)
                if group.is_compatible() && group.errors == ErrorFormat::Envelope =>
            {
                let reason = error.message;
                Error::PANICKED.of(error.cause).answer(group.errors).explained(&reason)
            }
            Cause::Other if error == Error::BAD_HOST && group.is_compatible() => {
                let reason = error.to_string();
                error.answer(group.errors).explained(&reason)
            }
            Cause::Other if error == Error::NOT_SERVED && is_for_people => {
                pages::not_found(self.app.inbox.is_some(), &self.uri)
            }
            _ if group.errors == ErrorFormat::Twilio => {
                let mut answer = answer;
                answer.extensions_mut().insert(error);
                answer
            }
            _ => error.answer(group.errors),
        }
    }

    /// A compatible route has no other place for a reason than a header.
    fn explained(&self, reason: BadBody, answer: Response) -> Response {
        let (route, first) = (self.route.to_owned(), self.request_id().to_owned());
        let mut logs = self.connection.server.logs.bad_bodies.lock();
        let log = logs.entry((route.clone(), discriminant(&reason))).or_default();
        log.note(move |count| info!(request_id = first, route, %reason, count, "request body refused"));
        answer.explained(&reason.to_string())
    }

    fn request_id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
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

/// Begins the span of a request. Those of machines that watch the server have none.
fn span_of(app: &App, head: &Parts, route: &str, request_id: &str) -> Option<Span> {
    let tracer = app.tracer.as_ref()?;
    let method = method_name(&head.method);
    if matches!(route, "/healthz" | "/readyz" | "/owner" | "/metrics") {
        return None;
    }
    let caller = request::only(&head.headers, &TRACEPARENT);
    let mut span = tracer.request(format!("{method} {route}"), caller)?;
    span.text("http.request.method", method);
    span.text("http.route", route.to_owned());
    span.text("onceward.request_id", request_id.to_owned());
    Some(span)
}

/// The name of a method for logs: a method that a client made up is not repeated.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
