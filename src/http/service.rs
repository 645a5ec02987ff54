//! One request, from its head to its response: whether there is such a route, who may use it, and its handler. The
//! handlers of the routes that neither send nor check codes are here.

use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tracing::{Level, debug, enabled, error, info};

use super::body_places::limited_address;
use super::connection::{ActiveRequest, CertificateHealth, Server};
use super::forward::{self, Destination, ForwardError, ForwardResult, Forwarded, Forwarder, NodeStatus};
use super::pages::inbox::InboxError;
use super::pages::{docs_page, home};
use super::proof::Sender;
use super::request::{self, BodyRoom, LocalUser, RequestBody, X_REQUEST_ID};
use super::response::{BadBody, NotServed, PIECE, Problem, Response};
use super::route::{Access, Handler, Resource, Route, Target, method_name};
use super::routes::GROUPS;
use super::server::{
    CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, Deps, GatewayHealth, ServedRoutes, Verify,
};
use super::v2::params::{Param, Text};
use super::{admin, compatible, cors, local, openapi, v2};
use crate::clock::Stopwatch;
use crate::domain::{ServiceId, Sid, SidKind};
use crate::log_limit::OncePerSecond;
use crate::metrics::{ForwardEnd, TextFormat};
use crate::numbers::{Refusal, Usage};
use crate::registry::Scope;
use crate::trace::{RequestId, Span, SpanContext};

/// Answers one request. Every failure becomes an answer.
pub async fn respond<V: Verify>(
    active: ActiveRequest<V>,
    request: Request<Incoming>,
) -> Result<hyper::Response<Body>, Infallible> {
    let (mut head, incoming) = request.into_parts();
    if let Some(user) = active.user() {
        head.extensions.insert(user);
    }
    let proxies = &active.server().deps.proxies;
    let client = request::client_address(proxies, &head.headers, active.peer());
    let room = BodyRoom {
        places: Arc::clone(&active.server().body_places),
        of_connection: Arc::clone(active.bodies()),
        address: limited_address(client, active.peer(), proxies),
    };
    let mut body = RequestBody::new(incoming, room);
    let target = target_of(head.uri.path(), active.server().deps.callbacks.as_deref());
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| active.request_id());
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);
    if head.method == Method::GET {
        active.note_read_only();
    }

    let mut peer = active.peer();
    let mut passed_on = None;
    let forwarder = active.server().deps.forwarder.as_ref();
    let forwarder =
        forwarder.filter(|_| active.server().deps.routes == ServedRoutes::All && active.user().is_none());
    if let Some(forwarder) = forwarder {
        match forwarder.sender(&head) {
            Sender::Client => {}
            Sender::Node { client, body: digest } => {
                body.expect(digest);
                passed_on = Some(client);
                forwarder.warn_if_misdirected(&head.headers);
            }
            Sender::Unproven => return Ok(response(forward::not_owner(), head, id, true, active.server())),
        }
    }
    // Held until the answer is made.
    let _in_progress;
    if let Some(forwarder) = forwarder
        && !target.is_of_this_node()
    {
        match forwarder.destination(passed_on, peer) {
            Destination::Local(client, in_progress) => (peer, _in_progress) = (client, in_progress),
            Destination::NotOwner => {
                return Ok(response(forward::not_owner(), head, id, true, active.server()));
            }
            Destination::Owner => match forward(forwarder, &active, &head, &mut body, &id).await {
                Ok(ForwardResult::BecameOwner(in_progress)) => _in_progress = in_progress,
                Ok(ForwardResult::Response(answer, permit)) => {
                    return Ok(forwarded_response(answer, permit, head.version, active.server()));
                }
                Err(problem) => {
                    let answer = problem.answer(target.errors());
                    return Ok(response(answer, head, id, body.is_left_over(), active.server()));
                }
            },
        }
    }

    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    let request_id = id.to_str().unwrap_or_default();
    let mut span = span_of(&active.server().deps, &head, target, request_id);
    let call = Call {
        deps: &active.server().deps,
        request_id,
        span: span.as_ref().map(Span::context),
        peer,
        client: request::client_address(&active.server().deps.proxies, &head.headers, peer),
        is_trusted: request::is_trusted(&active.server().deps.proxies, &head.headers, peer),
        is_passed_on: passed_on.is_some(),
        out_of_service: &active.server().out_of_service,
    };
    let work = answer(&call, target, &head, &mut body, &active.server().bad_bodies);
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    let answer = outcome.unwrap_or_else(|_| {
        // The panic hook has printed what and where; its payload may repeat input.
        error!(request_id, route = target.name(), "handler panicked");
        Problem::Panicked.answer(target.errors())
    });
    if body.is_left_over() {
        body.discard(head.version).await;
    }
    if let Some(reason) = answer.not_served {
        active.server().deps.metrics.refused(reason.name());
        if let NotServed::Refused(refusal) = reason {
            active.server().refusals.note(refusal, service_name(&call, target, head.uri.path()));
        }
    }
    if let Some(span) = &mut span {
        span.number("http.response.status_code", answer.status.as_u16());
        if answer.status.is_server_error() {
            span.fail();
        }
    }
    if let Some(start) = start {
        let (method, status) = (method_name(&head.method), answer.status.as_u16());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(method, route = target.name(), status, micros, request_id, "request answered");
    }
    let closes = body.is_left_over();
    if closes {
        active.note_unread_body();
    }
    Ok(response(answer, head, id, closes, active.server()))
}

