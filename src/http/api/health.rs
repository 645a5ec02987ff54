//! `GET /healthz` and `GET /readyz`: for whoever restarts the process and whoever sends it traffic.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::answer::Answer;
use crate::http::deps::Readiness;

#[derive(Serialize)]
struct NotReady {
    reasons: Vec<String>,
}

/// The process lives: it could answer.
pub fn alive() -> Answer {
    Answer::plain(StatusCode::OK, "alive")
}

/// The server can do its work, or the reasons why not.
pub fn ready(readiness: &Readiness) -> Answer {
    match readiness() {
        Ok(()) => Answer::plain(StatusCode::OK, "ready"),
        Err(reasons) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Answer::envelope(status, status.as_u16(), "not ready", Some(NotReady { reasons })).retry_later()
        }
    }
}
