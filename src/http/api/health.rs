//! `GET /healthz` and `GET /readyz`: for whoever restarts the process and whoever sends it traffic.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::answer::Answer;
use crate::http::deps::{GatewayHealth, Gateways, Readiness};

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayHealth>,
}

/// The process lives: it could answer.
pub fn alive() -> Answer {
    Answer::plain(StatusCode::OK, "alive")
}

/// The server can do its work, or the reasons why not; and how the gateways are, if that is known.
pub fn ready(readiness: &Readiness, gateways: &Gateways) -> Answer {
    let reasons = readiness().err();
    let details = Details { reasons, gateways: gateways() };
    if details.reasons.is_some() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Answer::envelope(status, status.as_u16(), "not ready", Some(details)).retry_later();
    }
    let details = (!details.gateways.is_empty()).then_some(details);
    Answer::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details)
}
