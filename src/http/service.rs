//! One request, from its head to its response: whether there is such a route, who may use it, and its handler. The
//! handlers of the routes that neither send nor check codes are here.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use matchit::Params;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tracing::{Level, debug, enabled, error, info};

use super::connection::{ActiveRequest, CertificateHealth, Server};
use super::forward::{self, Destination, ForwardResult, Forwarded, Forwarder, NodeStatus};
use super::places::{LongAnswerPermit, limited_address};
use super::proof::Sender;
use super::request::{self, BodyRoom, LocalUser, RequestBody, X_REQUEST_ID};
use super::response::{
    ALIVE, BadBody, ErrorFormat, Fixed, NotServed, PIECE, Problem, REFUSED_SECONDS, Response,
};
use super::route::{Access, Target, method_name};
use super::routes::GROUPS;
use super::server::{
    CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, Deps, GatewayHealth, ServedRoutes,
};
use super::{cors, openapi, pages, v2};
use crate::clock::Stopwatch;
use crate::domain::{ServiceId, Sid, SidKind};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{ForwardEnd, TextFormat};
use crate::observe::trace::{RequestId, Span, SpanContext};
use crate::registry::Scope;
use crate::verification::numbers::{Refusal, Usage};

/// Answers one request. Every failure becomes an answer.
pub async fn respond(
    active: ActiveRequest,
    request: Request<Incoming>,
) -> Result<hyper::Response<Body>, Infallible> {
    let server = active.server();
    let deps = &*server.deps;
    let (mut head, incoming) = request.into_parts();
    if let Some(user) = active.user() {
        head.extensions.insert(user);
    }
    let client = request::client_address(&deps.proxies, &head.headers, active.peer());
    let room = BodyRoom {
        places: Arc::clone(&server.body_places),
        of_connection: Arc::clone(active.bodies()),
        address: limited_address(client, active.peer(), &deps.proxies),
    };
    let mut body = RequestBody::new(incoming, room);
    let target = Target::of(routed_path(head.uri.path(), deps.callbacks.as_deref()));
    let id = request::id_of_client(&head.headers).unwrap_or_else(|| active.request_id());
    let start = enabled!(Level::DEBUG).then(Stopwatch::start);

    let (mut peer, mut is_passed_on) = (active.peer(), false);
    // Held until the answer is made.
    let _in_progress;
    let may_forward = deps.routes == ServedRoutes::All && active.user().is_none();
    if let Some(forwarder) = deps.forwarder.as_ref().filter(|_| may_forward) {
        let forwarding = match forwarder.sender(&head) {
            Sender::Client => Ok(None),
            Sender::Node { client, body: digest } => {
                body.expect(digest);
                is_passed_on = true;
                forwarder.warn_if_misdirected(&head.headers);
                Ok(Some(client))
            }
            Sender::Unproven => Err(forward::not_owner()),
        };
        let answer = match forwarding {
            Ok(_) if target.is_of_this_node() => None,
            Ok(passed_on) => match forwarder.destination(passed_on, peer) {
                Destination::Local(client, in_progress) => {
                    (peer, _in_progress) = (client, in_progress);
                    None
                }
                Destination::NotOwner => Some((forward::not_owner(), true)),
                Destination::Owner => match forward(forwarder, &active, &head, &mut body, &id).await {
                    Ok(ForwardResult::BecameOwner(in_progress)) => {
                        _in_progress = in_progress;
                        None
                    }
                    Ok(ForwardResult::Response(answer, permit)) => {
                        return Ok(forwarded_response(answer, permit, head.version, server));
                    }
                    Err(problem) => Some((problem.answer(target.errors()), body.is_left_over())),
                },
            },
            Err(answer) => Some((answer, true)),
        };
        if let Some((answer, closes)) = answer {
            drop(target);
            return Ok(response(answer, None, head, id, closes, server));
        }
    }

    let (answer, permit) = answer_here(server, &head, &mut body, &target, &id, (peer, is_passed_on)).await;
    if body.is_left_over() {
        body.discard(head.version).await;
    }
    let closes = body.is_left_over();
    if closes {
        active.note_unread_body();
    }
    if let Some(start) = start {
        let (method, route, status) = (method_name(&head.method), target.name(), answer.status.as_u16());
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(
            method,
            route,
            status,
            micros,
            request_id = id.to_str().unwrap_or_default(),
            "request answered"
        );
    }
    drop(target);
    Ok(response(answer, permit, head, id, closes, server))
}

