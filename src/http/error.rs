//! Why a request was not served: one type for every route, which the layer around it gives the form of its group.

use std::borrow::Cow;
use std::fmt::{self, Display};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::response::{self, ErrorFormat, NotServed, ResponseExt as _, TwilioError};
use crate::config::services::parameter_name;
use crate::domain::{Timestamp, seconds_up};
use crate::engine::SendLimit;
use crate::limits::guard::{GuardRefusal, Rule};
use crate::registry::{Item, RegistryError, TextError};
use crate::verification::{Failure, LimitedTable, Refusal, Refused};

/// Seconds after which a refused client may try again. The cause of a refusal (a full queue, a failed commit, a
/// restart) ends within a second or lasts much longer.
pub const REFUSED_SECONDS: u64 = 1;

/// Seconds after which a client may try again while a table is full: most records end within minutes.
const TABLE_FULL_SECONDS: u64 = 60;

/// `Retry-After` below `/v2`, and where the path is not known. Twilio sends no `Retry-After`, and clients that obey it
/// would repeat a request that sends a message.
pub const X_ONCEWARD_RETRY_AFTER: HeaderName = HeaderName::from_static("x-onceward-retry-after");

/// The problem and its remedy. It repeats no value that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub status: StatusCode,
    /// Twilio's number of the error. Where Twilio documents none it is made as Twilio's own general ones are: 20000 and
    /// the status.
    pub code: u32,
    pub message: Cow<'static, str>,
    /// Seconds after which the client may try again.
    pub retry_after: Option<u64>,
    pub cause: Cause,
}

/// What metrics, the log and the older routes tell of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Other,
    Refused(Refusal),
    /// What is wrong with a body or a hook, for the log.
    Body(Cow<'static, str>),
}

#[rustfmt::skip] // A table.
impl Error {
    pub const OPTED_OUT: Self = Self::new(21610, StatusCode::FORBIDDEN, "Attempt to send to unsubscribed recipient");
    pub const NO_CHECKS_LEFT: Self = Self::new(60202, StatusCode::TOO_MANY_REQUESTS, "Max check attempts reached");
    pub const NO_SENDS_LEFT: Self = Self::new(60203, StatusCode::TOO_MANY_REQUESTS, "Max send attempts reached");
    pub const FEATURE_OFF: Self = Self::new(60204, StatusCode::FORBIDDEN, "Service does not support this feature");
    pub const LANDLINE: Self = Self::new(60205, StatusCode::FORBIDDEN, "SMS is not supported by landline phone number");
    pub const TOO_MANY_RATE_LIMITS: Self = Self::new(60207, StatusCode::BAD_REQUEST, "Max rate limits per service reached");
    pub const RATE_LIMIT_EXISTS: Self = Self::new(60208, StatusCode::BAD_REQUEST, "Rate limit with that UniqueName already exists");
    pub const UNIQUE_NAME: Self = Self::new(60209, StatusCode::BAD_REQUEST, "UniqueName format is invalid");
    pub const TOO_MANY_BUCKETS: Self = Self::new(60210, StatusCode::BAD_REQUEST, "Max Buckets per Rate limit reached");
    pub const BUCKET_EXISTS: Self = Self::new(60211, StatusCode::BAD_REQUEST, "Bucket with the given Interval already exists");
    pub const CONCURRENT: Self = Self::new(60212, StatusCode::TOO_MANY_REQUESTS, "Too many concurrent requests for phone number");
    pub const COUNTRY_CONFIGURED: Self = Self::new(60213, StatusCode::BAD_REQUEST, "A Messaging Configuration already exists for the given country");
    pub const NO_EMAIL: Self = Self::new(60217, StatusCode::BAD_REQUEST, "Invalid Service configuration");
    pub const NO_TARGET: Self = Self::new(60221, StatusCode::BAD_REQUEST, "No target verification specified");
    pub const CHANNEL_OFF: Self = Self::new(60223, StatusCode::BAD_REQUEST, "Delivery channel disabled");
    pub const MISSING_SUBSTITUTION: Self = Self::new(60224, StatusCode::BAD_REQUEST, "Missing substitutions for selected template");
    pub const TEMPLATE_CHANNEL: Self = Self::new(60227, StatusCode::BAD_REQUEST, "The selected channel for template is not supported");
    pub const TEMPLATE_NOT_FOUND: Self = Self::new(60228, StatusCode::BAD_REQUEST, "Template was not found");
    pub const CUSTOM_MESSAGE: Self = Self::new(60243, StatusCode::BAD_REQUEST, "Custom messages are not supported");
    pub const FRAUD: Self = Self::new(60410, StatusCode::FORBIDDEN, "Verification delivery attempt blocked");
    pub const SAFE_NUMBER_EXISTS: Self = Self::new(60411, StatusCode::BAD_REQUEST, "Phone Number already exists in Safelist");
    pub const APP_HASH: Self = Self::new(60602, StatusCode::BAD_REQUEST, "App hash can only be used with SMS channel");
    pub const COUNTRY: Self = Self::new(60605, StatusCode::FORBIDDEN, "Verification delivery attempt blocked");

