//! Health, metrics and a greeting: what each node of a cluster answers by itself.

use axum::response::Response;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH};
use hyper::{Method, StatusCode, Uri};
use serde::Serialize;

use super::app::{App, GatewayHealth, ServedRoutes};
use super::call::Call;
use super::forward::{self, ForwardResult, Forwarder, NodeStatus};
use super::request::{self, LocalUser};
use super::response::{self, ALIVE, Envelope, Problem, REFUSED_SECONDS, ResponseExt as _};
use super::route::{ApiGroup, ApiRouter, Content, Operation, Success};
use super::tls::CertificateHealth;
use crate::node::Unready;
use crate::observe::metrics::TextFormat;
use crate::registry::Scope;
use crate::verification::numbers::{Refusal, Usage};

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
    let details = if may_see_details(&call).await { Some(details(app)) } else { None };
    let Some(part) = unready.first().map(|reason| reason.part) else {
        let details = details.filter(Details::says_something);
        return response::envelope(StatusCode::OK, 200, "ready", details);
    };
    let details = match details {
        Some(details) => {
            let reasons = unready.into_iter().map(|reason| reason.why).collect();
            Details { reason: Some(part), reasons, ..details }
        }
        None => Details { reason: Some(part), ..Details::default() },
    };
    response::envelope(StatusCode::SERVICE_UNAVAILABLE, 503, "not ready", Some(details))
        .retry_after(REFUSED_SECONDS)
}

/// Whether the sender is a node of the cluster, an administrator of this machine, or may read metrics.
async fn may_see_details(call: &Call) -> bool {
    let head = &call.head;
    if call.is_passed_on || head.extensions.get::<LocalUser>().is_some() {
        return true;
    }
    match (call.app.v2(), &call.app.forwarder) {
        _ if !head.headers.contains_key(AUTHORIZATION) => false,
        (Some(v2), _) => v2.admit(head, &METRICS_SCOPES).is_ok(),
        (None, Some(forwarder)) => may_read_metrics(call, forwarder).await.is_ok(),
        (None, None) => false,
    }
}

impl Details {
    fn says_something(&self) -> bool {
        !self.gateways.is_empty() || self.numbers.is_some() || self.tls.is_some() || self.cluster.is_some()
    }
}

fn details(app: &App) -> Details {
    Details {
        gateways: app.gateways(),
        numbers: app.numbers(),
        tls: app.tls.as_ref().map(|tls| tls.certificate()),
        cluster: app.forwarder.as_ref().map(|forwarder| forwarder.status()),
        ..Details::default()
    }
}

const METRICS_SCOPES: [Scope; 2] = [Scope::Metrics, Scope::Admin];

/// `GET /metrics`. A node that does not own the records has no keys: it asks the owner whether the caller may read metrics.
async fn metrics(call: Call) -> Result<Response, Problem> {
    let (app, head) = (&call.app, &call.head);
    if app.routes == ServedRoutes::All {
        match (app.v2(), &app.forwarder) {
            (Some(v2), forwarder) => {
                v2.admit(head, &METRICS_SCOPES)?;
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
    (question.method, question.uri) = (Method::HEAD, Uri::from_static("/metrics"));
    question.headers.remove(CONTENT_LENGTH);
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
