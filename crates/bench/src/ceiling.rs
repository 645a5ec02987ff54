//! The ceilings: servers without state to compare with, as child processes of the bench.
//!
//! Each prints `listening` with its `url` as onceward does, and ends with its standard input. It reads the same requests as
//! onceward, calls the mock once for each send with the same form, and gives answers of the same size. The durable one
//! also has a record of each request on the disk before it answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustix::process::{Signal, kill_current_process_group};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::run::say;
use crate::servers::JOURNAL_THREAD;

/// Its code is always the same.
const CODE: &str = "123456";

const SERVICE: &str = "VA0123456789abcdef0123456789abcdef";

/// This program as a ceiling, with its files in `home`.
pub fn command(twilio: &str, is_durable: bool, home: &Path) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.current_dir(home).env_clear().args(["--be-ceiling", twilio]);
    command.args(is_durable.then_some("--be-durable"));
    Ok(command)
}

/// Serves until standard input ends.
pub fn run(twilio: &str, is_durable: bool) -> Result<()> {
    let journal = is_durable.then(Journal::start).transpose().context("cannot write a journal")?;
    runtime()?.block_on(async {
        let ceiling = Arc::new((Provider::new(twilio)?, journal));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        say(&json!({"level": "INFO", "message": "listening", "url": url}).to_string());
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            kill_current_process_group(Signal::KILL)
        });
        serve(listener, move |request| answer(ceiling.clone(), request)).await;
        Ok(())
    })
}

async fn answer(
    ceiling: Arc<(Provider, Option<Journal>)>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (provider, journal) = &*ceiling;
    let is_v2 = request.uri().path().starts_with("/v2/");
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let (number, code) =
        if is_v2 { (field(&body, "To").unwrap_or_default(), field(&body, "Code")) } else { of_json(&body) };
    let is_right = code.as_deref().map(|code| code == CODE);
    if let Some(journal) = journal
        && !journal.append().await
    {
        return json_response(StatusCode::INTERNAL_SERVER_ERROR, "{}");
    }
    // One without a number creates a service.
    if is_right.is_none() && !number.is_empty() && !provider.send(&number).await {
        return json_response(StatusCode::INTERNAL_SERVER_ERROR, "{}");
    }
    if is_v2 { verification(&number, is_right) } else { envelope(&number, is_right) }
}

/// The number and the code of a request to the older routes: a send has a number, a check has a user with one, and a code.
fn of_json(body: &[u8]) -> (String, Option<String>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let number = body["phoneNumber"].as_str().or_else(|| body["user"]["phoneNumber"].as_str());
    (number.unwrap_or_default().to_owned(), body["code"].as_str().map(str::to_owned))
}

/// All answers are the same verification, or its service.
fn verification(number: &str, is_right: Option<bool>) -> Response<Full<Bytes>> {
    let (sid, date) = ("VE0123456789abcdef0123456789abcdef", "2026-11-20T10:00:00Z");
    let attempt =
        json!({"time": date, "channel": "SMS", "attempt_sid": "VL0123456789abcdef0123456789abcdef"});
    let url = format!("http://127.0.0.1:65535/v2/Services/{SERVICE}/Verifications/{sid}");
    let is_approved = is_right == Some(true);
    let body = json!({
        "sid": if number.is_empty() { SERVICE } else { sid }, "service_sid": SERVICE, "account_sid": ACCOUNT_SID,
        "to": number, "channel": "sms", "status": if is_approved { "approved" } else { "pending" },
        "valid": is_approved, "lookup": {}, "amount": null, "payee": null, "send_code_attempts": [attempt],
        "date_created": date, "date_updated": date, "sna": null, "url": url,
    });
    let status = if is_right.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    json_response(status, body.to_string())
}

