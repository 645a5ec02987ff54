//! The JSON of the two routes of `/api/*` by itself, without a connection, a request or a shard: for measurements.

use bytes::Bytes;

use super::{send_otp, verify_otp};
use crate::config::AnswerSet;
use crate::domain::{Channel, PhoneNumber};
use crate::http::answers::{api_check, api_send};
use crate::numbers::{CheckOutcome, CheckRequest, Reply, SendOutcome, SendRequest};

/// Reads the body of `POST /api/send-otp`; `None` for a bad one.
pub fn read_send(body: &[u8]) -> Option<SendRequest> {
    send_otp::read(body, None, &[Channel::Sms]).ok()
}

/// Reads the body of `POST /api/verify-otp`; `None` for a bad one.
pub fn read_check(body: &[u8]) -> Option<CheckRequest> {
    verify_otp::read(body, None).ok()
}

/// Writes the documented answer of `POST /api/send-otp`.
pub fn write_send(reply: &Reply<SendOutcome>, number: PhoneNumber) -> Bytes {
    api_send(AnswerSet::Documented, reply, number).body
}

/// Writes the documented answer of `POST /api/verify-otp`.
pub fn write_check(reply: &Reply<CheckOutcome>, number: PhoneNumber) -> Bytes {
    api_check(AnswerSet::Documented, reply, number, std::time::Duration::ZERO).body
}
