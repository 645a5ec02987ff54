//! Checks, ends that callers decide, and what is under way.

use super::Verifying;
use crate::domain::{PhoneNumber, ServiceId};
use crate::engine::{self, LockoutState, VerificationName};
use crate::limits::rate::{CheckAnswer, KeyedRequest};
use crate::registry::audit::{Action, Author};
use crate::verification::numbers::{Check, CheckOutcome, End, Reply, VerificationSummary};
use crate::verification::verify::{CheckCode, Ending, Refused, Status, Verification, VerificationTarget};

impl Verifying {
    pub(super) async fn check_code(
        &self,
        service: ServiceId,
        check: CheckCode,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let CheckCode { target, number: given, code, idempotency_key, fingerprint, request_id } = check;
        let (number, named) = self.resolve(&service, target)?;
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

    pub(super) async fn end_verification(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        by: Option<Author>,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let (number, named) = self.resolve(&service, target)?;
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

    /// The verification that is under way.
    pub(super) async fn fetch_verification(
        &self,
        service: ServiceId,
        target: VerificationTarget,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let (number, named) = self.resolve(&service, target)?;
        let summary = self.verifier.verification(self.key(&service, number)).await?;
        // A canceled verification is shown to those who name it.
        let is_meant = |summary: &VerificationSummary| match named {
            None => !summary.details.canceled,
            Some(name) => name == VerificationName::of(summary.id),
        };
        let summary = summary.filter(is_meant).ok_or(Refused::NotFound)?;
        let attempts = self.log_of(service.id, number, summary.id).await?;
        Ok(self.shown(service.id, number, &summary, attempts, Status::of(&summary), None))
    }

    pub(super) async fn lockout_of(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> Result<LockoutState, Refused> {
        let service = self.service(service)?;
        let lockout = self.verifier.lockout(self.key(&service, number)).await?;
        lockout.filter(|state| *state != LockoutState::default()).ok_or(Refused::NotFound)
    }
}

/// The answer to an earlier request with the same idempotency key.
pub(super) fn answered_before(
    KeyedRequest { known, answer }: &KeyedRequest,
) -> Result<Reply<CheckOutcome>, Refused> {
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
