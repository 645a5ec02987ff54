//! A message on its way to the decision about it, and the answer to those who ask for one that is being sent.

use std::sync::Arc;

use super::Verifier;
use crate::domain::{Channel, Code, NumberKey, NumberType};
use crate::engine::SendOptions;
use crate::limits::guard::{GuardRefusal, Rule};
use crate::limits::keys::{Earlier, KEPT_BEYOND, KeyedRequest};
use crate::observe::metrics::{Fact, SendEnd};
use crate::registry::{Service, TestNumber};
use crate::verification::numbers::command::Request;
use crate::verification::numbers::in_flight::{Answer, Responder};
use crate::verification::numbers::send::unsent;
use crate::verification::numbers::{Outgoing, Refusal, Reply, SendOutcome};

impl Verifier {
    /// Sends a code and waits until a gateway has accepted it. The command is carried out even if the caller goes away. While
    /// the same message is being sent, nothing more is: the caller gets the answer to the first request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send(&self, mut outgoing: Box<Outgoing>) -> Result<Reply<SendOutcome>, Refusal> {
        let service = self.registry.service_by_id(outgoing.key.service);
        let test = service.as_ref().and_then(|of| Some((of, self.test(of, outgoing.key.number)?)));
        if let Some((service, test)) = test {
            self.set_test(&mut outgoing, service, test);
        }
        let key = outgoing.key;
        let (responder, pending) = Responder::new(self.limit.acquire(key.service, true)?);
        let channel = *outgoing.channel.get_or_insert_with(|| self.delivery.first_channel_of(key.service));
        let (first, answer) = self.messages.ask(&outgoing, pending)?;
        let Some(first) = first else {
            let answer = self.join(&outgoing, answer).await;
            drop(responder);
            return answer;
        };
        let responder = responder.of(first);
        if !key.is_test && self.delivery.is_overloaded(key.service, key.number, channel) {
            responder.send(Err(Refusal::SendsOverloaded));
        } else if let Err(refusal) = self.asks(&mut outgoing) {
            responder.send(Ok(Reply::new(SendOutcome::GuardRefused(refusal), self.now(), None)));
        } else {
            self.submit(key, Request::Send(outgoing, responder));
        }
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// A test number gets no message, and counts for no rate limit. Its code is known, and expires with the test number at
    /// the latest.
    fn set_test(&self, outgoing: &mut Outgoing, service: &Service, test: &TestNumber) {
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
                None => capacity.make_room::<KeyedRequest>(service, view),
            });
            has_room.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        let mut reply = answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        let is_sent = matches!(reply.outcome, SendOutcome::Sent { .. });
        let is_known = is_sent || reply.may_have_been_sent && outgoing.carried.is_none();
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
        outgoing.allowance.exemption = client.exemption;
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
