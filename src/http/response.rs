//! The forms of responses, and the errors of every route, in one table.

use std::borrow::Cow;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::NumberError;
use crate::verification::numbers::{LimitedTable, Refusal};

/// Seconds after which a refused client may try again. The cause of a refusal (a full queue, a failed commit, a
/// restart) ends within a second or lasts much longer.
pub const REFUSED_SECONDS: u64 = 1;

/// Seconds after which a client may try again while a table is full: most records end within minutes.
const TABLE_FULL_SECONDS: u64 = 60;

/// `Retry-After` below `/v2`, and where the path is not known. Twilio sends no `Retry-After`, and clients that obey it would repeat a request that
/// sends a message.
const X_ONCEWARD_RETRY_AFTER: HeaderName = HeaderName::from_static("x-onceward-retry-after");

/// Says on the compatible routes what is wrong with a request.
const X_ONCEWARD_REASON: HeaderName = HeaderName::from_static("x-onceward-reason");

/// The message of `/healthz`, by which a node recognizes another one.
pub const ALIVE: &str = "alive";

/// The message where nothing is served, by which `doctor` recognizes a server.
pub const NOT_FOUND: &str = "Not found. GET / names what is served here.";

/// The longest part of a body that is handed over at once. A connection buffers one for each of its 128 streams: half a
/// MiB. An answer is long if it has more than one piece.
pub const PIECE: usize = 4 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `{"code","message","data"}`: all routes but the tutorial's.
    Envelope,
    /// `{"message"}`: the tutorial's API.
    Message,
    /// `{"code","message","more_info","status"}`: Twilio's API.
    Twilio,
}

/// Why a request was not served. A decision about a number, such as a lockout, is no such reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotServed {
    /// The server could not serve it.
    Refused(Refusal),
    /// It had no valid credential.
    Unauthenticated,
    /// Its credential, its signature or its origin does not permit it.
    Forbidden,
    /// A rate limit of the service, or a limit on lists that are read, on replays of webhooks or on sign-ins that fail.
    RateLimited,
    /// The pumping guard or the provider takes it for fraud.
    Blocked,
    /// The service does not send to the country.
    Country,
    /// It is not what the route reads.
    Invalid,
}

