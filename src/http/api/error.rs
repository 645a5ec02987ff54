//! Errors in Twilio's form: `{"code", "message", "more_info", "status"}`.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use tracing::{debug, error, info};

use crate::config::services::parameter_name;
use crate::domain::{Timestamp, mask_number, seconds_up};
use crate::http::response::{self, ErrorFormat, NotServed, Problem, ResponseExt};
use crate::registry::{Item, RegistryError, TextError};
use crate::verification::numbers::Refusal;
use crate::verification::verify::Refused;

/// The beginnings of Twilio's parameters that are not served here: for push, TOTP, senders of a service's own, passkeys, PSD2
/// and silent network authentication.
#[rustfmt::skip] // A table.
const NOT_SERVED: &[&str] = &[
    "Push.", "Totp.", "Whatsapp.", "Passkeys.", "Amount", "Payee", "Psd2", "EnableSna", "Sna", "ChannelConfiguration",
    "CustomMessage",
];

/// Longest part of a path that an error repeats.
const LONGEST_PATH: usize = 200;

/// A cause that has an error code of its own at Twilio: the code, the HTTP status and the message.
#[derive(Clone, Copy)]
pub struct Cause(u32, StatusCode, &'static str);

#[rustfmt::skip] // A table.
impl Cause {
    pub const OPTED_OUT: Self = Self(21610, StatusCode::FORBIDDEN, "Attempt to send to unsubscribed recipient");
    pub const NO_CHECKS_LEFT: Self = Self(60202, StatusCode::TOO_MANY_REQUESTS, "Max check attempts reached");
    pub const NO_SENDS_LEFT: Self = Self(60203, StatusCode::TOO_MANY_REQUESTS, "Max send attempts reached");
    pub const FEATURE_OFF: Self = Self(60204, StatusCode::FORBIDDEN, "Service does not support this feature");
    pub const LANDLINE: Self = Self(60205, StatusCode::FORBIDDEN, "SMS is not supported by landline phone number");
    pub const TOO_MANY_RATE_LIMITS: Self = Self(60207, StatusCode::BAD_REQUEST, "Max rate limits per service reached");
    pub const RATE_LIMIT_EXISTS: Self = Self(60208, StatusCode::BAD_REQUEST, "Rate limit with that UniqueName already exists");
    pub const UNIQUE_NAME: Self = Self(60209, StatusCode::BAD_REQUEST, "UniqueName format is invalid");
    pub const TOO_MANY_BUCKETS: Self = Self(60210, StatusCode::BAD_REQUEST, "Max Buckets per Rate limit reached");
    pub const BUCKET_EXISTS: Self = Self(60211, StatusCode::BAD_REQUEST, "Bucket with the given Interval already exists");
    pub const CONCURRENT: Self = Self(60212, StatusCode::TOO_MANY_REQUESTS, "Too many concurrent requests for phone number");
    pub const COUNTRY_CONFIGURED: Self = Self(60213, StatusCode::BAD_REQUEST, "A Messaging Configuration already exists for the given country");
    pub const NO_EMAIL: Self = Self(60217, StatusCode::BAD_REQUEST, "Invalid Service configuration");
    pub const NO_TARGET: Self = Self(60221, StatusCode::BAD_REQUEST, "No target verification specified");
    pub const CHANNEL_OFF: Self = Self(60223, StatusCode::BAD_REQUEST, "Delivery channel disabled");
    pub const MISSING_SUBSTITUTION: Self = Self(60224, StatusCode::BAD_REQUEST, "Missing substitutions for selected template");
    pub const TEMPLATE_CHANNEL: Self = Self(60227, StatusCode::BAD_REQUEST, "The selected channel for template is not supported");
    pub const TEMPLATE_NOT_FOUND: Self = Self(60228, StatusCode::BAD_REQUEST, "Template was not found");
    pub const CUSTOM_MESSAGE: Self = Self(60243, StatusCode::BAD_REQUEST, "Custom messages are not supported");
    pub const FRAUD: Self = Self(60410, StatusCode::FORBIDDEN, "Verification delivery attempt blocked");
    pub const SAFE_NUMBER_EXISTS: Self = Self(60411, StatusCode::BAD_REQUEST, "Phone Number already exists in Safelist");
    pub const APP_HASH: Self = Self(60602, StatusCode::BAD_REQUEST, "App hash can only be used with SMS channel");
    pub const COUNTRY: Self = Self(60605, StatusCode::FORBIDDEN, "Verification delivery attempt blocked");
}

/// Why a request was not served.
#[derive(Debug)]
pub enum Error {
    /// An error that every route can return.
    Problem(Problem),
    /// There is nothing under the path.
    NotFound,
    Registry(RegistryError),
    Refused(Refused),
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

macro_rules! from {
    ($($source:ty => $make:expr;)+) => {$(
        impl From<$source> for Error {
            fn from(source: $source) -> Self {
                $make(source)
            }
        }
    )+};
}

from! {
    Problem => Self::Problem;
    Refusal => |refusal| Self::Problem(Problem::Refused(refusal));
    RegistryError => Self::Registry;
    Refused => Self::Refused;
}

impl Error {
    fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Specific { status, code, message: message.into(), retry_after: None }
    }

    /// A cause with a code of its own. `detail` names the parameter or the remedy.
    pub fn caused(cause: Cause, detail: impl Display) -> Self {
        let Cause(code, status, message) = cause;
        Self::new(status, code, format!("{message}: {detail}"))
    }

    pub fn plain(cause: Cause) -> Self {
        let Cause(code, status, message) = cause;
        Self::new(status, code, message)
    }

    /// The error for a parameter of Twilio's that this server does not serve; `None` for others.
    pub fn not_served_parameter(name: &str) -> Option<Self> {
        let is_not_served = NOT_SERVED.iter().any(|beginning| name.starts_with(beginning));
        is_not_served.then(|| match name {
            "CustomMessage" => Self::caused(Cause::CUSTOM_MESSAGE, "use `TemplateSid` and `CustomCode`"),
            name => Self::parameter(name, "it is not served here"),
        })
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

    /// There is nothing under this path. The message names it without `/v2`, as Twilio does, and with masked numbers.
    fn not_found(path: &str) -> Self {
        let path = path.strip_prefix("/v2").unwrap_or(path);
        let end = path.char_indices().nth(LONGEST_PATH).map_or(path.len(), |(at, _)| at);
        let segments: Vec<_> = path[..end].split('/').map(with_masked_number).collect();
        let message = format!("The requested resource {} was not found", segments.join("/"));
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

    /// This node of a cluster carries out no command, for this reason.
    pub fn stands_by(reason: &str) -> Self {
        let message = format!("{reason}; run the command on the node that owns them");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 20503, message)
    }

    /// Why a verification was not served, at `now`; `path` is the requested one.
    fn refused(refused: &Refused, path: &str, now: Timestamp) -> Self {
        match refused {
            Refused::NotFound => Self::not_found(path),
            Refused::Invalid(words) => {
                let colon = if words.starts_with('`') { "" } else { ":" };
                Self::invalid(format!("Invalid parameter{colon} {words}"))
            }
            Refused::Text(error) => Self::text(error),
            Refused::FeatureOff(words) => Self::caused(Cause::FEATURE_OFF, words),
            Refused::ChannelOff => {
                Self::caused(Cause::CHANNEL_OFF, "no gateway of this server sends to this number in this way")
            }
            Refused::Unavailable(refusal) => (*refusal).into(),
            Refused::NoChecksLeft { until } => Self::plain(Cause::NO_CHECKS_LEFT).until(*until, now),
            Refused::NoSendsLeft { until } => Self::plain(Cause::NO_SENDS_LEFT).until(*until, now),
            Refused::TooMany { until } => Self::too_many("Too many requests").until(*until, now),
            Refused::TooSoon { until } => {
                Self::too_many("The next message to this number must wait").until(*until, now)
            }
            Refused::BudgetSpent { until } => {
                Self::too_many("The operator's budget of messages for this hour or day is spent")
                    .until(*until, now)
            }
            Refused::Landline(None) => Self::plain(Cause::LANDLINE),
            Refused::Landline(Some(hint)) => Self::caused(Cause::LANDLINE, hint),
            Refused::OptedOut => Self::caused(Cause::OPTED_OUT, "the person has replied STOP to the sender"),
            Refused::Concurrent => Self::plain(Cause::CONCURRENT).retry_after(1),
            Refused::Blocked => Self::caused(Cause::FRAUD, "the provider blocks this range of numbers"),
            Refused::ByGuard { .. } => Self::plain(Cause::FRAUD),
            Refused::Country => Self::caused(Cause::COUNTRY, "this country is not allowed"),
            Refused::OtherRequest => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                20422,
                "The Idempotency-Key was used with another request. Use a new key for each request.",
            ),
            Refused::StillAnswering => {
                Self::conflict("The first request with this Idempotency-Key is still being answered")
                    .retry_after(1)
            }
            Refused::Ended => Self::conflict(
                "The verification that the first request with this Idempotency-Key began has ended. Use a new key to \
                 begin another.",
            ),
            Refused::Replaced => Self::conflict("A newer code for this number took the place of this one"),
            Refused::GatewayFailed => Self::new(
                StatusCode::BAD_GATEWAY,
                20502,
                "The provider refused the request or did not answer in time",
            ),
            Refused::OutOfService { until } => {
                Self::new(StatusCode::BAD_GATEWAY, 20502, "No provider for this number works at present")
                    .until(*until, now)
            }
        }
    }

    /// A message that cannot have the text that the request asks for.
    fn text(error: &TextError) -> Self {
        let cause = match error {
            TextError::UnknownTemplate(_) => Cause::TEMPLATE_NOT_FOUND,
            TextError::OtherChannel { .. } => Cause::TEMPLATE_CHANNEL,
            TextError::MissingSubstitution(_) => Cause::MISSING_SUBSTITUTION,
            TextError::OtherLanguage(_) => return Self::parameter("Locale", error),
            TextError::BadValue { .. } | TextError::TooManyValues | TextError::Text(_) => {
                return Self::invalid(format!("Invalid parameter: {error}"));
            }
        };
        Self::caused(cause, error)
    }

    /// Why the registry refused a change of what is under `path`.
    fn registry(error: &RegistryError, path: &str) -> Self {
        match error {
            RegistryError::NotFound(_) => Self::not_found(path),
            RegistryError::Store(refusal) => (*refusal).into(),
            RegistryError::Invalid { field: "unique_name", why } => {
                Self::caused(Cause::UNIQUE_NAME, format_args!("it {why}"))
            }
            // The parameter has Twilio's name.
            RegistryError::Invalid { field: "expires", why } => {
                Self::parameter("DateExpires", format_args!("it {why}"))
            }
            RegistryError::Invalid { field, why } => {
                Self::parameter(&parameter_name(field), format_args!("it {why}"))
            }
            RegistryError::Exists(item) => match item {
                Item::RateLimit => Self::plain(Cause::RATE_LIMIT_EXISTS),
                Item::Bucket => Self::plain(Cause::BUCKET_EXISTS),
                Item::MessagingConfiguration => Self::plain(Cause::COUNTRY_CONFIGURED),
                _ => Self::conflict(error.to_string()),
            },
            RegistryError::ReadOnly(_) => Self::conflict(error.to_string()),
            RegistryError::TooMany { item, limit } => match item {
                Item::RateLimit => Self::caused(Cause::TOO_MANY_RATE_LIMITS, format_args!("at most {limit}")),
                Item::Bucket => Self::caused(Cause::TOO_MANY_BUCKETS, format_args!("at most {limit}")),
                _ => Self::invalid(error.to_string()),
            },
        }
    }

    /// With the seconds after which to try again, never 0.
    fn retry_after(self, seconds: u64) -> Self {
        match self {
            Self::Specific { status, code, message, .. } => {
                Self::Specific { status, code, message, retry_after: Some(seconds) }
            }
            other => other,
        }
    }

    fn until(self, until: Timestamp, now: Timestamp) -> Self {
        self.retry_after(seconds_up(until.since(now)))
    }

    /// The status and the message, for the answer of a hook.
    pub fn status_and_message(self, now: Timestamp) -> (StatusCode, Cow<'static, str>) {
        match self {
            Self::Specific { status, message, .. } => (status, message),
            Self::Problem(problem) => (problem.status(), problem.to_string().into()),
            Self::NotFound => Self::not_found("").status_and_message(now),
            Self::Registry(error) => Self::registry(&error, "").status_and_message(now),
            Self::Refused(refused) => Self::refused(&refused, "", now).status_and_message(now),
        }
    }

    /// The answer to the request with this path and id. A provider's failure is logged at info level: the id that a user
    /// reports then leads to the lines about the provider.
    pub fn answer(&self, path: &str, request_id: &str, now: Timestamp) -> Response {
        match self {
            Self::Problem(problem) => problem.answer(ErrorFormat::Twilio),
            Self::NotFound => Self::not_found(path).answer(path, request_id, now),
            Self::Registry(error) => {
                if let RegistryError::Store(why) = error {
                    error!(request_id, %why, "change not stored");
                }
                Self::registry(error, path).answer(path, request_id, now)
            }
            Self::Refused(refused) => {
                if *refused == Refused::GatewayFailed {
                    info!(request_id, "verification failed at the provider");
                }
                let error = Self::refused(refused, path, now);
                if let Self::Specific { code, .. } = error {
                    debug!(request_id, code, "verification not served");
                }
                error.answer(path, request_id, now)
            }
            Self::Specific { status, code, message, retry_after } => {
                let message = match retry_after {
                    Some(seconds) => {
                        Cow::Owned(format!("{}. Try again in {seconds} s.", message.trim_end_matches('.')))
                    }
                    None => Cow::Borrowed(&**message),
                };
                let answer = response::twilio_error(*status, *code, &message);
                let answer =
                    retry_after.iter().fold(answer, |answer, seconds| answer.twilio_retry_after(*seconds));
                NotServed::of(*status, *code).into_iter().fold(answer, ResponseExt::because)
            }
        }
    }
}

/// The front end answers with it in the form of the route.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (Extension(Arc::new(Error::Problem(self))), Body::empty()).into_response()
    }
}

