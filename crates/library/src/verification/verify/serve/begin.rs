//! Beginnings of verifications, and their further messages.

use std::sync::Arc;
use std::time::Duration;

use super::Verifying;
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{Channel, Code, PhoneNumber, ServiceId, mask_number};
use crate::engine::{SendOptions, request_fingerprint};
use crate::limits::counts::{Charge, Window};
use crate::limits::guard::{ClientSignals, Rule};
use crate::limits::keys::{Earlier, KeyedRequest, LONGEST_KEY, RequestKey};
use crate::registry::{Service, TextOptions};
use crate::template::Wording;
use crate::verification::numbers::{
    Check, CheckOutcome, Failure, NumberKey, Outgoing, Refusal, Reply, SendLimit, SendOutcome,
    VerificationSummary,
};
use crate::verification::verify::{BeginRequest, Refused, Status, Verification, VerificationTarget};

/// Characters of a value for a rate limit.
const LONGEST_VALUE: usize = 255;
/// Rate limits that one request may name.
const MOST_LIMITS: usize = 10;

impl Verifying {
    /// Begins a verification, or sends its code again. Returns when the provider took the message, and everything it says
    /// is durable. The command is carried out also if the caller goes away.
    pub async fn begin(&self, mut begin: BeginRequest) -> Result<Verification, Refused> {
        let NumberKey { service, number, .. } = begin.message.key;
        let service = &*self.service(service)?;
        if let Some(key) = &begin.idempotency_key {
            let fingerprint = self.fingerprint(begin.fingerprint, begin.message.supplied_code.as_ref());
            begin.message.keyed = Some(self.keyed(service.id, number, key, fingerprint)?);
        }
        let limits = self.charges(service, &begin)?;
        let test = self.test(service, number);
        if test.is_none() && !self.registry.accepts(number) {
            return Err(unknown_number());
        }
        let code_length = begin.message.supplied_code.as_ref().map(|code| code.expose().len());
        let brings_a_code = code_length.is_some();
        if test.is_none() && brings_a_code && !service.settings.custom_code {
            return Err(Refused::FeatureOff("`CustomCode` needs a service with CustomCodeEnabled=true"));
        }
        let own_life = begin.life.map(|life| SendOptions { life, ..service.settings.policy().code });
        let mut outgoing = self.worded(service, begin, code_length)?;
        (outgoing.options, outgoing.has_limits) = (own_life, true);
        match test {
            Some(test) => self.set_test(&mut outgoing, service, test),
            None => outgoing.limits = limits,
        }
        let mut reply = self.verifier.send(Box::new(outgoing)).await?;
        match reply.earlier {
            Some(Earlier::Same(request)) => return self.begun_before(service, number, &request).await,
            Some(Earlier::Other) => return Err(Refused::OtherRequest),
            None => {}
        }
        let attempts = reply.attempts.take();
        let summary = begun(reply, number, brings_a_code)?;
        Ok(self.shown(service.id, number, &summary, attempts, Status::Pending, None))
    }

    /// A request with an idempotency key.
    pub(super) fn keyed(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<RequestKey, Refused> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            let why = format!("Idempotency-Key: an idempotency key has 1 to {LONGEST_KEY} bytes");
            return Err(Refused::Invalid(why));
        }
        Ok(self.keys().of(service, number, key, fingerprint))
    }

    /// The verification that an earlier request with the same idempotency key began or continued, as it is now.
    ///
    /// # Errors
    /// [`Refused::NoChecksLeft`] during a lockout, [`Refused::Ended`] if it has ended in another way than by approval.
    async fn begun_before(
        &self,
        service: &Service,
        to: PhoneNumber,
        request: &KeyedRequest,
    ) -> Result<Verification, Refused> {
        let KeyedRequest { verification, at, .. } = *request;
        let sid = self.sid_of(service.id, to, verification);
        match self.fetch(service.id, VerificationTarget::Sid(sid)).await {
            Err(Refused::NotFound) => {}
            found => return found,
        }
        let log = self.log_of(service.id, to, verification).await?;
        // An approval leaves no verification in the number's record: only the log of its attempts still tells of it.
        if let Some(log) = log.filter(|log| log.verify == VerifyStatus::Success) {
            let summary = VerificationSummary::remembered(request, log.created, at, log.verify_at);
            return Ok(self.shown(service.id, to, &summary, Some(log), Status::Approved, None));
        }
        let lockout = self.verifier.lockout(self.key(service, to)).await?;
        let until = lockout.and_then(|lockout| lockout.until);
        Err(until.map_or(Refused::Ended, |until| Refused::NoChecksLeft { until }))
    }

    /// Equal for equal requests.
    pub(super) fn fingerprint(&self, parameters: [u8; 32], code: Option<&Code>) -> [u8; 32] {
        request_fingerprint(self.verifier.server_key(), &parameters, code)
    }

    /// The channel that a request asks for, or that its service begins with.
    pub(super) fn channel(&self, message: &Outgoing) -> Channel {
        message.channel.unwrap_or_else(|| self.verifier.delivery.first_channel_of(message.key.service))
    }

    /// The message of a request with its text, for the service's code or one of this length.
    pub(super) fn worded(
        &self,
        service: &Service,
        begin: BeginRequest,
        code_length: Option<usize>,
    ) -> Result<Outgoing, Refused> {
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
            code_length,
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
            let Some(guard) = self.verifier.guard() else { continue };
            charges.extend(limit.buckets.iter().map(|bucket| {
                let id = guard.count_of(service.id, &limit.sid, &bucket.sid, value);
                let length = Duration::from_secs(u64::from(bucket.interval.max(1)));
                Charge { id, amount: 1, most: bucket.max.into(), window: Window::FromFirst(length) }
            }));
        }
        Ok(charges)
    }

    /// As [`Verifier::send`](crate::verification::numbers::Verifier::send), for the default service by the compatible
    /// routes and the library: its test numbers hold there too.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_for_default_service(
        &self,
        mut outgoing: Box<Outgoing>,
    ) -> Result<Reply<SendOutcome>, Refusal> {
        let default = self.default_with_test_numbers();
        if let Some((default, test)) =
            default.as_ref().and_then(|default| Some((default, self.test(default, outgoing.key.number)?)))
        {
            self.set_test(&mut outgoing, default, test);
        }
        self.verifier.send(outgoing).await
    }

    /// As [`Verifier::check`](crate::verification::numbers::Verifier::check), for the default service.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check_for_default_service(&self, mut check: Check) -> Result<Reply<CheckOutcome>, Refusal> {
        if let Some(default) = self.default_with_test_numbers() {
            check.key = self.key(&default, check.key.number);
        }
        self.verifier.check(check).await
    }

    fn default_with_test_numbers(&self) -> Option<Arc<Service>> {
        self.registry.service_by_id(ServiceId::DEFAULT).filter(|service| !service.test_numbers.is_empty())
    }
}

/// A number that the key `numbers` excludes.
pub(super) fn unknown_number() -> Refused {
    let why = "`To`: no numbering plan has this number; the server's setting `numbers` decides whether that matters";
    Refused::Invalid(why.to_owned())
}

/// The verification that began, or the API's refusal.
pub(super) fn begun(
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
            Some(
                Failure::Gateway
                | Failure::NoAnswerInTime
                | Failure::TimedOutWaiting
                | Failure::NoLongerUsable
                | Failure::StateUnknown
                | Failure::Overloaded
                | Failure::BudgetUnknown
                | Failure::TooManyMessages
                | Failure::RetriesUsedUp,
            )
            | None => Refused::GatewayFailed,
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