fn envelope(number: &str, is_right: Option<bool>) -> Response<Full<Bytes>> {
    let counted = json!({"user": {"phoneNumber": number}, "trials": 5});
    let (status, message, data) = match is_right {
        None => (StatusCode::OK, "OTP send successfully.", counted),
        Some(true) => (StatusCode::OK, "OTP verified successfully.", json!(number)),
        Some(false) => (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", counted),
    };
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
    async fn send(&self, number: &str) -> bool {
        let text = format!("OTP message is {CODE}");
        let form = [("To", number), ("From", SENDER), ("Body", &text), ("ValidityPeriod", "30")];
        let request = self.http.post(&self.url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form);
        let Ok(response) = request.send().await else { return false };
        let body = response.bytes().await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        message["sid"].is_string()
    }
}

/// A file to which one thread appends: all records that wait are one write and one sync.
struct Journal(mpsc::Sender<oneshot::Sender<()>>);

impl Journal {
    /// The length of onceward's record of a send, in bytes.
    const RECORD: usize = 98;
    /// As long as onceward's segment. It is written again from its start.
    const FILE: usize = 64 << 20;

    fn start() -> Result<Self> {
        let mut file = File::create("journal")?;
        file.write_all(&vec![0; Self::FILE])?;
        file.sync_all()?;
        let (records, waiting) = mpsc::channel();
        let write = move || Self::write(&mut file, &waiting);
        thread::Builder::new().name(JOURNAL_THREAD.to_owned()).spawn(write)?;
        Ok(Self(records))
    }

    /// Returns `true` once a record is on the disk.
    async fn append(&self) -> bool {
        let (done, durable) = oneshot::channel();
        self.0.send(done).is_ok() && durable.await.is_ok()
    }

    fn write(file: &mut File, waiting: &mpsc::Receiver<oneshot::Sender<()>>) -> io::Result<()> {
        let mut at = Self::FILE;
        while let Ok(first) = waiting.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
            let length = batch.len() * Self::RECORD;
            if at + length > Self::FILE {
                at = 0;
                file.seek(SeekFrom::Start(0))?;
            }
            file.write_all(&vec![1; length])?;
            file.sync_data()?;
            at += length;
            for done in batch {
                // The client may be gone.
                let _ = done.send(());
            }
        }
        Ok(())
    }
}

// An HTTP server, and the mock of Twilio's Messages API through which all servers of a run send.

pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// The mock does not ask for it.
pub const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Both as a client's header has them.
pub const CREDENTIALS: &str =
    "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==";
pub const SENDER: &str = "+15005550006";

const QUEUED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#;
const BAD: &str = r#"{"code":21602,"message":"Message body is required.","status":400}"#;

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

/// Remembers the last code sent to each number until it is taken.
#[derive(Clone)]
pub struct Mock {
    address: SocketAddr,
    delay: Duration,
    codes: Arc<Mutex<HashMap<u64, String>>>,
}

impl Mock {
    /// Answers each message after `delay`. Ends with the runtime.
    pub async fn start(address: SocketAddr, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address} as Twilio"))?;
        let mock = Self { address: listener.local_addr()?, delay, codes: Arc::default() };
        let answering = mock.clone();
        tokio::spawn(serve(listener, move |request| answering.clone().answer(request)));
        Ok(mock)
    }

    /// The value for `TWILIO_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn take_code(&self, digits: u64) -> Option<String> {
        self.codes.lock().remove(&digits)
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let form = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        let Some((digits, code)) = message(&form) else {
            return json_response(StatusCode::BAD_REQUEST, BAD);
        };
        self.codes.lock().insert(digits, code);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        json_response(StatusCode::CREATED, QUEUED)
    }
}

/// Answers all requests until it is dropped; accepted connections end with the runtime.
pub async fn serve<F, R>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file is free; one may be a moment later.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

pub fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub fn field(form: &[u8], wanted: &str) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}

/// The number, and the last run of 4 to 10 digits in the text.
fn message(form: &[u8]) -> Option<(u64, String)> {
    let digits = field(form, "To")?.strip_prefix('+')?.parse().ok()?;
    let text = field(form, "Body")?;
    let mut runs = text.split(|c: char| !c.is_ascii_digit());
    let code = runs.rfind(|run| (4..=10).contains(&run.len()))?;
    Some((digits, code.to_owned()))
}
