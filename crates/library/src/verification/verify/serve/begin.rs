//! Beginnings of verifications, and their further messages.

use std::time::Duration;

use super::Verifier;
use crate::delivery::SendStatus;
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::domain::{AttemptId, Channel, PhoneNumber, mask_number};
use crate::engine::SendOptions;
use crate::limits::guard::{Charge, ClientSignals, Rule};
use crate::limits::keys::{Earlier, KeyedRequest};
use crate::registry::{Service, TextOptions};
use crate::template::Wording;
use crate::verification::numbers::{
    Failure, NumberKey, Outgoing, Refusal, Reply, SendLimit, SendOutcome, VerificationSummary,
};
use crate::verification::verify::{
    BeginRequest, CarriedMessage, Refused, Status, Verification, VerificationTarget,
};

/// Characters of a value for a rate limit.
const LONGEST_VALUE: usize = 255;
/// Rate limits that one request may name.
const MOST_LIMITS: usize = 10;

impl Verifier {
    /// Begins a verification, or sends its code again. Returns when the provider took the message, and everything it says
    /// is durable. The command is carried out also if the caller goes away.
    pub async fn begin(&self, begin: BeginRequest) -> Result<Verification, Refused> {
        let NumberKey { service, number, .. } = begin.message.key;
        let service = &*self.service(service)?;
        let code = begin.message.supplied_code.clone();
        let (key, id) = (self.key(service, number), begin.idempotency_key.as_deref());
        let keyed = id.map(|id| self.keyed(key, id, begin.fingerprint, code.as_ref())).transpose()?;
        let limits = self.charges(service, &begin)?;
        if !key.is_test && !self.registry.accepts(number) {
            return Err(unknown_number());
        }
        if !key.is_test && code.is_some() && !service.settings.custom_code {
            return Err(Refused::FeatureOff("`CustomCode` needs a service with CustomCodeEnabled=true"));
        }
        let own_life = begin.life.map(|life| SendOptions { life, ..service.settings.policy().code });
        let mut outgoing = self.worded(service, begin)?;
        (outgoing.options, outgoing.has_limits, outgoing.keyed) = (own_life, true, keyed);
        outgoing.limits = limits;
        let mut reply = self.send(Box::new(outgoing)).await?;
        match reply.earlier.take() {
            Some(Earlier::Same(request)) => return self.begun_before(key, &request).await,
            Some(Earlier::Other) => return Err(Refused::OtherRequest),
            None => {}
        }
        let attempts = reply.attempts.take();
        let summary = begun(reply, number, code.is_some())?;
        Ok(self.shown(key, &summary, attempts, Status::Pending, None))
    }