/// Passes a request on to the owner of the records.
async fn forward<'a, V>(
    forwarder: &'a Forwarder,
    active: &ActiveRequest<V>,
    head: &Parts,
    body: &mut RequestBody,
    id: &HeaderValue,
) -> Result<ForwardResult<'a>, Problem> {
    let deps = &active.server().deps;
    // Only the owner can tell whose credential it is.
    body.note_admitted();
    let read = body.read(deps.bounds.body_bytes, deps.bounds.body_timeout).await?;
    let result = forwarder.forward(head, &read, active.peer(), id).await;
    if let Some(end) = forward_end(&result) {
        deps.metrics.forwarded(end);
    }
    result.inspect(|_| body.put_back(read)).map_err(Problem::from)
}

/// The body of an answer: whole, or a stream of events.
type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, BodyError>>;

/// Like [`respond`]. While the client takes the answer, nothing of the handler is held in memory.
pub fn respond_boxed<V: Verify>(
    active: ActiveRequest<V>,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<hyper::Response<Body>, Infallible>> {
    respond(active, request).boxed()
}

/// `None` for a request that this node answers in the end.
const fn forward_end(forwarded: &Result<ForwardResult<'_>, ForwardError>) -> Option<ForwardEnd> {
    match forwarded {
        Ok(ForwardResult::Response(..)) => Some(ForwardEnd::Answered),
        Ok(ForwardResult::BecameOwner(_)) => None,
        Err(error) => Some(error.end),
    }
}

/// The answer of the node that owns the records. A stream of events ends when this server stops. `permit` is held until
/// the body has ended.
fn forwarded_response<V>(
    mut answer: Forwarded,
    permit: OwnedSemaphorePermit,
    version: Version,
    server: &Server<V>,
) -> hyper::Response<Body> {
    let is_stream = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    if version <= Version::HTTP_11 && server.is_leaving.load(Ordering::Relaxed) {
        answer.headers_mut().insert(CONNECTION, CLOSE.clone());
    }
    let stop = server.stop.clone();
    answer.map(|body| {
        let body = body.map_err(BodyError::from).map_frame(move |frame| {
            let _held = &permit;
            frame
        });
        Either::Right(if is_stream {
            let frames = BodyStream::new(body).take_until(stop.cancelled_owned());
            StreamBody::new(frames).boxed_unsync()
        } else {
            body.boxed_unsync()
        })
    })
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

/// A body that is handed over in pieces, as the client takes them.
struct PiecewiseBody {
    content: Arc<Mutex<Content>>,
    /// Watches a body that holds a value: a client that takes no piece must not keep it.
    watch: Option<AbortHandle>,
}

struct Content {
    rest: Bytes,
    _held: Option<Arc<dyn Any + Send + Sync>>,
    is_aborted: bool,
}

/// Why an answer ends too early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the client does not take the answer")]
    ClientStalled,
    /// The node that owns the records did not end its answer.
    #[error(transparent)]
    Owner(#[from] reqwest::Error),
    #[error("the copy cannot be read: {0}")]
    Copy(#[from] io::Error),
}

/// An answer that holds a value is aborted when the client takes no piece of it for one to two of these intervals.
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(10);

impl PiecewiseBody {
    fn new(rest: Bytes, held: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        let is_watched = held.is_some();
        let content = Arc::new(Mutex::new(Content { rest, _held: held, is_aborted: false }));
        let watched = is_watched.then(|| Arc::downgrade(&content));
        let watch = watched.map(|content| tokio::spawn(abort_if_stalled(content)).abort_handle());
        Self { content, watch }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn abort_if_stalled(content: Weak<Mutex<Content>>) {
    let mut before = None;
    while let Some(content) = content.upgrade() {
        {
            let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
            let left = content.rest.len();
            if before == Some(left) {
                *content = Content { rest: Bytes::new(), _held: None, is_aborted: left > 0 };
                return;
            }
            before = Some(left);
        }
        drop(content);
        tokio::time::sleep(STALL_CHECK_INTERVAL).await;
    }
}

impl Drop for PiecewiseBody {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl hyper::body::Body for PiecewiseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut content = self.content();
        if content.is_aborted {
            return Poll::Ready(Some(Err(BodyError::ClientStalled)));
        }
        let len = content.rest.len().min(PIECE);
        let piece = content.rest.split_to(len);
        Poll::Ready((!piece.is_empty()).then_some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let content = self.content();
        content.rest.is_empty() && !content.is_aborted
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content().rest.len() as u64)
    }
}

static CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Adds the headers of every answer. `closes`: the rest of the request will not be read.
fn response<V>(
    answer: Response,
    head: Parts,
    id: HeaderValue,
    closes: bool,
    server: &Server<V>,
) -> hyper::Response<Body> {
    static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

    // Reuses the request's map, which hyper then reuses for the next request: a busy connection allocates no more maps.
    let mut headers: HeaderMap = head.headers;
    headers.clear();
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, answer.content_type);
    }
    headers.insert(&X_REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, NO_STORE.clone());
    // `extend` would keep both values if an answer has its own.
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    // HTTP/2 has no such header; there only the stream ends.
    if (closes || server.is_leaving.load(Ordering::Relaxed)) && head.version <= Version::HTTP_11 {
        headers.insert(CONNECTION, CLOSE.clone());
    }
    let body = if head.method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        Either::Left(Full::default())
    } else if let Some(events) = answer.events {
        Either::Right(events.body(server.stop.child_token()).map_err(|never| match never {}).boxed_unsync())
    } else if let Some(copying) = answer.copying {
        Either::Right(copying.body().map_err(BodyError::from).boxed_unsync())
    } else if answer.held.is_some() || answer.body.len() > PIECE {
        // A client that does not read a long answer holds a piece of it, and not all.
        Either::Right(PiecewiseBody::new(answer.body, answer.held).boxed_unsync())
    } else {
        Either::Left(Full::new(answer.body))
    };
    let mut response = hyper::Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins the span of a request. Those of machines that watch the server have none.
fn span_of<V>(deps: &Deps<V>, head: &Parts, target: Target, request_id: &str) -> Option<Span> {
    let tracer = deps.tracer.as_ref()?;
    let (method, route) = (method_name(&head.method), target.name());
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        return None;
    }
    let caller = request::only(&head.headers, &TRACEPARENT);
    let mut span = tracer.request(format!("{method} {route}"), caller)?;
    span.text("http.request.method", method);
    span.text("http.route", route);
    span.text("onceward.request_id", request_id.to_owned());
    Some(span)
}

/// The name of the service that a request is about, for the log.
fn service_name<V: Verify>(call: &Call<'_, V>, target: Target, path: &str) -> Option<String> {
    if target.is_compatible() {
        return Some(ServiceId::DEFAULT_NAME.to_owned());
    }
    let sid = path.strip_prefix("/v2/Services/")?.split('/').next()?;
    let sid = Sid::parse(SidKind::Service, sid)?;
    Some(call.deps.v2.get()?.registry.service(&sid).ok()?.name())
}

/// One request at a route.
pub struct Call<'a, V> {
    /// The handler's dependencies.
    pub deps: &'a Deps<V>,
    /// Stands in the answer and in the log.
    pub request_id: &'a str,
    /// The request's span, if it is traced.
    pub span: Option<&'a SpanContext>,
    /// The address of the other end: the client, or a proxy.
    pub peer: IpAddr,
    /// The person's address, if a trusted proxy names it.
    pub client: Option<IpAddr>,
    /// A trusted proxy says that the person is no bot.
    pub is_trusted: bool,
    /// Whether another node of the cluster passed the request on.
    pub is_passed_on: bool,
    out_of_service: &'a OncePerSecond,
}

