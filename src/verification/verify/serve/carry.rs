//! Codes that other systems make and check: their messages and outcomes.

use std::time::Duration;

use super::VerifyingInner;
use super::begin::{begun, unknown_number};
use crate::delivery::{Carried, SendStatus};
use crate::domain::{AttemptId, AttemptLogKey, PhoneNumber, ServiceId};
use crate::limits::guard::ClientSignals;
use crate::limits::rate::{KeyDecision, KnownRequest};
use crate::registry::TextOptions;
use crate::template::MessageStyle;
use crate::verification::numbers::{CarriedCode, Failure, NumberKey, Outgoing, SendOutcome};
use crate::verification::verify::{CarriedMessage, CarryCode, Refused};

impl VerifyingInner {
    pub(super) async fn carry(
        &self,
        service: ServiceId,
        carry: CarryCode,
    ) -> Result<CarriedMessage, Refused> {
        let service = self.service(service)?;
        let CarryCode { to, code, .. } = carry;
        let channel = carry.channel.unwrap_or_else(|| self.verifier.delivery().first_channel_of(service.id));
        let message = |sid, at, is_repeated| CarriedMessage { sid, to, channel, at, is_repeated };
        if self.test(&service, to).is_some() {
            return Ok(message(None, self.now(), false));
        }
        if !self.registry.accepts(to) {
            return Err(unknown_number());
        }
        let options = TextOptions {
            template: carry.template.as_ref(),
            substitutions: &carry.substitutions,
            friendly_name: None,
            locale: carry.locale,
            channel,
            to,
            app_hash: None,
            code_length: Some(code.expose().len()),
        };
        let (wording, locale) = self.registry.text(&service, &options).map_err(Refused::Text)?;
        let running = match self.keys.begin_carried(service.id, to, &code).await? {
            KeyDecision::First(running) => running,
            KeyDecision::Again(request) => {
                let sid = self.carried_before(service.id, to, &request.known).await?;
                return Ok(message(sid, request.known.at, true));
            }
            KeyDecision::StillAnswering | KeyDecision::OtherRequest => return Err(Refused::Concurrent),
        };
        let carried = Carried { trial: carry.trial, within: carry.within.unwrap_or(Duration::MAX) };
        let code = CarriedCode {
            code,
            life: carry.life.unwrap_or(service.settings.code_life),
            remembered_for: carry.remembered_for,
            of_number: self.keys.last_carried(service.id, to),
        };
        let outgoing = Outgoing {
            channel: Some(channel),
            style: MessageStyle { wording, locale, ..MessageStyle::default() },
            keyed: Some(running),
            client: ClientSignals {
                refuses_landlines: service.settings.skip_sms_to_landlines,
                ..self.with_safe_list(to, carry.client)
            },
            request_id: carry.request_id,
            carried: Some(carried),
            ..Outgoing::new(NumberKey::new(service.id, to))
        };
        let (reply, last) = self.verifier.carry(outgoing, code).await?;
        match (&reply.outcome, reply.reason) {
            (SendOutcome::Sent { .. }, _) => {
                Ok(message(last.map(|id| self.sealer.attempt(&id)), reply.at, false))
            }
            (_, Some(Failure::NoLongerUsable)) => Err(Refused::Replaced),
            _ => Err(begun(reply, true).err().unwrap_or(Refused::GatewayFailed)),
        }
    }

    /// The attempt that an earlier request with the same code made.
    async fn carried_before(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        request: &KnownRequest,
    ) -> Result<Option<crate::domain::Sid>, Refused> {
        let key = AttemptLogKey::new(service, request.verification, self.slots.of_number(service, to));
        let log = self.verifier.attempts().log(key).await.map_err(Refused::Unavailable)?;
        let row = log.and_then(|log| log.rows.into_iter().rfind(|row| row.status == SendStatus::Sent));
        Ok(row.map(|row| self.sealer.attempt(&AttemptId { key, attempt: row.number })))
    }

    pub(super) async fn outcome(&self, service: ServiceId, to: PhoneNumber) -> Result<bool, Refused> {
        let service = self.service(service)?;
        let of_number = self.keys.last_carried(service.id, to);
        let key = NumberKey::new(service.id, to);
        Ok(self.verifier.carried_outcome(key, of_number).await?)
    }
}
