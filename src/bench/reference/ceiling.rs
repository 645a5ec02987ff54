//! The ceiling: what hyper and reqwest cost when nothing is kept, counted or written.
//!
//! It reads the same requests, calls the same double once for each send with the same form, and gives answers of the
//! same size. What it must answer it knows by the request alone: its code is always the same, a wrong code tells how many
//! were allowed before it, and numbers that are locked have areas of their own.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::announce;
use crate::bench::BenchError;
use crate::bench::numbers::is_locked;
use crate::bench::script::trials_before;
use crate::bench::twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER};

/// Keeping nothing, it cannot have another one.
const CODE: &str = "123456";

/// Wrong codes that are allowed: onceward's default.
const TRIALS: u32 = 5;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    phone_number: String,
}

#[derive(Deserialize)]
struct Check {
    user: Send,
    code: String,
}

struct Provider {
    http: reqwest::Client,
    url: String,
    authorization: String,
}

/// Serves for ever.
pub async fn serve(twilio: &str) -> Result<(), BenchError> {
    // The double speaks plain HTTP, but the client will not be built without. An error means that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build();
    let http = http.map_err(|error| BenchError::Refused(format!("cannot make an HTTP client: {error}")))?;
    let url = format!("{twilio}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
    let credentials = BASE64_STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"));
    let provider = Arc::new(Provider { http, url, authorization: format!("Basic {credentials}") });
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("listen on loopback"))?;
    announce(listener.local_addr().map_err(BenchError::io("listen on loopback"))?);
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::io("accept a connection"))?;
        let _ = stream.set_nodelay(true);
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(provider.clone(), request));
            let connection = auto::Builder::new(TokioExecutor::new());
            // The driver hangs up when it has enough.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    provider: Arc<Provider>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let sends = request.uri().path() == "/api/send-otp";
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    let (status, message, data) = if sends {
        match serde_json::from_slice(&body) {
            Ok(send) => provider.send(send).await,
            Err(_) => bad(),
        }
    } else {
        serde_json::from_slice(&body).map_or_else(|_| bad(), check)
    };
    let body = json!({"code": status.as_u16(), "message": message, "data": data}).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

type Answer = (StatusCode, &'static str, Value);

fn bad() -> Answer {
    (StatusCode::BAD_REQUEST, "Invalid request body", Value::Null)
}

fn locked(number: &str) -> Answer {
    let data = json!({"user": {"phoneNumber": number}, "ttl": 30, "lockout_duration": 30});
    (StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.", data)
}

/// By its area.
fn is_locked_number(number: &str) -> bool {
    number.trim_start_matches('+').parse().is_ok_and(is_locked)
}

fn check(Check { user: Send { phone_number }, code }: Check) -> Answer {
    if is_locked_number(&phone_number) {
        return locked(&phone_number);
    }
    match trials_before(CODE, &code) {
        None => (StatusCode::OK, "OTP verified successfully.", json!(phone_number)),
        Some(1) => locked(&phone_number),
        Some(trials) => {
            let data = json!({"user": {"phoneNumber": phone_number}, "trials": trials - 1});
            (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", data)
        }
    }
}

impl Provider {
    async fn send(&self, Send { phone_number }: Send) -> Answer {
        if is_locked_number(&phone_number) {
            return locked(&phone_number);
        }
        if !self.carries(&phone_number).await {
            return (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.", Value::Null);
        }
        let data = json!({"user": {"phoneNumber": phone_number}, "trials": TRIALS});
        (StatusCode::OK, "OTP send successfully.", data)
    }

    async fn carries(&self, number: &str) -> bool {
        let text = format!("OTP message is {CODE}");
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("To", number), ("From", SENDER), ("Body", &text), ("ValidityPeriod", "30")])
            .finish();
        let request = self
            .http
            .post(&self.url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let Ok(response) = request.send().await else { return false };
        let accepted = response.status() == StatusCode::CREATED;
        let body = response.bytes().await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        accepted && message["sid"].is_string()
    }
}