/// The front end answers with it, for the path of the request.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (Extension(Arc::new(self)), Body::empty()).into_response()
    }
}

/// A segment of a path, without a phone number.
fn with_masked_number(segment: &str) -> Cow<'_, str> {
    let decoded = percent_decode_str(segment).decode_utf8_lossy();
    let masked = mask_number(&decoded);
    if masked == decoded { segment.into() } else { masked.into_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_without_its_version_and_not_at_any_length() {
        let message = |path: &str| match Error::not_found(path) {
            Error::Specific { message, .. } => message.into_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(message("/v2/Services/VA1"), "The requested resource /Services/VA1 was not found");
        for number in ["+14155552671", "%2B14155552671", "14155552671", "%2B1%20%28415%29%20555-2671"] {
            let said = message(&format!("/v2/Services/VA1/Numbers/{number}/More"));
            let masked = "The requested resource /Services/VA1/Numbers/+1415*****71/More was not found";
            assert_eq!(said, masked, "{number}");
        }
        for unreadable in
            ["+1415555267x", "tel.14155552671", "+14155552****", "%D9%A1%D9%A4%D9%A1%D9%A5%D9%A5%D9%A5%D9%A5"]
        {
            let said = message(&format!("/v2/Guard/Explanations/{unreadable}"));
            assert_eq!(said, "The requested resource /Guard/Explanations/*** was not found", "{unreadable}");
        }
        let of_a_channel = "The requested resource /whatsapp:+1415*****71 was not found";
        assert_eq!(message("/v2/whatsapp%3A%2B14155552671"), of_a_channel);
        assert_eq!(message("/v2/00000000000000000000"), "The requested resource /*** was not found");
        let sid = "/Services/VA12345678901234567890123456789012";
        assert_eq!(message(&format!("/v2{sid}")), format!("The requested resource {sid} was not found"));
        let long = format!("/v2/{}", "ä".repeat(5_000));
        assert!(message(&long).chars().count() < 300);
    }

    #[test]
    fn every_refusal_has_its_status_its_number_and_its_time() {
        use crate::registry::TextError;

        let in_a_while = Timestamp::EPOCH.plus(std::time::Duration::from_millis(29_001));
        for (refused, status, code, retry_after) in [
            (Refused::NotFound, 404, 20404, None),
            (Refused::Invalid("`Channel`: it is not served".to_owned()), 400, 60200, None),
            (Refused::NoChecksLeft { until: in_a_while }, 429, 60202, Some("30")),
            (Refused::NoSendsLeft { until: in_a_while }, 429, 60203, Some("30")),
            (Refused::TooMany { until: Timestamp::EPOCH }, 429, 20429, Some("1")),
            (Refused::TooSoon { until: in_a_while }, 429, 20429, Some("30")),
            (Refused::FeatureOff("no"), 403, 60204, None),
            (Refused::ChannelOff, 400, 60223, None),
            (Refused::Text(TextError::MissingSubstitution("door".to_owned())), 400, 60224, None),
            (Refused::Text(TextError::TooManyValues), 400, 60200, None),
            (Refused::Landline(None), 403, 60205, None),
            (Refused::Concurrent, 429, 60212, Some("1")),
            (Refused::Blocked, 403, 60410, None),
            (Refused::Country, 403, 60605, None),
            (Refused::OtherRequest, 422, 20422, None),
            (Refused::StillAnswering, 409, 20409, Some("1")),
            (Refused::Ended, 409, 20409, None),
            (Refused::GatewayFailed, 502, 20502, None),
            (Refused::OutOfService { until: in_a_while }, 502, 20502, Some("30")),
            (Refused::Unavailable(Refusal::StoreUnavailable), 503, 20503, Some("1")),
            (Refused::Unavailable(Refusal::OutcomeUnknown), 500, 20500, None),
            (Refused::Unavailable(Refusal::NumberBusy), 429, 20429, Some("1")),
        ] {
            let answer = Error::from(refused.clone()).answer("/v2/x", "id", Timestamp::EPOCH);
            let wait =
                answer.headers().get("x-onceward-retry-after").map(|wait| wait.to_str().expect("text"));
            assert_eq!((answer.status().as_u16(), wait), (status, retry_after), "{refused:?}");
            assert!(!answer.headers().contains_key("retry-after"), "{refused:?}");
            let body = response::whole(answer.into_body()).expect("no stream");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{refused:?}");
            let message = body["message"].as_str().expect("a message");
            if let Some(seconds) = retry_after.filter(|_| status != 503) {
                let tells =
                    message.contains(&format!("ry again in {seconds} s.")) || message.contains("shortly");
                assert!(tells, "{message}");
            }
        }
    }
}
