//! `GET /hello-world`: `docs/api.md`.

use hyper::StatusCode;

use crate::http::answer::Answer;

/// The same answer each time.
pub fn answer() -> Answer {
    Answer::envelope(StatusCode::OK, 200, "Successful Response", Some("Hello world"))
}
