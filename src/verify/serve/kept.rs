//! Answers kept for idempotency keys: their form, and the step that a repeated request takes.

use serde::{Deserialize, Serialize};

use super::Inner;
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::limit::{self, KeyRefusal, Ticket};
use crate::numbers::Refusal;
use crate::registry::Service;
use crate::verify::{Refused, SendAttempt, Status, Verification};

/// The next step of a request with a key.
pub(super) enum KeyedBegin {
    /// Return the kept answer.
    Answered(Box<Verification>),
    /// Carry it out.
    CarryOut(Ticket),
    /// Find the result of the first request.
    FindOut(Ticket),
}

pub(super) async fn begin(
    inner: &Inner,
    service: &Service,
    key: &str,
    fingerprint: [u8; 32],
) -> Result<KeyedBegin, Refused> {
    match inner.answers.begin(service.id, key, fingerprint).await.map_err(refused)? {
        limit::KeyDecision::First(ticket) => Ok(KeyedBegin::CarryOut(ticket)),
        limit::KeyDecision::Interrupted(ticket) => Ok(KeyedBegin::FindOut(ticket)),
        limit::KeyDecision::OtherRequest => Err(Refused::OtherRequest),
        limit::KeyDecision::StillAnswering => Err(Refused::StillAnswering),
        limit::KeyDecision::Again(limit::KeptAnswer(kept)) => {
            let read = serde_json::from_value::<Kept>(kept).ok().and_then(|kept| kept.read(service.id));
            // Written by a newer program: it is not known what was answered.
            read.map(|read| KeyedBegin::Answered(Box::new(read)))
                .ok_or(Refused::Unavailable(Refusal::StoreUnavailable))
        }
    }
}

/// Keeps the answer. If that fails, its caller gets it all the same.
pub(super) async fn finish(ticket: Ticket, verification: &Verification) {
    let kept = serde_json::to_value(Kept::of(verification)).unwrap_or_default();
    if let Err(error) = ticket.finish(&kept).await {
        tracing::warn!(%error, "answer not kept for its idempotency key");
    }
}

fn refused(refusal: KeyRefusal) -> Refused {
    match refusal {
        KeyRefusal::KeyLength => Refused::Invalid(format!("Idempotency-Key: {refusal}")),
        KeyRefusal::TooManyAnswers | KeyRefusal::Overloaded => Refused::Unavailable(Refusal::Overloaded),
        KeyRefusal::StoreUnavailable | KeyRefusal::AnswerTooLong => {
            Refused::Unavailable(Refusal::StoreUnavailable)
        }
    }
}

/// A verification as it was answered. Moments are milliseconds since the epoch.
#[derive(Serialize, Deserialize)]
struct Kept {
    sid: String,
    to: u64,
    channel: u8,
    created: u64,
    updated: u64,
    attempts: Vec<(String, u64, u8)>,
}

impl Kept {
    fn of(v: &Verification) -> Self {
        let attempt = |a: &SendAttempt| (a.sid.to_string(), a.time.as_millis(), a.channel.number());
        Self {
            sid: v.sid.to_string(),
            to: v.to.as_u64(),
            channel: v.channel.number(),
            created: v.created.as_millis(),
            updated: v.updated.as_millis(),
            attempts: v.attempts.iter().map(attempt).collect(),
        }
    }

    /// Only successes are kept, and those are pending.
    fn read(self, service: ServiceId) -> Option<Verification> {
        let attempt = |(sid, time, channel): &(String, u64, u8)| {
            Some(SendAttempt {
                sid: Sid::parse(SidKind::Attempt, sid)?,
                time: Timestamp::from_millis(*time),
                channel: Channel::from_number(*channel)?,
            })
        };
        Some(Verification {
            sid: Sid::parse(SidKind::Verification, &self.sid)?,
            service,
            to: PhoneNumber::from_u64(self.to)?,
            channel: Channel::from_number(self.channel)?,
            status: Status::Pending,
            created: Timestamp::from_millis(self.created),
            updated: Timestamp::from_millis(self.updated),
            attempts: self.attempts.iter().map(attempt).collect::<Option<_>>()?,
        })
    }
}