    pub const TOO_MANY: Self = Self::new(20429, StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    pub const TOO_SOON: Self = Self::new(20429, StatusCode::TOO_MANY_REQUESTS, "The next message to this number must wait");
    pub const BUDGET_SPENT: Self = Self::new(20429, StatusCode::TOO_MANY_REQUESTS, "The operator's budget of messages for this hour or day is spent");
    pub const OTHER_REQUEST: Self = Self::new(20422, StatusCode::UNPROCESSABLE_ENTITY, "The Idempotency-Key was used with another request. Use a new key for each request.");
    pub const ENDED: Self = Self::new(20409, StatusCode::CONFLICT, "The verification that the first request with this Idempotency-Key began has ended. Use a new key to begin another.");
    pub const REPLACED: Self = Self::new(20409, StatusCode::CONFLICT, "A newer code for this number took the place of this one");
    pub const GATEWAY_FAILED: Self = Self::new(20502, StatusCode::BAD_GATEWAY, "The provider refused the request or did not answer in time");
    pub const OUT_OF_SERVICE: Self = Self::new(20502, StatusCode::BAD_GATEWAY, "No provider for this number works at present");

    pub const NUMBER_BUSY: Self = Self::new(20429, StatusCode::TOO_MANY_REQUESTS, "Too many requests for this number are in progress. Try again shortly.").shortly();
    pub const OVERLOADED: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "Too many requests are in progress. Try again shortly.").shortly();
    pub const SENDS_OVERLOADED: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "Too many messages are waiting to be sent. Try again shortly.").shortly();
    pub const NUMBERS_FULL: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "Too many numbers are being verified. Try again shortly.");
    pub const NOT_STORED: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "The request could not be stored safely. Try again shortly.").shortly();
    pub const OUTCOME_UNKNOWN: Self = Self::new(20500, StatusCode::INTERNAL_SERVER_ERROR, "The outcome is unknown: the request may have been carried out.");
    pub const STARTING: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "The server is starting. Try again shortly.").shortly();
    pub const STOPPING: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "The server is stopping or restarting. Try again shortly.").shortly();

    pub const NOT_SERVED: Self = Self::new(20404, StatusCode::NOT_FOUND, "Not found. GET / names what is served here.");
    pub const NO_RESOURCE: Self = Self::new(20404, StatusCode::NOT_FOUND, "The requested resource was not found");
    pub const UNAUTHENTICATED: Self = Self::new(20003, StatusCode::UNAUTHORIZED, "Authenticate with the account's sid and auth token, or with an API key's sid and secret.");
    pub const FORBIDDEN: Self = Self::new(20003, StatusCode::FORBIDDEN, "This API key may not do that.");
    /// A browser's request that a page of another site made.
    pub const CROSS_SITE: Self = Self::new(20403, StatusCode::FORBIDDEN, "Web pages of other sites may not call this.");
    pub const BAD_SIGNATURE: Self = Self::new(20403, StatusCode::FORBIDDEN, "The signature or the key does not match. Is public-url what the provider was told?");
    /// A request for the inbox under a host name that an attacker may have registered.
    pub const FOREIGN_HOST: Self = Self::new(20403, StatusCode::FORBIDDEN, "The inbox can be opened only by an IP address, localhost, or the configured host name.");
    /// The same for a compatible route that needs no key.
    pub const FOREIGN_HOST_WITHOUT_KEY: Self = Self::new(20403, StatusCode::FORBIDDEN, "Without a key only requests for the address that the server listens on are served, such as localhost:3000, from no proxy. Make a key, or set allow-unauthenticated.");
    pub const REPORT_NOT_TAKEN: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "The report could not be taken. Try again shortly.").shortly();
    /// Another node of the cluster answers requests, or none.
    pub const STANDS_BY: Self = Self::new(20503, StatusCode::SERVICE_UNAVAILABLE, "This node does not answer requests now. Another node of the cluster may.").shortly();
    pub const BODY_TOO_LARGE: Self = Self::new(20413, StatusCode::PAYLOAD_TOO_LARGE, "Request body too large");
    pub const COMPRESSED: Self = Self::new(20415, StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is compressed. Send it without Content-Encoding.");
    pub const BODY_TOO_SLOW: Self = Self::new(20408, StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time.");
    pub const WRONG_METHOD: Self = Self::new(20004, StatusCode::METHOD_NOT_ALLOWED, "Method not allowed. The header Allow names those that are.");
    /// Our own mistake.
    pub const PANICKED: Self = Self::new(20500, StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.");
    /// No `Host` in HTTP/1.1, more than one, or a malformed one.
    pub const BAD_HOST: Self = Self::new(20400, StatusCode::BAD_REQUEST, "The request must have one Host header.");
    pub const MEDIA_TYPE: Self = Self::new(20415, StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type: send application/x-www-form-urlencoded or application/json");
}

impl Error {
    const fn new(code: u32, status: StatusCode, message: &'static str) -> Self {
        Self { status, code, message: Cow::Borrowed(message), retry_after: None, cause: Cause::Other }
    }

    const fn shortly(mut self) -> Self {
        self.retry_after = Some(REFUSED_SECONDS);
        self
    }

    /// In these words.
    pub fn say(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// With what it is about, or with the remedy.
    pub fn with(self, detail: impl Display) -> Self {
        let message = format!("{}: {detail}", self.message);
        self.say(message)
    }

    /// With the seconds after which to try again, never 0.
    pub fn retry_after(self, seconds: u64) -> Self {
        let message = format!("{}. Try again in {seconds} s.", self.message.trim_end_matches('.'));
        Self { retry_after: Some(seconds), ..self.say(message) }
    }

    fn until(self, until: Timestamp, now: Timestamp) -> Self {
        self.retry_after(seconds_up(until.since(now)))
    }

    /// A request that is not what the route reads.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(60200, StatusCode::BAD_REQUEST, "").say(message)
    }

    /// A parameter that cannot be used. `problem` says what is accepted.
    pub fn parameter(name: &str, problem: impl Display) -> Self {
        Self::invalid(format!("Invalid parameter `{name}`: {problem}"))
    }

    pub fn missing(name: &str) -> Self {
        Self::parameter(name, "it is missing")
    }

    /// A hook that cannot be carried out because its system, or its configuration, is wrong: the operator's log says so.
    pub fn hook(message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { cause: Cause::Body(message.clone()), ..Self::invalid(message) }
    }

    /// The reason is for the log and for the header of the compatible routes, and repeats nothing that the client sent.
    pub fn body(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { cause: Cause::Body(reason.into()), ..Self::invalid("Invalid request body") }
    }

    /// A credential that may not do this.
    pub fn forbidden(what_may: impl Display) -> Self {
        Self::FORBIDDEN.say("Permission denied").with(what_may)
    }

    /// The request conflicts with an existing resource.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(20409, StatusCode::CONFLICT, "").say(message)
    }

    /// Why a verification was not served, at `now`.
    pub fn refused(refused: &Refused, now: Timestamp) -> Self {
        match refused {
            Refused::NotFound => Self::NO_RESOURCE,
            Refused::Invalid(words) => {
                let colon = if words.starts_with('`') { "" } else { ":" };
                Self::invalid(format!("Invalid parameter{colon} {words}"))
            }
            Refused::Text(error) => Self::text(error),
            Refused::FeatureOff(words) => Self::FEATURE_OFF.with(words),
            Refused::Unavailable(Refusal::NumberBusy) => Self::CONCURRENT.retry_after(1),
            Refused::Unavailable(refusal) => (*refusal).into(),
            Refused::NoChecksLeft { until } => Self::NO_CHECKS_LEFT.until(*until, now),
            Refused::Ended => Self::ENDED,
            Refused::Failed(failure) => Self::failed(*failure, now),
        }
    }

    /// A message that was not sent.
    fn failed(failure: Failure, now: Timestamp) -> Self {
        match failure {
            Failure::Limited(SendLimit::NoSendsLeft { until }) => Self::NO_SENDS_LEFT.until(until, now),
            Failure::Limited(limit) => Self::TOO_SOON.until(limit.until(), now),
            Failure::Guard(GuardRefusal { rule, until }) => match (rule, until.unwrap_or(now)) {
                (Rule::RateLimit, until) => Self::TOO_MANY.until(until, now),
                (Rule::Budget, until) => Self::BUDGET_SPENT.until(until, now),
                (Rule::CountryList, _) => Self::failed(Failure::Country, now),
                (Rule::Landline, _) => Self::LANDLINE,
                _ => Self::FRAUD,
            },
            Failure::BadNumber => Self::invalid(format!("Invalid parameter: To: {failure}")),
            Failure::NotReachable => Self::LANDLINE,
            Failure::OptedOut => Self::OPTED_OUT.with("the person has replied STOP to the sender"),
            Failure::Blocked => Self::FRAUD.with("the provider blocks this range of numbers"),
            Failure::Country => Self::COUNTRY.with("this country is not allowed"),
            Failure::NotServed => {
                Self::CHANNEL_OFF.with("no gateway of this server sends to this number in this way")
            }
            Failure::OutOfService { until } => Self::OUT_OF_SERVICE.until(until, now),
            Failure::NoLongerUsable => Self::REPLACED,
            // Nothing that the caller could change.
            _ => Self::GATEWAY_FAILED,
        }
    }

    /// A message that cannot have the text that the request asks for.
    fn text(error: &TextError) -> Self {
        match error {
            TextError::UnknownTemplate(_) => Self::TEMPLATE_NOT_FOUND.with(error),
            TextError::OtherChannel { .. } => Self::TEMPLATE_CHANNEL.with(error),
            TextError::MissingSubstitution(_) => Self::MISSING_SUBSTITUTION.with(error),
            TextError::OtherLanguage(_) => Self::parameter("Locale", error),
            TextError::BadValue { .. } | TextError::TooManyValues | TextError::Text(_) => {
                Self::invalid(format!("Invalid parameter: {error}"))
            }
        }
    }

    /// The answer in the form of a group of routes.
    pub fn answer(self, form: ErrorFormat) -> Response {
        let Self { status, code, message, retry_after, cause } = &self;
        let (status, code) = (*status, *code);
        let mut answer = match form {
            ErrorFormat::Envelope => response::plain(status, message),
            ErrorFormat::Message => response::message(status, message),
            ErrorFormat::Twilio => {
                let more_info = format!("https://www.twilio.com/docs/errors/{code}");
                response::json(status, &TwilioError { code, message, more_info, status: status.as_u16() })
            }
        };
        let headers = answer.headers_mut();
        if let Some(seconds) = retry_after {
            let name = if form == ErrorFormat::Twilio { X_ONCEWARD_RETRY_AFTER } else { RETRY_AFTER };
            headers.insert(name, (*seconds).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"onceward\""));
        }
        // For metrics and the log.
        match (cause, NotServed::of(status, code)) {
            (Cause::Refused(refusal), _) => drop(answer.extensions_mut().insert(*refusal)),
            (_, Some(reason)) => answer = answer.because(reason),
            (_, None) => {}
        }
        answer
    }
}

/// The layer around each route gives it the form of the group.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status, Extension(self)).into_response()
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why the server cannot serve a request now, in words for its client.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = match refusal {
            Refusal::NumberBusy => Self::NUMBER_BUSY,
            Refusal::Overloaded => Self::OVERLOADED,
            Refusal::SendsOverloaded => Self::SENDS_OVERLOADED,
            Refusal::TableFull { table } => {
                let full = match table {
                    LimitedTable::Numbers => Self::NUMBERS_FULL,
                    table => {
                        Self::NUMBERS_FULL.say(format!("The server has too many {table}. Try again later."))
                    }
                };
                Self { retry_after: Some(TABLE_FULL_SECONDS), ..full }
            }
            // The client's mistake.
            Refusal::OtherRequest => return Self::OTHER_REQUEST,
            Refusal::StoreUnavailable | Refusal::TooLarge => Self::NOT_STORED,
            Refusal::OutcomeUnknown => Self::OUTCOME_UNKNOWN,
            Refusal::Starting => Self::STARTING,
            Refusal::Stopping => Self::STOPPING,
        };
        Self { cause: Cause::Refused(refusal), ..error }
    }
}

