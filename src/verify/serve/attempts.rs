//! The list of attempts, and how many of them led to a verified number.

use std::sync::{Arc, Mutex, PoisonError};

use super::Inner;
use crate::delivery::tracker::{Look, Seen, SendStatus, seen};
use crate::domain::Sid;
use crate::engine::{VerificationAddress, VerificationName};
use crate::numbers::Refusal;
use crate::verify::{Attempt, AttemptPage, AttemptQuery, Refused, Summary};

impl Inner {
    pub(super) async fn attempts(&self, query: AttemptQuery) -> Result<AttemptPage, Refused> {
        let (skip, limit) = (query.skip, query.limit);
        let mut rows = self.matching(query, |rows: &mut Vec<Seen>, seen| rows.push(seen)).await?;
        rows.sort_unstable_by_key(|seen| {
            let attempt = seen.row.attempt;
            std::cmp::Reverse((seen.row.at, attempt.key, attempt.attempt))
        });
        let has_more = rows.len() > skip.saturating_add(limit);
        let shown = rows.iter().skip(skip).take(limit);
        Ok(AttemptPage { attempts: shown.map(|seen| self.attempt_of(seen)).collect(), has_more })
    }

    pub(super) async fn summary(&self, query: AttemptQuery) -> Result<Summary, Refused> {
        let count = |summary: &mut (u64, u64), seen: Seen| {
            summary.0 += 1;
            summary.1 += u64::from(seen.converted);
        };
        let (total, converted) = self.matching(query, count).await?;
        Ok(Summary { total, converted })
    }

    pub(super) async fn attempt(&self, sid: Sid) -> Result<Attempt, Refused> {
        let id = self.sealer.open_attempt(&sid).ok_or(Refused::NotFound)?;
        let track = self.delivery.tracker().track(id.key).await.map_err(|_| unreadable())?;
        let rows = track.as_ref().map(|track| seen(id.key, track)).unwrap_or_default();
        let found = rows.iter().find(|seen| seen.row.attempt == id);
        found.map(|seen| self.attempt_of(seen)).ok_or(Refused::NotFound)
    }

    /// Takes in what the query asks for.
    async fn matching<T: Default + Send + 'static>(
        &self,
        query: AttemptQuery,
        take: impl Fn(&mut T, Seen) + Send + 'static,
    ) -> Result<T, Refused> {
        let into = Arc::new(Mutex::new(T::default()));
        let verification = match query.verification {
            None => None,
            // One that nobody was given has no attempts.
            Some(sid) => match self.sealer.open_verification(&sid) {
                Some(address) => Some(address),
                None => return Ok(T::default()),
            },
        };
        let look: Look = {
            let into = Arc::clone(&into);
            Box::new(move |seen| {
                if fits(&query, verification.as_ref(), &seen) {
                    take(&mut into.lock().unwrap_or_else(PoisonError::into_inner), seen);
                }
            })
        };
        self.delivery.tracker().each(look).await.map_err(|_| unreadable())?;
        let taken = std::mem::take(&mut *into.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(taken)
    }

    fn attempt_of(&self, seen: &Seen) -> Attempt {
        let row = &seen.row;
        let key = row.attempt.key;
        let sent = match row.send_status {
            SendStatus::Sent => "sent",
            SendStatus::New => "queued",
            SendStatus::GatewayError | SendStatus::Unsendable => "failed",
        };
        Attempt {
            sid: self.sealer.attempt(&row.attempt),
            service: key.service,
            verification: self.sid_of(key.service, row.number, key.track),
            created: row.at,
            updated: seen.heard,
            converted: seen.converted,
            channel: row.channel,
            to: row.number,
            country: row.number.region(),
            message_status: Some(row.receipt.map_or(sent, |receipt| receipt.as_str()).to_owned()),
            error_code: row.error_code,
            code_length: None,
            locale: None,
        }
    }
}

const fn unreadable() -> Refused {
    Refused::Unavailable(Refusal::StoreUnavailable)
}

fn fits(query: &AttemptQuery, verification: Option<&VerificationAddress>, seen: &Seen) -> bool {
    let (row, key) = (&seen.row, seen.row.attempt.key);
    let is_of = |address: &VerificationAddress| {
        let VerificationAddress { service, number, name } = *address;
        service == key.service && number == row.number && name == VerificationName::of_track(key.track)
    };
    query.services.as_ref().is_none_or(|services| services.contains(&key.service))
        && query.after.is_none_or(|after| row.at >= after)
        && query.before.is_none_or(|before| row.at < before)
        && query.to.is_none_or(|to| row.number == to)
        && query.channel.is_none_or(|channel| row.channel == channel)
        && query.converted.is_none_or(|converted| seen.converted == converted)
        && query.prefix.as_ref().is_none_or(|prefix| row.number.as_u64().to_string().starts_with(prefix.as_str()))
        && verification.is_none_or(is_of)
        // Costs microseconds, so it comes last.
        && query.country.is_none_or(|country| row.number.region() == Some(country))
}
