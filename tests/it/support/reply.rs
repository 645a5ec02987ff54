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

/// The code that Twilio gives to a request that it is too busy for.
pub const TOO_MANY_REQUESTS: u32 = 20_429;

/// A double's reaction to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The request is carried out.
    Accept,
    /// An error as the provider words it, with the recipient's whole number in the text where
    /// providers are so careless.
    Refuse {
        /// HTTP status.
        status: u16,
        /// The provider's error code.
        code: u32,
    },
    /// 429: never processed.
    Busy,
    /// The same, to be tried again after this many seconds.
    BusyFor(u32),
    /// This status with an HTML page, as a proxy in front of a provider would answer; where the
    /// provider has words of its own for it, with these.
    ServerError(u16),
    /// Done, and answered with something that is neither JSON nor XML.
    NotJson,
    /// Done, and half an answer, then the connection ends.
    CutShort,
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer until the double is released; then done.
    Hang,
}

/// An answer on its way to hyper.
pub type Reaction = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// An answer.
#[derive(Debug, Clone)]
pub struct Said {
    status: u16,
    content_type: &'static str,
    body: String,
    retry_after: Option<u32>,
}

impl Said {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// XML.
    pub fn xml(status: u16, body: String) -> Self {
        Self::new(status, "text/xml; charset=utf-8", body)
    }

    /// Plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain", body.into())
    }

    /// A page for people.
    pub fn html(status: u16) -> Self {
        Self::new(status, "text/html", "<html>An error</html>".to_owned())
    }

    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, body, retry_after: None }
    }

    /// With `Retry-After`.
    pub fn and_retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same status with a body that is not JSON.
    pub fn garbled(self) -> Self {
        Self { body: "{\"sid\": <queued>".to_owned(), ..self }
    }

    /// Half of it, then the connection ends.
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