impl<V> Call<'_, V> {
    /// Logs that the request was refused because every circuit is open: once a second at most.
    pub fn log_out_of_service(&self) {
        let request_id = self.request_id.to_owned();
        self.out_of_service.note(move |count| {
            info!(request_id, count, "verification not sent, every gateway is out of service");
        });
    }

    /// The request's id with its span.
    pub fn traced_id(&self) -> RequestId {
        RequestId::new(self.request_id, self.span.cloned())
    }
}

/// Answers a request.
async fn answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    head: &Parts,
    body: &mut RequestBody,
    bad_bodies: &OncePerSecond,
) -> Response {
    let origins = &call.deps.cors_origins;
    let depends_on_origin =
        matches!(target, Target::Resource(resource) if cors::depends_on_origin(origins, resource));
    let origin = if depends_on_origin { cors::allowed_origin(origins, &head.headers) } else { None };
    let mut answer = match try_answer(call, target, origin.is_some(), head, body).await {
        Ok(answer) => answer,
        Err(problem) => refusal(&problem, call.request_id, target, bad_bodies),
    };
    if depends_on_origin {
        cors::add_headers(&mut answer, origin);
    }
    answer
}

/// The answer to a request with a problem. A compatible route has no other place for a reason than a header.
fn refusal(problem: &Problem, request_id: &str, target: Target, bad_bodies: &OncePerSecond) -> Response {
    let answer = problem.answer(target.errors());
    let route = target.name();
    match *problem {
        Problem::BadBody(reason) if target.is_compatible() => {
            let first = request_id.to_owned();
            bad_bodies
                .note(move |count| info!(request_id = first, route, %reason, count, "request body refused"));
            debug!(request_id, route, %reason, "request body refused");
            answer.explained(&reason.to_string())
        }
        Problem::BadBody(reason) => {
            debug!(request_id, route, %reason, "request body refused");
            answer
        }
        Problem::BadHost if target.is_compatible() => answer.explained(&problem.status_and_message().1),
        _ => answer,
    }
}

