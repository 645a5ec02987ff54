//! Health, metrics and a greeting: what each node of a cluster answers by itself.

use axum::response::Response;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::app::{App, GatewayHealth, ServedRoutes};
use super::call::Call;
use super::forward::{self, ForwardResult, Forwarder, NodeStatus};
use super::request;
use super::response::{self, ALIVE, Problem, REFUSED_SECONDS, ResponseExt as _};
use super::route::{ApiGroup, ApiRouter, Content, Operation, Success};
use super::tls::CertificateHealth;
use crate::observe::metrics::TextFormat;
use crate::registry::Scope;
use crate::verification::numbers::{Refusal, Usage};

async fn hello_world() -> Response {
    response::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
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
async fn alive() -> Response {
    response::plain(StatusCode::OK, ALIVE)
}

/// `GET /readyz`: the server can do its work, or the reasons why not; and how the gateways and the certificate are and
/// how many numbers are remembered, if that is known. A node that stands by is ready while the owner is.
async fn ready(call: Call) -> Response {
    let mut details = details(&call.app);
    if details.reasons.is_none()
        && let Some(forwarder) = &call.app.forwarder
    {
        let readiness = forwarder.readiness(call.is_passed_on, call.peer, &call.id).await;
        details.reasons = readiness.err().map(|reason| vec![reason]);
    }
    if details.reasons.is_some() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let answer = response::envelope(status, status.as_u16(), "not ready", Some(details));
        return answer.retry_after(REFUSED_SECONDS);
    }
    let says_more = !details.gateways.is_empty()
        || details.numbers.is_some()
        || details.tls.is_some()
        || details.cluster.is_some();
    let details = says_more.then_some(details);
    response::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details)
}

fn details(app: &App) -> Details {
    let reasons = app.reasons_against();
    Details {
        reasons: (!reasons.is_empty()).then_some(reasons),
        gateways: app.gateways(),
        numbers: app.numbers(),
        tls: app.tls.as_ref().map(|tls| tls.certificate()),
        cluster: app.forwarder.as_ref().map(|forwarder| forwarder.status()),
    }
}

/// `GET /metrics`. A node that does not own the records has no keys: it asks the owner whether the caller may read metrics.
async fn metrics(call: Call) -> Result<Response, Problem> {
    let (app, head) = (&call.app, &call.head);
    if app.routes == ServedRoutes::All {
        match (app.v2(), &app.forwarder) {
            (Some(v2), forwarder) => {
                v2.admit(head, &[Scope::Metrics, Scope::Admin])?;
                if forwarder.is_some() && call.is_passed_on {
                    // A standby asks on behalf of its caller, and renders its own metrics.
                    return Ok(response::plain(StatusCode::OK, "the caller may read metrics"));
                }
            }
            (None, Some(_)) if call.is_passed_on => return Ok(forward::not_owner()),
            (None, Some(forwarder)) => may_read_metrics(&call, forwarder).await?,
            (None, None) => return Err(Problem::Refused(Refusal::Starting)),
        }
    }
    if let Some(forwarder) = &app.forwarder {
        app.metrics.node_state(forwarder.state());
    }
    let is_open = request::accepts(&head.headers, "application/openmetrics-text");
    let format = if is_open { TextFormat::OpenMetrics } else { TextFormat::Classic };
    let text = app.metrics.text(format, app.reading().as_ref());
    Ok(response::page(format.content_type(), &[], text))
}

/// Asks the owner of the records whether the caller may read metrics.
async fn may_read_metrics(call: &Call, forwarder: &Forwarder) -> Result<(), Problem> {
    let mut question = call.head.clone();
    question.method = Method::HEAD;
    match forwarder.forward(&question, &Bytes::new(), call.peer, &call.id).await? {
        ForwardResult::Response(answer, _) => match answer.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(Problem::Unauthenticated),
            StatusCode::FORBIDDEN => Err(Problem::Forbidden),
            _ => Err(Problem::NoNode),
        },
        ForwardResult::BecameOwner(_) => Err(Problem::NoNode),
    }
}

const READY: &str = r#"{"code":200,"message":"ready","data":{"numbers":{"held":1200,"limit":2000000}}}"#;
const HELLO: &str = r#"{"code":200,"message":"Successful Response","data":"Hello world"}"#;

const METRICS: &str = "In Prometheus' text format, or in OpenMetrics if Accept names it. Needs the account's credentials or a \
     key for all services with the scope metrics or admin, unless it is read at the address metrics-listen.";

pub const GROUP: ApiGroup = ApiGroup {
    is_of_this_node: true,
    ..ApiGroup::open("The server", "Health, metrics and this description.")
};

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP)
        .get("/healthz", alive, Operation::new("Healthz", "Check that the process runs",
            Success::envelope("The process runs.", r#"{"code":200,"message":"alive"}"#)))
        .get("/readyz", ready, Operation::new("Readyz", "Check that the server is ready",
            Success::envelope("The server can do its work.", READY))
                .about("503 lists the reasons why the server is not ready.").others(&[503]))
        .get("/metrics", metrics, Operation::new("Metrics", "Read the metrics",
            Success::ok(Content::Text(TextFormat::Classic.content_type()))).about(METRICS).others(&[401, 403, 503]))
        .get("/hello-world", hello_world, Operation::new("HelloWorld", "Get a fixed greeting",
            Success::envelope("The greeting.", HELLO)).about("For clients of the Redis version."))
}
