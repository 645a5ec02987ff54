//! Health, metrics and a greeting: what each node of a cluster answers by itself.

use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use super::app::ServedRoutes;
use super::call::{Call, Credential, Group};
use super::error::{Error, REFUSED_SECONDS};
use super::openapi::{Content, Doc, Routes};
use super::response::{self, ALIVE, Envelope, ResponseExt as _};
use crate::domain::{Sid, SidKind};
use crate::observe::metrics::MEDIA_TYPE;
use crate::registry::Scope;

async fn hello_world() -> Response {
    response::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}

/// Why the server is not ready. The names of the fields are part of the response.
#[derive(Serialize)]
struct Unreadiness {
    /// The part that does not work. Everyone may read it; the rest says too much of the server.
    reason: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// `GET /healthz`: the process lives.
async fn alive(call: Call) -> Response {
    response::envelope(StatusCode::OK, 200, ALIVE, call.app.node_status())
}

/// `GET /readyz`: the server can do its work, or the part that does not. Who may read metrics also learns the reasons. A node
/// that could take over is ready.
async fn ready(call: Call) -> Response {
    let unready = call.app.reasons_against();
    let Some(reason) = unready.first().map(|reason| reason.part) else {
        return response::envelope(StatusCode::OK, 200, "ready", None::<()>);
    };
    let is_told = call.connection.user.is_some() || may_read_metrics(&call).is_ok();
    let reasons = unready.into_iter().filter(|_| is_told).map(|reason| reason.why).collect();
    response::envelope(
        StatusCode::SERVICE_UNAVAILABLE,
        503,
        "not ready",
        Some(Unreadiness { reason, reasons }),
    )
    .retry_after(REFUSED_SECONDS)
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
                .about("503 names the part that does not work. Who may read the metrics gets the reasons. A node of a cluster that could take over is ready."))
        .get("/owner", owner, Doc::new("Owner", "Check that this node answers requests", "It does.", Content::json::<Envelope>())
                .about("For load balancers, also in front of a single machine. In a cluster the answer names the node that does."))
        .get("/metrics", metrics, Doc::new("Metrics", "Read the metrics", "The metrics.", Content::Text(MEDIA_TYPE))
                .about(METRICS))
        .get("/hello-world", hello_world, Doc::new("HelloWorld", "Get a fixed greeting", "The greeting.", Content::json::<Envelope>())
                .about("For clients of the Redis version."))
}
