//! Errors in Twilio's form: `{"code", "message", "more_info", "status"}`.

use std::borrow::Cow;
use std::fmt::Display;

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

use crate::domain::{Timestamp, seconds_up};
use crate::http::response::Problem;
use crate::http::response::{ErrorFormat, Response};
use crate::numbers::Refusal;
use crate::verify::Refused;

/// Longest part of a path that an error repeats.
const LONGEST_PATH: usize = 200;

/// A request that was not served, and why.
#[derive(Debug)]
pub enum Error {
    /// An error that every route can return.
    Problem(Problem),
    /// An error of a route, with a message of its own.
    Specific {
        status: StatusCode,
        code: u32,
        /// The problem and its remedy; repeats no value that was sent.
        message: Cow<'static, str>,
        /// Seconds after which the client may try again.
        retry_after: Option<u64>,
    },
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Error {
    fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Specific { status, code, message: message.into(), retry_after: None }
    }

    /// A parameter that cannot be used. `problem` says what is accepted.
    pub fn parameter(name: &str, problem: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 60200, format!("Invalid parameter `{name}`: {problem}"))
    }

    pub fn missing(name: &str) -> Self {
        Self::parameter(name, "it is missing")
    }

    /// A request that is not what the route reads.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 60200, message)
    }

    /// There is nothing under this path. The message names it without `/v2`, as Twilio does.
    pub fn not_found(path: &str) -> Self {
        let path = path.strip_prefix("/v2").unwrap_or(path);
        let end = path.char_indices().nth(LONGEST_PATH).map_or(path.len(), |(at, _)| at);
        let message = format!("The requested resource {} was not found", &path[..end]);
        Self::new(StatusCode::NOT_FOUND, 20404, message)
    }

    /// A resource of Twilio's that is not served here.
    pub fn not_served(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, 20404, format!("{what} are not served here"))
    }

    /// A credential that may not do this.
    pub fn forbidden(what_may: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, 20003, format!("Permission denied: {what_may}"))
    }

    pub fn media_type() -> Self {
        let message = "Unsupported media type: send application/x-www-form-urlencoded or application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 20415, message)
    }

    /// The request conflicts with an existing resource.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, 20409, message)
    }

    /// Too much is going on already.
    pub fn too_many(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, 20429, message).retry_after(1)
    }

    pub const fn unavailable(refusal: Refusal) -> Self {
        Self::Problem(Problem::Refused(refusal))
    }

    /// Why a verification was not served, at `now`; `path` is the requested one.
    pub fn refused(refused: &Refused, path: &str, now: Timestamp) -> Self {
        const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
        let (status, code, message) = match refused {
            Refused::NotFound => return Self::not_found(path),
            Refused::Invalid(words) => {
                let colon = if words.starts_with('`') { "" } else { ":" };
                return Self::invalid(format!("Invalid parameter{colon} {words}"));
            }
            Refused::Unavailable(refusal) => return Self::unavailable(*refusal),
            Refused::NoChecksLeft { .. } => (TOO_MANY, 60202, "Max check attempts reached"),
            Refused::NoSendsLeft { .. } => (TOO_MANY, 60203, "Max send attempts reached"),
            Refused::TooMany { .. } => (TOO_MANY, 20429, "Too many requests"),
            Refused::Landline => {
                (StatusCode::FORBIDDEN, 60205, "SMS is not supported by landline phone number")
            }
            Refused::Concurrent => (TOO_MANY, 60212, "Too many concurrent requests for phone number"),
            Refused::Blocked => (
                StatusCode::FORBIDDEN,
                60410,
                "Verification delivery attempt blocked: the provider blocks this range of numbers",
            ),
            Refused::Country => (
                StatusCode::FORBIDDEN,
                60605,
                "Verification delivery attempt blocked: this country is not allowed",
            ),
            Refused::OtherRequest => (
                StatusCode::UNPROCESSABLE_ENTITY,
                20422,
                "The Idempotency-Key was used with another request. Use a new key for each request.",
            ),
            Refused::StillAnswering => (
                StatusCode::CONFLICT,
                20409,
                "The first request with this Idempotency-Key is still being answered",
            ),
            Refused::GatewayFailed => {
                (StatusCode::BAD_GATEWAY, 20502, "The provider refused the request or did not answer in time")
            }
        };
        let error = Self::new(status, code, message);
        match refused {
            Refused::NoChecksLeft { until: Some(until) }
            | Refused::NoSendsLeft { until }
            | Refused::TooMany { until } => error.retry_after(seconds_up(until.since(now))),
            Refused::Concurrent | Refused::StillAnswering => error.retry_after(1),
            _ => error,
        }
    }

    /// With the seconds after which to try again, never 0.
    fn retry_after(self, seconds: u64) -> Self {
        match self {
            Self::Specific { status, code, message, .. } => {
                Self::Specific { status, code, message, retry_after: Some(seconds) }
            }
            problem @ Self::Problem(_) => problem,
        }
    }

    pub fn code(&self) -> u32 {
        match self {
            Self::Problem(problem) => problem.twilio_code(),
            Self::Specific { code, .. } => *code,
        }
    }

    pub fn answer(self) -> Response {
        match self {
            Self::Problem(problem) => problem.answer(ErrorFormat::Twilio),
            Self::Specific { status, code, message, retry_after } => {
                let mut answer = Response::twilio_error(status, code, &message);
                answer.headers.extend(retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_without_its_version_and_not_at_any_length() {
        let message = |path: &str| match Error::not_found(path) {
            Error::Specific { message, .. } => message.into_owned(),
            Error::Problem(problem) => panic!("{problem:?}"),
        };
        assert_eq!(message("/v2/Services/VA1"), "The requested resource /Services/VA1 was not found");
        let long = format!("/v2/{}", "ä".repeat(5_000));
        assert!(message(&long).chars().count() < 300);
    }
}