    /// Carries a code that another system made. Returns when the provider took the message, now or before.
    pub async fn carry(&self, begin: BeginRequest) -> Result<CarriedMessage, Refused> {
        let NumberKey { service, number: to, .. } = begin.message.key;
        let (service, code) = (&*self.service(service)?, begin.message.supplied_code.clone());
        let code = code.ok_or(Refused::NotFound)?;
        let (life, length) = (begin.life.unwrap_or(service.settings.code_life), code.length());
        let (channel, key) = (self.channel(&begin.message), begin.message.key);
        let carried = |sid, at, is_repeated| CarriedMessage { sid, to, channel, at, is_repeated };
        if self.test(service, to).is_some() {
            return Ok(carried(None, self.now(), false));
        }
        if !self.registry.accepts(to) {
            return Err(unknown_number());
        }
        let mut outgoing = self.worded(service, begin)?;
        outgoing.client.is_carried = true;
        outgoing.keyed = Some(self.deps.keys.of_carried(service.id, to, &code));
        (outgoing.options, outgoing.has_limits) = (Some(SendOptions { life, length }), true);
        outgoing.key.is_carried = true;
        // The attempt that a gateway accepted.
        let accepted = |verification, log: Option<AttemptLog>| {
            let rows = log.map(|log| log.rows).unwrap_or_default();
            let row = rows.into_iter().rfind(|row| row.status == SendStatus::Sent)?;
            let key = self.log_key(service.id, to, verification);
            Some(self.sealer.attempt(&AttemptId { key, attempt: row.number }))
        };
        let mut reply = self.send(Box::new(outgoing)).await?;
        match (reply.earlier.take(), &reply.outcome, reply.reason) {
            (Some(Earlier::Same(KeyedRequest { verification, at, .. })), ..) => {
                let log = self.log_of(key, verification).await?;
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

    /// The verification that an earlier request with the same idempotency key began or continued, as it is now.
    ///
    /// # Errors
    /// [`Refused::NoChecksLeft`] during a lockout, [`Refused::Ended`] if it has ended in another way than by approval.
    async fn begun_before(&self, key: NumberKey, request: &KeyedRequest) -> Result<Verification, Refused> {
        let KeyedRequest { verification, at, .. } = *request;
        let sid = self.sid_of(key.service, key.number, verification);
        match self.fetch(key.service, VerificationTarget::Sid(sid)).await {
            Err(Refused::NotFound) => {}
            found => return found,
        }
        let log = self.log_of(key, verification).await?;
        // An approval leaves no verification in the number's record: only the log of its attempts still tells of it.
        if let Some(log) = log.filter(|log| log.verify == VerifyStatus::Success) {
            let summary = VerificationSummary::remembered(request, log.created, at, log.verify_at);
            return Ok(self.shown(key, &summary, Some(log), Status::Approved, None));
        }
        let until = self.lockout_of(key).await?.and_then(|lockout| lockout.until);
        Err(until.map_or(Refused::Ended, |until| Refused::NoChecksLeft { until }))
    }

    /// The channel that a request asks for, or that its service begins with.
    fn channel(&self, message: &Outgoing) -> Channel {
        message.channel.unwrap_or_else(|| self.delivery.first_channel_of(message.key.service))
    }

    /// The message of a request with its text, for the service's code or the one that the request brings.
    fn worded(&self, service: &Service, begin: BeginRequest) -> Result<Outgoing, Refused> {
        let BeginRequest { mut message, template, substitutions, web_host, .. } = begin;
        let (channel, to, style) = (self.channel(&message), message.key.number, &mut message.style);
        let options = TextOptions {
            template: template.as_ref(),
            substitutions: &substitutions,
            friendly_name: style.sender_name.as_deref(),
            locale: style.locale,
            channel,
            to,
            app_hash: style.app_hash.as_ref(),
            code_length: message.supplied_code.as_ref().map(|code| code.expose().len()),
        };
        let (wording, locale) = self.registry.text(service, &options).map_err(Refused::Text)?;
        let has_line = |text: &str| text.lines().any(|line| line.trim_start().starts_with('@'));
        style.wording = match (wording, &web_host) {
            (Wording::Custom(text), Some(host)) if channel == Channel::Sms && !has_line(&text) => {
                Wording::Custom(format!("{text}\n\n@{host} #{{code}}").into())
            }
            (wording, _) => wording,
        };
        style.locale = locale;
        message.channel = Some(channel);
        message.client =
            ClientSignals { refuses_landlines: service.settings.skip_sms_to_landlines, ..message.client };
        Ok(message)
    }

    /// What the request is charged by the rate limits that it names.
    fn charges(&self, service: &Service, begin: &BeginRequest) -> Result<Vec<Charge>, Refused> {
        let invalid = |why: String| Refused::Invalid(format!("RateLimits: {why}"));
        if begin.rate_limits.len() > MOST_LIMITS {
            return Err(invalid(format!("a request names more than {MOST_LIMITS} rate limits")));
        }
        let mut charges = Vec::new();
        for (name, value) in &begin.rate_limits {
            let limit = service.rate_limits.iter().find(|limit| limit.unique_name == *name);
            let limit = limit
                .ok_or_else(|| invalid(format!("this service has no rate limit {:?}", mask_number(name))))?;
            if value.chars().count() > LONGEST_VALUE {
                return Err(invalid(format!(
                    "a value for a rate limit is longer than {LONGEST_VALUE} characters"
                )));
            }
            charges.extend(limit.buckets.iter().map(|bucket| {
                let key = self.guard.digester.limit(service.id, &limit.sid, &bucket.sid, value);
                let length = Duration::from_secs(u64::from(bucket.interval.max(1)));
                Charge { key, amount: 1, most: bucket.max.into(), length }
            }));
        }
        Ok(charges)
    }
}

/// A number that the key `numbers` excludes.
fn unknown_number() -> Refused {
    let why = "`To`: no numbering plan has this number; the server's setting `numbers` decides whether that matters";
    Refused::Invalid(why.to_owned())
}

/// The verification that began, or the API's refusal.
fn begun(
    reply: Reply<SendOutcome>,
    number: PhoneNumber,
    brings_a_code: bool,
) -> Result<VerificationSummary, Refused> {
    let Reply { outcome, verification, reason, .. } = reply;
    Err(match outcome {
        SendOutcome::Sent { .. } => return verification.ok_or(Refused::GatewayFailed),
        SendOutcome::Locked { until } => Refused::NoChecksLeft { until },
        SendOutcome::Limited(limit) => match limit {
            SendLimit::NoChecksLeft { until } => Refused::NoChecksLeft { until },
            SendLimit::NoSendsLeft { until } => Refused::NoSendsLeft { until },
            SendLimit::AtOnce => Refused::Concurrent,
            SendLimit::CoolingDown { until } | SendLimit::StillSending { until } => {
                Refused::TooSoon { until }
            }
        },
        SendOutcome::GuardRefused(refusal) => match refusal.rule {
            Rule::CountryList => Refused::Country,
            Rule::Landline => Refused::Landline(number.landline_hint()),
            Rule::RateLimit => Refused::TooMany { until: refusal.until.unwrap_or_default() },
            Rule::Budget => Refused::BudgetSpent { until: refusal.until.unwrap_or_default() },
            _ => Refused::ByGuard { is_for_an_allowance: refusal.is_for_an_allowance() },
        },
        SendOutcome::NumberRefused | SendOutcome::GatewayFailed => match reason {
            Some(failure @ Failure::BadNumber) => Refused::Invalid(format!("To: {failure}")),
            Some(Failure::OptedOut) => Refused::OptedOut,
            Some(Failure::NotReachable) => Refused::Landline(number.landline_hint()),
            Some(Failure::Blocked) => Refused::Blocked,
            Some(Failure::Country) => Refused::Country,
            Some(Failure::NotServed) if brings_a_code => {
                Refused::FeatureOff("`CustomCode`: the gateway for this number makes its own codes")
            }
            Some(Failure::NotServed) => Refused::ChannelOff,
            Some(Failure::BudgetSpent { until }) => Refused::BudgetSpent { until },
            Some(Failure::RefusedByGuard | Failure::TooDear) => {
                Refused::ByGuard { is_for_an_allowance: false }
            }
            Some(Failure::OutOfService { until }) => Refused::OutOfService { until },
            // Nothing that the caller could change.
            _ => Refused::GatewayFailed,
        },
    })
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NumberBusy => Self::Concurrent,
            other => Self::Unavailable(other),
        }
    }
}
