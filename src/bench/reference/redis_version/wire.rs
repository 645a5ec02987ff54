//! The bodies of the two routes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, header};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct User {
    #[serde(rename = "phoneNumber")]
    pub(super) phone_number: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Verify {
    pub(super) user: User,
    pub(super) code: String,
}

impl User {
    /// Whether it is spelled as E.164 asks. The published service hands on whatever it is given.
    pub(super) fn is_spelled_right(&self) -> bool {
        let digits = self.phone_number.strip_prefix('+').unwrap_or_default();
        (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// What the steps come to.
#[derive(Debug)]
pub(super) enum Outcome {
    Sent { user: User, trials: i64 },
    Verified(User),
    Wrong { user: User, trials: i64 },
    Locked { user: User, remaining: Duration },
    BadBody,
    Failed,
    NotFound,
}

#[derive(Serialize)]
struct Envelope<D> {
    code: u16,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Trials { user: User, trials: i64 },
    Lockout { user: User, ttl: u64, lockout_duration: u64 },
    Number(String),
}

impl Outcome {
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let (status, message, data) = match self {
            Self::Sent { user, trials } => {
                (StatusCode::OK, "OTP send successfully.", Some(Data::Trials { user, trials }))
            }
            Self::Verified(user) => {
                (StatusCode::OK, "OTP verified successfully.", Some(Data::Number(user.phone_number)))
            }
            Self::Wrong { user, trials } => {
                (StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired", Some(Data::Trials { user, trials }))
            }
            Self::Locked { user, remaining } => {
                let minutes = remaining.as_secs().div_ceil(60).max(1);
                let data = Data::Lockout { user, ttl: minutes, lockout_duration: minutes };
                (StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.", Some(data))
            }
            Self::BadBody => (StatusCode::BAD_REQUEST, "Invalid request body", None),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.", None),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", None),
        };
        // Strings and integers serialise without fail.
        let body = serde_json::to_vec(&Envelope { code: status.as_u16(), message, data }).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}
