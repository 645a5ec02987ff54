//! Resolves ids to numbers, and builds views of verifications.

use super::VerifyingInner;
use crate::delivery::attempts::{AttemptLog, attempts_of};
use crate::domain::{AttemptLogKey, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{SendOptions, VerificationAddress, VerificationName};
use crate::registry::{Service, TestNumber};
use crate::verification::numbers::{NumberKey, VerificationSummary};
use crate::verification::verify::{Refused, SealedAttempt, Status, Verification, VerificationTarget};

/// The number of a request, and the verification that it names, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResolvedTarget {
    pub(super) number: PhoneNumber,
    pub(super) named: Option<VerificationName>,
}

impl VerifyingInner {
    pub(super) fn resolve(
        &self,
        service: &Service,
        target: VerificationTarget,
    ) -> Result<ResolvedTarget, Refused> {
        match target {
            VerificationTarget::Number(number) => Ok(ResolvedTarget { number, named: None }),
            VerificationTarget::Sid(sid) => {
                let address = self.sealer.open_verification(&sid).ok_or(Refused::NotFound)?;
                let VerificationAddress { service: owner, number, name } = address;
                if owner == service.id {
                    Ok(ResolvedTarget { number, named: Some(name) })
                } else {
                    Err(Refused::NotFound)
                }
            }
        }
    }

    /// The verification that is under way.
    pub(super) async fn fetch(
        &self,
        service: ServiceId,
        target: VerificationTarget,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let ResolvedTarget { number, named } = self.resolve(&service, target)?;
        let key = self.key(&service, number);
        let summary = self.verifier.verification(key).await.map_err(Refused::Unavailable)?;
        // A canceled verification is shown to those who name it.
        let is_meant = |summary: &VerificationSummary| match named {
            None => !summary.canceled,
            Some(name) => name == VerificationName::of(summary.id),
        };
        let summary = summary.filter(is_meant).ok_or(Refused::NotFound)?;
        let log = AttemptLogKey::new(service.id, summary.id, self.slots.of_number(service.id, number));
        let attempts = self.verifier.attempts().log(log).await.map_err(Refused::Unavailable)?;
        Ok(self.shown(service.id, number, &summary, attempts, Status::of(&summary), None))
    }

    /// A verification as callers see it. `ended` is the moment of the request that ended it.
    pub(super) fn shown(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        summary: &VerificationSummary,
        attempts: Option<AttemptLog>,
        status: Status,
        ended: Option<Timestamp>,
    ) -> Verification {
        let key = AttemptLogKey::new(service, summary.id, self.slots.of_number(service, to));
        let sid = self.sid_of(service, to, summary.id);
        let mut updated = summary.last_send;
        let attempts = attempts.into_iter().flat_map(|log| attempts_of(key, log)).map(|listed| {
            updated = updated.max(listed.updated());
            SealedAttempt { sid: self.sealer.attempt(&listed.id), verification: sid, listed }
        });
        let attempts = attempts.collect();
        Verification {
            sid,
            service,
            to,
            channel: summary.channel,
            status,
            created: summary.begun,
            updated: ended.unwrap_or(updated),
            attempts,
        }
    }

    pub(super) fn sid_of(&self, service: ServiceId, number: PhoneNumber, id: u64) -> Sid {
        let name = VerificationName::of(id);
        self.sealer.verification(&VerificationAddress { service, number, name })
    }

    /// The key of a number's record.
    pub(super) fn key(&self, service: &Service, number: PhoneNumber) -> NumberKey {
        NumberKey { service: service.id, number, is_test: self.test(service, number).is_some() }
    }

    pub(super) fn test<'a>(&self, service: &'a Service, number: PhoneNumber) -> Option<&'a TestNumber> {
        let now = self.now();
        service.test_numbers.iter().find(|test| test.is(number, now))
    }

    /// Options of the code of a test number. The code expires with the test number at the latest.
    pub(super) fn options_of_test(&self, service: &Service, test: &TestNumber) -> SendOptions {
        let SendOptions { life, length } = service.settings.policy().code;
        SendOptions { life: life.min(test.expires.since(self.now())), length }
    }
}
