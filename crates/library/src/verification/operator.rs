//! What operators ask for: what is known of a number, the end of its lockout, and its erasure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Cleared, Erasure, LockedNumber, NumberStatus, Status, VerificationStatus};
use super::{AttemptQuery, End, Ending, NumberKey, Refusal, Verifier};
use crate::delivery::attempts::{ListedAttempt, VerifyStatus};
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{PhoneNumber, ServiceId};
use crate::engine::{LockoutState, NumberState};
use crate::registry::audit::{Action, AuditEntry, Author};
use crate::registry::{Scope, Service};
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
        let was_erased = erased.map_err(|_| Refusal::OutcomeUnknown)?;
        all.has_erased |= was_erased;
        let key = NumberKey::new(service.id, number);
        let entry = AuditEntry::new(by.clone(), Action::NumberErased, Some(service.sid), number.to_string());
        let end = End { audited: Some(entry), was_erased, ..End::new(key, Ending::Erased) };
        if self.end_of(end).await?.outcome {
            (all.has_erased, all.services) = (true, all.services + 1);
            tracing::info!(%number, service = service.name(), "number erased by operator");
        }
        for key in NumberKey::all(service.id, number) {
            let lockout = self.lockout_of(key).await?;
            all.locked_until = all.locked_until.max(lockout.and_then(|lockout| lockout.until));
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

    /// The services for which a live key has the scope `messages` while no budget limits them, or all. None where messages
    /// cost nothing.
    pub fn without_budget(&self) -> Vec<String> {
        let keys = self.registry.keys(None).into_iter();
        let keys = keys.filter(|key| key.revoked.is_none() && key.scopes.contains(&Scope::Messages));
        let is_unlimited = |of: &Option<ServiceId>| !self.guard.has_budget(*of);
        let services: BTreeSet<_> = keys.map(|key| key.service).filter(is_unlimited).collect();
        let all = || "all services".to_owned();
        services.into_iter().map(|of| of.map_or_else(all, |id| self.registry.title_of(id))).collect()
    }

    /// The latest verification of a number, its lockout and its messages; `None` if the server knows nothing of it.
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
        let mut messages = self.attempts.list(&query).await?.records;
        messages.reverse();
        if summary.is_none() && lockout.is_none() && messages.is_empty() {
            return Ok(None);
        }
        let lockout = lockout.unwrap_or_default();
        let verification = match &summary {
            Some(summary) => Some(VerificationStatus {
                sid: self.sid_of(service.id, number, summary.id),
                status: Status::of(summary),
                begun: summary.details.begun,
                ends: Some(summary.expires),
                sends: summary.details.sends,
                wrong_codes: Some(summary.details.wrong),
            }),
            None => self.ended(&service, &messages, lockout.until.is_some()),
        };
        Ok(Some(NumberStatus {
            service_sid: service.sid,
            service_name: service.settings.friendly_name.clone(),
            verification,
            lockout,
            messages,
        }))
    }

    /// A verification whose messages are all that is left of it. One whose code has not expired was canceled, or voided by
    /// an operator. As for its events, a message counts as accepted while the server retries it in the background.
    fn ended(
        &self,
        service: &Service,
        messages: &[ListedAttempt],
        is_locked: bool,
    ) -> Option<VerificationStatus> {
        let last = messages.last()?;
        let id = last.id.key.verification;
        let of_it: Vec<_> = messages.iter().filter(|listed| listed.id.key.verification == id).collect();
        let any = |fits: fn(&Attempt) -> bool| of_it.iter().any(|listed| fits(&listed.attempt));
        let approved = last.verify_status == VerifyStatus::Success;
        let was_sent = any(|row| row.status == SendStatus::Sent);
        let has_begun = was_sent || any(|row| row.retries > 0 || row.status == SendStatus::New);
        let could_live = self.now() < last.attempt.at.plus(service.settings.code_life);
        Some(VerificationStatus {
            sid: self.sid_of(service.id, last.number, id),
            status: match approved {
                true => Status::Approved,
                // A fixed lockout leaves nothing of its verification.
                false if is_locked => Status::MaxAttemptsReached,
                false if was_sent && could_live => Status::Canceled,
                false if has_begun => Status::Expired,
                false => Status::Failed,
            },
            begun: of_it.iter().map(|listed| listed.attempt.at).min()?,
            ends: of_it.iter().map(|listed| listed.updated()).max().filter(|_| approved),
            sends: u8::try_from(of_it.len()).unwrap_or(u8::MAX),
            wrong_codes: None,
        })
    }
}
