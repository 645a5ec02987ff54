//! Errors before or around an endpoint, and their responses.

use std::borrow::Cow;

use hyper::StatusCode;

use super::answer::{Answer, Shape};
use crate::domain::NumberError;
use crate::numbers::Refusal;

/// A request that got no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Not what the endpoint reads. The reason is for the log.
    BadBody(BadBody),
    /// No such path.
    NotFound,
    /// The path exists, with these methods.
    MethodNotAllowed(&'static str),
    /// No credential, or a wrong one.
    Unauthenticated,
    /// A credential that may not do this.
    Forbidden,
    /// A browser's request that a page of another site made.
    CrossSite,
    /// A report that is not signed by the gateway.
    BadSignature,
    /// A report that cannot be taken now.
    CallbackUnavailable,
    /// A request for the inbox under a host name that an attacker may have registered.
    ForeignHost,
    /// More than this many bytes.
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    BodyTooSlow,
    /// A shard refused the request.
    Refused(Refusal),
    /// Our own mistake.
    Panicked,
    /// A head that breaks off, or HTTP/2 where HTTP/1 is spoken.
    BadHead,
    /// HTTP without TLS, where TLS is spoken.
    PlainHttp,
    /// The head did not arrive in time.
    HeadTooSlow,
    /// All connections are taken.
    TooManyConnections,
}

impl Problem {
    /// The status, which is also the envelope's code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadBody(_) | Self::BadHead | Self::PlainHttp => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite | Self::ForeignHost | Self::BadSignature => {
                StatusCode::FORBIDDEN
            }
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow | Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(Refusal::NumberBusy) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(
                Refusal::Overloaded
                | Refusal::SendsOverloaded
                | Refusal::TooManyNumbers
                | Refusal::StoreUnavailable
                | Refusal::Stopping,
            )
            | Self::CallbackUnavailable
            | Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Twilio's number of the error. Where Twilio documents none it is made as Twilio's own general ones are: 20000 and
    /// the status.
    pub const fn twilio_code(self) -> u32 {
        match self {
            Self::BadBody(_) => 60200,
            Self::Unauthenticated | Self::Forbidden => 20003,
            Self::MethodNotAllowed(_) => 20004,
            Self::NotFound
            | Self::CrossSite
            | Self::BadSignature
            | Self::CallbackUnavailable
            | Self::ForeignHost
            | Self::BodyTooLarge(_)
            | Self::BodyTooSlow
            | Self::Refused(_)
            | Self::Panicked
            | Self::BadHead
            | Self::PlainHttp
            | Self::HeadTooSlow
            | Self::TooManyConnections => 20_000 + self.status().as_u16() as u32,
        }
    }

    /// The message.
    pub fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::BadBody(_) => "Invalid request body",
            Self::NotFound => "Not found. GET / names what is served here.",
            Self::Unauthenticated => {
                "Authenticate with the account's sid and auth token, or with an API key's sid and secret."
            }
            Self::Forbidden => "This API key may not do that.",
            Self::CrossSite => "Web pages of other sites may not call this.",
            Self::BadSignature => "The signature does not match. Is public-url what the provider was told?",
            Self::CallbackUnavailable => "The report could not be taken. Try again shortly.",
            Self::ForeignHost => {
                "The inbox can be opened only by an IP address, localhost, or the configured host name."
            }
            Self::MethodNotAllowed(allow) => {
                return Cow::Owned(format!("Method not allowed. Allowed here: {allow}."));
            }
            Self::BodyTooLarge(limit) => {
                return Cow::Owned(format!("Request body too large. At most {limit} bytes are read."));
            }
            Self::BodyTooSlow => "The request body did not arrive in time.",
            Self::Refused(Refusal::Overloaded) => "Too many requests are in progress. Try again shortly.",
            Self::Refused(Refusal::NumberBusy) => {
                "Too many requests for this number are in progress. Try again shortly."
            }
            Self::Refused(Refusal::SendsOverloaded) => {
                "Too many messages are waiting to be sent. Try again shortly."
            }
            Self::Refused(Refusal::TooManyNumbers) => {
                "Too many numbers are being verified. Try again shortly."
            }
            Self::Refused(Refusal::StoreUnavailable) => {
                "The request could not be stored safely. Try again shortly."
            }
            Self::Refused(Refusal::Stopping) => "The server is stopping or restarting. Try again shortly.",
            Self::Panicked => "Internal server error occurred.",
            Self::BadHead => "The request is not valid HTTP.",
            Self::PlainHttp => "This port speaks HTTPS only. Begin the address with https://.",
            Self::HeadTooSlow => "The request did not arrive in time.",
            Self::TooManyConnections => "Too many connections are open. Try again shortly.",
        })
    }

    /// The answer in the shape of the route.
    pub fn answer(self, shape: Shape) -> Answer {
        let answer = match shape {
            Shape::Envelope => Answer::plain(self.status(), &self.message()),
            Shape::Message => Answer::message(self.status(), &self.message()),
            Shape::Twilio => Answer::twilio_error(self.status(), self.twilio_code(), &self.message()),
        };
        match self {
            Self::MethodNotAllowed(allow) => answer.allowing(allow),
            Self::Unauthenticated => answer.asking_for_a_credential(),
            Self::Refused(refusal) => answer.retry_later().because(refusal),
            Self::TooManyConnections | Self::CallbackUnavailable => answer.retry_later(),
            Self::BadBody(_)
            | Self::NotFound
            | Self::Forbidden
            | Self::CrossSite
            | Self::BadSignature
            | Self::ForeignHost
            | Self::BodyTooLarge(_)
            | Self::BodyTooSlow
            | Self::Panicked
            | Self::BadHead
            | Self::PlainHttp
            | Self::HeadTooSlow => answer,
        }
    }
}

/// Why a body is not what its route reads: for the log, since all get the same answer. No reason repeats what the
/// client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// The connection or the chunked coding broke off.
    #[error("it broke off, or its chunks are not valid")]
    Broken,
    /// Some bytes are no text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// No JSON, or something behind it.
    #[error("it is not JSON at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// JSON that ends too early, or nothing at all.
    #[error("it ends before the JSON does")]
    Unfinished,
    /// A field that must be there is not.
    #[error("the field {field} is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field is given twice, which is ambiguous.
    #[error("the field {field} is given twice")]
    Twice {
        /// The field's name.
        field: &'static str,
    },
    /// JSON of another type stands where a string or an object must be.
    #[error("it has something else at line {line}, column {column}, where {expected} must be")]
    OtherType {
        /// What is read there.
        expected: &'static str,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// The number is none.
    #[error("phoneNumber cannot be used: {0}")]
    Number(NumberError),
    /// The code is an empty string.
    #[error("the code is empty")]
    EmptyCode,
    /// No channel that there is.
    #[error("channel is none of sms, call and whatsapp")]
    Channel,
    /// One that no gateway here serves, or that is switched off.
    #[error("the channel {0} is not served here")]
    ChannelNotServed(&'static str),
    /// No language.
    #[error("locale is not a language tag such as de or pt-BR")]
    Locale,
    /// No hash of an Android app.
    #[error("appHash is not 11 characters of A-Z, a-z, 0-9, + and /")]
    AppHash,
    /// A report of a gateway that is signed, and yet not what its path reads.
    #[error("it is not a report of this kind")]
    Report,
}

/// The fields that are read, on all routes.
const FIELDS: [&str; 7] = ["phoneNumber", "user", "code", "smsCode", "channel", "locale", "appHash"];

/// What is read where a type matters.
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
