//! The replies of the doubles.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode, header};
use serde_json::Value;

/// Twilio's code for a request that it is too busy for.
pub const TOO_MANY_REQUESTS: u32 = 20_429;

/// How a double reacts to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Accept,
    /// An error in the provider's wording, with the recipient's whole number in the text if the provider includes it.
    Refuse {
        status: u16,
        code: u32,
    },
    /// An error whose code is the code of the message.
    RefuseWithItsCode,
    /// A success whose message id is the message's number and code.
    AcceptWithItsCode,
    /// 429: not executed.
    Busy,
    /// The same, with a request to wait this many seconds.
    BusyFor(u32),
    /// This status with an HTML page, as from a proxy in front of a provider, or in the provider's wording if it has
    /// one.
    ServerError(u16),
    /// Executes the request, and sends neither JSON nor XML.
    NotJson,
    /// Executes the request, sends half an answer, and ends the connection.
    CutShort,
    /// Resets the connection instead of an answer.
    Reset,
    /// Sends no answer until the double is released; then executes the request.
    Hang,
}

/// An answer for hyper.
pub type Reaction = Response<UnsyncBoxBody<Bytes, io::Error>>;

#[derive(Debug, Clone)]
pub struct Said {
    status: u16,
    content_type: &'static str,
    pub body: String,
    retry_after: Option<u32>,
}

impl Said {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub fn xml(status: u16, body: String) -> Self {
        Self::new(status, "text/xml; charset=utf-8", body)
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain", body.into())
    }

    pub fn html(status: u16) -> Self {
        Self::new(status, "text/html", "<html>An error</html>".to_owned())
    }

    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, body, retry_after: None }
    }

    pub fn and_retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Replaces the id in a JSON body.
    pub fn with_id(self, id: &str) -> Self {
        let mut resource: Value = serde_json::from_str(&self.body).expect("a provider that answers in JSON");
        for name in ["sid", "id"] {
            if let Some(value) = resource.get_mut(name) {
                *value = id.into();
            }
        }
        Self { body: resource.to_string(), ..self }
    }

    /// Replaces the body by one that is not JSON.
    pub fn garbled(self) -> Self {
        Self { body: "{\"sid\": <queued>".to_owned(), ..self }
    }

    pub fn cut_short(self) -> Reaction {
        let half = Bytes::copy_from_slice(&self.body.as_bytes()[..self.body.len() / 2]);
        let frames = [Ok(Frame::data(half)), Err(io::ErrorKind::ConnectionReset.into())];
        let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        response.headers_mut().insert(header::CONTENT_LENGTH, self.body.len().into());
        response
    }
}

impl From<Said> for Reaction {
    fn from(said: Said) -> Self {
        let body = Full::new(Bytes::from(said.body)).map_err(|never: Infallible| match never {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(said.status).expect("a status");
        let content_type = header::HeaderValue::from_static(said.content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if let Some(seconds) = said.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
