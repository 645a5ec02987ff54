//! The answers of the tutorial's API: `docs/api.md`.

use std::time::Duration;

use hyper::StatusCode;

use super::minutes_up;
use crate::http::answer::Answer;
use crate::numbers::{CheckAnswer, SendAnswer};

/// `/send-code`.
pub fn send(outcome: &SendAnswer) -> Answer {
    match outcome {
        SendAnswer::Sent { attempts_left: _, message_id, postponed: _ } => {
            Answer::message(StatusCode::OK, &format!("Message sent with id: {message_id}"))
        }
        SendAnswer::Locked { remaining } => locked(*remaining),
        SendAnswer::NumberRefused => Answer::message(
            StatusCode::BAD_REQUEST,
            "The phone number does not exist or cannot receive messages.",
        ),
        SendAnswer::GatewayFailed => Answer::message(
            StatusCode::BAD_GATEWAY,
            "The message may not have been sent: the provider refused it or did not answer in time.",
        ),
    }
}

/// `/verify-code`.
pub fn check(outcome: &CheckAnswer) -> Answer {
    match *outcome {
        CheckAnswer::Approved => Answer::message(StatusCode::OK, "This is a valid match!"),
        CheckAnswer::Wrong { attempts_left: _, live: _ } => {
            Answer::message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.")
        }
        CheckAnswer::LockedNow { remaining, live: _ } | CheckAnswer::Locked { remaining } => {
            locked(remaining)
        }
        CheckAnswer::GatewayFailed => Answer::message(
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
