//! Requests that arrived at a double.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, header};

use super::reply::Said;

/// The subject of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Whose number, in E.164 form.
    pub number: String,
    /// The purpose of the request.
    pub purpose: RequestPurpose,
}

/// The purpose of the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestPurpose {
    /// A message or call.
    #[default]
    Send,
    /// Whether a code is right.
    Check,
    /// Something else.
    Other,
}

/// The fault of a request, and its answer.
pub struct Complaint {
    /// The answer.
    pub said: Said,
    /// For the person who reads the failed test.
    pub words: String,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which one, counted from 1.
    pub id: usize,
    /// The method and the path.
    pub target: String,
    /// The query after the path.
    pub query: String,
    /// The header of that name.
    pub authorization: String,
    /// The header of that name.
    pub content_type: String,
    /// The body as it came.
    pub body: Bytes,
    /// The form's fields, when it is a form.
    pub form: BTreeMap<String, String>,
    /// The subject.
    pub about: About,
}

impl Received {
    /// One of the form's fields, empty when it is missing.
    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// Whether it is about this, and wants that.
    pub fn is_about(&self, number: &str, purpose: RequestPurpose) -> bool {
        self.about.number == number && self.about.purpose == purpose
    }

    /// Whether the path ends like this.
    pub fn is_for(&self, end: &str) -> bool {
        self.target.ends_with(end)
    }
}

/// Reads a request to its end.
pub async fn take_in(request: Request<Incoming>) -> Result<Received, io::Error> {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let is_form = text(header::CONTENT_TYPE).starts_with("application/x-www-form-urlencoded");
    Ok(Received {
        id: 0,
        target: format!("{} {}", head.method, head.uri.path()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: text(header::AUTHORIZATION).to_owned(),
        content_type: text(header::CONTENT_TYPE).to_owned(),
        form: if is_form { form_urlencoded::parse(&body).into_owned().collect() } else { BTreeMap::new() },
        body,
        about: About::default(),
    })
}

/// The `Authorization` header of these credentials.
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// The longest run of digits in a text that could be a code.
pub fn longest_digits(text: &str) -> Option<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.len() >= 4).max_by_key(|run| run.len()).map(str::to_owned)
}
