//! The double that both servers send through, in the process of the load.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The account.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// Its password.
pub const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Its number.
pub const SENDER: &str = "+15005550006";

/// What Twilio answers to an accepted message, shortened.
const QUEUED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#;

/// The double. Remembers the last code sent to each number until it is taken.
#[derive(Clone)]
pub struct Twilio {
    address: SocketAddr,
    desk: Desk,
}

#[derive(Clone)]
struct Desk {
    codes: Codes,
    hangs: Arc<watch::Sender<bool>>,
    /// Milliseconds until each answer.
    takes: Arc<AtomicU64>,
    /// Messages that wait for their answer.
    waiting: Arc<watch::Sender<u32>>,
}

/// Codes by the digits of the number.
type Codes = Arc<Mutex<HashMap<String, String>>>;

impl Twilio {
    /// Starts it; it ends with the runtime.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let desk = Desk {
            codes: Codes::default(),
            hangs: Arc::new(watch::Sender::new(false)),
            takes: Arc::default(),
            waiting: Arc::default(),
        };
        tokio::spawn(listen(listener, desk.clone()));
        Self { address, desk }
    }

    /// What `TWILIO_BASE_URL` must be.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The code that was sent to this number, given without the plus.
    pub fn take_code(&self, digits: &str) -> String {
        self.desk.codes.lock().unwrap().remove(digits).expect("a message that arrived before the answer")
    }

    /// Waits until so many messages wait for their answer.
    pub async fn arrived(&self, messages: u32) {
        let mut waiting = self.desk.waiting.subscribe();
        waiting.wait_for(|count| *count >= messages).await.expect("the double lives");
    }

    /// From now on every message waits for its answer until this is called with `false`.
    pub fn hang(&self, hangs: bool) {
        self.desk.hangs.send_replace(hangs);
    }

    /// From now on every answer takes this long.
    pub fn takes(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.desk.takes.store(milliseconds, Ordering::Relaxed);
    }
}

async fn listen(listener: TcpListener, desk: Desk) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option of the socket");
        let desk = desk.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| take(&desk, request));
            // Servers close their connections when they end.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn take(desk: &Desk, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let form = std::str::from_utf8(&body).expect("a form");
    let digits = field(form, "To=%2B").to_owned();
    let text = field(form, "Body=");
    let code = text[text.len() - 6..].to_owned();
    assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "the text ends with a code");
    desk.codes.lock().unwrap().insert(digits, code);
    if *desk.hangs.borrow() {
        desk.waiting.send_modify(|waiting| *waiting += 1);
        desk.hangs.subscribe().wait_for(|hangs| !hangs).await.expect("the double lives");
        desk.waiting.send_modify(|waiting| *waiting -= 1);
    }
    let takes = desk.takes.load(Ordering::Relaxed);
    if takes > 0 {
        tokio::time::sleep(Duration::from_millis(takes)).await;
    }
    let response =
        Response::builder().status(StatusCode::CREATED).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(Bytes::from_static(QUEUED.as_bytes()))).expect("a response"))
}

fn field<'a>(form: &'a str, start: &str) -> &'a str {
    form.split('&').find_map(|field| field.strip_prefix(start)).expect("a field of the form")
}
