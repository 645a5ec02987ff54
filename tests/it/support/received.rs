//! Requests to a double.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The number, in E.164 form.
    pub number: String,
    pub purpose: RequestPurpose,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestPurpose {
    /// Sends a message or calls.
    #[default]
    Send,
    Check,
    Other,
}

#[derive(Debug, Clone)]
pub struct Received {
    /// Counts from 1.
    pub id: usize,
    pub target: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub form: BTreeMap<String, String>,
    pub about: About,
}

impl Received {
    /// A field of the form; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// A header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn is_about(&self, number: &str, purpose: RequestPurpose) -> bool {
        self.about.number == number && self.about.purpose == purpose
    }

    pub fn is_for(&self, end: &str) -> bool {
        self.target.ends_with(end)
    }
}

pub async fn take_in(request: Request<Incoming>) -> Result<Received, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut received = Received {
        id: 0,
        target: format!("{} {}", head.method, head.uri.path()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        form: BTreeMap::new(),
        body,
        about: About::default(),
    };
    if received.header("content-type").starts_with("application/x-www-form-urlencoded") {
        received.form = url::form_urlencoded::parse(&received.body).into_owned().collect();
    }
    Ok(received)
}

/// The `Authorization` header for these credentials.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// The longest run of digits in a text that could be a code.
pub fn longest_digits(text: &str) -> Option<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.len() >= 4).max_by_key(|run| run.len()).map(str::to_owned)
}