impl NotServed {
    /// The names in metrics beside [`Refusal::NAMES`].
    pub const NAMES: [&'static str; 6] =
        ["unauthenticated", "forbidden", "rate_limited", "blocked", "country", "invalid"];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Blocked => "blocked",
            Self::Country => "country",
            Self::Invalid => "invalid",
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

/// An error in Twilio's form. `code` is Twilio's number of it, under which its documentation says more.
pub fn twilio_error(status: StatusCode, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json(status, &TwilioError { code, message, more_info, status: status.as_u16() })
}

/// A page with the further headers that it must be served with, names in lower case.
pub fn page(
    content_type: &'static str,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// The bytes of a body that is not a stream.
pub fn whole(mut body: Body) -> Result<Bytes, Body> {
    match body.size_hint().exact() {
        None => Err(body),
        Some(0) => Ok(Bytes::new()),
        // Such a body has one frame, which is there.
        Some(_) => {
            let frame = body.frame().now_or_never().flatten().and_then(Result::ok);
            frame.and_then(|frame| frame.into_data().ok()).ok_or(body)
        }
    }
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

    /// The same below `/v2`.
    fn twilio_retry_after(self, seconds: u64) -> Self {
        self.with(X_ONCEWARD_RETRY_AFTER, seconds.into())
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
    code: u32,
    message: &'a str,
    /// Where Twilio says more.
    #[schemars(extend("format" = "uri"))]
    more_info: String,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
}

/// A request that got no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Not what the endpoint reads. The reason is for the log.
    BadBody(BadBody),
    NotFound,
    MethodNotAllowed(&'static str),
    Unauthenticated,
    Forbidden,
    /// A browser's request that a page of another site made.
    CrossSite,
    BadSignature,
    CallbackUnavailable,
    /// No node of the cluster began the request.
    NoNode,
    /// A request for the inbox under a host name that an attacker may have registered.
    ForeignHost,
    /// The same for a compatible route that needs no key.
    ForeignHostWithoutKey,
    BodyTooLarge(usize),
    BodyTooSlow,
    Refused(Refusal),
    /// Our own mistake.
    Panicked,
    /// A head that breaks off, or HTTP/2 where HTTP/1 is spoken.
    BadHead,
    /// No `Host` where HTTP requires it, more than one, or a malformed one.
    BadHost,
    /// A variable segment of the path has a slash, or is a dot segment.
    BadPath,
    /// HTTP without TLS, where TLS is spoken.
    PlainHttp,
    HeadTooSlow,
    TooManyConnections,
}

impl Problem {
    /// The status, which is also the envelope's code, and the message.
    pub fn status_and_message(self) -> (StatusCode, Cow<'static, str>) {
        const REFUSED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        let (status, message) = match self {
            Self::BadBody(_) => (StatusCode::BAD_REQUEST, "Invalid request body"),
            Self::NotFound => (StatusCode::NOT_FOUND, NOT_FOUND),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "Authenticate with the account's sid and auth token, or with an API key's sid and secret.",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "This API key may not do that."),
            Self::CrossSite => (StatusCode::FORBIDDEN, "Web pages of other sites may not call this."),
            Self::BadSignature => (
                StatusCode::FORBIDDEN,
                "The signature or the key does not match. Is public-url what the provider was told?",
            ),
            Self::CallbackUnavailable => (REFUSED, "The report could not be taken. Try again shortly."),
            Self::NoNode => (REFUSED, "No node of the cluster answers. Try again shortly."),
            Self::ForeignHost => (
                StatusCode::FORBIDDEN,
                "The inbox can be opened only by an IP address, localhost, or the configured host name.",
            ),
            Self::ForeignHostWithoutKey => (
                StatusCode::FORBIDDEN,
                "Without a key only requests for the address that the server listens on are served, such as \
                 localhost:3000, from no proxy. Make a key, or set allow-unauthenticated.",
            ),
            Self::MethodNotAllowed(allow) => {
                let message = format!("Method not allowed. Allowed here: {allow}.");
                return (StatusCode::METHOD_NOT_ALLOWED, message.into());
            }
            Self::BodyTooLarge(limit) => {
                let message = format!("Request body too large. At most {limit} bytes are read.");
                return (StatusCode::PAYLOAD_TOO_LARGE, message.into());
            }
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time."),
            Self::Refused(Refusal::NumberBusy) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests for this number are in progress. Try again shortly.",
            ),
            Self::Refused(Refusal::Overloaded) => {
                (REFUSED, "Too many requests are in progress. Try again shortly.")
            }
            Self::Refused(Refusal::SendsOverloaded) => {
                (REFUSED, "Too many messages are waiting to be sent. Try again shortly.")
            }
            Self::Refused(Refusal::TableFull {
                table: LimitedTable::Numbers | LimitedTable::TestNumbers,
                ..
            }) => (REFUSED, "Too many numbers are being verified. Try again shortly."),
            Self::Refused(Refusal::TableFull { table, .. }) => {
                return (REFUSED, format!("The server has too many {table}. Try again later.").into());
            }
            Self::Refused(Refusal::StoreUnavailable) => {
                (REFUSED, "The request could not be stored safely. Try again shortly.")
            }
            Self::Refused(Refusal::Starting) => (REFUSED, "The server is starting. Try again shortly."),
            Self::Refused(Refusal::Stopping) => {
                (REFUSED, "The server is stopping or restarting. Try again shortly.")
            }
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred."),
            Self::BadHead => (StatusCode::BAD_REQUEST, "The request is not valid HTTP."),
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "The request must have one Host header, with a host and perhaps a port.",
            ),
            Self::BadPath => {
                (StatusCode::BAD_REQUEST, "A part of the path has a slash, or is a dot segment.")
            }
            Self::PlainHttp => {
                (StatusCode::BAD_REQUEST, "This port speaks HTTPS only. Begin the address with https://.")
            }
            Self::HeadTooSlow => (StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time."),
            Self::TooManyConnections => (REFUSED, "Too many connections are open. Try again shortly."),
        };
        (status, message.into())
    }

    /// Twilio's number of the error. Where Twilio documents none it is made as Twilio's own general ones are: 20000 and
    /// the status.
    pub fn twilio_code(self) -> u32 {
        match self {
            Self::BadBody(_) | Self::BadPath => 60200,
            Self::Unauthenticated | Self::Forbidden => 20003,
            Self::MethodNotAllowed(_) => 20004,
            _ => 20_000 + u32::from(self.status_and_message().0.as_u16()),
        }
    }

    /// Seconds after which the client may try again.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::Refused(Refusal::TableFull { .. }) => Some(TABLE_FULL_SECONDS),
            Self::Refused(_) | Self::TooManyConnections | Self::CallbackUnavailable | Self::NoNode => {
                Some(REFUSED_SECONDS)
            }
            _ => None,
        }
    }

