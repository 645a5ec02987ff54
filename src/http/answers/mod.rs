//! Outcome to answer: one table for each set of answers.
//!
//! Each table is a `match` without `_`, so an outcome that gets a new case does not compile until
//! its answer is written. `docs/errors.md` is made from these tables by a test.

mod as_built;
mod documented;
#[cfg(test)]
mod errors_doc;
mod tutorial;

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::answer::Answer;
use crate::config::AnswerSet;
use crate::domain::PhoneNumber;
use crate::http::problem::Problem;
use crate::numbers::{CheckOutcome, Refusal, Reply, SendOutcome};

pub use tutorial::{check as tutorial_check, send as tutorial_send};

/// What the compatible routes answer when a verification that `/v2` began for the same number has no message or no check
/// left. They have no words for such limits.
const LIMITED: Problem = Problem::Refused(Refusal::NumberBusy);

/// The answer of `/api/send-otp`.
pub fn api_send(set: AnswerSet, reply: &Reply<SendOutcome>, number: PhoneNumber) -> Answer {
    match set {
        AnswerSet::Documented => documented::send(reply, number),
        AnswerSet::AsBuilt => as_built::send(reply, number),
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
        AnswerSet::Documented => documented::check(reply, number),
        AnswerSet::AsBuilt => as_built::check(reply, number, lockout),
    }
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

/// Whole minutes, rounded up and never 0: a client that waits that long is let in.
fn minutes_up(span: Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(60_000)).unwrap_or(u64::MAX).max(1)
}

/// Whole minutes, rounded down.
const fn minutes_down(span: Duration) -> u64 {
    span.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_round_up_and_are_never_zero() {
        for (millis, minutes) in
            [(0, 1), (1, 1), (45_000, 1), (60_000, 1), (60_001, 2), (1_800_000, 30), (1_740_001, 30)]
        {
            assert_eq!(minutes_up(Duration::from_millis(millis)), minutes, "{millis} ms");
        }
    }

    #[test]
    fn as_built_minutes_round_down_to_zero() {
        for (millis, minutes) in [(0, 0), (59_999, 0), (60_000, 1), (119_999, 1), (1_800_000, 30)] {
            assert_eq!(minutes_down(Duration::from_millis(millis)), minutes, "{millis} ms");
        }
    }
}
