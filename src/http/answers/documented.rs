//! The answers that the Redis version's README documents: `docs/api.md`.

use std::time::Duration;

use hyper::StatusCode;

use super::{Data, LIMITED, Row, minutes_up};
use crate::domain::PhoneNumber;
use crate::http::answer::{Answer, Shape};
use crate::numbers::{CheckOutcome, Reply, SendOutcome};

/// `/api/send-otp`.
pub fn send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        SendOutcome::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "OTP send successfully.")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendOutcome::Locked { until } => locked(number, until.since(reply.at)),
        SendOutcome::Limited(_) => return LIMITED.answer(Shape::Envelope),
        SendOutcome::NumberRefused => Row::new(StatusCode::BAD_REQUEST, "Invalid request body"),
        SendOutcome::GatewayFailed => {
            Row::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
        }
    };
    row.into()
}

/// `/api/verify-otp`.
pub fn check(reply: &Reply<CheckOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        CheckOutcome::Approved => {
            Row::new(StatusCode::OK, "OTP verified successfully.").with(Data::Number(number.e164()))
        }
        CheckOutcome::Wrong { attempts_left, live: _ } => {
            Row::new(StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            locked(number, until.since(reply.at))
        }
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => return LIMITED.answer(Shape::Envelope),
        CheckOutcome::GatewayFailed => {
            Row::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
        }
    };
    row.into()
}

/// Both fields are the minutes until the number may ask again: the contract says so, whatever the
/// second one's name suggests.
fn locked(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = minutes_up(remaining);
    Row::new(StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.")
        .with(Data::Lockout { user: number.into(), ttl: minutes, lockout_duration: minutes })
}
