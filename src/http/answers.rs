//! Outcome to answer: one table for each set of answers.
//!
//! Each table is a `match` without `_`, so an outcome that gets a new case does not compile until
//! its answer is written. `docs/reference/errors.md` is made from these tables by a test.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::answer::{Answer, Shape};
use crate::config::AnswerSet;
use crate::domain::{PhoneNumber, minutes_up};
use crate::http::problem::Problem;
use crate::numbers::{CheckOutcome, Refusal, Reply, SendOutcome};

/// What the compatible routes answer when a verification that `/v2` began for the same number has no message or no check
/// left. They have no words for such limits.
const LIMITED: Problem = Problem::Refused(Refusal::NumberBusy);

/// The answer of `/api/send-otp`.
pub fn api_send(set: AnswerSet, reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    match set {
        AnswerSet::Documented => documented_send(reply, number),
        AnswerSet::AsBuilt => as_built_send(reply, number),
    }
}

/// The answer of `/api/verify-otp`. `lockout` is the length of a new one.
pub fn api_check(
    set: AnswerSet,
    reply: &Reply<CheckOutcome>,
    number: PhoneNumber,
    lockout: Duration,
) -> Answer {
    match set {
        AnswerSet::Documented => documented_check(reply, number),
        AnswerSet::AsBuilt => as_built_check(reply, number, lockout),
    }
}

/// `/api/send-otp`, as the Redis version's README documents it.
fn documented_send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        SendOutcome::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "OTP send successfully.")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendOutcome::Locked { until } => documented_lock(number, until.since(reply.at)),
        SendOutcome::Limited(_) => return LIMITED.answer(Shape::Envelope),
        SendOutcome::NumberRefused => Row::new(StatusCode::BAD_REQUEST, "Invalid request body"),
        SendOutcome::GatewayFailed => {
            Row::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error occurred.")
        }
    };
    row.into()
}

/// `/api/verify-otp`, documented.
fn documented_check(reply: &Reply<CheckOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        CheckOutcome::Approved => {
            Row::new(StatusCode::OK, "OTP verified successfully.").with(Data::Number(number.e164()))
        }
        CheckOutcome::Wrong { attempts_left, live: _ } => {
            Row::new(StatusCode::UNAUTHORIZED, "Incorrect OTP/ OTP Expired")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            documented_lock(number, until.since(reply.at))
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
fn documented_lock(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = minutes_up(remaining);
    Row::new(StatusCode::FORBIDDEN, "User locked out due to exceeding maximum attempts.")
        .with(Data::Lockout { user: number.into(), ttl: minutes, lockout_duration: minutes })
}

/// `/api/send-otp`, as the Redis version's code answers, byte for byte. Spelling and spacing are meant to be like this.
fn as_built_send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    let row = match reply.outcome {
        SendOutcome::Sent { attempts_left, message_id: _, postponed: _ } => {
            Row::new(StatusCode::OK, "Successfully send OTP message")
                .with(Data::Trials { user: number.into(), trials: attempts_left })
        }
        SendOutcome::Locked { until } => as_built_lock(number, until.since(reply.at)),
        SendOutcome::Limited(_) => return LIMITED.answer(Shape::Envelope),
        SendOutcome::NumberRefused | SendOutcome::GatewayFailed => return documented_send(reply, number),
    };
    row.into()
}

/// `/api/verify-otp`, as built. The texts of the last trial name the configured `lockout`.
fn as_built_check(reply: &Reply<CheckOutcome>, number: PhoneNumber, lockout: Duration) -> Answer {
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
        CheckOutcome::Locked { until } => as_built_lock(number, until.since(reply.at)),
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => return LIMITED.answer(Shape::Envelope),
        CheckOutcome::GatewayFailed => return documented_check(reply, number),
    };
    row.into()
}

fn as_built_lock(number: PhoneNumber, remaining: Duration) -> Row {
    let minutes = remaining.as_secs() / 60;
    let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
    let ttl = (minutes > 0).then_some(minutes);
    Row::new(StatusCode::FORBIDDEN, message).with(Data::Ttl { user: number.into(), ttl })
}

/// `/send-code`.
pub fn tutorial_send(reply: &Reply<SendOutcome>) -> Answer {
    match &reply.outcome {
        SendOutcome::Sent { attempts_left: _, message_id, postponed: _ } => {
            Answer::message(StatusCode::OK, &format!("Message sent with id: {message_id}"))
        }
        SendOutcome::Locked { until } => tutorial_lock(until.since(reply.at)),
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
pub fn tutorial_check(reply: &Reply<CheckOutcome>) -> Answer {
    match reply.outcome {
        CheckOutcome::Approved => Answer::message(StatusCode::OK, "This is a valid match!"),
        CheckOutcome::Wrong { attempts_left: _, live: _ } => {
            Answer::message(StatusCode::BAD_REQUEST, "The phone number and the SMS code doesn't match.")
        }
        CheckOutcome::LockedNow { until, live: _ } | CheckOutcome::Locked { until } => {
            tutorial_lock(until.since(reply.at))
        }
        CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => LIMITED.answer(Shape::Message),
        CheckOutcome::GatewayFailed => Answer::message(
            StatusCode::BAD_GATEWAY,
            "The code could not be checked: the provider that holds it did not answer in time.",
        ),
    }
}

fn tutorial_lock(remaining: Duration) -> Answer {
    let minutes = minutes_up(remaining);
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let message =
        format!("This phone number is locked out after too many wrong codes. Try again in {minutes} {unit}.");
    Answer::message(StatusCode::FORBIDDEN, &message)
}

/// One row of a table of the `/api/*` routes.
#[derive(Debug)]
struct Row {
    status: StatusCode,
    code: u16,
    message: Cow<'static, str>,
    data: Option<Data>,
}

impl Row {
    /// A row whose code is its status and which has no data.
    fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: status.as_u16(), message: message.into(), data: None }
    }

    fn with(mut self, data: Data) -> Self {
        self.data = Some(data);
        self
    }

    /// As the Redis version's code does: HTTP 500 around another code.
    fn behind_a_500(mut self) -> Self {
        self.status = StatusCode::INTERNAL_SERVER_ERROR;
        self
    }
}

impl From<Row> for Answer {
    fn from(row: Row) -> Self {
        Self::envelope(row.status, row.code, &row.message, row.data)
    }
}

/// What `data` holds. The names are the contract's.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    /// Wrong codes still allowed.
    Trials { user: User, trials: u8 },
    /// Minutes until the number may ask again.
    Lockout { user: User, ttl: u64, lockout_duration: u64 },
    /// The same, as built.
    Ttl {
        user: User,
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<u64>,
    },
    /// The number that was verified, in E.164 form.
    Number(String),
}

#[derive(Debug, Serialize)]
struct User {
    #[serde(rename = "phoneNumber")]
    phone_number: String,
}

impl From<PhoneNumber> for User {
    fn from(number: PhoneNumber) -> Self {
        Self { phone_number: number.e164() }
    }
}