async fn try_answer<V: Verify>(
    call: &Call<'_, V>,
    target: Target,
    is_allowed_origin: bool,
    head: &Parts,
    body: &mut RequestBody,
) -> Result<Response, Problem> {
    let deps = call.deps;
    if !request::has_proper_host(head) {
        return Err(Problem::BadHost);
    }
    let Target::Resource(resource) = target else { return Err(Problem::NotFound) };
    let is_local = head.extensions.get::<LocalUser>().is_some();
    if !is_served(deps, resource) || resource.is_local() && !is_local {
        return Err(Problem::NotFound);
    }
    if is_allowed_origin && cors::is_preflight(head) {
        return Ok(cors::preflight(resource));
    }
    let found = resource.route(&head.method);
    if found.is_none() && !resource.allows(&head.method) {
        return Err(Problem::MethodNotAllowed(&resource.allow));
    }
    let changes = head.method == Method::POST || head.method == Method::DELETE;
    if changes && !is_allowed_origin && request::is_cross_site(&head.headers) {
        return Err(Problem::CrossSite);
    }
    let is_form =
        found.is_some_and(|(_, route)| matches!(route.handler, Handler::TrySend | Handler::TryCheck));
    if is_form && !request::is_own_form(head) {
        return Err(Problem::CrossSite);
    }
    let Some((access, route)) = found else {
        let what = resource.not_served.unwrap_or_default();
        return Ok(v2::not_served(call, what, head).answer());
    };
    if access == Access::Compatible {
        if let Some(v2) = deps.v2.get() {
            v2.admit_compatible(head, deps.host_name.as_deref())?;
        }
        body.note_admitted();
    }
    let (limit, time) = (deps.bounds.body_bytes, deps.bounds.body_timeout);
    let answer = match route.handler {
        Handler::SendOtp => compatible::send_otp(call, &body.read(limit, time).await?).await,
        Handler::VerifyOtp => compatible::verify_otp(call, &body.read(limit, time).await?).await,
        Handler::SendCode => compatible::send_code(call, &body.read(limit, time).await?).await,
        Handler::VerifyCode => compatible::verify_code(call, &body.read(limit, time).await?).await,
        Handler::V2(handler) => {
            let answer = v2::answer(call, access, handler, head, body).await;
            Ok(answer.unwrap_or_else(v2::Error::answer))
        }
        Handler::Callback(kind) => callback(deps, kind, head, body.read(limit, time).await?).await,
        Handler::Inbox => inbox(deps, head),
        Handler::Admin(page) => admin::answer(call, page, head, body).await,
        Handler::Metrics => metrics(call, head).await,
        Handler::Ready => Ok(ready(call).await),
        Handler::Index => Ok(index(deps, head)),
        Handler::Server => Ok(local::server(deps)),
        Handler::TrySend | Handler::TryCheck => {
            let body = body.read(limit, time).await?;
            let permit = deps.long_trials.acquire(None).map_err(|_| Problem::Refused(Refusal::Overloaded))?;
            let answer = if matches!(route.handler, Handler::TrySend) {
                home::send(call, head, &body).await
            } else {
                home::check(call, head, &body).await
            };
            answer.map(|answer| permit.cover(answer))
        }
        Handler::Docs => Ok(docs_page(deps.inbox.is_some())),
        Handler::Fixed(answer) => Ok(answer()),
    }?;
    let limiter = match route.handler {
        // The request may have had an effect.
        _ if changes => return Ok(answer),
        // `/v2` limits its own long answers. `/readyz` is never limited: slow clients must not make the server look
        // unready.
        Handler::V2(_) | Handler::Ready => return Ok(answer),
        Handler::Metrics => &deps.long_metrics,
        _ => &deps.long_pages,
    };
    limiter.limit(None, answer).map_err(|_| Problem::Refused(Refusal::Overloaded))
}

