//! Health, metrics and a greeting: what each node of a cluster answers by itself.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH};
use hyper::{Method, StatusCode, Uri};
use serde::Serialize;

use super::app::ServedRoutes;
use super::call::Call;
use super::forward::{self, ForwardResult, Forwarder, NodeStatus};
use super::request::{self, LocalUser};
use super::response::{self, ALIVE, Envelope, Problem, REFUSED_SECONDS, ResponseExt as _};
use super::route::{ApiGroup, ApiRouter, Content, Operation, Success};
use super::tls::{CertificateHealth, Tls};
use crate::delivery::GatewayState;
use crate::node::Unready;
use crate::observe::metrics::{TableReading, TextFormat};
use crate::registry::Scope;
use crate::verification::numbers::Usage;

async fn hello_world() -> Response {
    response::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}

/// The names of the fields are part of the response, also those of the types below.
#[derive(Serialize, Default)]
struct Details {
    /// The part that does not work. Everyone may read it; the rest says too much of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayState>,
    /// From the limit on, new numbers are refused. The server stays ready: known numbers are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Usage>,
    /// The tables of which more than 80 % are used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<TableReading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<CertificateHealth>,
    /// Of a node of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<NodeStatus>,
}

/// `GET /healthz`: the process lives.
async fn alive() -> Response {
    response::plain(StatusCode::OK, ALIVE)
}

/// `GET /readyz`: the server can do its work, or the part that does not. Who may read metrics also learns the reasons, how
/// the gateways and the certificate are and how many numbers are remembered. A node that stands by is ready while the owner
/// is.
async fn ready(call: Call) -> Response {
    let app = &call.app;
    let mut unready = app.reasons_against();
    if unready.is_empty()
        && let Some(forwarder) = &app.forwarder
    {
        let readiness = forwarder.readiness(call.is_passed_on, call.peer, &call.id).await;
        unready.extend(readiness.err().map(|why| Unready { part: "cluster", why }));
    }
    let reason = unready.first().map(|reason| reason.part);
    let running = app.running().ok();
    let details = may_see_details(&call).await.then(|| Details {
        reason,
        reasons: unready.into_iter().map(|reason| reason.why).collect(),
        gateways: running.map(|running| running.delivery.states()).unwrap_or_default(),
        numbers: running.map(|running| running.verifier.capacities()[0].usage()),
        tables: running.map(|running| running.low_tables()).unwrap_or_default(),
        tls: app.tls.as_ref().map(Tls::certificate),
        cluster: app.forwarder.as_ref().map(Forwarder::status),
    });
    if reason.is_some() {
        let details = details.or_else(|| Some(Details { reason, ..Details::default() }));
        return response::envelope(StatusCode::SERVICE_UNAVAILABLE, 503, "not ready", details)
            .retry_after(REFUSED_SECONDS);
    }
    response::envelope(StatusCode::OK, 200, "ready", details)
}

/// Whether the sender is a node of the cluster, an administrator of this machine, or may read metrics.
async fn may_see_details(call: &Call) -> bool {
    let head = &call.head;
    call.is_passed_on
        || head.extensions.get::<LocalUser>().is_some()
        || head.headers.contains_key(AUTHORIZATION) && may_read_metrics(call).await.is_ok()
}

/// `GET /metrics`. A node that does not own the records has no keys: it asks the owner whether the caller may read metrics.
async fn metrics(call: Call) -> Result<Response, Problem> {
    let (app, head) = (&call.app, &call.head);
    if call.connection.server.routes != ServedRoutes::MetricsOnly {
        if call.is_passed_on && app.running().is_err() && app.forwarder.is_some() {
            return Ok(forward::not_owner());
        }
        may_read_metrics(&call).await?;
        if app.forwarder.is_some() && call.is_passed_on {
            // A standby asks on behalf of its caller, and renders its own metrics.
            return Ok(response::plain(StatusCode::OK, "the caller may read metrics"));
        }
    }
    if let Some(forwarder) = &app.forwarder {
        app.metrics.node_state(forwarder.state());
    }
    if let Ok(running) = app.running() {
        running.create_counters_at_zero();
    }
    let is_open = request::accepts(&head.headers, "application/openmetrics-text");
    let format = if is_open { TextFormat::OpenMetrics } else { TextFormat::Classic };
    let text = app.metrics.text(format, app.reading().as_ref());
    Ok(([("content-type", format.content_type())], text).into_response())
}

/// Whether the caller may read metrics. A node without the records asks their owner.
async fn may_read_metrics(call: &Call) -> Result<(), Problem> {
    let Some(forwarder) = call.app.forwarder.as_ref().filter(|_| call.app.running().is_err()) else {
        return call.admit(&[Scope::Metrics, Scope::Admin]);
    };
    let mut question = call.head.clone();
    (question.method, question.uri) = (Method::HEAD, Uri::from_static("/metrics"));
    question.headers.remove(CONTENT_LENGTH);
    match forwarder.forward("/metrics", &mut question, &Bytes::new(), call.peer, &call.id).await? {
        ForwardResult::Response(answer, _) => match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(Problem::Unauthenticated),
            StatusCode::FORBIDDEN => Err(Problem::Forbidden),
            _ => Err(Problem::NoNode),
        },
        ForwardResult::BecameOwner(_) => Err(Problem::NoNode),
    }
}

const METRICS: &str = "In Prometheus' text format, or in OpenMetrics if Accept names it. Needs the account's credentials or a \
     key for all services with the scope metrics or admin, unless it is read at the address metrics-listen.";

pub const GROUP: ApiGroup = ApiGroup {
    is_of_this_node: true,
    ..ApiGroup::open("The server", "Health, metrics and this description.")
};

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    let text = Content::Text(TextFormat::Classic.content_type());
    ApiRouter::of(GROUP)
        .get("/healthz", alive,
            Operation::new("Healthz", "Check that the process runs", Success::json::<Envelope>("The process runs.")))
        .get("/readyz", ready,
            Operation::new("Readyz", "Check that the server is ready", Success::json::<Envelope>("The server works."))
                .about("503 names the part that does not work. Who may read the metrics gets details."))
        .get("/metrics", metrics,
            Operation::new("Metrics", "Read the metrics", Success::ok("The metrics.", text)).about(METRICS))
        .get("/hello-world", hello_world,
            Operation::new("HelloWorld", "Get a fixed greeting", Success::json::<Envelope>("The greeting."))
                .about("For clients of the Redis version."))
}
