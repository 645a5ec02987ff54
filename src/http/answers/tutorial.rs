//! The answers of the tutorial's API: `docs/api.md`.

use std::time::Duration;

use hyper::StatusCode;

use super::{LIMITED, minutes_up};
use crate::http::answer::{Answer, Shape};
use crate::numbers::{CheckOutcome, Reply, SendOutcome};

/// `/send-code`.
pub fn send(reply: &Reply<SendOutcome>) -> Answer {
    match &reply.outcome {
        SendOutcome::Sent { attempts_left: _, message_id, postponed: _ } => {
            Answer::message(StatusCode::OK, &format!("Message sent with id: {message_id}"))
        }
        SendOutcome::Locked { until } => locked(until.since(reply.at)),
        SendOutcome::Limited(_) => LIMITED.answer(Shape::Message),
        SendOutcome::NumberRefused => Answer::message(
            StatusCode::BAD_REQUEST,
            "The phone number does not exist or cannot receive messages.",
        ),
        SendOutcome::GatewayFailed => Answer::message(
            StatusCode::BAD_GATEWAY,
            "The message may not have been sent: the provider refused it or did not answer in time.",
        ),
    }
}

/// `/verify-code`.
pub fn check(reply: &Reply<CheckOutcome>) -> Answer {
    match reply.outcome {
        CheckOutcome::Approved => Answer::message(StatusCode::OK, "This is a valid match!"),
        CheckOutcome::Wrong { attempts_left: _, live: _ } => {
            Answer::message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.")
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            locked(until.since(reply.at))
        }
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => LIMITED.answer(Shape::Message),
        CheckOutcome::GatewayFailed => Answer::message(
            StatusCode::BAD_GATEWAY,
            "The code could not be checked: the provider that holds it did not answer in time.",
        ),
    }
}

fn locked(remaining: Duration) -> Answer {
    let minutes = minutes_up(remaining);
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let message =
        format!("This phone number is locked out after too many wrong codes. Try again in {minutes} {unit}.");
    Answer::message(StatusCode::FORBIDDEN, &message)
}