/// Whether this server has a resource: the inbox and the callbacks depend on its gateways.
fn is_served<V>(deps: &Deps<V>, resource: &Resource) -> bool {
    match resource.first() {
        Some(Handler::Metrics) => true,
        _ if deps.routes == ServedRoutes::MetricsOnly => false,
        Some(Handler::Inbox) => deps.inbox.is_some(),
        Some(Handler::TrySend | Handler::TryCheck) => deps.simulates_all,
        Some(Handler::Callback(_)) => deps.callbacks.is_some(),
        _ => true,
    }
}

static X_TWILIO_SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

pub fn hello_world() -> Response {
    Response::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
pub fn index<V: Verify>(deps: &Deps<V>, head: &Parts) -> Response {
    if accepts(&head.headers, "text/html") {
        return home::page(deps, head);
    }
    let is_listed = |route: &&Route| match route.handler {
        Handler::V2(_) => false,
        Handler::Inbox => deps.inbox.is_some(),
        Handler::TrySend | Handler::TryCheck => deps.simulates_all,
        Handler::Callback(_) => deps.callbacks.is_some(),
        _ => true,
    };
    let listed = GROUPS.iter().flat_map(|group| group.routes).filter(is_listed);
    let routes = listed.map(|route| format!("{} {}", route.verb.as_str(), route.path));
    let routes: Vec<String> = routes.chain(["/v2/.., see GET /docs".to_owned()]).collect();
    let message = "onceward: phone verification by one-time code";
    Response::envelope(StatusCode::OK, 200, message, Some(json!({ "routes": routes })))
}

/// Whether `Accept` names the media type. `*/*` does not count: programs say it, or nothing.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        is_named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

pub fn description() -> Response {
    Response::json_text(StatusCode::OK, openapi::text())
}

/// The names of the fields are part of the response, also those of the types below.
#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayHealth>,
    /// From the limit on, new numbers are refused. The server stays ready: known numbers are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<CertificateHealth>,
    /// Of a node of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<NodeStatus>,
}