    pub fn answer(self, shape: ErrorFormat) -> Response {
        let (status, message) = self.status_and_message();
        let answer = match shape {
            ErrorFormat::Envelope => plain(status, &message),
            ErrorFormat::Message => self::message(status, &message),
            ErrorFormat::Twilio => twilio_error(status, self.twilio_code(), &message),
        };
        let answer = match (self.retry_after(), shape) {
            (None, _) => answer,
            (Some(seconds), ErrorFormat::Twilio) => answer.twilio_retry_after(seconds),
            // Nothing of the request was read: it may be for `/v2`.
            (Some(seconds), _) if self == Self::TooManyConnections => answer.twilio_retry_after(seconds),
            (Some(seconds), _) => answer.retry_after(seconds),
        };
        match self {
            Self::MethodNotAllowed(allow) => {
                answer.with(ALLOW, HeaderValue::from_static(allow)).because(NotServed::Invalid)
            }
            Self::BadBody(_) | Self::BodyTooLarge(_) | Self::BodyTooSlow | Self::BadHost | Self::BadPath => {
                answer.because(NotServed::Invalid)
            }
            Self::Unauthenticated => {
                let challenge = HeaderValue::from_static("Basic realm=\"onceward\"");
                answer.with(WWW_AUTHENTICATE, challenge).because(NotServed::Unauthenticated)
            }
            Self::Forbidden
            | Self::CrossSite
            | Self::BadSignature
            | Self::ForeignHost
            | Self::ForeignHostWithoutKey => answer.because(NotServed::Forbidden),
            Self::Refused(refusal) => answer.because(NotServed::Refused(refusal)),
            _ => answer,
        }
    }
}

/// Why a body is not what its route reads: for the log and for the header of the compatible routes, since all get the
/// same answer. No reason repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("it broke off, or its chunks are not valid")]
    Broken,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not JSON at line {line}, column {column}")]
    NotJson {
        line: usize,
        /// In bytes, as all columns here.
        column: usize,
    },
    #[error("it ends before the JSON does")]
    Unfinished,
    #[error("the field {field} is missing")]
    Missing { field: &'static str },
    #[error("the field {field} is given twice")]
    Twice { field: &'static str },
    #[error("it has something else at line {line}, column {column}, where {expected} must be")]
    OtherType { expected: &'static str, line: usize, column: usize },
    #[error("phoneNumber cannot be used: {0}")]
    Number(NumberError),
    #[error("the code is empty")]
    EmptyCode,
    #[error("the channel {0} is not served here")]
    ChannelNotServed(&'static str),
    #[error("it is not a report of this kind")]
    Report,
}

/// The fields of all bodies.
const FIELDS: [&str; 7] = ["phoneNumber", "user", "code", "smsCode", "channel", "locale", "appHash"];

/// The types in error messages.
const TYPES: [&str; 2] = ["a string", "a JSON object"];

impl From<serde_json::Error> for BadBody {
    /// The parser's words are searched for ours and never passed on: they repeat the input.
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;

        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => Self::Unfinished,
            Category::Syntax | Category::Io => Self::NotJson { line, column },
            Category::Data => {
                let words = error.to_string();
                let field_after = |beginning: &str| {
                    let rest = words.strip_prefix(beginning)?;
                    FIELDS.into_iter().find(|field| rest.starts_with(&format!("`{field}`")))
                };
                if let Some(field) = field_after("missing field ") {
                    return Self::Missing { field };
                }
                if let Some(field) = field_after("duplicate field ") {
                    return Self::Twice { field };
                }
                let rest = words.rsplit_once(", expected ").map_or("", |(_, rest)| rest);
                let expected = TYPES.into_iter().find(|name| rest.starts_with(name));
                Self::OtherType { expected: expected.unwrap_or("another type"), line, column }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_errors_md_quotes_messages_that_every_route_can_answer() {
        let document = include_str!("../../docs/reference/errors.md");
        let of_all_routes = document.split("\n## ").nth(1).expect("the section of all routes");
        let lines: Vec<&str> = of_all_routes.lines().filter(|line| line.starts_with("* ")).collect();
        let problems = [
            Problem::BadBody(BadBody::NotUtf8),
            Problem::Unauthenticated,
            Problem::Forbidden,
            Problem::Refused(Refusal::NumberBusy),
            Problem::Panicked,
            Problem::Refused(Refusal::TableFull { table: LimitedTable::Numbers }),
            Problem::Refused(Refusal::TableFull { table: LimitedTable::IdempotencyKeys }),
            Problem::NoNode,
            Problem::TooManyConnections,
        ];
        assert_eq!(lines.len(), problems.len());
        for (problem, line) in problems.into_iter().zip(lines) {
            let (status, message) = problem.status_and_message();
            assert!(line.starts_with(&format!("* {}", status.as_u16())), "{line}");
            assert!(line.contains(&format!("`{message}`")), "{line}");
        }
    }

    #[test]
    fn an_envelope_has_code_message_and_data_in_this_order() {
        let answer = envelope(StatusCode::OK, 200, "m", Some("d"));
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(whole(answer.into_body()).expect("no stream"), r#"{"code":200,"message":"m","data":"d"}"#);
    }
}