/// Why the registry refused a change.
impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::NotFound(_) => Self::NO_RESOURCE,
            RegistryError::Store(refusal) => (*refusal).into(),
            RegistryError::Invalid { field: "unique_name", why } => {
                Self::UNIQUE_NAME.with(format_args!("it {why}"))
            }
            // The parameter has Twilio's name.
            RegistryError::Invalid { field: "expires", why } => {
                Self::parameter("DateExpires", format_args!("it {why}"))
            }
            RegistryError::Invalid { field, why } => {
                Self::parameter(&parameter_name(field), format_args!("it {why}"))
            }
            RegistryError::Exists(Item::RateLimit) => Self::RATE_LIMIT_EXISTS,
            RegistryError::Exists(Item::Bucket) => Self::BUCKET_EXISTS,
            RegistryError::Exists(Item::MessagingConfiguration) => Self::COUNTRY_CONFIGURED,
            RegistryError::Exists(_) | RegistryError::ReadOnly(_) => Self::conflict(error.to_string()),
            RegistryError::TooMany { item: Item::RateLimit, limit } => {
                Self::TOO_MANY_RATE_LIMITS.with(format_args!("at most {limit}"))
            }
            RegistryError::TooMany { item: Item::Bucket, limit } => {
                Self::TOO_MANY_BUCKETS.with(format_args!("at most {limit}"))
            }
            RegistryError::TooMany { .. } => Self::invalid(error.to_string()),
        }
    }
}