/// Answers a request from `peer` at this node; `is_passed_on`: another node received it. The permit is for the body of the
/// answer.
async fn answer_here(
    server: &Server,
    head: &Parts,
    body: &mut RequestBody,
    target: &Target<'_>,
    id: &HeaderValue,
    (peer, is_passed_on): (IpAddr, bool),
) -> (Response, Option<LongAnswerPermit>) {
    let deps = &*server.deps;
    // Ids are visible ASCII: a client's is checked, ours is made of hex digits.
    let request_id = id.to_str().unwrap_or_default();
    let mut span = span_of(deps, head, target, request_id);
    let mut call = Call {
        deps,
        head,
        body,
        params: &target.params,
        request_id,
        span: span.as_ref().map(Span::context),
        peer,
        client: request::client_address(&deps.proxies, &head.headers, peer),
        is_trusted: request::is_trusted(&deps.proxies, &head.headers, peer),
        is_passed_on,
        permit: None,
        out_of_service: &server.out_of_service,
    };
    let outcome = AssertUnwindSafe(answer(&mut call, target, &server.bad_bodies)).catch_unwind().await;
    let answer = outcome.unwrap_or_else(|_| {
        // The panic hook has printed what and where; its payload may repeat input.
        error!(request_id, route = target.name(), "handler panicked");
        Problem::Panicked.answer(target.errors())
    });
    let permit = call.permit.take();
    if let Some(reason) = answer.not_served {
        deps.metrics.refused(reason.name());
        if let NotServed::Refused(refusal) = reason {
            server.refusals.note(refusal, service_name(&call, target));
        }
    }
    if let Some(span) = &mut span {
        span.number("http.response.status_code", answer.status.as_u16());
        if answer.status.is_server_error() {
            span.fail();
        }
    }
    (answer, permit)
}

/// Passes a request on to the owner of the records.
async fn forward<'a>(
    forwarder: &'a Forwarder,
    active: &ActiveRequest,
    head: &Parts,
    body: &mut RequestBody,
    id: &HeaderValue,
) -> Result<ForwardResult<'a>, Problem> {
    let deps = &active.server().deps;
    // Only the owner can tell whose credential it is.
    body.note_admitted();
    let read = body.read(deps.bounds.body_bytes, deps.bounds.body_timeout).await?;
    let result = forwarder.forward(head, &read, active.peer(), id).await;
    match &result {
        Ok(ForwardResult::Response(..)) => deps.metrics.forwarded(ForwardEnd::Answered),
        // This node answers it in the end.
        Ok(ForwardResult::BecameOwner(_)) => {}
        Err(error) => deps.metrics.forwarded(error.end),
    }
    result.inspect(|_| body.put_back(read)).map_err(Problem::from)
}

/// The body of an answer: whole, or a stream of events.
type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, BodyError>>;

/// Like [`respond`]. While the client takes the answer, nothing of the handler is held in memory.
pub fn respond_boxed(
    active: ActiveRequest,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<hyper::Response<Body>, Infallible>> {
    respond(active, request).boxed()
}

/// The answer of the node that owns the records. A stream of events ends when this server stops. `permit` is held until
/// the body has ended.
fn forwarded_response(
    mut answer: Forwarded,
    permit: OwnedSemaphorePermit,
    version: Version,
    server: &Server,
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

/// The path as the table has it. Reports may come with the path of the public address in front of ours; nothing else does.
fn routed_path<'p>(path: &'p str, callbacks: Option<&dyn Callbacks>) -> &'p str {
    let ours = callbacks.and_then(|callbacks| path.strip_prefix(callbacks.path_prefix()));
    ours.filter(|ours| ours.starts_with("/callbacks/")).unwrap_or(path)
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

/// A client must take a piece of an answer with a permit within this time.
const STALL_LIMIT: Duration = Duration::from_secs(15);

/// A body that is handed over in pieces, as the client takes them. A client that takes none for [`STALL_LIMIT`] loses
/// the permit and the rest.
fn piecewise(body: Bytes, permit: Option<LongAnswerPermit>) -> UnsyncBoxBody<Bytes, BodyError> {
    let pieces = move |rest: &mut Bytes| {
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then_some(piece)
    };
    let Some(permit) = permit else {
        let mut rest = body;
        let pieces = stream::iter(std::iter::from_fn(move || pieces(&mut rest)));
        return StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync();
    };
    let (mut rest, left) = (body.clone(), body.len());
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _permit = permit;
        while let Some(piece) = pieces(&mut rest)
            && let Ok(Ok(())) = timeout(STALL_LIMIT, sender.send(piece)).await
        {}
    });
    let taken = stream::unfold((receiver, left), |(mut receiver, left)| async move {
        match receiver.recv().await {
            Some(piece) => {
                let left = left - piece.len();
                Some((Ok(Frame::data(piece)), (receiver, left)))
            }
            None => (left > 0).then_some((Err(BodyError::ClientStalled), (receiver, 0))),
        }
    });
    StreamBody::new(taken).boxed_unsync()
}

static CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Adds the headers of every answer. `closes`: the rest of the request will not be read.
fn response(
    answer: Response,
    permit: Option<LongAnswerPermit>,
    head: Parts,
    id: HeaderValue,
    closes: bool,
    server: &Server,
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
    } else if answer.body.len() > PIECE {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        Either::Right(piecewise(answer.body, permit))
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
fn span_of(deps: &Deps, head: &Parts, target: &Target<'_>, request_id: &str) -> Option<Span> {
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
fn service_name(call: &Call<'_>, target: &Target<'_>) -> Option<String> {
    if target.is_compatible() {
        return Some(ServiceId::DEFAULT_NAME.to_owned());
    }
    let sid = Sid::parse(SidKind::Service, &call.param("ServiceSid")?)?;
    Some(call.deps.v2.get()?.registry.service(&sid).ok()?.name())
}

/// One request at a route.
pub struct Call<'a> {
    /// The handler's dependencies.
    pub deps: &'a Deps,
    pub head: &'a Parts,
    pub body: &'a mut RequestBody,
    /// The variable segments of the path, as they were sent.
    pub params: &'a Params<'static, 'a>,
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
    /// Allows a long answer until the client has taken it.
    pub permit: Option<LongAnswerPermit>,
    out_of_service: &'a OncePerSecond,
}

impl Call<'_> {
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

    /// A variable segment of the path, percent-decoded.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        percent_decode_str(self.params.get(name)?).decode_utf8().ok()
    }

    pub async fn read_body(&mut self) -> Result<Bytes, Problem> {
        self.body.read(self.deps.bounds.body_bytes, self.deps.bounds.body_timeout).await
    }
}

async fn answer(call: &mut Call<'_>, target: &Target<'_>, bad_bodies: &OncePerSecond) -> Response {
    let origins = &call.deps.cors_origins;
    let is_open = target.resource.is_ok_and(|resource| !resource.group.is_closed_to_pages);
    let depends_on_origin = is_open && !origins.is_empty();
    let origin = if depends_on_origin { cors::allowed_origin(origins, &call.head.headers) } else { None };
    let mut answer = match try_answer(call, target, origin.is_some()).await {
        Ok(answer) => answer,
        Err(problem) => not_found_for_browser(call, problem, target)
            .unwrap_or_else(|| refusal(&problem, call.request_id, target, bad_bodies)),
    };
    if depends_on_origin {
        cors::add_headers(&mut answer, origin);
    }
    answer
}

/// For a browser's page that does not exist: the page of the path without its trailing slash, or a page that says so.
fn not_found_for_browser(call: &Call<'_>, problem: Problem, target: &Target<'_>) -> Option<Response> {
    let (deps, head) = (call.deps, call.head);
    let is_get = [Method::GET, Method::HEAD].contains(&head.method);
    let is_of_api = target.errors() != ErrorFormat::Envelope || deps.routes != ServedRoutes::All;
    if problem != Problem::NotFound || !is_get || is_of_api || !accepts(&head.headers, "text/html") {
        return None;
    }
    let page = head.uri.path().trim_end_matches('/');
    let is_page = page != head.uri.path()
        && Target::of(page).resource.is_ok_and(|resource| {
            let route = resource.route(&Method::GET).filter(|(_, route)| !route.is_described());
            route.is_some() && !resource.is_local() && (resource.group.is_served)(deps)
        });
    if !is_page {
        return Some(pages::not_found(deps.inbox.is_some()));
    }
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(pages::redirect(&format!("{page}{query}")))
}

