//! The double of Twilio's Messages API that all servers of a run send through, in the process of the load.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The account.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// Its password. The double asks nobody for it.
pub const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Its number.
pub const SENDER: &str = "+15005550006";

/// What Twilio answers to an accepted message, shortened.
const QUEUED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#;

/// What it answers to anything that is not a message with a code.
const BAD: &str = r#"{"code":21602,"message":"Message body is required.","status":400}"#;

/// A form is much shorter.
const LONGEST_FORM: usize = 16 * 1024;

/// Texts that nobody took. The load takes each of its own at once; more than this can only come from somebody else.
const TEXTS_AT_MOST: usize = 1_000_000;

/// How many digits a code may have.
const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// The double. Remembers the last code sent to each number until it is taken.
#[derive(Clone)]
pub struct Twilio {
    address: SocketAddr,
    desk: Desk,
}

#[derive(Clone)]
struct Desk {
    codes: Arc<Mutex<HashMap<u64, String>>>,
    hangs: Arc<watch::Sender<bool>>,
    /// Milliseconds until each answer.
    takes: Arc<AtomicU64>,
    /// Messages that wait for their answer.
    waiting: Arc<watch::Sender<u32>>,
}

impl Twilio {
    /// Starts it at an address; it ends with the runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let desk = Desk {
            codes: Arc::default(),
            hangs: Arc::new(watch::Sender::new(false)),
            takes: Arc::default(),
            waiting: Arc::default(),
        };
        tokio::spawn(listen(listener, desk.clone()));
        Ok(Self { address, desk })
    }

    /// What `TWILIO_BASE_URL` must be.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The code that was sent to this number, given by its digits without the plus.
    pub fn take_code(&self, digits: u64) -> Option<String> {
        self.desk.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&digits)
    }

    /// Waits until so many messages wait for their answer.
    pub async fn arrived(&self, messages: u32) {
        // Fails when the double is gone, and then nothing arrives.
        let _ = self.desk.waiting.subscribe().wait_for(|count| *count >= messages).await;
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
        let Ok((stream, _)) = listener.accept().await else {
            // No file is free; the next moment one may be.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
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
    let body = Limited::new(request.into_body(), LONGEST_FORM).collect().await;
    let form = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if !message(&form).is_some_and(|(digits, code)| desk.keep(digits, code)) {
        return Ok(answer(StatusCode::BAD_REQUEST, BAD));
    }
    if *desk.hangs.borrow() {
        desk.waiting.send_modify(|waiting| *waiting += 1);
        let _ = desk.hangs.subscribe().wait_for(|hangs| !hangs).await;
        desk.waiting.send_modify(|waiting| *waiting -= 1);
    }
    let takes = desk.takes.load(Ordering::Relaxed);
    if takes > 0 {
        tokio::time::sleep(Duration::from_millis(takes)).await;
    }
    Ok(answer(StatusCode::CREATED, QUEUED))
}

impl Desk {
    /// `false` when there is no room.
    fn keep(&self, digits: u64, code: String) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = codes.len() < TEXTS_AT_MOST;
        if room {
            codes.insert(digits, code);
        }
        room
    }
}

fn answer(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// To which number, and the code in the text: the last run of digits in it that is as long as a code.
fn message(form: &[u8]) -> Option<(u64, String)> {
    let (mut digits, mut code) = (None, None);
    for (name, value) in form_urlencoded::parse(form) {
        match &*name {
            "To" => digits = value.strip_prefix('+').and_then(|digits| digits.parse().ok()),
            "Body" => {
                let mut runs = value.split(|c: char| !c.is_ascii_digit());
                code = runs.rfind(|run| CODE_DIGITS.contains(&run.len())).map(str::to_owned);
            }
            _ => {}
        }
    }
    Some((digits?, code?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_in_any_usual_text() {
        for (body, code) in [
            ("OTP+message+is+123456", "123456"),
            ("OTP%20message%20is%200042", "0042"),
            ("Hello+from+Acme+2024!+Your+verification+code+is%3A+98765.+Valid+for+30+s.", "98765"),
            ("123456+is+your+code%0A%0A%40example.com+%23123456", "123456"),
        ] {
            let form = format!("To=%2B14155552671&From=%2B15005550006&Body={body}");
            assert_eq!(message(form.as_bytes()), Some((14_155_552_671, code.to_owned())), "{body}");
        }
    }

    #[test]
    fn what_has_no_code_or_no_number_is_not_a_message() {
        for form in ["To=%2B14155552671&Body=hello", "Body=123456", "", "To=abc&Body=123456"] {
            assert_eq!(message(form.as_bytes()), None, "{form}");
        }
    }
}
