//! Codes that other systems make and check.

use std::time::Duration;

use super::Verifying;
use super::begin::{begun, unknown_number};
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Carried, SendStatus};
use crate::domain::AttemptId;
use crate::engine::SendOptions;
use crate::limits::keys::{Earlier, KeyedRequest};
use crate::verification::numbers::{Failure, NumberKey, SendOutcome};
use crate::verification::verify::{CarriedMessage, CarryCode, Refused};

impl Verifying {
    /// Carries a code that another system made. Returns when the provider took the message, now or before.
    pub async fn carry(&self, carry: CarryCode) -> Result<CarriedMessage, Refused> {
        let CarryCode { code, begin, trial, remembered_for, within } = carry;
        let NumberKey { service, number: to, .. } = begin.message.key;
        let service = &*self.service(service)?;
        let life = begin.life.unwrap_or(service.settings.code_life);
        if self.test(service, to).is_some() {
            let (channel, at) = (self.channel(&begin.message), self.verifier.now());
            return Ok(CarriedMessage { sid: None, to, channel, at, is_repeated: false });
        }
        if !self.registry.accepts(to) {
            return Err(unknown_number());
        }
        let mut outgoing = self.worded(service, begin, Some(code.expose().len()))?;
        let (within, of_number) =
            (within.unwrap_or(Duration::MAX), self.keys().of_carried(service.id, to, None));
        outgoing.client.is_carried = true;
        outgoing.keyed = Some(self.keys().of_carried(service.id, to, Some(&code)));
        outgoing.options = Some(SendOptions { life, length: code.length() });
        outgoing.carried = Some(Carried { within, trial, remembered_for, of_number });
        outgoing.supplied_code = Some(code);
        let channel = outgoing.channel();
        let carried = |sid, at, is_repeated| CarriedMessage { sid, to, channel, at, is_repeated };
        // The attempt that a gateway accepted.
        let accepted = |verification, log: Option<AttemptLog>| {
            let rows = log.map(|log| log.rows).unwrap_or_default();
            let row = rows.into_iter().rfind(|row| row.status == SendStatus::Sent)?;
            let key = self.verifier.log_key(service.id, to, verification);
            Some(self.sealer.attempt(&AttemptId { key, attempt: row.number }))
        };
        let mut reply = self.verifier.send(Box::new(outgoing)).await?;
        match (reply.earlier.take(), &reply.outcome, reply.reason) {
            (Some(Earlier::Same(KeyedRequest { verification, at, .. })), ..) => {
                let log = self.log_of(service.id, to, verification).await?;
                Ok(carried(accepted(verification, log), at, true))
            }
            (Some(Earlier::Other), ..) => Err(Refused::Concurrent),
            (None, SendOutcome::Sent { .. }, _) => {
                let id = reply.verification.map_or(0, |verification| verification.id);
                Ok(carried(accepted(id, reply.attempts), reply.at, false))
            }
            (None, _, Some(Failure::NoLongerUsable)) => Err(Refused::Replaced),
            (None, ..) => Err(begun(reply, to, true).err().unwrap_or(Refused::GatewayFailed)),
        }
    }
}
