//! A mock of Twilio's Messages API, through which all servers of a run send.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::numbers::is_hanging;

pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// The mock does not ask for it.
pub const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const SENDER: &str = "+15005550006";

const QUEUED: &str = r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued","error_code":null}"#;
const BAD: &str = r#"{"code":21602,"message":"Message body is required.","status":400}"#;
const LONGEST_FORM: usize = 16 * 1024;

/// Texts that were not taken. Clients take theirs at once; others may send to a mock that `--gateway-listen` exposes.
const TEXTS_AT_MOST: usize = 1_000_000;

const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// Longer than any server waits.
const HANG: Duration = Duration::from_secs(3600);

/// Remembers the last code sent to each number until it is taken.
#[derive(Clone)]
pub struct Mock {
    address: SocketAddr,
    delay: Duration,
    codes: Arc<Mutex<HashMap<u64, String>>>,
}

impl Mock {
    /// Answers each message after `delay`, and messages to hanging numbers never. Ends with the runtime.
    pub async fn start(address: SocketAddr, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let mock = Self { address: listener.local_addr()?, delay, codes: Arc::default() };
        tokio::spawn(mock.clone().listen(listener));
        Ok(mock)
    }

    /// The value for `TWILIO_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The code that was sent to this number.
    pub fn take_code(&self, digits: u64) -> Option<String> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&digits)
    }

    async fn listen(self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // No file is free; one may be a moment later.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let mock = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| mock.answer(request));
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = Limited::new(request.into_body(), LONGEST_FORM).collect().await;
        let form = body.map(Collected::to_bytes).unwrap_or_default();
        let (status, body) = match message(&form) {
            Some((digits, _)) if is_hanging(digits) => {
                tokio::time::sleep(HANG).await;
                (StatusCode::CREATED, QUEUED)
            }
            Some(message) if self.keep(&message) => {
                if !self.delay.is_zero() {
                    tokio::time::sleep(self.delay).await;
                }
                (StatusCode::CREATED, QUEUED)
            }
            _ => (StatusCode::BAD_REQUEST, BAD),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    fn keep(&self, (digits, code): &(u64, String)) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = codes.len() < TEXTS_AT_MOST;
        if room {
            codes.insert(*digits, code.clone());
        }
        room
    }
}

/// The number, and the last run of digits in the text that is as long as a code.
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
    fn a_form_without_code_or_number_is_not_a_message() {
        for form in ["To=%2B14155552671&Body=hello", "Body=123456", "", "To=abc&Body=123456"] {
            assert_eq!(message(form.as_bytes()), None, "{form}");
        }
    }
}