/// The answer to a request with a problem. A compatible route has no other place for a reason than a header.
fn refusal(problem: &Problem, request_id: &str, target: &Target<'_>, bad_bodies: &OncePerSecond) -> Response {
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

async fn try_answer(
    call: &mut Call<'_>,
    target: &Target<'_>,
    is_allowed_origin: bool,
) -> Result<Response, Problem> {
    let (deps, head) = (call.deps, call.head);
    if !request::has_proper_host(head) {
        return Err(Problem::BadHost);
    }
    let resource = target.resource.map_err(|_| Problem::NotFound)?;
    let is_in_listener = deps.routes == ServedRoutes::All || resource.path == METRICS;
    let is_local = head.extensions.get::<LocalUser>().is_some();
    if !is_in_listener || !(resource.group.is_served)(deps) || resource.is_local() && !is_local {
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
    let Some((access, route)) = found else {
        let what = resource.not_served.unwrap_or_default();
        return v2::not_served(call, what);
    };
    if access == Access::Compatible {
        if let Some(v2) = deps.v2.get() {
            v2.admit_compatible(head, deps.host_name.as_deref())?;
        }
        call.body.note_admitted();
    }
    let answer = (route.handler.answer)(call, (access, route)).await?;
    // An answer that was made for this request. That to a change is never refused. Lists below `/v2` have taken their
    // permits. `/readyz` is never limited: slow clients must not make the server look unready.
    let is_of_api = resource.group.errors == ErrorFormat::Twilio;
    let is_limited = !is_of_api && answer.body.len() > PIECE && answer.body.is_unique();
    if is_limited && !changes && resource.path != READYZ && call.permit.is_none() {
        let permit = deps.long_answers.acquire(None).ok_or(Problem::Refused(Refusal::Overloaded))?;
        call.permit = Some(permit);
    }
    Ok(answer)
}

const METRICS: &str = "/metrics";
const READYZ: &str = "/readyz";

static X_TWILIO_SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");

pub fn hello_world(_: &Call<'_>) -> Response {
    Response::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
pub fn index(call: &Call<'_>) -> Response {
    if accepts(&call.head.headers, "text/html") {
        return pages::start(call.deps.inbox.is_some(), call.deps.simulates_all);
    }
    let listed = GROUPS.iter().filter(|group| group.is_listed && (group.is_served)(call.deps));
    let routes = listed.flat_map(|group| group.routes);
    let routes = routes.map(|route| format!("{} {}", route.verb.as_str(), route.path));
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

pub fn description(call: &Call<'_>) -> Response {
    static DESCRIPTION: LazyLock<Fixed> =
        LazyLock::new(|| Fixed::new(Response::json_text(StatusCode::OK, openapi::text())));
    DESCRIPTION.answer(&call.head.headers)
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
pub fn alive(_: &Call<'_>) -> Response {
    Response::plain(StatusCode::OK, ALIVE)
}

/// `GET /readyz`: the server can do its work, or the reasons why not; and how the gateways and the certificate are and
/// how many numbers are remembered, if that is known. A node that stands by is ready while the owner is.
pub async fn ready(call: &mut Call<'_>) -> Result<Response, Problem> {
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
        let answer = Response::envelope(status, status.as_u16(), "not ready", Some(details));
        return Ok(answer.retry_after(REFUSED_SECONDS));
    }
    let says_more = !details.gateways.is_empty()
        || details.numbers.is_some()
        || details.tls.is_some()
        || details.cluster.is_some();
    let details = says_more.then_some(details);
    Ok(Response::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details))
}

fn details(deps: &Deps) -> Details {
    Details {
        reasons: (deps.readiness)().err(),
        gateways: (deps.gateways)(),
        numbers: (deps.numbers)(),
        tls: deps.tls.as_ref().map(|tls| tls.certificate()),
        cluster: deps.forwarder.as_ref().map(|forwarder| forwarder.status()),
    }
}

/// `GET /metrics`. A node that does not own the records has no keys: it asks the owner whether the caller may read metrics.
pub async fn metrics(call: &mut Call<'_>) -> Result<Response, Problem> {
    let (deps, head) = (call.deps, call.head);
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
            (None, Some(forwarder)) => may_read_metrics(call, forwarder).await?,
            (None, None) => return Err(Problem::Refused(Refusal::Starting)),
        }
    }
    if let Some(forwarder) = &deps.forwarder {
        deps.metrics.node_state(forwarder.state());
    }
    let is_open = accepts(&head.headers, "application/openmetrics-text");
    let format = if is_open { TextFormat::OpenMetrics } else { TextFormat::Classic };
    let text = deps.metrics.text(format, (deps.reading)().as_ref());
    Ok(Response::page(format.content_type(), &[], text))
}

/// Asks the owner of the records whether the caller may read metrics.
async fn may_read_metrics(call: &Call<'_>, forwarder: &Forwarder) -> Result<(), Problem> {
    let mut question = call.head.clone();
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

/// `POST /callbacks/..`, and `GET` for gateways with a recipe: passes a report on unchanged. Its signature covers the path, the
/// query and the body.
pub async fn callback(call: &mut Call<'_>, kind: Option<CallbackKind>) -> Result<Response, Problem> {
    let callbacks = call.deps.callbacks.as_deref().ok_or(Problem::NotFound)?;
    let (head, body) = (call.head, call.read_body().await?);
    let path_and_query = head.uri.path_and_query().map_or("", |both| both.as_str());
    let request = CallbackRequest {
        kind,
        path_and_query: path_and_query.to_owned(),
        content_type: request::only(&head.headers, &CONTENT_TYPE).map(str::to_owned),
        signature: request::only(&head.headers, &X_TWILIO_SIGNATURE).map(str::to_owned),
        headers: head.headers.clone(),
        body,
    };
    match callbacks.receive(request).await {
        CallbackAnswer::NoContent => Ok(Response::empty()),
        CallbackAnswer::Twiml(document) => Ok(Response::xml(StatusCode::OK, document)),
        CallbackAnswer::Challenge(text) => {
            Ok(Response::page("text/plain; charset=utf-8", &[("x-content-type-options", "nosniff")], text))
        }
        CallbackAnswer::BadSignature => Err(Problem::BadSignature),
        CallbackAnswer::Unreadable => Err(Problem::BadBody(BadBody::Report)),
        CallbackAnswer::Unavailable => Err(Problem::CallbackUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::places::LongAnswers;

    #[tokio::test]
    async fn a_body_holds_its_permit_until_its_last_piece_is_taken() {
        let (limit, whole) = (LongAnswers::default(), Bytes::from(vec![7; 3 * PIECE + 1]));
        let mut others: Vec<_> = (0..7).filter_map(|_| limit.acquire(None)).collect();
        let mut body = piecewise(whole.clone(), limit.acquire(None));
        let mut taken = Vec::new();
        while taken.len() <= 2 * PIECE {
            assert!(limit.acquire(None).is_none());
            let frame = body.frame().await.expect("a piece").expect("no stall");
            taken.extend_from_slice(frame.data_ref().expect("data"));
        }
        let rest = body.collect().await.expect("the rest").to_bytes();
        assert!([taken, rest.to_vec()].concat() == whole);
        others.extend(limit.acquire(None));
        assert_eq!(others.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_piece_loses_its_permit_and_the_rest() {
        let limit = LongAnswers::default();
        let _others: Vec<_> = (0..7).filter_map(|_| limit.acquire(None)).collect();
        let mut body = piecewise(Bytes::from(vec![7; 9 * PIECE]), limit.acquire(None));
        for _ in 0..4 {
            tokio::time::sleep(STALL_LIMIT * 9 / 10).await;
            assert!(matches!(body.frame().await, Some(Ok(_))), "a slow client is served");
        }
        assert!(limit.acquire(None).is_none());
        tokio::time::sleep(STALL_LIMIT + Duration::from_millis(1)).await;
        assert!(limit.acquire(None).is_some());
        assert!(matches!(body.frame().await, Some(Ok(_))), "one piece was on its way");
        assert!(matches!(body.frame().await, Some(Err(BodyError::ClientStalled))));
    }
}
