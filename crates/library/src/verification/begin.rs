//! Ways to a message: a verification begins or goes on, and a code of another system is carried. What is being sent already
//! answers further requests for it.

use std::sync::Arc;
use std::time::Duration;

use super::command::Request;
use super::in_flight::{Answer, Responder};
use super::model::{
    BeginRequest, CarriedMessage, Refused, Reply, SendOutcome, Status, Verification, VerificationSummary,
    VerificationTarget,
};
use super::send::unsent;
use super::{Failure, NumberKey, Outgoing, Refusal, Verifier};
use crate::delivery::SendStatus;
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{AttemptId, Channel, Code, NumberType, PhoneNumber, mask_number};
use crate::engine::{SendLimit, SendOptions};
use crate::limits::guard::{Charge, GuardRefusal, Rule};
use crate::limits::keys::{Earlier, KEPT_BEYOND, KeyedRequest};
use crate::observe::metrics::{Fact, SendEnd};
use crate::registry::{Service, TextOptions};

impl Verifier {
    /// Begins a verification, or sends its code again. Returns when the provider took the message, and everything it says
    /// is durable. The command is carried out also if the caller goes away.
    pub async fn begin(&self, begin: BeginRequest) -> Result<Verification, Refused> {
        let NumberKey { service, number, .. } = begin.message.key;
        let service = &*self.service(service)?;
        let code = begin.message.supplied_code.clone();
        let (key, id) = (self.key(service, number), begin.idempotency_key.as_deref());
        let keyed = id.map(|id| self.keyed(key, id, begin.fingerprint, code.as_ref()));
        let limits = self.charges(service, &begin)?;
        if !key.is_test {
            self.accepts(number)?;
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
        let summary = begun(&reply, code.is_some())?;
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
        self.accepts(to)?;
        let mut outgoing = self.worded(service, begin)?;
        outgoing.client.is_exempt = true;
        outgoing.keyed = Some(self.deps.keys.of_carried(service.id, to, &code));
        (outgoing.options, outgoing.has_limits) = (Some(SendOptions { life, length }), true);
        outgoing.key.is_carried = true;
        let mut reply = self.send(Box::new(outgoing)).await?;
        let (verification, log, at, is_repeated) = match reply.earlier.take() {
            Some(Earlier::Same(KeyedRequest { verification, at, .. })) => {
                (verification, self.log_of(key, verification).await?, at, true)
            }
            Some(Earlier::Other) => return Err(Refused::Concurrent),
            None if reply.outcome == Err(Failure::NoLongerUsable) => return Err(Refused::Replaced),
            None => {
                let (log, at) = (reply.attempts.take(), reply.at);
                (begun(&reply, true)?.id, log, at, false)
            }
        };
        // The attempt that a gateway accepted.
        let row = log.and_then(|log| log.rows.into_iter().rfind(|row| row.status == SendStatus::Sent));
        let key = self.log_key(service.id, to, verification);
        let sid = row.map(|row| self.sealer.attempt(&AttemptId { key, attempt: row.number }));
        Ok(carried(sid, at, is_repeated))
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

    /// Whether the key `numbers` permits the number.
    fn accepts(&self, number: PhoneNumber) -> Result<(), Refused> {
        let why = "`To`: no numbering plan has this number; the server's setting `numbers` decides whether that matters";
        if self.registry.accepts(number) { Ok(()) } else { Err(Refused::Invalid(why.to_owned())) }
    }

    /// The channel that a request asks for, or that its service begins with.
    fn channel(&self, message: &Outgoing) -> Channel {
        message.channel.unwrap_or_else(|| self.delivery.first_channel_of(message.key.service))
    }

    /// The message of a request with its text, for the service's code or the one that the request brings.
    fn worded(&self, service: &Service, begin: BeginRequest) -> Result<Outgoing, Refused> {
        let BeginRequest { mut message, template, substitutions, .. } = begin;
        let (channel, to, style) = (self.channel(&message), message.key.number, &mut message.style);
        let options = TextOptions {
            template: template.as_ref(),
            substitutions: &substitutions,
            friendly_name: style.sender_name.as_deref(),
            locale: style.locale,
            channel,
            to,
        };
        let (wording, locale) = self.registry.text(service, &options).map_err(Refused::Text)?;
        (style.wording, style.locale) = (wording, locale);
        message.channel = Some(channel);
        message.client.refuses_landlines = service.settings.skip_sms_to_landlines;
        Ok(message)
    }

    /// What the request is charged by the rate limits that it names.
    fn charges(&self, service: &Service, begin: &BeginRequest) -> Result<Vec<Charge>, Refused> {
        let mut charges = Vec::new();
        for (name, value) in &begin.rate_limits {
            let limit = service.rate_limits.iter().find(|limit| limit.unique_name == *name);
            let limit = limit.ok_or_else(|| {
                let name = mask_number(name);
                Refused::Invalid(format!("RateLimits: this service has no rate limit {name:?}"))
            })?;
            charges.extend(limit.buckets.iter().map(|bucket| {
                let key = self.guard.digester.limit(service.id, &limit.sid, &bucket.sid, value);
                let length = Duration::from_secs(u64::from(bucket.interval.max(1)));
                Charge { key, amount: 1, most: bucket.max.into(), length }
            }));
        }
        Ok(charges)
    }
}

impl Verifier {
    /// Sends a code and waits until a gateway has accepted it. The command is carried out even if the caller goes away. While
    /// the same message is being sent, nothing more is: the caller gets the answer to the first request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send(&self, mut outgoing: Box<Outgoing>) -> Result<Reply<SendOutcome>, Refusal> {
        self.set_test(&mut outgoing);
        let key = outgoing.key;
        let (responder, pending) = Responder::new(self.limit.acquire(key.service, true)?);
        outgoing.channel.get_or_insert_with(|| self.delivery.first_channel_of(key.service));
        let (first, answer) = self.messages.ask(&outgoing, pending)?;
        let Some(first) = first else {
            let answer = self.join(&outgoing, answer).await;
            drop(responder);
            return answer;
        };
        let responder = responder.of(first);
        if let Err(refusal) = self.asks(&mut outgoing) {
            responder.send(Ok(Reply::new(Err(Failure::Guard(refusal)), self.now(), None)));
        } else {
            self.submit(Request::Send(outgoing, None, responder));
        }
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// A test number gets no message, and counts for no rate limit. Its code is known, and expires with the test number at
    /// the latest.
    fn set_test(&self, outgoing: &mut Outgoing) {
        let service = self.registry.service_by_id(outgoing.key.service);
        let test = service.as_deref().and_then(|of| Some((of, self.test(of, outgoing.key.number)?)));
        let Some((service, test)) = test else { return };
        let SendOptions { life, length } = service.settings.policy().code;
        let life = life.min(test.expires.since(self.now()));
        outgoing.options = Some(SendOptions { life, length });
        outgoing.supplied_code = Code::parse(&test.code);
        (outgoing.has_limits, outgoing.key.is_test) = (true, true);
        outgoing.limits.clear();
    }

    /// Waits for the answer to the first request for a message, and remembers the key of this one.
    async fn join(&self, outgoing: &Outgoing, answer: Answer) -> Result<Reply<SendOutcome>, Refusal> {
        let (recipient, shards) = (outgoing.key, &self.shards);
        let joined = unsent(recipient, outgoing.channel(), SendEnd::Joined);
        self.deps.metrics.count(&Fact::Send(joined));
        let (subject, service) = (self.deps.subject(&recipient), recipient.service);
        if let Some(request) = outgoing.keyed {
            let capacity = Arc::clone(&self.deps.keys.capacity);
            // Without room the request is refused now: later its message would have left.
            let has_room = shards.decide(subject, move |view| match request.earlier(view) {
                Some(_) => Ok(()),
                None => capacity.check_room(service),
            });
            has_room.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        let mut reply = answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        let is_known = reply.outcome.is_ok() || reply.may_have_been_sent && outgoing.carried.is_none();
        if let Some((request, of)) = outgoing.keyed.zip(reply.verification.filter(|_| is_known)) {
            let until = of.expires.plus(KEPT_BEYOND);
            let remembered = shards.decide(subject, move |view| {
                let earlier = request.earlier(view);
                if earlier.is_none() {
                    request.remember((of.id, of.details.channel), until, None, view);
                }
                // A repetition of the first request.
                Ok::<_, Refusal>(earlier.filter(|earlier| *earlier == Earlier::Other))
            });
            // The message has left.
            reply.earlier = remembered.await.ok().and_then(Result::ok).ok_or(Refusal::OutcomeUnknown)?;
        }
        Ok(reply)
    }

    /// Prepares what the decision asks the guard. A call may replace a text message to a landline.
    fn asks(&self, outgoing: &mut Outgoing) -> Result<(), GuardRefusal> {
        let (NumberKey { service, number, is_test, .. }, client) = (outgoing.key, outgoing.client);
        outgoing.allowance.is_exempt = client.is_exempt;
        if is_test {
            return Ok(());
        }
        let guard = &self.guard;
        let mut signals = guard.signals(client, service, number, outgoing.channel());
        let is_landline = signals.number_type == NumberType::Landline;
        if is_landline && client.refuses_landlines && signals.channel == Channel::Sms {
            let refusal = GuardRefusal { rule: Rule::Landline, until: None };
            guard.refused(outgoing.key, signals.channel, refusal);
            return Err(refusal);
        }
        if guard.refuses_landline(&signals) && self.delivery.calls_instead(service, number) {
            signals.channel = Channel::Call;
        }
        outgoing.channel = Some(signals.channel);
        let parts = if guard.counts_parts(service) { self.parts(outgoing, signals.channel) } else { 1 };
        outgoing.asks = Some((signals, parts));
        Ok(())
    }

    /// The parts of a message that its provider asks money for. All codes of one length make the same number of them.
    fn parts(&self, outgoing: &Outgoing, channel: Channel) -> u32 {
        let options = outgoing.options.unwrap_or_else(|| self.deps.policies.of(outgoing.key.service).code);
        let any_code = Code::from_value(0, options.length);
        let code = outgoing.supplied_code.as_ref().unwrap_or(&any_code);
        self.delivery.parts(outgoing, channel, code, options.life)
    }
}

/// The verification that began, or the API's refusal.
fn begun(reply: &Reply<SendOutcome>, brings_a_code: bool) -> Result<VerificationSummary, Refused> {
    let Err(failure) = reply.outcome else { return reply.verification.ok_or(Refused::GatewayFailed) };
    Err(match failure {
        Failure::Locked { until } | Failure::Limited(SendLimit::NoChecksLeft { until }) => {
            Refused::NoChecksLeft { until }
        }
        Failure::Limited(SendLimit::NoSendsLeft { until }) => Refused::NoSendsLeft { until },
        Failure::Limited(SendLimit::CoolingDown { until } | SendLimit::StillSending { until }) => {
            Refused::TooSoon { until }
        }
        Failure::Guard(refusal) => match refusal.rule {
            Rule::CountryList => Refused::Country,
            Rule::Landline => Refused::Landline,
            Rule::RateLimit => Refused::TooMany { until: refusal.until.unwrap_or_default() },
            Rule::Budget => Refused::BudgetSpent { until: refusal.until.unwrap_or_default() },
            _ => Refused::ByGuard { is_for_an_allowance: refusal.is_for_an_allowance() },
        },
        Failure::BadNumber => Refused::Invalid(format!("To: {failure}")),
        Failure::OptedOut => Refused::OptedOut,
        Failure::NotReachable => Refused::Landline,
        Failure::Blocked => Refused::Blocked,
        Failure::Country => Refused::Country,
        Failure::NotServed if brings_a_code => {
            Refused::FeatureOff("`CustomCode`: the gateway for this number makes its own codes")
        }
        Failure::NotServed => Refused::ChannelOff,
        Failure::OutOfService { until } => Refused::OutOfService { until },
        // Nothing that the caller could change.
        _ => Refused::GatewayFailed,
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
