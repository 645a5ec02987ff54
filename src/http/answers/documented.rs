//! The answers that the Redis version's README documents: `docs/api.md`.

use std::time::Duration;

use hyper::StatusCode;

use super::{Data, Row, minutes_up};
use crate::domain::PhoneNumber;
use crate::numbers::{CheckAnswer, SendAnswer};

/// `/api/send-otp`.
pub fn send(outcome: &SendAnswer, number: PhoneNumber) -> Row {
    match *outcome {
        SendAnswer::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "OTP send successfully.")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendAnswer::Locked { remaining } => locked(number, remaining),
        SendAnswer::NumberRefused => Row::new(StatusCode::BAD_REQUEST, "Invalid request body"),
        SendAnswer::GatewayFailed => {
            Row::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
        }
    }
}

/// `/api/verify-otp`.
pub fn check(outcome: &CheckAnswer, number: PhoneNumber) -> Row {
    match *outcome {
        CheckAnswer::Approved => {
            Row::new(StatusCode::OK, "OTP verified successfully.").with(Data::Number(number.e164()))
        }
        CheckAnswer::Wrong { attempts_left, live: _ } => {
            Row::new(StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        CheckAnswer::LockedNow { remaining, live: _ } | CheckAnswer::Locked { remaining } => {
            locked(number, remaining)
        }
        CheckAnswer::GatewayFailed => {
            Row::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
        }
    }
}

/// Both fields are the minutes until the number may ask again: the contract says so, whatever the
/// second one's name suggests.
fn locked(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = minutes_up(remaining);
    Row::new(StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.")
        .with(Data::Lockout { user: number.into(), ttl: minutes, lockout_duration: minutes })
}
