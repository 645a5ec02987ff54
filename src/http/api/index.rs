//! `GET /`: for a person who opens the address: what is served here.

use hyper::StatusCode;
use serde::Serialize;

use crate::http::answer::Answer;

#[derive(Serialize)]
struct Served {
    routes: Vec<&'static str>,
}

const ROUTES: [&str; 11] = [
    "GET /",
    "GET /docs",
    "GET /openapi.json",
    "/v2/.., see GET /docs",
    "POST /api/send-otp",
    "POST /api/verify-otp",
    "GET /hello-world",
    "POST /send-code",
    "POST /verify-code",
    "GET /healthz",
    "GET /readyz",
];

const INBOX_ROUTES: [&str; 2] = ["GET /inbox", "GET /inbox/messages?to="];

const CALLBACK_ROUTES: [&str; 3] =
    ["POST /callbacks/twilio/message", "POST /callbacks/twilio/call", "POST /callbacks/twilio/gate"];

/// Names the routes.
pub fn answer(has_inbox: bool, has_callbacks: bool) -> Answer {
    let mut routes = ROUTES.to_vec();
    if has_inbox {
        routes.extend(INBOX_ROUTES);
    }
    if has_callbacks {
        routes.extend(CALLBACK_ROUTES);
    }
    let message = "onceward: phone verification by one-time code";
    Answer::envelope(StatusCode::OK, 200, message, Some(Served { routes }))
}