/// `GET /healthz`: the process lives.
pub fn alive() -> Response {
    Response::plain(StatusCode::OK, "alive")
}

/// `GET /readyz`: the server can do its work, or the reasons why not; and how the gateways and the certificate are and
/// how many numbers are remembered, if that is known. A node that stands by is ready while the owner is.
async fn ready<V>(call: &Call<'_, V>) -> Response {
    let mut details = details(call.deps);
    if details.reasons.is_none()
        && let Some(forwarder) = &call.deps.forwarder
    {
        // An id is visible ASCII.
        let id = HeaderValue::from_str(call.request_id).unwrap_or(HeaderValue::from_static(""));
        let readiness = forwarder.readiness(call.is_passed_on, call.peer, &id).await;
        details.reasons = readiness.err().map(|reason| vec![reason]);
    }
    if details.reasons.is_some() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Response::envelope(status, status.as_u16(), "not ready", Some(details)).retry_later();
    }
    let says_more = !details.gateways.is_empty()
        || details.numbers.is_some()
        || details.tls.is_some()
        || details.cluster.is_some();
    let details = says_more.then_some(details);
    Response::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details)
}

fn details<V>(deps: &Deps<V>) -> Details {
    Details {
        reasons: (deps.readiness)().err(),
        gateways: (deps.gateways)(),
        numbers: (deps.numbers)(),
        tls: deps.tls.as_ref().map(|tls| tls.certificate()),
        cluster: deps.forwarder.as_ref().map(|forwarder| forwarder.status()),
    }
}

/// `GET /metrics`. A node that does not own the records has no keys: it asks the owner whether the caller may read metrics.
async fn metrics<V>(call: &Call<'_, V>, head: &Parts) -> Result<Response, Problem> {
    let (deps, headers) = (call.deps, &head.headers);
    if deps.routes == ServedRoutes::All {
        match (deps.v2.get(), &deps.forwarder) {
            (Some(v2), forwarder) => {
                v2.admit(head, &[Scope::Metrics, Scope::Admin])?;
                if forwarder.is_some() && call.is_passed_on {
                    // A standby asks on behalf of its caller, and renders its own metrics.
                    return Ok(Response::plain(StatusCode::OK, "the caller may read metrics"));
                }
            }
            (None, Some(_)) if call.is_passed_on => return Ok(forward::not_owner()),
            (None, Some(forwarder)) => may_read_metrics(call, forwarder, head).await?,
            (None, None) => return Err(Problem::Refused(Refusal::Starting)),
        }
    }
    if let Some(forwarder) = &deps.forwarder {
        deps.metrics.node_state(forwarder.state());
    }
    let is_open = accepts(headers, "application/openmetrics-text");
    let format = if is_open { TextFormat::OpenMetrics } else { TextFormat::Classic };
    let text = deps.metrics.text(format, (deps.reading)().as_ref());
    Ok(Response::page(format.content_type(), &[], text))
}

/// Asks the owner of the records whether the caller may read metrics.
async fn may_read_metrics<V>(call: &Call<'_, V>, forwarder: &Forwarder, head: &Parts) -> Result<(), Problem> {
    let mut question = head.clone();
    question.method = Method::HEAD;
    // An id is visible ASCII.
    let id = HeaderValue::from_str(call.request_id).map_err(|_| Problem::BadHead)?;
    match forwarder.forward(&question, &Bytes::new(), call.peer, &id).await? {
        ForwardResult::Response(answer, _) => match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(Problem::Unauthenticated),
            StatusCode::FORBIDDEN => Err(Problem::Forbidden),
            _ => Err(Problem::NoNode),
        },
        ForwardResult::BecameOwner(_) => Err(Problem::NoNode),
    }
}

