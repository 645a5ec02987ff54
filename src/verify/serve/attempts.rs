//! The list of attempts, and how many of them led to a verified number.

use super::VerifyingInner;
use crate::attempts::{ListedAttempt, attempts_of};
use crate::delivery::SendStatus;
use crate::domain::{AttemptLogKey, Sid};
use crate::engine::{VerificationAddress, VerificationName};
use crate::verify::{Attempt, AttemptPage, AttemptQuery, Refused, Summary};

impl VerifyingInner {
    pub(super) async fn attempts(&self, query: AttemptQuery) -> Result<AttemptPage, Refused> {
        let Some(filter) = self.filter_of(&query) else {
            return Ok(AttemptPage { attempts: Vec::new(), has_more: false });
        };
        let (skip, limit) = (query.skip, query.limit);
        let most = skip.saturating_add(limit).saturating_add(1);
        let fits = |listed: &ListedAttempt| filter.matches(&query, listed);
        let rows = self.verifier.attempts().newest(|key| filter.may_match(*key), fits, most).await;
        let rows = rows.map_err(Refused::Unavailable)?;
        let has_more = rows.len() == most;
        let shown = rows.iter().skip(skip).take(limit);
        Ok(AttemptPage { attempts: shown.map(|listed| self.attempt_of(listed)).collect(), has_more })
    }

    pub(super) async fn summary(&self, query: AttemptQuery) -> Result<Summary, Refused> {
        let (mut total, mut converted) = (0, 0);
        if let Some(filter) = self.filter_of(&query) {
            let count = |listed: ListedAttempt| {
                if filter.matches(&query, &listed) {
                    total += 1;
                    converted += u64::from(listed.converted);
                }
            };
            let counted = self.verifier.attempts().each(|key| filter.may_match(*key), count).await;
            counted.map_err(Refused::Unavailable)?;
        }
        Ok(Summary { total, converted })
    }

    pub(super) async fn attempt(&self, sid: Sid) -> Result<Attempt, Refused> {
        let id = self.sealer.open_attempt(&sid).ok_or(Refused::NotFound)?;
        let track = self.verifier.attempts().log(id.key).await.map_err(Refused::Unavailable)?;
        let rows = track.as_ref().map(|track| attempts_of(id.key, track)).unwrap_or_default();
        let found = rows.iter().find(|listed| listed.row.attempt == id);
        found.map(|listed| self.attempt_of(listed)).ok_or(Refused::NotFound)
    }

    /// The filter of a query; `None` if no verification has the given id.
    fn filter_of(&self, query: &AttemptQuery) -> Option<AttemptFilter> {
        let Some(sid) = query.verification else { return Some(AttemptFilter { verification: None }) };
        Some(AttemptFilter { verification: Some(self.sealer.open_verification(&sid)?) })
    }

    fn attempt_of(&self, listed: &ListedAttempt) -> Attempt {
        let row = &listed.row;
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
            updated: listed.updated,
            converted: listed.converted,
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

/// Which records a query is about.
struct AttemptFilter {
    verification: Option<VerificationAddress>,
}

impl AttemptFilter {
    /// Whether the record under this key may be wanted. It may be in another slot than its number: after an import
    /// under another server key.
    fn may_match(&self, key: AttemptLogKey) -> bool {
        self.verification.is_none_or(|VerificationAddress { service, name, .. }| {
            service == key.service && name == VerificationName::of_track(key.track)
        })
    }

    fn matches(&self, query: &AttemptQuery, listed: &ListedAttempt) -> bool {
        let (row, key) = (&listed.row, listed.row.attempt.key);
        query.services.as_ref().is_none_or(|services| services.contains(&key.service))
            && query.after.is_none_or(|after| row.at >= after)
            && query.before.is_none_or(|before| row.at < before)
            && query.to.is_none_or(|to| row.number == to)
            && query.channel.is_none_or(|channel| row.channel == channel)
            && query.converted.is_none_or(|converted| listed.converted == converted)
            && query
                .prefix
                .as_ref()
                .is_none_or(|prefix| row.number.as_u64().to_string().starts_with(prefix.as_str()))
            && self.verification.is_none_or(|address| address.number == row.number)
            // Costs microseconds; therefore it comes last.
            && query.country.is_none_or(|country| row.number.region() == Some(country))
    }
}
