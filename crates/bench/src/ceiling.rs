//! The ceiling: a server without state to compare with, as a child process of the bench.
//!
//! It prints `listening` with its `url` as onceward does, and ends with its standard input. It reads the same requests as
//! onceward, calls the mock once for each send with the same form, and gives answers of the same size.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{env, io, thread};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rustix::process::{Signal, kill_current_process_group};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, SENDER, json_response, serve};
use crate::script::trials_before;
use crate::{runtime, say};

const MAX_TRIALS: u32 = 5;
const LOCKOUT_MINUTES: u32 = 30;

/// Its code is always the same.
const CODE: &str = "123456";

const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";

/// This program as the ceiling, with its files in `home`.
pub fn command(twilio: &str, home: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.current_dir(home).env_clear().args(["--be-ceiling", twilio]);
    Ok(command)
}

/// Serves until standard input ends.
pub fn run(twilio: &str) -> Result<()> {
    runtime()?.block_on(async {
        let provider = Arc::new(Provider::new(twilio)?);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        say(&json!({"level": "INFO", "message": "listening", "url": url}).to_string());
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            kill_current_process_group(Signal::KILL)
        });
        serve(listener, move |request| answer(provider.clone(), request)).await;
        Ok(())
    })
}

/// Of the older routes: a send has a number, a check has a user with one, and a code.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(rename = "phoneNumber")]
    number: Option<String>,
    user: Option<Box<Body>>,
    code: Option<String>,
}

async fn answer(provider: Arc<Provider>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_v2 = request.uri().path().starts_with("/v2/");
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    if is_v2 {
        return v2(&provider, &body).await;
    }
    match serde_json::from_slice(&body) {
        Ok(Body { number: Some(number), .. }) => {
            if provider.send(&number, CODE).await {
                counted(StatusCode::OK, "OTP send successfully.", &number, MAX_TRIALS)
            } else {
                failed()
            }
        }
        Ok(Body { user: Some(user), code: Some(code), .. }) => check(&user.number.unwrap_or_default(), &code),
        _ => envelope(StatusCode::BAD_REQUEST, "Invalid request body", &Value::Null),
    }
}

/// Creates a service, sends or checks; all answers are the same verification.
async fn v2(provider: &Provider, form: &[u8]) -> Response<Full<Bytes>> {
    let field = |wanted: &str| url::form_urlencoded::parse(form).find(|(name, _)| name == wanted);
    let number = field("To").map(|(_, number)| number.into_owned()).unwrap_or_default();
    let (code, is_send) = (field("Code").map(|(_, code)| trials_before(CODE, &code)), !number.is_empty());
    let (status, verification) = match code {
        Some(None) => (StatusCode::OK, "approved"),
        Some(Some(1)) => (StatusCode::OK, "max_attempts_reached"),
        Some(Some(_)) => (StatusCode::OK, "pending"),
        None if is_send && !provider.send(&number, CODE).await => return failed(),
        None => (StatusCode::CREATED, "pending"),
    };
    let (sid, service, date) = ("VE0123456789abcdef0123456789abcdef", SERVICE, "2026-11-20T10:00:00Z");
    let attempt =
        json!({"time": date, "channel": "SMS", "attempt_sid": "VL0123456789abcdef0123456789abcdef"});
    let url = format!("http://127.0.0.1:65535/v2/Services/{service}/Verifications/{sid}");
    let body = json!({
        "sid": if is_send { sid } else { service }, "service_sid": service, "account_sid": ACCOUNT_SID, "to": number,
        "channel": "sms", "status": verification, "valid": verification == "approved", "lookup": {}, "amount": null,
        "payee": null, "send_code_attempts": [attempt], "date_created": date, "date_updated": date, "sna": null,
        "url": url,
    });
    json_response(status, body.to_string())
}

/// A wrong code tells how many were allowed before it.
fn check(number: &str, code: &str) -> Response<Full<Bytes>> {
    match trials_before(CODE, code) {
        None => envelope(StatusCode::OK, "OTP verified successfully.", &json!(number)),
        Some(1) => {
            let minutes = LOCKOUT_MINUTES;
            let data = json!({"user": {"phoneNumber": number}, "ttl": minutes, "lockout_duration": minutes});
            let message = "User locked out due to exceeding maximum attempts.";
            envelope(StatusCode::FORBIDDEN, message, &data)
        }
        Some(trials) => counted(StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", number, trials - 1),
    }
}

fn failed() -> Response<Full<Bytes>> {
    envelope(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.", &Value::Null)
}

fn counted(status: StatusCode, message: &str, number: &str, trials: u32) -> Response<Full<Bytes>> {
    envelope(status, message, &json!({"user": {"phoneNumber": number}, "trials": trials}))
}

fn envelope(status: StatusCode, message: &str, data: &Value) -> Response<Full<Bytes>> {
    let body = json!({"code": status.as_u16(), "message": message, "data": data});
    json_response(status, body.to_string())
}

/// Twilio Messages, by one call of reqwest for each message.
struct Provider {
    http: reqwest::Client,
    url: String,
}

impl Provider {
    fn new(base_url: &str) -> Result<Self> {
        // The mock speaks plain HTTP, but reqwest needs a provider. An error means that one is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, url: format!("{base_url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json") })
    }

    /// Returns `true` if the provider took the message.
    async fn send(&self, number: &str, code: &str) -> bool {
        let text = format!("OTP message is {code}");
        let form = [("To", number), ("From", SENDER), ("Body", &text), ("ValidityPeriod", "30")];
        let request = self.http.post(&self.url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form);
        let Ok(response) = request.send().await else { return false };
        let accepted = response.status() == StatusCode::CREATED;
        let body = response.bytes().await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        accepted && message["sid"].is_string()
    }
}
