//! Answers kept for idempotency keys, and the step that a repeated request takes.

use super::Inner;
use crate::limit::{self, KeyRefusal, Ticket};
use crate::numbers::Refusal;
use crate::registry::Service;
use crate::verify::{Refused, Verification};

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
            // Another version of this program wrote an answer that cannot be read.
            let read = serde_json::from_str(&kept).map(|read| KeyedBegin::Answered(Box::new(read)));
            read.map_err(|_| Refused::Unavailable(Refusal::StoreUnavailable))
        }
    }
}

/// Keeps the answer. If that fails, its caller gets it all the same.
pub(super) async fn finish(ticket: Ticket, verification: &Verification) {
    let kept = serde_json::to_string(verification).unwrap_or_default();
    if let Err(error) = ticket.finish(kept).await {
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
