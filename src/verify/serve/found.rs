//! Resolves ids to numbers, and builds views of verifications.

use super::Inner;
use crate::attempts::seen;
use crate::domain::{PhoneNumber, ServiceId, Sid, TrackKey};
use crate::engine::{SendOptions, VerificationAddress, VerificationName};
use crate::numbers::Facts;
use crate::registry::{Rules, Service, TestNumber};
use crate::verify::{Refused, SendAttempt, Status, Target, Verification};

/// The number of a request, and the verification that it names, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meant {
    pub(super) number: PhoneNumber,
    pub(super) named: Option<VerificationName>,
}

impl Inner {
    pub(super) fn meant(&self, service: &Service, target: Target) -> Result<Meant, Refused> {
        match target {
            Target::Number(number) => Ok(Meant { number, named: None }),
            Target::Sid(sid) => {
                let address = self.sealer.open_verification(&sid).ok_or(Refused::NotFound)?;
                let VerificationAddress { service: owner, number, name } = address;
                if owner == service.id {
                    Ok(Meant { number, named: Some(name) })
                } else {
                    Err(Refused::NotFound)
                }
            }
        }
    }

    /// The verification that is under way.
    pub(super) async fn fetch(&self, service: ServiceId, target: Target) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let Meant { number, named } = self.meant(&service, target)?;
        let facts = self.verifier.facts(service.id, number).await.map_err(Refused::Unavailable)?;
        let is_meant =
            |facts: &Facts| named.is_none_or(|name| name == VerificationName::of_track(facts.track));
        let facts = facts.filter(is_meant).ok_or(Refused::NotFound)?;
        let status = if facts.spent { Status::MaxAttemptsReached } else { Status::Pending };
        self.shown(service.id, number, &facts, status).await
    }

    /// A verification as callers see it.
    pub(super) async fn shown(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        facts: &Facts,
        status: Status,
    ) -> Result<Verification, Refused> {
        let key = TrackKey::new(service, facts.track, self.slots.of_number(service, to));
        let track = self.verifier.attempts().track(key).await.map_err(Refused::Unavailable)?;
        let rows = track.as_ref().map(|track| seen(key, track)).unwrap_or_default();
        let heard = rows.iter().map(|seen| seen.heard).max().unwrap_or(facts.last_send);
        let now = self.clock.now();
        let attempts = rows.iter().map(|seen| SendAttempt {
            sid: self.sealer.attempt(&seen.row.attempt),
            time: seen.row.at,
            channel: seen.row.channel,
        });
        let updated = match status {
            Status::Pending => heard.max(facts.last_send),
            Status::Approved | Status::Canceled | Status::MaxAttemptsReached => now,
        };
        Ok(Verification {
            sid: self.sid_of(service, to, facts.track),
            service,
            to,
            channel: facts.channel,
            status,
            created: facts.begun,
            updated,
            attempts: attempts.collect(),
        })
    }

    /// The id of a verification.
    pub(super) fn sid_of(&self, service: ServiceId, number: PhoneNumber, track: u64) -> Sid {
        let name = VerificationName::of_track(track);
        self.sealer.verification(&VerificationAddress { service, number, name })
    }

    /// The test number of the service, if this number is one.
    pub(super) fn test<'a>(&self, service: &'a Service, number: PhoneNumber) -> Option<&'a TestNumber> {
        let now = self.clock.now();
        service.test_numbers.iter().find(|test| test.is(number, now))
    }

    /// Options of the code of a test number. The code expires with the test number at the latest.
    pub(super) fn options_of_test(&self, service: &Service, test: &TestNumber) -> SendOptions {
        let Rules { code_life, code_length, .. } = service.rules;
        SendOptions { life: code_life.min(test.expires.since(self.clock.now())), length: code_length }
    }
}