/// Why a body is not the JSON that its route reads. The parser's words are searched for ours and never passed on: they
/// repeat the input.
pub fn reason_of(error: &serde_json::Error) -> Cow<'static, str> {
    use serde_json::error::Category;

    // At the beginning the parser has read no column. Columns are in bytes.
    let (line, column) = (error.line(), error.column().max(1));
    match error.classify() {
        Category::Eof => "it ends before the JSON does".into(),
        Category::Syntax | Category::Io => format!("it is not JSON at line {line}, column {column}").into(),
        Category::Data => {
            let words = error.to_string();
            // The names behind these words are those of our structs.
            match *words.split('`').collect::<Vec<_>>() {
                ["missing field ", field, ..] => format!("the field {field} is missing").into(),
                ["duplicate field ", field, ..] => format!("the field {field} is given twice").into(),
                _ => format!("it has a wrong type at line {line}, column {column}").into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_v2_a_refusal_has_its_number_and_whole_seconds_but_never_0() {
        let until = Timestamp::from_millis(29_001);
        for (refused, now, expected) in [
            (Refused::Failed(Failure::OutOfService { until }), Timestamp::EPOCH, (502, 20502, Some("30"))),
            (Refused::Failed(Failure::OutOfService { until }), until, (502, 20502, Some("1"))),
            (Refused::Unavailable(Refusal::OutcomeUnknown), until, (500, 20500, None)),
        ] {
            let error = Error::refused(&refused, now);
            let code = error.code;
            let answer = error.answer(ErrorFormat::Twilio);
            let seconds =
                answer.headers().get(X_ONCEWARD_RETRY_AFTER).map(|seconds| seconds.to_str().expect("text"));
            assert_eq!((answer.status().as_u16(), code, seconds), expected, "{refused:?}");
        }
    }

    #[test]
    fn docs_errors_md_quotes_messages_that_every_route_can_answer() {
        let document = include_str!("../../docs/reference/errors.md");
        let of_all_routes = document.split("\n## ").nth(1).expect("the section of all routes");
        let lines: Vec<&str> = of_all_routes.lines().filter(|line| line.starts_with("* ")).collect();
        let problems = [
            Error::body("it is not UTF-8"),
            Error::UNAUTHENTICATED,
            Error::FORBIDDEN,
            Refusal::NumberBusy.into(),
            Error::PANICKED,
            Refusal::OutcomeUnknown.into(),
            Refusal::TableFull { table: LimitedTable::Numbers }.into(),
            Refusal::TableFull { table: LimitedTable::IdempotencyKeys }.into(),
            Error::STANDS_BY,
        ];
        assert_eq!(lines.len(), problems.len());
        for (problem, line) in problems.into_iter().zip(lines) {
            assert!(line.starts_with(&format!("* {}", problem.status.as_u16())), "{line}");
            assert!(line.contains(&format!("`{problem}`")), "{line}");
        }
    }
}
