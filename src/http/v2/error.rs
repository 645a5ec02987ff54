//! Errors in Twilio's form: `{"code", "message", "more_info", "status"}`.

use std::borrow::Cow;
use std::fmt::Display;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

use crate::domain::{Timestamp, seconds_up};
use crate::http::answer::{Answer, Shape};
use crate::http::problem::Problem;
use crate::numbers::Refusal;
use crate::verify::Refused;

/// Longest part of a path that an error repeats.
const LONGEST_PATH: usize = 200;

/// A request that was not served, and why.
#[derive(Debug)]
pub enum Error {
    /// What can go wrong on every route.
    Problem(Problem),
    /// What is told in this route's own words.
    Told {
        /// The HTTP status.
        status: StatusCode,
        /// Twilio's number of the error.
        code: u32,
        /// What happened and what to do; repeats no value that was sent.
        message: Cow<'static, str>,
        /// A header that goes with it.
        header: Option<(HeaderName, HeaderValue)>,
    },
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Error {
    fn told(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Told { status, code, message: message.into(), header: None }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        match self {
            Self::Told { status, code, message, header: _ } => {
                Self::Told { status, code, message, header: Some((name, value)) }
            }
            problem @ Self::Problem(_) => problem,
        }
    }

    /// A parameter that cannot be used. `problem` says what is accepted.
    pub fn parameter(name: &str, problem: impl Display) -> Self {
        Self::told(StatusCode::BAD_REQUEST, 60200, format!("Invalid parameter `{name}`: {problem}"))
    }

    /// A parameter that must be given.
    pub fn missing(name: &str) -> Self {
        Self::parameter(name, "it is missing")
    }

    /// A request that is not what the route reads.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::BAD_REQUEST, 60200, message)
    }

    /// There is nothing under this path. Paths are told without `/v2`, as Twilio does.
    pub fn not_found(path: &str) -> Self {
        let path = path.strip_prefix("/v2").unwrap_or(path);
        let end = path.char_indices().nth(LONGEST_PATH).map_or(path.len(), |(at, _)| at);
        let message = format!("The requested resource {} was not found", &path[..end]);
        Self::told(StatusCode::NOT_FOUND, 20404, message)
    }

    /// A resource of Twilio's that is not served here.
    pub fn not_served(what: &str) -> Self {
        Self::told(StatusCode::NOT_FOUND, 20404, format!("{what} are not served here"))
    }

    /// A credential that may not do this.
    pub fn forbidden(what_may: impl Display) -> Self {
        Self::told(StatusCode::FORBIDDEN, 20003, format!("Permission denied: {what_may}"))
    }

    /// A media type that is not read.
    pub fn media_type() -> Self {
        let message = "Unsupported media type: send application/x-www-form-urlencoded or application/json";
        Self::told(StatusCode::UNSUPPORTED_MEDIA_TYPE, 20415, message)
    }

    /// What is asked for is in the way of what is there.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::CONFLICT, 20409, message)
    }

    /// Too much is going on already.
    pub fn too_many(message: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::TOO_MANY_REQUESTS, 20429, message).again_soon()
    }

    /// The server refused the request.
    pub const fn unavailable(refusal: Refusal) -> Self {
        Self::Problem(Problem::Refused(refusal))
    }

    /// Why a verification was not served, at `now`; `path` is the requested one.
    pub fn refused(refused: Refused, path: &str, now: Timestamp) -> Self {
        const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
        match refused {
            Refused::NotFound => Self::not_found(path),
            Refused::Invalid(words) if words.starts_with('`') => {
                Self::invalid(format!("Invalid parameter {words}"))
            }
            Refused::Invalid(words) => Self::invalid(format!("Invalid parameter: {words}")),
            Refused::NoChecksLeft { until } => {
                let error = Self::told(TOO_MANY, 60202, "Max check attempts reached");
                match until {
                    Some(until) => error.again_at(until, now),
                    None => error,
                }
            }
            Refused::NoSendsLeft { until } => {
                Self::told(TOO_MANY, 60203, "Max send attempts reached").again_at(until, now)
            }
            Refused::TooMany { until } => {
                Self::told(TOO_MANY, 20429, "Too many requests").again_at(until, now)
            }
            Refused::Landline => {
                Self::told(StatusCode::FORBIDDEN, 60205, "SMS is not supported by landline phone number")
            }
            Refused::Concurrent => {
                Self::told(TOO_MANY, 60212, "Too many concurrent requests for phone number").again_soon()
            }
            Refused::Blocked => Self::told(
                StatusCode::FORBIDDEN,
                60410,
                "Verification delivery attempt blocked: the provider blocks this range of numbers",
            ),
            Refused::Country => Self::told(
                StatusCode::FORBIDDEN,
                60605,
                "Verification delivery attempt blocked: this country is not allowed",
            ),
            Refused::OtherRequest => Self::told(
                StatusCode::UNPROCESSABLE_ENTITY,
                20422,
                "The Idempotency-Key was used with another request. Use a new key for each request.",
            ),
            Refused::StillAnswering => {
                Self::conflict("The first request with this Idempotency-Key is still being answered")
                    .again_soon()
            }
            Refused::GatewayFailed => Self::told(
                StatusCode::BAD_GATEWAY,
                20502,
                "The provider refused the request or did not answer in time",
            ),
            Refused::Unavailable(refusal) => Self::unavailable(refusal),
        }
    }

    /// Tells when to try again: whole seconds, rounded up, never 0.
    fn again_at(self, until: Timestamp, now: Timestamp) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(seconds_up(until.since(now))))
    }

    /// Tells to try again in a second: what is in the way is over within one, or lasts much longer.
    fn again_soon(self) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(1))
    }

    /// Twilio's number of it.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Problem(problem) => problem.twilio_code(),
            Self::Told { code, .. } => *code,
        }
    }

    /// The answer.
    pub fn answer(self) -> Answer {
        match self {
            Self::Problem(problem) => problem.answer(Shape::Twilio),
            Self::Told { status, code, message, header } => {
                let mut answer = Answer::twilio_error(status, code, &message);
                answer.headers.extend(header);
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
            Error::Told { message, .. } => message.into_owned(),
            Error::Problem(problem) => panic!("{problem:?}"),
        };
        assert_eq!(message("/v2/Services/VA1"), "The requested resource /Services/VA1 was not found");
        let long = format!("/v2/{}", "ä".repeat(5_000));
        assert!(message(&long).chars().count() < 300);
    }
}
