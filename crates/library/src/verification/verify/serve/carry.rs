//! Codes that other systems make and check.

use std::time::Duration;

use super::Verifying;
use super::begin::{begun, unknown_number};
use crate::delivery::{Carried, SendStatus};
use crate::domain::AttemptId;
use crate::limits::rate::KeyDecision;
use crate::verification::numbers::{CarriedCode, Failure, NumberKey, Outgoing, SendOutcome};
use crate::verification::verify::{CarriedMessage, CarryCode, Refused};

impl Verifying {
    pub(super) async fn carry_code(&self, carry: CarryCode) -> Result<CarriedMessage, Refused> {
        let CarryCode { code, begin, trial, remembered_for, within } = carry;
        let NumberKey { service, number: to, .. } = begin.message.key;
        let service = self.service(service)?;
        let (life, channel) =
            (begin.life.unwrap_or(service.settings.code_life), self.channel(&begin.message));
        let carried = |sid, at, is_repeated| CarriedMessage { sid, to, channel, at, is_repeated };
        if self.test(&service, to).is_some() {
            return Ok(carried(None, self.verifier.now(), false));
        }
        if !self.registry.accepts(to) {
            return Err(unknown_number());
        }
        let outgoing = self.worded(&service, begin, Some(code.expose().len()))?;
        let running = match self.keys.begin_carried(service.id, to, &code).await? {
            KeyDecision::First(running) => running,
            KeyDecision::Again(_, request) => {
                // The attempt that an earlier request with the same code made.
                let (known, at) = (request.known.verification, request.known.at);
                let log = self.log_of(service.id, to, known).await?;
                let rows = log.map(|log| log.rows).unwrap_or_default();
                let row = rows.into_iter().rfind(|row| row.status == SendStatus::Sent);
                let key = self.verifier.log_key(service.id, to, known);
                let sid = row.map(|row| self.sealer.attempt(&AttemptId { key, attempt: row.number }));
                return Ok(carried(sid, at, true));
            }
            KeyDecision::StillAnswering | KeyDecision::OtherRequest => return Err(Refused::Concurrent),
        };
        let outgoing = Outgoing {
            keyed: Some(running),
            carried: Some(Carried { trial, within: within.unwrap_or(Duration::MAX) }),
            ..outgoing
        };
        let of_number = self.keys.last_carried(service.id, to);
        let code = CarriedCode { code, life, remembered_for, of_number };
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
