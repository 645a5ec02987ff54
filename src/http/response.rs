//! The forms of responses.

use axum::Json;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;

/// Says on the compatible routes what is wrong with a request.
pub const X_ONCEWARD_REASON: HeaderName = HeaderName::from_static("x-onceward-reason");

/// The message of `/healthz`.
pub const ALIVE: &str = "alive";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `{"code","message","data"}`: all routes but the tutorial's.
    Envelope,
    /// `{"message"}`: the tutorial's API.
    Message,
    /// `{"code","message","more_info","status"}`: Twilio's API.
    Twilio,
}

crate::named! {
    /// Why a request was not served, beside a [`Refusal`]. A decision about a number, such as a lockout, is no such reason.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NotServed {
        /// It had no valid credential.
        Unauthenticated = "unauthenticated",
        /// Its credential, its signature or its origin does not permit it.
        Forbidden = "forbidden",
        /// A rate limit of the service, or the limit on lists that are read.
        RateLimited = "rate_limited",
        /// The pumping guard or the provider takes it for fraud.
        Blocked = "blocked",
        /// The service does not send to the country.
        Country = "country",
        /// It is not what the route reads.
        Invalid = "invalid",
    }
}

impl NotServed {
    /// Why an error with this status and this number of Twilio's is one. `None` for errors about a verification, which its
    /// outcome counts, and about what does not exist.
    pub fn of(status: StatusCode, code: u32) -> Option<Self> {
        match (status, code) {
            (StatusCode::UNAUTHORIZED, _) => Some(Self::Unauthenticated),
            (StatusCode::FORBIDDEN, 20003 | 20403) => Some(Self::Forbidden),
            (StatusCode::FORBIDDEN, 60410) => Some(Self::Blocked),
            (StatusCode::FORBIDDEN, 60605) => Some(Self::Country),
            (StatusCode::TOO_MANY_REQUESTS, 20429) => Some(Self::RateLimited),
            (StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS, _) => None,
            _ => status.is_client_error().then_some(Self::Invalid),
        }
    }
}

/// The envelope without `data`, status and code being the same.
pub fn plain(status: StatusCode, message: &str) -> Response {
    envelope(status, status.as_u16(), message, None::<()>)
}

/// The envelope; `code` differs from the status in the as-built answers only.
pub fn envelope<D: Serialize>(status: StatusCode, code: u16, message: &str, data: Option<D>) -> Response {
    json(status, &Envelope { code, message, data })
}

pub fn message(status: StatusCode, message: &str) -> Response {
    json(status, &Message { message })
}

pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, Json(body)).into_response()
}

/// What the front end adds to responses.
pub trait ResponseExt: Sized {
    fn with(self, name: HeaderName, value: HeaderValue) -> Self;

    /// Notes why the request was not served, for metrics and the log.
    fn because(self, reason: NotServed) -> Self;

    /// Adds the reason as a header. The reason is the server's own text and repeats nothing that the client sent.
    fn explained(self, reason: &str) -> Self {
        self.with(
            X_ONCEWARD_REASON,
            HeaderValue::from_str(reason).unwrap_or(HeaderValue::from_static("unknown")),
        )
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.with(RETRY_AFTER, seconds.into())
    }
}

impl ResponseExt for Response {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    fn because(mut self, reason: NotServed) -> Self {
        self.extensions_mut().insert(reason);
        self
    }
}

// The fields' order is part of the contract.
/// The answer of most routes that are not Twilio's.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Envelope", bound = "")]
pub struct Envelope<'a, D = ()> {
    /// The HTTP status, unless the answers are as built.
    code: u16,
    message: &'a str,
    /// More about it, often an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    data: Option<D>,
}

/// The answer of the tutorial's routes.
#[derive(Serialize, JsonSchema)]
pub struct Message<'a> {
    message: &'a str,
}

/// An error in Twilio's form.
#[derive(Serialize, JsonSchema)]
pub struct TwilioError<'a> {
    /// Twilio's number of the error.
    #[schemars(range(min = 20000))]
    pub code: u32,
    pub message: &'a str,
    /// Where Twilio says more.
    #[schemars(extend("format" = "uri"))]
    pub more_info: String,
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
}
