//! Reference servers, each a child process of the bench: `onceward-bench reference NAME --twilio URL`.
//!
//! A reference server prints `listening` with its `url` as onceward does, and ends with its standard input.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::{io, thread};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::error::BenchError;
use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, SENDER};
use crate::{ceiling, redis};

/// The hidden command that runs a reference server.
pub const COMMAND: &str = "reference";

/// Wrong codes that the reference servers allow: the default of onceward's configuration.
pub const MAX_TRIALS: i64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    Ceiling,
    Redis,
    RedisDurable,
}

impl Reference {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Redis => "redis",
            Self::RedisDurable => "redis-durable",
        }
    }

    /// In one line.
    pub fn what(self) -> &'static str {
        match self {
            Self::Ceiling => "hyper and one reqwest call for each send; keeps, counts and writes nothing",
            Self::Redis => "the same job with its state in a Redis as it comes: answers before it is durable",
            Self::RedisDurable => "the same job with its state in a Redis that syncs every write",
        }
    }

    /// This program as the reference server, with its files in `home`.
    pub fn command(self, twilio: &str, home: &Path) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.current_dir(home).env_clear().args([COMMAND, self.name(), "--twilio", twilio]);
        // Where redis-server is found.
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        Ok(command)
    }

    /// Runs it until its standard input ends or it is told to stop.
    pub fn serve(self, twilio: &str) -> Result<(), BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(BenchError::io("start the threads of a reference server"))?;
        let outcome = runtime.block_on(async {
            let server = async {
                let provider = Provider::new(twilio)?;
                match self {
                    Self::Ceiling => ceiling::serve(provider).await,
                    Self::Redis => redis::serve(false, provider).await,
                    Self::RedisDurable => redis::serve(true, provider).await,
                }
            };
            tokio::select! {
                outcome = server => outcome,
                () = told_to_stop() => Ok(()),
            }
        });
        runtime.shutdown_background();
        outcome
    }
}

async fn told_to_stop() {
    let (ended, ends) = oneshot::channel::<()>();
    // A thread of its own: the runtime cannot cancel a read that never returns.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(ended);
    });
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return drop(ends.await) };
    tokio::select! {
        _ = ends => {}
        _ = terminate.recv() => {}
    }
}

/// Listens on loopback and tells the parent process where.
#[expect(clippy::print_stderr, reason = "the parent process reads it there")]
pub async fn listen() -> Result<TcpListener, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("listen on loopback"))?;
    let address: SocketAddr = listener.local_addr().map_err(BenchError::io("listen on loopback"))?;
    eprintln!("{}", json!({"level": "INFO", "message": "listening", "url": format!("http://{address}")}));
    Ok(listener)
}

/// `POST /api/send-otp`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub phone_number: String,
}

/// `POST /api/verify-otp`
#[derive(Debug, Deserialize)]
pub struct Check {
    pub user: User,
    pub code: String,
}

/// The result of a request, with its number.
#[derive(Debug)]
pub enum Outcome {
    Sent { number: String, trials: i64 },
    Verified(String),
    Wrong { number: String, trials: i64 },
    Locked { number: String, minutes: u64 },
    BadBody,
    Failed,
    NotFound,
}

impl Outcome {
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let user = |number: String| json!({"phoneNumber": number});
        let (status, message, data) = match self {
            Self::Sent { number, trials } => {
                (StatusCode::OK, "OTP send successfully.", json!({"user": user(number), "trials": trials}))
            }
            Self::Verified(number) => (StatusCode::OK, "OTP verified successfully.", Value::String(number)),
            Self::Wrong { number, trials } => {
                let data = json!({"user": user(number), "trials": trials});
                (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", data)
            }
            Self::Locked { number, minutes } => {
                let data = json!({"user": user(number), "ttl": minutes, "lockout_duration": minutes});
                (StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.", data)
            }
            Self::BadBody => (StatusCode::BAD_REQUEST, "Invalid request body", Value::Null),
            Self::Failed => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.", Value::Null)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", Value::Null),
        };
        let body = json!({"code": status.as_u16(), "message": message, "data": data}).to_string();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Twilio Messages, by one call of reqwest for each message.
pub struct Provider {
    http: reqwest::Client,
    url: String,
    authorization: String,
}

impl Provider {
    pub fn new(base_url: &str) -> Result<Self, BenchError> {
        // The mock speaks plain HTTP, but reqwest needs a provider. An error means that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build();
        let http =
            http.map_err(|error| BenchError::Refused(format!("cannot make an HTTP client: {error}")))?;
        let url = format!("{base_url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
        let credentials = BASE64_STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"));
        Ok(Self { http, url, authorization: format!("Basic {credentials}") })
    }

    /// Returns `true` if the provider took the message.
    pub async fn send(&self, number: &str, code: &str) -> bool {
        let text = format!("OTP message is {code}");
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
