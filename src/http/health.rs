//! Health, metrics and a greeting: what each node of a cluster answers by itself.

use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use super::app::{NodeStatus, ServedRoutes};
use super::call::{Call, Credential, Group};
use super::error::{Error, REFUSED_SECONDS};
use super::openapi::{Content, Doc, Routes};
use super::response::{self, ALIVE, Envelope, ResponseExt as _};
use super::tls::{CertificateHealth, Tls};
use crate::delivery::GatewayState;
use crate::domain::{Sid, SidKind};
use crate::observe::metrics::{MEDIA_TYPE, TableReading};
use crate::registry::Scope;
use crate::verification::Usage;

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
async fn alive(call: Call) -> Response {
    response::envelope(StatusCode::OK, 200, ALIVE, call.app.node_status())
}

/// `GET /readyz`: the server can do its work, or the part that does not. Who may read metrics also learns the reasons, how
/// the gateways and the certificate are and how many numbers are remembered. A node that could take over is ready.
async fn ready(call: Call) -> Response {
    let app = &call.app;
    let unready = app.reasons_against();
    let reason = unready.first().map(|reason| reason.part);
    let running = app.running().ok();
    let details = may_see_details(&call).then(|| Details {
        reason,
        reasons: unready.into_iter().map(|reason| reason.why).collect(),
        gateways: running.map(|running| running.delivery.states()).unwrap_or_default(),
        numbers: running.map(|running| running.verifying.capacities()[0].usage()),
        tables: running.map(|running| running.low_tables()).unwrap_or_default(),
        tls: app.tls.as_ref().map(Tls::certificate),
        cluster: app.node_status(),
    });
    if reason.is_some() {
        let details = details.or_else(|| Some(Details { reason, ..Details::default() }));
        return response::envelope(StatusCode::SERVICE_UNAVAILABLE, 503, "not ready", details)
            .retry_after(REFUSED_SECONDS);
    }
    response::envelope(StatusCode::OK, 200, "ready", details)
}

/// `GET /owner`: for load balancers, also in front of a single machine.
async fn owner(call: Call) -> Response {
    let status = call.app.node_status();
    if call.app.is_owner() {
        return response::envelope(StatusCode::OK, 200, "this node answers requests", status);
    }
    let error = Error::STANDS_BY;
    response::envelope(error.status, 503, &error.message, status).retry_after(REFUSED_SECONDS)
}

/// Whether the sender is an administrator of this machine, or may read metrics.
fn may_see_details(call: &Call) -> bool {
    let head = &call.head;
    call.connection.user.is_some()
        || head.headers.contains_key(AUTHORIZATION) && may_read_metrics(call).is_ok()
}

/// `GET /metrics`.
pub async fn metrics(call: Call) -> Result<Response, Error> {
    let app = &call.app;
    if call.connection.server.routes != ServedRoutes::MetricsOnly {
        may_read_metrics(&call)?;
    }
    if let Some(state) = app.node_state() {
        app.metrics.node_state(state);
    }
    if let Ok(running) = app.running() {
        running.create_counters_at_zero();
    }
    let text = app.metrics.text(app.reading().as_ref());
    Ok(([("content-type", MEDIA_TYPE)], text).into_response())
}

/// Without the records a server knows the account's credentials of its environment, and no key.
fn may_read_metrics(call: &Call) -> Result<(), Error> {
    let (Err(starting), settings) = (call.app.running(), &call.app.settings.registry) else {
        return call.admit(&[Scope::Metrics, Scope::Admin]);
    };
    let account = settings.account.as_ref().ok_or(starting)?;
    let given = Credential::of(&call.head.headers).ok_or(Error::UNAUTHENTICATED)?;
    let is_account = Sid::parse(SidKind::Account, given.user()) == Some(account.sid)
        && bool::from(given.password().as_bytes().ct_eq(account.token.expose_secret().as_bytes()));
    if is_account { Ok(()) } else { Err(Error::UNAUTHENTICATED) }
}

const METRICS: &str = "In OpenMetrics. Needs the account's credentials or a key for all services with the scope metrics or \
     admin, unless it is read at the address metrics-listen.";

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("The server", "Health, metrics and this description.", Group::OF_THIS_NODE)
        .get("/healthz", alive, Doc::new("Healthz", "Check that the process runs", "The process runs.", Content::json::<Envelope>()))
        .get("/readyz", ready, Doc::new("Readyz", "Check that the server is ready", "The server works.", Content::json::<Envelope>())
                .about("503 names the part that does not work. Who may read the metrics gets details. A node of a cluster that could take over is ready."))
        .get("/owner", owner, Doc::new("Owner", "Check that this node answers requests", "It does.", Content::json::<Envelope>())
                .about("For load balancers, also in front of a single machine. In a cluster the answer names the node that does."))
        .get("/metrics", metrics, Doc::new("Metrics", "Read the metrics", "The metrics.", Content::Text(MEDIA_TYPE))
                .about(METRICS))
        .get("/hello-world", hello_world, Doc::new("HelloWorld", "Get a fixed greeting", "The greeting.", Content::json::<Envelope>())
                .about("For clients of the Redis version."))
}
