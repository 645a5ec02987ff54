//! Ways to a message: a verification begins or goes on, and a code of another system is carried. What is being sent already
//! answers further requests for it.

use std::sync::Arc;
use std::time::Duration;

use super::command::{Request, command};
use super::in_flight::{Answer, Responder};
use super::model::{
    CarriedMessage, Refused, Reply, SendOutcome, Status, Verification, VerificationSummary,
    VerificationTarget,
};
use super::send::unsent;
use super::{Failure, NumberKey, Outgoing, Refusal, Verifier};
use crate::delivery::SendStatus;
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{AttemptId, Channel, Code, NumberType, PhoneNumber, ServiceId, mask_number};
use crate::engine::{SendLimit, SendOptions};
use crate::limits::guard::{Charge, GuardRefusal, Rule};
use crate::limits::keys::{KEPT_BEYOND, KeyedRequest};
use crate::observe::metrics::{Fact, SendEnd};
use crate::registry::{Service, TextOptions};

impl Verifier {
    /// A message without options. Without a channel it leaves as its service begins.
    pub fn message(&self, service: ServiceId, to: PhoneNumber, channel: Option<Channel>) -> Outgoing {
        let channel = channel.unwrap_or_else(|| self.delivery.first_channel_of(service));
        Outgoing::new(NumberKey::new(service, to), channel)
    }

    /// Begins a verification, or sends its code again. Returns when the provider took the message, and everything it says
    /// is durable. The command is carried out also if the caller goes away.
    pub async fn begin(&self, mut outgoing: Outgoing) -> Result<Verification, Refused> {
        let service = &*self.service(outgoing.key.service)?;
        let (given, brings_a_code) = (outgoing.supplied_code.as_ref(), outgoing.supplied_code.is_some());
        outgoing.keyed = outgoing.once.as_ref().map(|once| self.deps.keys.of(outgoing.key, once, given));
        outgoing.limits = self.charges(service, &outgoing)?;
        self.set_test(service, &mut outgoing);
        let key = outgoing.key;
        if !key.is_test {
            self.accepts(service, &outgoing)?;
            if brings_a_code && !service.settings.custom_code {
                return Err(Refused::FeatureOff("`CustomCode` needs a service with CustomCodeEnabled=true"));
            }
        }
        outgoing.has_limits = true;
        self.word(service, &mut outgoing)?;
        let reply = self.ask(Box::new(outgoing)).await?;
        if let Some(earlier) = &reply.earlier {
            return self.begun_before(key, earlier).await;
        }
        let summary = begun(&reply, brings_a_code)?;
        Ok(self.shown(key, &summary, reply.attempts, Status::Pending, None))
    }

    /// Carries a code that another system made. Returns when the provider took the message, now or before.
    pub async fn carry(&self, mut outgoing: Outgoing) -> Result<CarriedMessage, Refused> {
        let (key, channel) = (outgoing.key, outgoing.channel);
        let service = &*self.service(key.service)?;
        let carried = |sid, at, is_repeated| CarriedMessage { sid, channel, at, is_repeated };
        if self.test(service, key.number).is_some() {
            return Ok(carried(None, self.now(), false));
        }
        self.accepts(service, &outgoing)?;
        let code = outgoing.supplied_code.as_ref().ok_or(Refused::NotFound)?;
        let life = outgoing.carried.as_ref().and_then(|carried| carried.life);
        let life = life.unwrap_or(service.settings.code_life);
        outgoing.options = Some(SendOptions { life, length: code.length() });
        outgoing.keyed = Some(self.deps.keys.of_carried(key, code));
        (outgoing.has_limits, outgoing.client.is_exempt, outgoing.key.is_carried) = (true, true, true);
        self.word(service, &mut outgoing)?;
        let reply = self.ask(Box::new(outgoing)).await?;
        let (verification, log, at, is_repeated) = if let Some(earlier) = reply.earlier {
            (earlier.verification, self.log_of(key, earlier.verification).await?, earlier.at, true)
        } else {
            (begun(&reply, true)?.id, reply.attempts, reply.at, false)
        };
        // The attempt that a gateway accepted.
        let row = log.and_then(|log| log.rows.into_iter().rfind(|row| row.status == SendStatus::Sent));
        let log_key = self.log_key(key, verification);
        let sid = row.map(|row| self.sealer.attempt(&AttemptId { key: log_key, attempt: row.number }));
        Ok(carried(sid, at, is_repeated))
    }

