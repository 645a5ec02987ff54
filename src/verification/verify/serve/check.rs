//! Checks, and ends that callers decide.

use super::VerifyingInner;
use super::found::ResolvedTarget;
use crate::domain::ServiceId;
use crate::engine;
use crate::limits::rate::{CheckAnswer, KeyedRequest};
use crate::registry::audit::{Action, Author};
use crate::verification::numbers::{Check, CheckOutcome, End, Reply, VerificationSummary};
use crate::verification::verify::{CheckCode, Ending, Refused, Status, Verification, VerificationTarget};

impl VerifyingInner {
    pub(super) async fn check(&self, service: ServiceId, check: CheckCode) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let CheckCode { target, number: given, code, idempotency_key, fingerprint, request_id } = check;
        let ResolvedTarget { number, named } = self.resolve(&service, target)?;
        if given.is_some_and(|given| given != number) {
            return Err(Refused::NotFound);
        }
        let fingerprint = self.fingerprint(fingerprint, code.as_ref());
        let mut check = Check { named, request_id, ..Check::new(self.key(&service, number), code) };
        let mut known = None;
        if let Some(key) = idempotency_key {
            match self.keyed(service.id, number, &key, fingerprint).await? {
                Ok(running) => check.keyed = Some(running),
                Err(request) => known = Some(answered_before(&request)?),
            }
        }
        let reply = match known {
            Some(reply) => reply,
            None => self.verifier.check(check).await?,
        };
        let status = status_after(reply.outcome)?;
        // An outcome with a status is about a verification.
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        let ended = (status != Status::Pending).then_some(reply.at);
        Ok(self.shown(service.id, number, &summary, reply.attempts, status, ended))
    }

    pub(super) async fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        by: Option<Author>,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let ResolvedTarget { number, named } = self.resolve(&service, target)?;
        let (decided, status, action) = match ending {
            Ending::Canceled => (engine::Ending::Canceled, Status::Canceled, Action::VerificationCanceled),
            Ending::Approved => (engine::Ending::Approved, Status::Approved, Action::VerificationApproved),
        };
        let audited = by.map(|author| author.audited(action, service.sid, number));
        let key = self.key(&service, number);
        let end = End { key, ending: decided, named, audited, was_erased: false };
        let reply = self.verifier.end(end).await?;
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        Ok(self.shown(service.id, number, &summary, reply.attempts, status, Some(reply.at)))
    }
}

/// The answer to an earlier request with the same idempotency key.
fn answered_before(KeyedRequest { known, answer }: &KeyedRequest) -> Result<Reply<CheckOutcome>, Refused> {
    let CheckAnswer { outcome, begun, last_send } = answer.ok_or(Refused::OtherRequest)?;
    let summary = VerificationSummary::remembered(known, begun, last_send, known.at);
    Ok(Reply::new(outcome, known.at, Some(summary)))
}

/// The verification's status after a check, or the API's refusal.
fn status_after(outcome: CheckOutcome) -> Result<Status, Refused> {
    match outcome {
        CheckOutcome::Approved => Ok(Status::Approved),
        CheckOutcome::Wrong { live: false, .. }
        | CheckOutcome::LockedNow { live: false, .. }
        | CheckOutcome::NotFound => Err(Refused::NotFound),
        CheckOutcome::LockedNow { live: true, .. } | CheckOutcome::Wrong { live: true, attempts_left: 0 } => {
            Ok(Status::MaxAttemptsReached)
        }
        CheckOutcome::Wrong { live: true, .. } => Ok(Status::Pending),
        CheckOutcome::Locked { until } | CheckOutcome::NoChecksLeft { until } => {
            Err(Refused::NoChecksLeft { until })
        }
        CheckOutcome::GatewayFailed => Err(Refused::GatewayFailed),
    }
}
