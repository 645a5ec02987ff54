//! Codes that other systems make and check.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Verifying;
use super::begin::{begun, unknown_number};
use crate::delivery::{Carried, SendStatus};
use crate::domain::AttemptId;
use crate::limits::rate::KeyedRequest;
use crate::verification::numbers::{CarriedCode, Failure, NumberKey, Outgoing, Refusal, SendOutcome};
use crate::verification::verify::{CarriedMessage, CarryCode, Refused};

impl Verifying {
    pub(super) async fn carry_code(&self, carry: CarryCode) -> Result<CarriedMessage, Refused> {
        let CarryCode { code, begin, trial, remembered_for, within } = carry;
        let NumberKey { service, number: to, .. } = begin.message.key;
        let service = self.service(service)?;
        let life = begin.life.unwrap_or(service.settings.code_life);
        if self.test(&service, to).is_some() {
            let (channel, at) = (self.channel(&begin.message), self.verifier.now());
            return Ok(CarriedMessage { sid: None, to, channel, at, is_repeated: false });
        }
        if !self.registry.accepts(to) {
            return Err(unknown_number());
        }
        let outgoing = self.worded(&service, begin, Some(code.expose().len()))?;
        let code = CarriedCode {
            life,
            remembered_for,
            of_number: self.keys().of_carried(service.id, to, None),
            code,
        };
        let how = Carried { trial, within: within.unwrap_or(Duration::MAX) };
        if how.trial.is_some() {
            return self.carry_first(outgoing, code, how).await;
        }
        let (ended, pending) = oneshot::channel();
        let (first, answer) = self.carried.ask(&outgoing, Some(&code.code), pending)?;
        if first.is_none() {
            self.verifier.count_joined(&outgoing);
            return answer.await.unwrap_or(Err(Refused::Unavailable(Refusal::OutcomeUnknown)));
        }
        let carried = self.carry_first(outgoing, code, how).await;
        drop(first);
        let _ = ended.send(carried.clone());
        carried
    }

    /// Carries a code, unless its message has left before.
    async fn carry_first(
        &self,
        outgoing: Outgoing,
        code: CarriedCode,
        how: Carried,
    ) -> Result<CarriedMessage, Refused> {
        let (NumberKey { service, number: to, .. }, channel) = (outgoing.key, outgoing.channel());
        let carried = |sid, at, is_repeated| CarriedMessage { sid, to, channel, at, is_repeated };
        let of_code = self.keys().of_carried(service, to, Some(&code.code));
        let earlier: Option<KeyedRequest> = self.verifier.known(of_code).await?;
        if let Some(KeyedRequest { verification, at, .. }) = earlier {
            // The attempt that an earlier request with the same code made.
            let log = self.log_of(service, to, verification).await?;
            let rows = log.map(|log| log.rows).unwrap_or_default();
            let row = rows.into_iter().rfind(|row| row.status == SendStatus::Sent);
            let key = self.verifier.log_key(service, to, verification);
            let sid = row.map(|row| self.sealer.attempt(&AttemptId { key, attempt: row.number }));
            return Ok(carried(sid, at, true));
        }
        let outgoing = Outgoing { keyed: Some(of_code), carried: Some(how), ..outgoing };
        let (reply, last) = self.verifier.carry(outgoing, code).await?;
        match (&reply.outcome, reply.reason) {
            (SendOutcome::Sent { .. }, _) => {
                Ok(carried(last.map(|id| self.sealer.attempt(&id)), reply.at, false))
            }
            (_, Some(Failure::NoLongerUsable)) => Err(Refused::Replaced),
            _ => Err(begun(reply, to, true).err().unwrap_or(Refused::GatewayFailed)),
        }
    }
}