    /// The verification that an earlier request with the same idempotency key began or continued, as it is now.
    ///
    /// # Errors
    /// [`Refused::NoChecksLeft`] during a lockout, [`Refused::Ended`] if it has ended in another way than by approval.
    async fn begun_before(&self, key: NumberKey, request: &KeyedRequest) -> Result<Verification, Refused> {
        let KeyedRequest { verification: id, details, until: expires, .. } = *request;
        let sid = self.sealer.verification(key, id);
        match self.fetch(key.service, VerificationTarget::Sid(sid)).await {
            Err(Refused::NotFound) => {}
            found => return found,
        }
        let log = self.log_of(key, id).await?;
        // An approval leaves no verification in the number's record: only the log of its attempts still tells of it.
        if let Some(log) = log.filter(|log| log.verify == VerifyStatus::Success) {
            let summary = VerificationSummary { id, expires, details };
            return Ok(self.shown(key, &summary, Some(log), Status::Approved, None));
        }
        let until = self.lockout_of(key).await?.and_then(|lockout| lockout.until);
        Err(until.map_or(Refused::Ended, |until| Refused::NoChecksLeft { until }))
    }

    /// Whether the key `numbers` permits the number, and the service such a message to it.
    fn accepts(&self, service: &Service, message: &Outgoing) -> Result<(), Refused> {
        let (NumberKey { number, .. }, channel) = (message.key, message.channel);
        let why = "`To`: no numbering plan has this number; the server's setting `numbers` decides whether that matters";
        if !self.registry.accepts(number) {
            return Err(Refused::Invalid(why.to_owned()));
        }
        let is_refused = service.settings.skip_sms_to_landlines && channel == Channel::Sms;
        if is_refused && number.number_type() == NumberType::Landline {
            let refusal = GuardRefusal { rule: Rule::Landline, until: None };
            self.guard.refused(message.key, channel, refusal, message.client.network);
            return Err(Refused::Failed(Failure::Guard(refusal)));
        }
        Ok(())
    }

    /// Gives a message its text, for the service's code or the one that the request brings.
    fn word(&self, service: &Service, message: &mut Outgoing) -> Result<(), Refused> {
        let style = &mut message.style;
        let options = TextOptions {
            template: message.template.as_ref(),
            substitutions: &message.substitutions,
            friendly_name: style.sender_name.as_deref(),
            locale: style.locale,
            channel: message.channel,
            to: message.key.number,
        };
        (style.wording, style.locale) = self.registry.text(service, &options).map_err(Refused::Text)?;
        Ok(())
    }

