//! `GET /healthz` and `GET /readyz`: for whoever restarts the process and whoever sends it traffic.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::answer::Answer;
use crate::http::deps::{Deps, GatewayHealth};
use crate::http::tls::CertificateHealth;
use crate::numbers::Usage;

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<NumbersHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<CertificateHealth>,
}

/// The names of the fields are part of the answer.
#[derive(Serialize)]
struct NumbersHealth {
    /// Numbers that are remembered.
    held: usize,
    /// From this many on new ones are refused. The server stays ready: known numbers are served.
    limit: usize,
}

impl From<Usage> for NumbersHealth {
    fn from(Usage { held, limit }: Usage) -> Self {
        Self { held, limit }
    }
}

/// The process lives: it could answer.
pub fn alive() -> Answer {
    Answer::plain(StatusCode::OK, "alive")
}

/// The server can do its work, or the reasons why not; and how the gateways and the certificate are and how
/// many numbers are remembered, if that is known.
pub fn ready<V>(deps: &Deps<V>) -> Answer {
    let details = Details {
        reasons: (deps.readiness)().err(),
        gateways: (deps.gateways)(),
        numbers: (deps.numbers)().map(NumbersHealth::from),
        tls: deps.tls.as_ref().map(|tls| tls.certificate()),
    };
    if details.reasons.is_some() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Answer::envelope(status, status.as_u16(), "not ready", Some(details)).retry_later();
    }
    let says_more = !details.gateways.is_empty() || details.numbers.is_some() || details.tls.is_some();
    let details = says_more.then_some(details);
    Answer::envelope(StatusCode::OK, StatusCode::OK.as_u16(), "ready", details)
}
