//! The answers that the Redis version's code gives, byte for byte in messages and HTTP statuses:
//! `docs/api.md`, "as built". Spelling and spacing are meant to be like this.

use std::time::Duration;

use hyper::StatusCode;

use super::{Data, Row, documented, minutes_down, minutes_up};
use crate::domain::PhoneNumber;
use crate::numbers::{CheckAnswer, SendAnswer};

/// `/api/send-otp`.
pub fn send(outcome: &SendAnswer, number: PhoneNumber) -> Row {
    match *outcome {
        SendAnswer::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "Successfully send OTP message")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendAnswer::Locked { remaining } => locked(number, remaining),
        SendAnswer::NumberRefused | SendAnswer::GatewayFailed => documented::send(outcome, number),
    }
}

/// `/api/verify-otp`. The texts of the last trial name the configured `lockout`.
pub fn check(outcome: &CheckAnswer, number: PhoneNumber, lockout: Duration) -> Row {
    match *outcome {
        CheckAnswer::Approved => {
            Row::new(StatusCode::OK, "Successfully verified user").with(Data::Number(number.e164()))
        }
        CheckAnswer::Wrong { attempts_left, live } => {
            let message = if live { "Incorrect OTP, Try Again" } else { "OTP Expired, Try Again" };
            Row::new(StatusCode::UNAUTHORIZED, message)
                .with(Data::Trials { user: number.into(), trials: attempts_left })
                .behind_a_500()
        }
        CheckAnswer::LockedNow { remaining: _, live } => {
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
        CheckAnswer::Locked { remaining } => locked(number, remaining),
        CheckAnswer::GatewayFailed => documented::check(outcome, number),
    }
}

fn locked(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = minutes_down(remaining);
    let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
    let ttl = (minutes > 0).then_some(minutes);
    Row::new(StatusCode::FORBIDDEN, message).with(Data::Ttl { user: number.into(), ttl })
}
