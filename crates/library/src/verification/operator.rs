//! What operators ask for: what is known of a number, the end of its lockout, and its erasure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Cleared, Erasure, LockedNumber, NumberStatus, Status, VerificationStatus};
use super::{AttemptQuery, End, Ending, NumberKey, Refusal, Verifier};
use crate::domain::{PhoneNumber, ServiceId};
use crate::engine::{LockoutState, NumberState};
use crate::registry::Service;
use crate::registry::audit::{Action, AuditEntry, Author};
use crate::shard::{Record as _, RecordKey, Subject, service_of};
use crate::webhook::EventRecord;

impl Verifier {
    /// Clears a number for an operator: ends its lockout, resets its counts and voids its code. Returns what it was before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn clear(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Cleared, Refusal> {
        let known = self.registry.service_by_id(service);
        let key = known.as_ref().map_or(NumberKey::new(service, number), |known| self.key(known, number));
        let before = self.lockout_of(key).await?;
        let audited = known
            .as_ref()
            .map(|of| AuditEntry::new(by, Action::NumberUnlocked, Some(of.sid), number.to_string()));
        self.end_of(End { audited, ..End::new(key, Ending::Cleared) }).await?;
        let was_counted = self.guard.unlock(service, number);
        let cleared = match before {
            None if !was_counted => Cleared::Unknown,
            Some(LockoutState { until: Some(_), .. }) => Cleared::Locked,
            Some(LockoutState { until: None, .. }) | None => Cleared::NotLocked,
        };
        if cleared != Cleared::Unknown {
            let service = known.map(|known| known.name());
            tracing::info!(%number, service, was = cleared.as_str(), "number cleared by operator");
        }
        Ok(cleared)
    }

    /// Erases what is kept of a number in a service, or in every service; then it also removes it from the safe list.
    ///
    /// # Errors
    /// [`Refusal`]. After [`Refusal::OutcomeUnknown`] a part may have been erased.
    pub async fn erase(
        &self,
        of: Option<ServiceId>,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Erasure, Refusal> {
        let mut all = Erasure::default();
        let erases = async {
            let services = if let Some(of) = of {
                self.registry.service_by_id(of).into_iter().collect()
            } else {
                // A batch in flight may bring the first record of the number.
                self.shards.flush().await;
                self.services_of(number).await?
            };
            // The tickets of attempts say what a budget may have been charged since the last write.
            self.guard.flush().await;
            for service in services {
                self.erase_in(&service, number, &by, &mut all).await?;
            }
            // The cache of lookups knows the number too.
            number.forget_lookup();
            if of.is_none() {
                all.has_erased |= self.guard.remove_safe_number(number, by).await?;
                all.has_erased |= self.guard.erase(None, number).await?;
            }
            Ok(())
        };
        match erases.await {
            // A refusal says that nothing has happened.
            Err(_) if all.has_erased => Err(Refusal::OutcomeUnknown),
            end => end.map(|()| all),
        }
    }

    async fn erase_in(
        &self,
        service: &Service,
        number: PhoneNumber,
        by: &Author,
        all: &mut Erasure,
    ) -> Result<(), Refusal> {
        let erased = self.guard.erase(Some(service.id), number).await;
        let mut was_erased = erased.map_err(|_| Refusal::OutcomeUnknown)?;
        all.has_erased |= was_erased;
        // The entry of the last one tells of all.
        let of_service = Some(service.sid);
        for key in NumberKey::all(service.id, number) {
            let is_last = key == NumberKey::new(service.id, number);
            let entry = || AuditEntry::new(by.clone(), Action::NumberErased, of_service, number.to_string());
            let end = End { audited: is_last.then(entry), was_erased, ..End::new(key, Ending::Erased) };
            was_erased = self.end_of(end).await?.outcome;
            all.has_erased |= was_erased;
            let lockout = self.lockout_of(key).await?;
            all.locked_until = all.locked_until.max(lockout.and_then(|lockout| lockout.until));
        }
        if was_erased {
            all.services += 1;
            tracing::info!(%number, service = service.name(), "number erased by operator");
        }
        Ok(())
    }

    /// The services that know the number. One pass finds those of all: there may be ten thousand, and to ask for each would
    /// read all attempts and events as often.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn services_of(&self, number: PhoneNumber) -> Result<Vec<Arc<Service>>, Refusal> {
        let mut services = self.registry.services(0, usize::MAX);
        let shards = &self.shards;
        let mut found = self.attempts.services_of(number).await?;
        let keys = services.iter().flat_map(|service| {
            let stored = NumberKey::all(service.id, number).map(|key| {
                let Subject { slot, id } = self.deps.subject(&key);
                RecordKey { slot, kind: NumberState::KIND, id }
            });
            // In any mode of the guard: it may have been on when the number was verified.
            stored.into_iter().chain([self.guard.verified_key(service.id, number)])
        });
        found.extend(shards.get_each(keys).await?.iter().map(|(key, _)| service_of(&key.id)));
        let page = |key: RecordKey, events: EventRecord| {
            found.extend((events.number == number).then(|| service_of(&key.id)));
        };
        shards.for_each(page).await?;
        services.retain(|service| found.contains(&service.id) || self.guard.knows(service.id, number));
        Ok(services)
    }

    /// The numbers that are locked out, of more than `most` those whose lockouts end last. Reads every number, page by page.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn lockouts(&self, most: usize) -> Result<Vec<LockedNumber>, Refusal> {
        let (now, mut last) = (self.now(), BTreeSet::new());
        let note = |key: RecordKey, state: NumberState| {
            let Some(NumberKey { service, number, .. }) = NumberKey::from_id(&key.id) else { return };
            let LockoutState { until, wrong_codes, .. } = state.lockout(&self.deps.policies.of(service), now);
            if let Some(until) = until {
                last.insert(LockedNumber { until, service, number, wrong_codes });
                if last.len() > most {
                    last.pop_first();
                }
            }
        };
        self.shards.for_each(note).await?;
        Ok(last.into_iter().rev().collect())
    }

    /// The verification of a number, if one is under way or was canceled, its lockout and its messages; `None` if the server knows nothing of it.
    pub async fn status(
        &self,
        service: ServiceId,
        number: PhoneNumber,
    ) -> Result<Option<NumberStatus>, Refusal> {
        let Some(service) = self.registry.service_by_id(service) else { return Ok(None) };
        let key = self.key(&service, number);
        let summary = self.verification(key).await?;
        let lockout = self.lockout_of(key).await?;
        let query = AttemptQuery {
            services: Some(vec![service.id]),
            to: Some(number),
            ..AttemptQuery::newest(NumberStatus::MESSAGES)
        };
        let mut messages = self.attempts.list(&query).await?;
        messages.reverse();
        if summary.is_none() && lockout.is_none() && messages.is_empty() {
            return Ok(None);
        }
        let verification = summary.map(|summary| VerificationStatus {
            sid: self.sid_of(service.id, number, summary.id),
            status: Status::of(&summary),
            begun: summary.details.begun,
            ends: summary.expires,
            sends: summary.details.sends,
            wrong_codes: summary.details.wrong,
        });
        Ok(Some(NumberStatus {
            service_sid: service.sid,
            service_name: service.settings.friendly_name.clone(),
            verification,
            lockout: lockout.unwrap_or_default(),
            messages,
        }))
    }
}
