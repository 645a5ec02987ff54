//! What operators ask for: what is known of a number, the end of its lockout, and its erasure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Erasure, LockedNumber, MESSAGES, NumberStatus};
use super::{AttemptQuery, End, Ending, NumberKey, Refusal, Verifier};
use crate::delivery::attempts::AttemptLog;
use crate::domain::{PhoneNumber, ServiceId};
use crate::engine::{LockoutState, NumberState};
use crate::registry::Service;
use crate::registry::audit::{Action, AuditEntry, Author};
use crate::shard::{Record as _, RecordKey, Subject, service_of};
use crate::webhook::EventRecord;

impl Verifier {
    /// Ends the lockout of a number and the guard's refusals, clears its counts, and voids its code. Returns whether anything
    /// was known of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn unlock(&self, service: &Service, number: PhoneNumber, by: Author) -> Result<bool, Refusal> {
        let audited = AuditEntry::new(by, Action::NumberUnlocked, Some(service.sid), number.to_string());
        let end = End::new(self.key(service, number), Ending::Cleared);
        let cleared = self.end_of(End { audited: Some(audited), ..end }).await?.outcome;
        let (guard, service_id) = (self.guard.clone(), service.id);
        // In a task of its own: a client that hangs up cannot stop a write half way.
        let unlocking = tokio::spawn(async move { guard.unlock(service_id, number, cleared).await });
        let is_known = unlocking.await.ok().and_then(Result::ok).ok_or(Refusal::OutcomeUnknown)?;
        if is_known {
            tracing::info!(%number, service = service.name(), "number cleared by operator");
        }
        Ok(is_known)
    }

    /// Erases what is kept of a number in a service, or in every service; then it also removes it from the safe list.
    ///
    /// # Errors
    /// [`Refusal`]. After [`Refusal::OutcomeUnknown`] a part may have been erased.
    pub async fn erase(
        self: &Arc<Self>,
        of: Option<ServiceId>,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Erasure, Refusal> {
        let this = Arc::clone(self);
        // In a task of its own: a client that hangs up cannot stop the work half way.
        let work = tokio::spawn(async move { this.erase_all(of, number, by).await });
        work.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    async fn erase_all(
        &self,
        of: Option<ServiceId>,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Erasure, Refusal> {
        let mut all = Erasure::default();
        let erases = async {
            let services = if let Some(of) = of {
                vec![of]
            } else {
                // A batch in flight may bring the first record of the number.
                self.shards.flush().await;
                self.services_of(number).await?
            };
            // The tickets of attempts say what a budget may have been charged since the last write.
            self.guard.flush().await;
            for service in services {
                self.erase_in(service, number, &by, &mut all).await?;
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
        service: ServiceId,
        number: PhoneNumber,
        by: &Author,
        all: &mut Erasure,
    ) -> Result<(), Refusal> {
        let erased = self.guard.erase(Some(service), number).await;
        let mut has_erased = erased.map_err(|_| Refusal::OutcomeUnknown)?;
        // The entry of the last one tells of all.
        let found = self.registry.service_by_id(service);
        let of_service = found.as_ref().map(|found| found.sid);
        for key in NumberKey::all(service, number) {
            let is_last = key == NumberKey::new(service, number);
            let entry = || AuditEntry::new(by.clone(), Action::NumberErased, of_service, number.to_string());
            let end = End { audited: is_last.then(entry), ..End::new(key, Ending::Erased) };
            all.has_erased |= has_erased;
            has_erased |= self.end_of(end).await?.outcome;
            let lockout = self.lockout_of(key).await?;
            all.locked_until = all.locked_until.max(lockout.and_then(|lockout| lockout.until));
        }
        all.has_erased |= has_erased;
        if has_erased {
            all.services += 1;
            tracing::info!(%number, service = found.as_ref().map(|found| found.name()), "number erased by operator");
        }
        Ok(())
    }

    /// The services that know the number, removed ones too. One pass finds those of all: there may be ten thousand, and to ask
    /// for each would read all attempts and events as often.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn services_of(&self, number: PhoneNumber) -> Result<Vec<ServiceId>, Refusal> {
        let mut services = self.registry.ids().await?;
        let mut found = BTreeSet::new();
        let mut note = |key: RecordKey, of| found.extend((of == number).then(|| service_of(&key.id)));
        self.shards.for_each(|key, log: AttemptLog| note(key, log.number)).await?;
        self.shards.for_each(|key, events: EventRecord| note(key, events.number)).await?;
        let keys = services.iter().flat_map(|service| {
            let stored = NumberKey::all(*service, number).map(|key| {
                let Subject { slot, id } = self.deps.subject(&key);
                RecordKey { slot, kind: NumberState::KIND, id }
            });
            // In any mode of the guard: it may have been on when the number was verified.
            stored.into_iter().chain([self.guard.verified_key(*service, number)])
        });
        found.extend(self.shards.existing(keys).await?.iter().map(|key| service_of(&key.id)));
        services.retain(|service| found.contains(service) || self.guard.knows(*service, number));
        Ok(services)
    }

    /// The numbers that are locked out, of more than `most` those whose lockouts end last. Reads every number, page by page.
    ///
    /// # Errors
    /// As [`Shards::read`].
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

    /// The verification of a number, if one is under way or was canceled, its lockout and its messages; `None` if the server
    /// knows nothing of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn status(
        &self,
        service: &Service,
        number: PhoneNumber,
    ) -> Result<Option<NumberStatus>, Refusal> {
        let key = self.key(service, number);
        let verification = self.verification(key).await?;
        let lockout = self.lockout_of(key).await?;
        let query = AttemptQuery {
            services: Some(vec![service.id]),
            to: Some(number),
            ..AttemptQuery::newest(MESSAGES)
        };
        let messages = self.attempts.list(&query).await?;
        let is_known = verification.is_some() || lockout.is_some() || !messages.is_empty();
        let verification = verification.map(|of| (self.sealer.verification(key, of.id), of));
        let lockout = lockout.unwrap_or_default();
        Ok(is_known.then_some(NumberStatus { verification, lockout, messages }))
    }
}
