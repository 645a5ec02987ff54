//! All that is known of a number in a service, for an operator whom its owner calls.

use super::VerifyingInner;
use crate::attempts::{AttemptScope, ListedAttempt, VerifyStatus};
use crate::delivery::SendStatus;
use crate::domain::{PhoneNumber, ServiceId, Timestamp};
use crate::numbers::{Refusal, VerificationSummary};
use crate::registry::Service;
use crate::verify::{NumberStatus, VerificationStage, VerificationStatus};

/// Messages that are shown. A number has seldom more.
const MESSAGES: usize = 50;

impl VerifyingInner {
    /// The latest verification of a number, its lockout and its messages; `None` if the server knows nothing of it.
    pub(super) async fn status(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> Result<Option<NumberStatus>, Refusal> {
        let Some(service) = self.registry.service_by_id(service) else { return Ok(None) };
        let key = self.key(&service, number);
        let summary = self.verifier.verification(key).await?;
        let lockout = self.verifier.lockout(key).await?;
        let to_number = |listed: &ListedAttempt| listed.number == number;
        let scope = AttemptScope::Services(vec![service.id]);
        let attempts = self.verifier.attempts();
        let mut messages = attempts.newest(&scope, Timestamp::EPOCH, to_number, MESSAGES).await?;
        messages.reverse();
        if summary.is_none() && lockout.is_none() && messages.is_empty() {
            return Ok(None);
        }
        let verification = match &summary {
            Some(summary) => Some(self.under_way(service.id, number, summary)),
            None => messages.last().map(|last| self.ended(&service, number, last, &messages)),
        };
        let lockout = lockout.unwrap_or_default();
        let verification = verification.map(|verification| match verification.status {
            // A fixed lockout leaves nothing of its verification.
            VerificationStage::Canceled | VerificationStage::Expired
                if summary.is_none() && lockout.until.is_some() =>
            {
                VerificationStatus { status: VerificationStage::MaxAttemptsReached, ..verification }
            }
            _ => verification,
        });
        Ok(Some(NumberStatus {
            service_sid: service.sid,
            service_name: service.settings.friendly_name.clone(),
            verification,
            lockout,
            messages,
        }))
    }

    fn under_way(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        summary: &VerificationSummary,
    ) -> VerificationStatus {
        let status = match summary {
            VerificationSummary { canceled: true, .. } => VerificationStage::Canceled,
            VerificationSummary { spent: true, .. } => VerificationStage::MaxAttemptsReached,
            _ => VerificationStage::Pending,
        };
        VerificationStatus {
            sid: self.sid_of(service, number, summary.id),
            status,
            begun: summary.begun,
            ends: Some(summary.expires),
            sends: summary.sends,
            wrong_codes: Some(summary.wrong_codes),
        }
    }

    /// A verification whose messages are all that is left of it. One whose code has not expired was canceled, or voided by
    /// an operator.
    fn ended(
        &self,
        service: &Service,
        number: PhoneNumber,
        last: &ListedAttempt,
        messages: &[ListedAttempt],
    ) -> VerificationStatus {
        let id = last.id.key.verification;
        let of_it = || messages.iter().filter(|listed| listed.id.key.verification == id);
        let approved = last.verify_status == VerifyStatus::Success;
        let was_sent = of_it().any(|listed| listed.attempt.status == SendStatus::Sent);
        let could_live = self.now() < last.attempt.at.plus(service.settings.code_life);
        VerificationStatus {
            sid: self.sid_of(service.id, number, id),
            status: match approved {
                true => VerificationStage::Approved,
                false if was_sent && could_live => VerificationStage::Canceled,
                false => VerificationStage::Expired,
            },
            begun: of_it().map(|listed| listed.attempt.at).min().unwrap_or(last.attempt.at),
            ends: approved.then(|| of_it().map(ListedAttempt::updated).max()).flatten(),
            sends: u8::try_from(of_it().count()).unwrap_or(u8::MAX),
            wrong_codes: None,
        }
    }
}