/// The filter of the inbox, which its page reads.
pub fn describe_inbox() -> Vec<Param> {
    vec![Param::of::<Option<Text<40>>>("to", "Only messages to this number.", "+14155552671")]
}

/// `GET /inbox` and below. The pages show codes; therefore no page of another site may read them.
pub fn inbox<V: Verify>(deps: &Deps<V>, head: &Parts) -> Result<Response, Problem> {
    let simulator = deps.inbox.as_deref().ok_or(Problem::NotFound)?;
    if deps.inbox_needs_credentials {
        let v2 = deps.v2.get().ok_or(Problem::Refused(Refusal::Starting))?;
        v2.admit(head, &[Scope::Admin])?;
    }
    if !request::names_this_server(head, deps.host_name.as_deref()) {
        return Err(Problem::ForeignHost);
    }
    let (path, query) = (head.uri.path(), head.uri.query());
    if path == "/inbox/events" {
        return deps.event_streams.open(simulator.changes());
    }
    let origin = home::origin(deps, head);
    match home::with_view(deps, simulator, &origin, |view| view.answer(path, query)) {
        Ok(page) => Ok(page),
        Err(InboxError::NoSuchPage) => Err(Problem::NotFound),
        Err(error @ InboxError::BadNumber(_)) => {
            Ok(Response::plain(StatusCode::BAD_REQUEST, &error.to_string()))
        }
    }
}

/// `POST /callbacks/twilio/..`: passes a report on unchanged. Its signature covers the path, the query and the body.
pub async fn callback<V>(
    deps: &Deps<V>,
    kind: CallbackKind,
    head: &Parts,
    body: Bytes,
) -> Result<Response, Problem> {
    let callbacks = deps.callbacks.as_deref().ok_or(Problem::NotFound)?;
    let path_and_query = head.uri.path_and_query().map_or("", |both| both.as_str());
    let request = CallbackRequest {
        kind,
        path_and_query: path_and_query.to_owned(),
        content_type: request::only(&head.headers, &CONTENT_TYPE).map(str::to_owned),
        signature: request::only(&head.headers, &X_TWILIO_SIGNATURE).map(str::to_owned),
        body,
    };
    match callbacks.receive(request).await {
        CallbackAnswer::NoContent => Ok(Response::empty()),
        CallbackAnswer::Twiml(document) => Ok(Response::xml(StatusCode::OK, document)),
        CallbackAnswer::BadSignature => Err(Problem::BadSignature),
        CallbackAnswer::Unreadable => Err(Problem::BadBody(BadBody::Report)),
        CallbackAnswer::Unavailable => Err(Problem::CallbackUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_holds_its_value_until_its_last_piece_is_taken() {
        let held: Arc<dyn Any + Send + Sync> = Arc::new(());
        let whole = Bytes::from(vec![7; 3 * PIECE + 1]);
        let mut body = PiecewiseBody::new(whole.clone(), Some(Arc::clone(&held)));
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), Some(whole.len() as u64));
        let mut taken = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            assert_eq!(Arc::strong_count(&held), 2);
            taken.extend_from_slice(frame.data_ref().expect("data"));
        }
        drop(body);
        assert!(taken == whole);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_piece_loses_its_place_and_the_rest() {
        let held: Arc<dyn Any + Send + Sync> = Arc::new(());
        let mut body = PiecewiseBody::new(Bytes::from(vec![7; 9 * PIECE]), Some(Arc::clone(&held)));
        for _ in 0..8 {
            tokio::time::sleep(STALL_CHECK_INTERVAL * 9 / 10).await;
            assert!(matches!(body.frame().await, Some(Ok(_))), "a slow client is served");
        }
        assert_eq!(Arc::strong_count(&held), 2);
        tokio::time::sleep(2 * STALL_CHECK_INTERVAL + Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(matches!(body.frame().await, Some(Err(BodyError::ClientStalled))));
    }
}
