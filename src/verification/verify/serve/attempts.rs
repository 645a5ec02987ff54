//! The list of attempts, and how many of them led to a verified number.

use super::VerifyingInner;
use crate::delivery::attempts::{AttemptScope, ListedAttempt, attempts_of};
use crate::domain::{AttemptLogKey, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{Sealer, VerificationAddress};
use crate::shard::LogPart;
use crate::verification::numbers::Refusal;
use crate::verification::verify::{AttemptQuery, Refused, SealedAttempt, Summary};

impl VerifyingInner {
    pub(super) async fn attempts(&self, query: AttemptQuery) -> Result<LogPart<SealedAttempt>, Refusal> {
        let (skip, limit, read, before) = (query.skip, query.limit, query.read, query.before);
        let most = skip.saturating_add(limit);
        let filter = AttemptFilter::new(query, &self.sealer);
        let fits = |listed: &ListedAttempt| filter.matches(listed);
        let (time, read) = ((filter.since(), before), read.unwrap_or(usize::MAX));
        let mut found = self.verifier.attempts().newest_read(&filter.scope, time, fits, most, read).await?;
        found.records.drain(..skip.min(found.records.len()));
        Ok(found.filter_map(|listed| Some(self.sealed(listed))))
    }

    pub(super) async fn summary(&self, query: AttemptQuery) -> Result<Summary, Refused> {
        let (mut total, mut converted) = (0, 0);
        let filter = AttemptFilter::new(query, &self.sealer);
        let count = |listed: ListedAttempt| {
            if filter.matches(&listed) {
                total += 1;
                converted += u64::from(listed.converted);
            }
        };
        let counted = self.verifier.attempts().each(&filter.scope, filter.since(), count).await;
        counted.map_err(Refused::Unavailable)?;
        Ok(Summary { total, converted })
    }

    pub(super) async fn attempt(&self, sid: Sid) -> Result<SealedAttempt, Refused> {
        let id = self.sealer.open_attempt(&sid).ok_or(Refused::NotFound)?;
        let log = self.verifier.attempts().log(id.key).await.map_err(Refused::Unavailable)?;
        let found = log.and_then(|log| attempts_of(id.key, log).find(|listed| listed.id == id));
        found.map(|listed| self.sealed(listed)).ok_or(Refused::NotFound)
    }

    fn sealed(&self, listed: ListedAttempt) -> SealedAttempt {
        let AttemptLogKey { service, verification } = listed.id.key;
        SealedAttempt {
            sid: self.sealer.attempt(&listed.id),
            verification: self.sid_of(service, listed.number, verification),
            listed,
        }
    }
}

/// Which attempts a query is about.
struct AttemptFilter {
    scope: AttemptScope,
    number: Option<PhoneNumber>,
    query: AttemptQuery,
}

impl AttemptFilter {
    fn new(query: AttemptQuery, sealer: &Sealer) -> Self {
        let is_visible =
            |service: &ServiceId| query.services.as_ref().is_none_or(|services| services.contains(service));
        let (scope, number) = match (query.verification, &query.services) {
            (None, None) => (AttemptScope::All, None),
            (None, Some(services)) => (AttemptScope::Services(services.clone()), None),
            (Some(sid), _) => match sealer.open_verification(&sid).filter(|found| is_visible(&found.service))
            {
                Some(VerificationAddress { service, name, number }) => {
                    (AttemptScope::Verification(service, name), Some(number))
                }
                None => (AttemptScope::Services(Vec::new()), None),
            },
        };
        Self { scope, number, query }
    }

    /// No earlier attempt is wanted.
    fn since(&self) -> Timestamp {
        self.query.after.unwrap_or(Timestamp::EPOCH)
    }

    fn matches(&self, listed: &ListedAttempt) -> bool {
        let (row, number, query) = (&listed.attempt, listed.number, &self.query);
        row.at >= self.since()
            && query.before.is_none_or(|before| row.at < before)
            && query.to.is_none_or(|to| number == to)
            && query.channel.is_none_or(|channel| row.channel == channel)
            && query.converted.is_none_or(|converted| listed.converted == converted)
            && query.gateway.is_none_or(|gateway| row.gateway == gateway)
            && query.error.is_none_or(|error| row.error_code == Some(error))
            && query.status.is_none_or(|status| status.fits(listed))
            && query.message.as_ref().is_none_or(|id| row.message_id.as_ref() == Some(id))
            && query.ending.as_ref().is_none_or(|ending| number.as_u64().to_string().ends_with(ending.as_str()))
            && query
                .prefix
                .as_ref()
                .is_none_or(|prefix| number.as_u64().to_string().starts_with(prefix.as_str()))
            && self.number.is_none_or(|only| only == number)
            // Costs microseconds; therefore it comes last.
            && query.country.is_none_or(|country| number.region() == Some(country))
    }
}
