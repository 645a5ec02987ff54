//! The forms of responses, and the errors of every route, in one table.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Body as _;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
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

/// The message of `/healthz`.
pub const ALIVE: &str = "alive";

/// The message where nothing is served, by which `doctor` recognizes a server.
pub const NOT_FOUND: &str = "Not found. GET / names what is served here.";

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
        /// A rate limit of the service, or a limit on lists that are read, on replays of webhooks or on sign-ins that fail.
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

/// An error in Twilio's form. `code` is Twilio's number of it, under which its documentation says more.
pub fn twilio_error(status: StatusCode, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json(status, &TwilioError { code, message, more_info, status: status.as_u16() })
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

/// A request that got no decision. Its words are the message of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not what the endpoint reads. The reason is for the log.
    #[error("Invalid request body")]
    BadBody(BadBody),
    #[error("{}", NOT_FOUND)]
    NotFound,
    #[error("Method not allowed. Allowed here: {0}.")]
    MethodNotAllowed(&'static str),
    #[error("Authenticate with the account's sid and auth token, or with an API key's sid and secret.")]
    Unauthenticated,
    #[error("This API key may not do that.")]
    Forbidden,
    /// A browser's request that a page of another site made.
    #[error("Web pages of other sites may not call this.")]
    CrossSite,
    #[error("The signature or the key does not match. Is public-url what the provider was told?")]
    BadSignature,
    #[error("The report could not be taken. Try again shortly.")]
    CallbackUnavailable,
    /// Another node of the cluster answers requests, or none.
    #[error("This node does not answer requests now. Another node of the cluster may.")]
    StandsBy,
    /// A request for the inbox under a host name that an attacker may have registered.
    #[error("The inbox can be opened only by an IP address, localhost, or the configured host name.")]
    ForeignHost,
    /// The same for a compatible route that needs no key.
    #[error(
        "Without a key only requests for the address that the server listens on are served, such as \
         localhost:3000, from no proxy. Make a key, or set allow-unauthenticated."
    )]
    ForeignHostWithoutKey,
    #[error("Request body too large. At most {0} bytes are read.")]
    BodyTooLarge(usize),
    #[error("The request body did not arrive in time.")]
    BodyTooSlow,
    #[error("{}", refused(*.0))]
    Refused(#[from] Refusal),
    /// Our own mistake.
    #[error("Internal server error occurred.")]
    Panicked,
    /// No `Host` where HTTP requires it, more than one, or a malformed one.
    #[error("The request must have one Host header, with a host and perhaps a port.")]
    BadHost,
    /// A variable segment of the path has a slash, or is a dot segment.
    #[error("A part of the path has a slash, or is a dot segment.")]
    BadPath,
}

/// Why the server cannot serve a request now, in words for its client.
fn refused(refusal: Refusal) -> Cow<'static, str> {
    Cow::Borrowed(match refusal {
        Refusal::NumberBusy => "Too many requests for this number are in progress. Try again shortly.",
        Refusal::Overloaded => "Too many requests are in progress. Try again shortly.",
        Refusal::SendsOverloaded => "Too many messages are waiting to be sent. Try again shortly.",
        Refusal::TableFull { table: LimitedTable::Numbers | LimitedTable::TestNumbers } => {
            "Too many numbers are being verified. Try again shortly."
        }
        Refusal::TableFull { table } => {
            return format!("The server has too many {table}. Try again later.").into();
        }
        Refusal::StoreUnavailable => "The request could not be stored safely. Try again shortly.",
        Refusal::OutcomeUnknown => "The outcome is unknown: the request may have been carried out.",
        Refusal::Starting => "The server is starting. Try again shortly.",
        Refusal::Stopping => "The server is stopping or restarting. Try again shortly.",
    })
}

impl Problem {
    /// The status, which is also the envelope's code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadBody(_) | Self::BadHost | Self::BadPath => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::CrossSite
            | Self::BadSignature
            | Self::ForeignHost
            | Self::ForeignHostWithoutKey => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refused(Refusal::NumberBusy) => StatusCode::TOO_MANY_REQUESTS,
            Self::Panicked | Self::Refused(Refusal::OutcomeUnknown) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(_) | Self::CallbackUnavailable | Self::StandsBy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Twilio's number of the error. Where Twilio documents none it is made as Twilio's own general ones are: 20000 and
    /// the status.
    fn twilio_code(self) -> u32 {
        match self {
            Self::BadBody(_) | Self::BadPath => 60200,
            Self::Unauthenticated | Self::Forbidden => 20003,
            Self::MethodNotAllowed(_) => 20004,
            _ => 20_000 + u32::from(self.status().as_u16()),
        }
    }

    pub fn answer(self, shape: ErrorFormat) -> Response {
        let (status, code, message) = (self.status(), self.twilio_code(), self.to_string());
        let mut answer = match shape {
            ErrorFormat::Envelope => plain(status, &message),
            ErrorFormat::Message => self::message(status, &message),
            ErrorFormat::Twilio => twilio_error(status, code, &message),
        };
        let retry_after = match self {
            Self::Refused(Refusal::TableFull { .. }) => Some(TABLE_FULL_SECONDS),
            Self::Refused(Refusal::NumberBusy) => Some(REFUSED_SECONDS),
            _ => (status == StatusCode::SERVICE_UNAVAILABLE).then_some(REFUSED_SECONDS),
        };
        if let Some(seconds) = retry_after {
            answer = match shape {
                ErrorFormat::Twilio => answer.twilio_retry_after(seconds),
                ErrorFormat::Envelope | ErrorFormat::Message => answer.retry_after(seconds),
            };
        }
        let answer = match self {
            Self::MethodNotAllowed(allow) => answer.with(ALLOW, HeaderValue::from_static(allow)),
            Self::Unauthenticated => {
                answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"onceward\""))
            }
            Self::Refused(refusal) => return (Extension(refusal), answer).into_response(),
            _ => answer,
        };
        NotServed::of(status, code).into_iter().fold(answer, ResponseExt::because)
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

        // At the beginning the parser has read no column.
        let (line, column) = (error.line(), error.column().max(1));
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
            Problem::Refused(Refusal::OutcomeUnknown),
            Problem::Refused(Refusal::TableFull { table: LimitedTable::Numbers }),
            Problem::Refused(Refusal::TableFull { table: LimitedTable::IdempotencyKeys }),
            Problem::StandsBy,
        ];
        assert_eq!(lines.len(), problems.len());
        for (problem, line) in problems.into_iter().zip(lines) {
            assert!(line.starts_with(&format!("* {}", problem.status().as_u16())), "{line}");
            assert!(line.contains(&format!("`{problem}`")), "{line}");
        }
    }
}