    /// What the request is charged by the rate limits that it names.
    fn charges(&self, service: &Service, message: &Outgoing) -> Result<Vec<Charge>, Refused> {
        let mut charges = Vec::new();
        for (name, value) in &message.rate_limits {
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
        if let Some(service) = self.registry.service_by_id(outgoing.key.service) {
            self.set_test(&service, &mut outgoing);
        }
        self.ask(outgoing).await
    }

    async fn ask(&self, mut outgoing: Box<Outgoing>) -> Result<Reply<SendOutcome>, Refusal> {
        let (responder, answer) = loop {
            let place = self.in_flight.acquire(outgoing.key.service, true)?;
            let (mut responder, pending) = Responder::new(place);
            let (answer, is_first) = responder.ask(&outgoing, pending)?;
            if is_first {
                break (responder, answer);
            }
            if let Some(reply) = self.join(&outgoing, answer).await? {
                return Ok(reply);
            }
        };
        if !outgoing.key.is_test {
            self.asks(&mut outgoing);
        }
        let request = Request::Send(outgoing, None, responder);
        self.shards.submit(command(request, Arc::clone(&self.deps)));
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// A test number gets no message, and counts for no rate limit. Its code is known, and expires with the test number at
    /// the latest.
    fn set_test(&self, service: &Service, outgoing: &mut Outgoing) {
        let Some(test) = self.test(service, outgoing.key.number) else { return };
        let SendOptions { life, length } = service.settings.policy().code;
        let life = life.min(test.expires.since(self.now()));
        outgoing.options = Some(SendOptions { life, length });
        outgoing.supplied_code = Code::parse(&test.code);
        (outgoing.has_limits, outgoing.key.is_test) = (true, true);
        outgoing.limits.clear();
    }

    /// Waits for the answer to the first request for a message, and remembers the key of this one. `None` if the first one
    /// repeated an earlier request by its key: no message came of it.
    async fn join(&self, outgoing: &Outgoing, answer: Answer) -> Result<Option<Reply<SendOutcome>>, Refusal> {
        let recipient = outgoing.key;
        let subject = self.deps.subject(&recipient);
        if let Some(request) = outgoing.keyed
            && let Err(full) = self.deps.keys.capacity.check_room(recipient.service)
        {
            // Without room the request is refused now: later its message would have left. The first one may have its key.
            let known = self.shards.read(subject.slot, move |view| request.earlier(view)).await??;
            known.ok_or(full)?;
        }
        let reply = match answer.await.unwrap_or(Err(Refusal::OutcomeUnknown)) {
            Ok(Reply { earlier: Some(_), .. }) | Err(Refusal::OtherRequest) => return Ok(None),
            reply => reply?,
        };
        self.deps.metrics.count(&Fact::Send(unsent(recipient, outgoing.channel, SendEnd::Joined)));
        if let Some((request, of)) = outgoing.keyed.zip(reply.verification) {
            let until = of.expires.plus(KEPT_BEYOND);
            let remembered = self.shards.decide(subject, move |view| {
                // It may be a repetition of the first request.
                if request.earlier(view)?.is_none() {
                    request.remember((of.id, of.details), until, None, view);
                }
                Ok::<_, Refusal>(())
            });
            match remembered.await {
                Ok(Ok(())) => {}
                Ok(Err(refusal @ Refusal::OtherRequest)) => return Err(refusal),
                // The message has left.
                _ => return Err(Refusal::OutcomeUnknown),
            }
        }
        Ok(Some(reply))
    }

    /// Prepares what the decision asks the guard. A call may replace a text message to a landline.
    fn asks(&self, outgoing: &mut Outgoing) {
        let (NumberKey { service, number, .. }, guard) = (outgoing.key, &self.guard);
        let mut signals = guard.signals(outgoing.client, service, number, outgoing.channel);
        if guard.refuses_landline(&signals) && self.delivery.calls_instead(service, number) {
            signals.channel = Channel::Call;
        }
        outgoing.channel = signals.channel;
        let mut parts = 1;
        if guard.counts_parts(service) {
            let options = outgoing.options.unwrap_or_else(|| self.deps.policies.of(service).code);
            // All codes of one length make the same number of parts.
            let any_code = Code::from_value(0, options.length);
            let code = outgoing.supplied_code.as_ref().unwrap_or(&any_code);
            parts = self.delivery.parts(outgoing, signals.channel, code, options.life);
        }
        outgoing.asks = Some((signals, parts));
    }
}

/// The verification that began, or the API's refusal.
fn begun(reply: &Reply<SendOutcome>, brings_a_code: bool) -> Result<VerificationSummary, Refused> {
    match reply.outcome {
        Ok(_) => reply.verification.ok_or(Refused::NotFound),
        Err(Failure::Locked { until } | Failure::Limited(SendLimit::NoChecksLeft { until })) => {
            Err(Refused::NoChecksLeft { until })
        }
        Err(Failure::NotServed) if brings_a_code => {
            Err(Refused::FeatureOff("`CustomCode`: the gateway for this number makes its own codes"))
        }
        Err(failure) => Err(Refused::Failed(failure)),
    }
}
