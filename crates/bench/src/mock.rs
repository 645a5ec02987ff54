//! An HTTP server, and the mock of Twilio's Messages API through which all servers of a run send.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
use tokio::net::TcpListener;

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
