//! The answers that the Redis version's code gives, byte for byte in messages and HTTP statuses:
//! `docs/api.md`, "as built". Spelling and spacing are meant to be like this.

use std::time::Duration;

use hyper::StatusCode;

use super::{Data, LIMITED, Row, documented, minutes_down, minutes_up};
use crate::domain::PhoneNumber;
use crate::http::answer::{Answer, Shape};
use crate::numbers::{CheckOutcome, Reply, SendOutcome};

/// `/api/send-otp`.
pub fn send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        SendOutcome::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "Successfully send OTP message")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendOutcome::Locked { until } => locked(number, until.since(reply.at)),
        SendOutcome::Limited(_) => return LIMITED.answer(Shape::Envelope),
        SendOutcome::NumberRefused | SendOutcome::GatewayFailed => return documented::send(reply, number),
    };
    row.into()
}

/// `/api/verify-otp`. The texts of the last trial name the configured `lockout`.
pub fn check(reply: &Reply<CheckOutcome>, number: PhoneNumber, lockout: Duration) -> Answer {
    let row = match reply.outcome {
        CheckOutcome::Approved => {
            Row::new(StatusCode::OK, "Successfully verified user").with(Data::Number(number.e164()))
        }
        CheckOutcome::Wrong { attempts_left, live } => {
            let message = if live { "Incorrect OTP, Try Again" } else { "OTP Expired, Try Again" };
            Row::new(StatusCode::UNAUTHORIZED, message)
                .with(Data::Trials { user: number.into(), trials: attempts_left })
                .behind_a_500()
        }
        CheckOutcome::LockedNow { until: _, live } => {
            let minutes = minutes_up(lockout);
            let message = if live {
                format!("Incorrect OTP and Max Limit Reached Try after {minutes} min")
            } else {
                format!("OTP Expired and Max Limit Reached, Try after {minutes} min")
            };
            Row::new(StatusCode::FORBIDDEN, message)
                .with(Data::Ttl { user: number.into(), ttl: Some(minutes) })
                .behind_a_500()
        }
        CheckOutcome::Locked { until } => locked(number, until.since(reply.at)),
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => return LIMITED.answer(Shape::Envelope),
        CheckOutcome::GatewayFailed => return documented::check(reply, number),
    };
    row.into()
}

fn locked(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = minutes_down(remaining);
    let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
    let ttl = (minutes > 0).then_some(minutes);
    Row::new(StatusCode::FORBIDDEN, message).with(Data::Ttl { user: number.into(), ttl })
}
