//! The list of attempts, and how many of them led to a verified number.

use super::VerifyingInner;
use crate::delivery::attempts::{AttemptQuery, ListedAttempt, attempts_of};
use crate::domain::{AttemptLogKey, Sid};
use crate::shard::LogPart;
use crate::verification::numbers::Refusal;
use crate::verification::verify::{Refused, SealedAttempt, Summary};

impl VerifyingInner {
    pub(super) async fn attempts(&self, query: &AttemptQuery) -> Result<LogPart<SealedAttempt>, Refusal> {
        let found = self.verifier.attempts().list(query).await?;
        Ok(found.filter_map(|listed| Some(self.sealed(listed))))
    }

    pub(super) async fn summary(&self, query: &AttemptQuery) -> Result<Summary, Refused> {
        let (mut total, mut converted) = (0, 0);
        let count = |listed: ListedAttempt| {
            total += 1;
            converted += u64::from(listed.converted);
        };
        self.verifier.attempts().each(query, count).await.map_err(Refused::Unavailable)?;
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
