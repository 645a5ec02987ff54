//! All that is known of a number in a service, for an operator whom its owner calls.

use super::{Verifying, VerifyingInner};
use crate::delivery::attempts::{AttemptQuery, ListedAttempt, VerifyStatus};
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{PhoneNumber, ServiceId};
use crate::registry::Service;
use crate::verification::numbers::{Refusal, VerificationSummary};
use crate::verification::verify::{NumberStatus, Status, VerificationStatus};

/// Messages that are shown. A number has seldom more.
const MESSAGES: usize = 50;

impl Verifying {
    /// The latest verification of a number, its lockout and its messages; `None` if the server knows nothing of it.
    pub async fn status(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> Result<Option<NumberStatus>, Refusal> {
        let inner = &self.0;
        let Some(service) = inner.registry.service_by_id(service) else { return Ok(None) };
        let key = inner.key(&service, number);
        let summary = inner.verifier.verification(key).await?;
        let lockout = inner.verifier.lockout(key).await?;
        let query = AttemptQuery {
            services: Some(vec![service.id]),
            to: Some(number),
            ..AttemptQuery::newest(MESSAGES)
        };
        let mut messages = inner.verifier.attempts().list(&query).await?.records;
        messages.reverse();
        if summary.is_none() && lockout.is_none() && messages.is_empty() {
            return Ok(None);
        }
        let verification = match &summary {
            Some(summary) => Some(inner.under_way(service.id, number, summary)),
            None => messages.last().map(|last| inner.ended(&service, number, last, &messages)),
        };
        let lockout = lockout.unwrap_or_default();
        let verification = verification.map(|verification| match verification.status {
            // A fixed lockout leaves nothing of its verification.
            Status::Canceled | Status::Expired | Status::Failed
                if summary.is_none() && lockout.until.is_some() =>
            {
                VerificationStatus { status: Status::MaxAttemptsReached, ..verification }
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
}

impl VerifyingInner {
    fn under_way(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        summary: &VerificationSummary,
    ) -> VerificationStatus {
        VerificationStatus {
            sid: self.sid_of(service, number, summary.id),
            status: Status::of(summary),
            begun: summary.begun,
            ends: Some(summary.expires),
            sends: summary.sends,
            wrong_codes: Some(summary.wrong_codes),
        }
    }

    /// A verification whose messages are all that is left of it. One whose code has not expired was canceled, or voided by
    /// an operator. As for its events, a message counts as accepted while the server retries it in the background.
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
        let is_retried = |row: &Attempt| row.retries > 0 || row.status == SendStatus::New;
        let has_begun = was_sent || of_it().any(|listed| is_retried(&listed.attempt));
        let could_live = self.now() < last.attempt.at.plus(service.settings.code_life);
        VerificationStatus {
            sid: self.sid_of(service.id, number, id),
            status: match approved {
                true => Status::Approved,
                false if was_sent && could_live => Status::Canceled,
                false if has_begun => Status::Expired,
                false => Status::Failed,
            },
            begun: of_it().map(|listed| listed.attempt.at).min().unwrap_or(last.attempt.at),
            ends: approved.then(|| of_it().map(ListedAttempt::updated).max()).flatten(),
            sends: u8::try_from(of_it().count()).unwrap_or(u8::MAX),
            wrong_codes: None,
        }
    }
}
