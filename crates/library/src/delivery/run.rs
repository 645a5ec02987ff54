//! One message's way to a person: gateway after gateway, channel after channel, within the send time limit.
//!
//! A run asks the gateways of a number in their order on one channel. When none of them accepts the message, it
//! plans a retry, or goes on with the channel that stands in for this one or with the workflow's next step. It
//! writes no record of the number: what it has to know comes with the message, and what has to be recorded is in
//! [`Delivered`]. It asks whether the code is still live, and charges budgets.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use rand::Rng as _;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::error::Failure;
use super::guarded::{GuardedGateway, TimeLimit, half_until};
use super::job::{Attempt, Delivered, Outgoing, Permitted, PlanChange, PlannedMessage, Reason, SendStatus};
use super::plan::{Workflow, retry_wait};
use super::{Candidate, Delivery};
use crate::domain::{AttemptId, Channel, Code, GatewayName, Held, Timestamp};
use crate::engine::{PossiblySent, SendResult};
use crate::gateway::{Accepted, Callback, ErrorClass, OutgoingMessage};
use crate::limits::guard::{Message, Ticket};
use crate::observe::metrics::GatewayOperation;
use crate::template::Rendered;

impl Delivery {
    /// Delivers one message. Returns when a gateway has accepted it, when it is to be retried later, or when the
    /// outcome is as certain as it will get: at the latest when the send time limit is used up.
    ///
    /// `code_is_live` says why the code must not be sent any more: it has ended since the send was decided, or that is not
    /// known. A run asks when time has passed, which is after a wait for a permit and before every gateway but the first;
    /// and with what the guard has taken for a further message, which is durable then.
    ///
    /// Failures are logged here. The caller records the attempts and the plan. Dropping the future abandons the message,
    /// whether it was sent or not.
    pub async fn deliver<F: Future<Output = Result<(), Failure>>>(
        &self,
        outgoing: &Outgoing,
        permitted: &Permitted,
        code: &Code,
        code_is_live: &impl Fn(Option<Ticket>) -> F,
    ) -> Delivered {
        let service = outgoing.key.service;
        let (workflow, waits) = match &outgoing.carried {
            Some(carried) => (Workflow::default(), carried.within),
            None => (self.workflow_of(service), None),
        };
        let mut within = self.time_limit_of(service).min(waits.unwrap_or(Duration::MAX));
        let verification = &permitted.permit.verification;
        if verification.sending > 0 {
            // Its commit may have taken long. From then on another message may replace the code.
            within = within.min(verification.sending_until.since(self.now()));
        }
        let channel = outgoing.channel;
        let planned = permitted.planned.as_ref();
        let mut run = DeliveryRun {
            delivery: self,
            outgoing,
            permitted,
            code,
            code_is_live,
            time: TimeLimit::starting_now(within),
            channel,
            step: planned.map_or_else(|| workflow.step_of(channel), |planned| planned.step),
            workflow,
            // Most messages are accepted by the first gateway.
            attempts: Vec::with_capacity(1),
            allowance: outgoing.allowance.clone(),
            time_has_passed: false,
            tried: Vec::new(),
            failure: ChannelFailure::default(),
            parts: 1,
        };
        let (result, plan, reason) = run.run().await;
        let DeliveryRun { attempts, allowance, parts, .. } = run;
        Delivered { result, attempts, plan, reason, allowance, parts }
    }
}

impl Delivery {
    /// What a start finds of a message that was under way when the process died, since `began`. Its outcome is unknown, by
    /// the first gateway of its number, and the next step of its workflow follows.
    pub fn cut_off(&self, outgoing: &Outgoing, permitted: &Permitted, began: Timestamp) -> Delivered {
        let (channel, log, number) = (outgoing.channel, permitted.log, permitted.first_attempt);
        let workflow = match outgoing.carried {
            Some(_) => Workflow::default(),
            None => self.workflow_of(outgoing.key.service),
        };
        let planned = permitted.planned.as_ref();
        let step = planned.map_or_else(|| workflow.step_of(channel), |planned| planned.step);
        let first = self.candidates(outgoing, permitted, channel).first().copied();
        let attempt = first.map(|Candidate { priority, gateway: GuardedGateway { name, .. } }| {
            let is_own = |(on, by, _): &&(Channel, GatewayName, u8)| (on, by) == (&channel, name);
            let number = permitted.repeated.iter().find(is_own).map_or(number, |(.., number)| *number);
            let attempt = Attempt::new(number, channel, *name, SendStatus::GatewayError, began);
            Attempt { priority, class: Some(ErrorClass::Ambiguous), ..attempt }
        });
        let next = workflow.plan(step, began, permitted.expires());
        let plan = next.map_or(PlanChange::End(None), |(due, step, channel)| {
            PlanChange::Set(Box::new(PlannedMessage {
                salt: permitted.permit.verification.salt,
                style: outgoing.style.clone(),
                expires: permitted.expires(),
                due,
                channel,
                reason: Reason::NextStep,
                step,
                is_sent: permitted.is_sent(),
                is_exempt: outgoing.client.is_exempt,
                allowance: None,
            }))
        });
        let message_id = format!("postponed-{}", AttemptId { key: log, attempt: number });
        let held = first.and_then(|of| of.gateway.holding(channel));
        let result = SendResult::Postponed { message_id, may_have_been_sent: Some(PossiblySent { held }) };
        let attempts = attempt.into_iter().collect();
        Delivered { result, attempts, plan, reason: None, allowance: None, parts: 1 }
    }
}

/// One delivery in progress.
pub(super) struct DeliveryRun<'a, L> {
    pub(super) delivery: &'a Delivery,
    pub(super) outgoing: &'a Outgoing,
    pub(super) permitted: &'a Permitted,
    pub(super) code: &'a Code,
    code_is_live: &'a L,
    workflow: Workflow<'a>,
    time: TimeLimit,
    /// The present channel.
    pub(super) channel: Channel,
    /// The step of the workflow.
    step: u8,
    attempts: Vec<Attempt>,
    /// What the guard has taken for the message of the present step.
    allowance: Option<Vec<Ticket>>,
    /// Whether time has passed since the send was decided.
    time_has_passed: bool,
    tried: Vec<Channel>,
    /// Of the present channel.
    failure: ChannelFailure,
    /// Of its last text message.
    pub(super) parts: u8,
}

/// How a run ends: what the caller learns, what becomes of the plan, and why no gateway accepted the message.
type End = (SendResult, PlanChange, Option<Failure>);

/// Why the gateways of one channel have not accepted the message so far.
#[derive(Default)]
struct ChannelFailure {
    /// The last reason that a gateway gave, or its queue; if none did, why the first one was not asked.
    reason: Option<Failure>,
    /// When a gateway may accept the message, if that can be expected.
    later: Option<Timestamp>,
    /// Whether the number cannot be reached on this channel.
    unreachable: bool,
}

/// The wait before a planned message that met only full queues is tried again.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

impl<'a, L: Fn(Option<Ticket>) -> F, F: Future<Output = Result<(), Failure>>> DeliveryRun<'a, L> {
    /// Goes from channel to channel until the message is accepted or postponed, or no way is left.
    async fn run(&mut self) -> End {
        let reason = self.permitted.planned.as_ref().map(|planned| planned.reason);
        // Each step takes an allowance of its own: one request would otherwise be several messages for one allowance.
        if reason == Some(Reason::NextStep)
            && let Err(failure) = self.take_allowance(self.channel).await
        {
            return self.failed(failure);
        }
        let is_retry = matches!(reason, Some(Reason::Retry { .. }));
        // The last step that may work later.
        let mut retry = None;
        loop {
            if let Break(end) = self.try_channel().await {
                return end;
            }
            let failure = std::mem::take(&mut self.failure);
            retry = failure.later.map(|later| (later, self.channel, self.step)).or(retry);
            if failure.unreachable {
                if let Some(channel) = self.stand_in_channel() {
                    (self.step, self.channel) = (self.workflow.step_on(self.step, channel), channel);
                    continue;
                }
                // No step of a workflow follows: its owner wants no messages.
                if failure.reason == Some(Failure::OptedOut) {
                    return self.failed(Failure::OptedOut);
                }
            }
            let error = match (failure.reason, failure.later) {
                (Some(Failure::OutOfService { .. }), Some(until)) => Failure::OutOfService { until },
                (reason, _) => reason.unwrap_or(Failure::NotServed),
            };
            // A step is retried only after all further ones failed.
            let has_next = !is_retry || failure.later.is_none();
            let next = self.workflow.after(self.step).filter(|_| has_next);
            let next = next.filter(|(_, channel)| !self.tried.contains(channel));
            let Some((step, channel)) = next else { return self.retried(error, retry) };
            // The next step still follows, but the client does not wait for it beyond the send time limit.
            if self.time.left() < self.time.least {
                return self.postponed(self.planned(self.now(), channel, Reason::NextStep, step));
            }
            if self.take_allowance(channel).await.is_err() {
                return self.retried(error, retry);
            }
            (self.step, self.channel) = (step, channel);
        }
    }

    /// No further channel is left: the message is retried on the one where a gateway may accept it later, or dropped.
    fn retried(&mut self, error: Failure, retry: Option<(Timestamp, Channel, u8)>) -> End {
        let Some((later, channel, step)) = retry else { return self.failed(error) };
        (self.channel, self.step) = (channel, step);
        let retries = self.retries();
        let reason = match self.retry_time(later, retries) {
            Ok(due) => {
                self.note_unasked(SendStatus::New);
                let reason = Reason::Retry { retries };
                return self.postponed(self.planned(due, self.channel, reason, self.step));
            }
            Err(reason) => reason,
        };
        self.note_unasked(SendStatus::Unsendable);
        let Some(reason) = reason.filter(|reason| self.is_unsendable(*reason)) else {
            return self.failed(error);
        };
        let of_channel = self.attempts.iter_mut().filter(|of| of.channel == self.channel);
        of_channel.for_each(|attempt| attempt.status = SendStatus::Unsendable);
        self.dropped(error, reason)
    }

    /// Takes an allowance for a step's message, unless that of an earlier message is left because it was not sent. Fails if
    /// the message must not leave. The client is that of the request.
    async fn take_allowance(&mut self, channel: Channel) -> Result<(), Failure> {
        let Some(guard) = self.delivery.deps.guard.as_ref().filter(|_| self.allowance.is_none()) else {
            return Ok(());
        };
        let Outgoing { key, client, .. } = self.outgoing;
        let signals = guard.signals(*client, key.service, key.number, channel);
        let is_known = guard.is_known(signals.service, signals.number).await;
        let is_known = is_known.map_err(|_| Failure::StateUnknown)?;
        let taken = guard.assess_step(&signals, is_known, self.outgoing.request_id.as_deref());
        let ticket = taken.map_err(Failure::Guard)?;
        self.note(ticket).await
    }

    /// Makes durable what was taken for the next message: a crash after it has left must not give that back.
    async fn note(&mut self, ticket: Ticket) -> Result<(), Failure> {
        self.allowance.get_or_insert_default().push(ticket.clone());
        if ticket.is_empty() { Ok(()) } else { (self.code_is_live)(Some(ticket)).await }
    }

    /// Asks each gateway of the present channel once, in their order. Breaks when the run is over, else notes why none of
    /// them accepted the message.
    async fn try_channel(&mut self) -> ControlFlow<End> {
        self.tried.push(self.channel);
        let candidates = self.candidates(self.channel);
        let mut further = candidates.iter();
        while let Some(candidate) = further.next().filter(|_| !self.failure.unreachable) {
            // At most half of the remaining time while another one can be asked, and all of it otherwise.
            let mut open = further.as_slice().iter().filter(|of| !of.gateway.circuit.keeps_out(self.now()));
            let is_last = open.next().is_none();
            let deadline = if is_last { self.time.end } else { half_until(self.time.end) };
            self.try_gateway(*candidate, deadline).await?;
        }
        Continue(())
    }

    /// Asks one gateway until `deadline`, once there is a permit of its limiter, a live code, and a permit of its circuit
    /// breaker. Breaks when the run is over, else notes why the gateway did not accept the message.
    async fn try_gateway(&mut self, candidate: Candidate<'a>, deadline: Instant) -> ControlFlow<End> {
        let (gateway, time) = (candidate.gateway, self.time);
        // Before the wait, so that an open circuit costs nothing.
        if gateway.circuit.keeps_out(self.now()) {
            let until = gateway.circuit.asked_again_at(self.now());
            self.failure.skipped(Failure::OutOfService { until }, until);
            return Continue(());
        }
        if self.time_has_passed && time.left() < time.least {
            self.failure.skipped(Failure::TimedOutWaiting, self.now());
            return Continue(());
        }
        // Half of the time is for the answer: otherwise every message of an overload would wait until none is left.
        let (_permit, has_waited) = match gateway.limiter.acquire(half_until(deadline)).await {
            Ok(permit) => permit,
            Err(error) => {
                self.time_has_passed = true;
                self.failure.reason = Some(error);
                // A waiting client gets the overload as its answer. A planned one has no client that would repeat it.
                if self.permitted.planned.is_some() {
                    self.failure.may_work_at(self.now());
                }
                return Continue(());
            }
        };
        // Without a wait the decision to send has just been made: a lone message is spared a second visit of the shard.
        if has_waited || self.time_has_passed {
            let live = timeout_at(time.end, (self.code_is_live)(None)).await;
            if let Err(failure) = live.unwrap_or(Err(Failure::TimedOutWaiting)) {
                return Break(self.failed(failure));
            }
        }
        let Some(message) = self.message(gateway.name) else {
            return Break(self.failed(Failure::NoLongerUsable));
        };
        if let Err(error) = self.charge(gateway, &message).await {
            return Break(self.failed(error));
        }
        // The circuit comes last: in an outage a message that enters uses up the only probe of its span, even if it
        // does not leave.
        if !gateway.circuit.enter(self.now()) {
            let until = gateway.circuit.asked_again_at(self.now());
            self.failure.skipped(Failure::OutOfService { until }, until);
            return Continue(());
        }
        // The last look before the request: a node that has lost its lease may still hold the code for live.
        if !(self.delivery.deps.may_send)() {
            return Break(self.failed(Failure::StateUnknown));
        }
        let (sending, id) = (gateway.gateway.send(&message), self.outgoing.request_id.as_ref());
        let answer = self.delivery.request(gateway, GatewayOperation::Send, sending, deadline, id).await;
        let answer = gateway.circuit.answered(answer, self.now());
        self.time_has_passed = true;
        self.log_answer(gateway, answer.as_ref());
        let attempt = self.attempt(candidate, SendStatus::GatewayError);
        let (error, class, error_code, said, wait) = match answer {
            Some(Ok(Accepted { message_id })) => {
                let (status, id) = (SendStatus::Sent, Some(message_id.clone()));
                self.attempts.push(Attempt { status, message_id: id, ..attempt });
                self.allowance = None;
                return Break(self.accepted(message_id, gateway.holding(self.channel)));
            }
            Some(Err(error)) => (Failure::of(&error), error.class, error.code, error.said, error.wait),
            None => (Failure::NoAnswerInTime, ErrorClass::Ambiguous, None, None, None),
        };
        // A time without a report says that the message certainly did not leave: the record has no field for that.
        let receipt_at = (!class.may_have_been_sent()).then_some(attempt.at);
        self.attempts.push(Attempt { error_code, said, class: Some(class), receipt_at, ..attempt });
        self.refused(error, class, wait.unwrap_or_default(), gateway)
    }

    /// Charges a message to the budgets, unless that was done when it was permitted.
    async fn charge(&mut self, gateway: &GuardedGateway, outgoing: &OutgoingMessage) -> Result<(), Failure> {
        let parts = gateway.parts(outgoing.channel, || outgoing.text.clone());
        self.parts = parts.max(1);
        let Some(guard) = &self.delivery.deps.guard else { return Ok(()) };
        let (service, number, channel) = (self.outgoing.key.service, self.outgoing.key.number, self.channel);
        let message = Message { service, number, channel, request_id: self.outgoing.request_id.as_deref() };
        let charged = guard.charge(message, parts.into(), self.allowance.as_deref().unwrap_or_default());
        let ticket = charged.map_err(Failure::Guard)?;
        let Some(ticket) = ticket else { return Ok(()) };
        // With too little time for an answer the message would leave, and its fate would be unknown.
        let (end, noting) = (self.time.end - self.time.least, self.note(ticket));
        match timeout_at(end, noting).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure @ Failure::NoLongerUsable)) => Err(failure),
            _ => {
                let request_id = self.outgoing.request_id.as_deref();
                warn!(request_id, "budget not stored in time; message not sent");
                Err(Failure::Overloaded)
            }
        }
    }

    /// The gateway did not accept the message.
    fn refused(
        &mut self,
        error: Failure,
        class: ErrorClass,
        wait: Duration,
        gateway: &GuardedGateway,
    ) -> ControlFlow<End> {
        if class.may_have_been_sent() {
            self.allowance = None;
        }
        match (class, self.channel) {
            // The next gateway is asked: after silence a person gets the same code twice at worst.
            (ErrorClass::Ambiguous | ErrorClass::Retry, _) => {
                let now = self.now();
                // The answer itself may have opened the circuit.
                let asked_again = gateway.circuit.asked_again_at(now);
                self.failure.may_work_at(now.plus(wait).max(asked_again));
                self.failure.reason = Some(error);
            }
            (ErrorClass::Configuration | ErrorClass::Refused, _) => self.failure.reason = Some(error),
            // Another gateway would accept a text for a landline too, and charge for it. A person who replied STOP to text
            // messages can be called.
            (ErrorClass::NotReachableHere, _) | (ErrorClass::OptedOut, Channel::Sms) => {
                self.failure =
                    ChannelFailure { reason: Some(error), unreachable: true, ..ChannelFailure::default() };
            }
            // Every gateway would refuse this number or respect its owner's opt-out. A blocked fraud attempt must not reach
            // another gateway.
            (ErrorClass::BadNumber | ErrorClass::OptedOut | ErrorClass::Fraud, _) => {
                return Break(self.failed(error));
            }
        }
        Continue(())
    }
}

impl<'a, L> DeliveryRun<'a, L> {
    fn accepted(&self, message_id: String, held: Option<Held>) -> End {
        let next = self.workflow.plan(self.step, self.now(), self.permitted.expires());
        let plan = next.map_or(PlanChange::End(None), |(due, step, channel)| {
            let planned = self.planned(due, channel, Reason::NextStep, step);
            PlanChange::Set(Box::new(PlannedMessage { is_sent: true, ..planned }))
        });
        (SendResult::Accepted { message_id, held }, plan, None)
    }

    /// The message is sent later. The answer names the first attempt.
    fn postponed(&self, planned: PlannedMessage) -> End {
        let attempt = self.attempts.first().map_or(0, |attempt| attempt.number);
        let message_id = format!("postponed-{}", AttemptId { key: self.permitted.log, attempt });
        let may_have_been_sent = self.may_have_been_sent();
        (SendResult::Postponed { message_id, may_have_been_sent }, PlanChange::Set(Box::new(planned)), None)
    }

    fn failed(&mut self, error: Failure) -> End {
        self.dropped(error, error)
    }

    /// No gateway accepted the message. `dropped` is recorded for a planned message.
    fn dropped(&mut self, error: Failure, dropped: Failure) -> End {
        self.log_failure(error, dropped);
        let result = SendResult::Failed { may_have_been_sent: self.may_have_been_sent() };
        let plan = match self.permitted.planned.as_deref() {
            // Nothing was sent, and the code may still be valid.
            Some(planned) if error.is_passing() => {
                // A row without a request would say that the message was given up.
                self.attempts.retain(|attempt| attempt.class.is_some());
                let (expires, due) = (self.permitted.expires(), self.now().plus(NO_ROOM_WAIT));
                let allowance = self.allowance.clone();
                PlanChange::Set(Box::new(PlannedMessage { expires, due, allowance, ..planned.clone() }))
            }
            Some(_) => PlanChange::End(self.is_unsendable(dropped).then_some(dropped)),
            // No gateway was asked: what an earlier message has planned still holds.
            None if self.attempts.is_empty() => PlanChange::Keep,
            None => PlanChange::End(None),
        };
        (result, plan, Some(error))
    }

    /// The last message of this run that may have left although its gateway did not accept it.
    fn may_have_been_sent(&self) -> Option<PossiblySent> {
        let may_have_left = |class: ErrorClass| class.may_have_been_sent();
        let attempt = self.attempts.iter().rev().find(|attempt| attempt.class.is_some_and(may_have_left))?;
        let gateway = self.delivery.gateways.iter().find(|gateway| gateway.name == attempt.gateway);
        Some(PossiblySent { held: gateway.and_then(|gateway| gateway.holding(attempt.channel)) })
    }

    fn planned(&self, due: Timestamp, channel: Channel, reason: Reason, step: u8) -> PlannedMessage {
        PlannedMessage {
            salt: self.permitted.permit.verification.salt,
            style: self.outgoing.style.clone(),
            expires: self.permitted.expires(),
            due,
            channel,
            reason,
            step,
            is_sent: self.permitted.is_sent(),
            is_exempt: self.outgoing.client.is_exempt,
            allowance: self.allowance.clone(),
        }
    }

    /// The number of a gateway's next attempt. A retried message repeats that of the same gateway; another one follows all
    /// earlier ones.
    fn number_by(&self, gateway: GatewayName) -> u8 {
        let is_own =
            |(channel, by, _): &&(Channel, GatewayName, u8)| (*channel, *by) == (self.channel, gateway);
        let repeated = self.permitted.repeated.iter().find(is_own);
        let behind = self.attempts.iter().map(|attempt| attempt.number.saturating_add(1));
        repeated.map_or_else(|| behind.fold(self.permitted.first_attempt, u8::max), |(.., number)| *number)
    }

    /// Whether this run has an attempt on the present channel.
    fn has_attempt(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.channel == self.channel)
    }

    /// Retries of the message on the present channel so far. This run counts if it asked a gateway: to find every circuit
    /// open is no retry.
    fn retries(&self) -> u32 {
        let planned = self.permitted.planned.as_ref().filter(|of| of.channel == self.channel);
        match planned.map(|of| of.reason) {
            Some(Reason::Retry { retries }) => retries.saturating_add(u32::from(self.has_attempt())),
            _ => 0,
        }
    }

    /// When to retry on the present channel. The error says why the retry is not possible; `None` where retries
    /// are switched off.
    fn retry_time(&self, not_before: Timestamp, retries: u32) -> Result<Timestamp, Option<Failure>> {
        let settings = &self.delivery.deps.settings;
        if !settings.sms_retry || self.outgoing.carried.is_some() {
            return Err(None);
        }
        if retries >= settings.max_retries {
            return Err(Some(Failure::RetriesUsedUp));
        }
        let (random, now) = (self.delivery.deps.rng.lock().next_u32(), self.now());
        let due = now.plus(retry_wait(retries, not_before.since(now), random));
        if due < self.permitted.expires() { Ok(due) } else { Err(Some(Failure::NoLongerUsable)) }
    }

    /// Whether the list of attempts shows the message as unsendable. A message that may have been sent is shown as a
    /// gateway's error until its retries are used up.
    fn is_unsendable(&self, dropped: Failure) -> bool {
        self.may_have_been_sent().is_none() || dropped == Failure::RetriesUsedUp
    }

    fn candidates(&self, channel: Channel) -> Vec<Candidate<'a>> {
        self.delivery.candidates(self.outgoing, self.permitted, channel)
    }

    /// The channel to go on with when the present one does not reach the number.
    fn stand_in_channel(&self) -> Option<Channel> {
        let next = |channel: &Channel| channel.stand_in(self.delivery.deps.settings.voice);
        let mut others = std::iter::successors(next(&self.channel), next);
        others.find(|channel| !self.tried.contains(channel) && !self.candidates(*channel).is_empty())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.delivery.now()
    }

    /// The message as it leaves now by a gateway; `None` when the code has expired.
    fn message(&self, gateway: GatewayName) -> Option<OutgoingMessage> {
        let Outgoing { key, style, .. } = self.outgoing;
        let valid_for = self.permitted.expires().since(self.now());
        if valid_for.is_zero() {
            return None;
        }
        let (to, channel, code) = (key.number, self.channel, self.code.clone());
        let Rendered { text, locale } =
            self.delivery.templates().render(style, channel, to, &code, valid_for);
        let pressed = style.send_digits.as_ref().filter(|_| channel == Channel::Call);
        let attempt = AttemptId { key: self.permitted.log, attempt: self.number_by(gateway) };
        let public_url = self.delivery.deps.settings.public_url.clone();
        Some(OutgoingMessage {
            to,
            channel,
            text,
            locale,
            wording: style.wording.clone(),
            code,
            send_digits: pressed.map(|digits| digits.as_str().into()),
            sender_name: style.sender_name.clone(),
            valid_for,
            attempt,
            callback: public_url.map(|public_url| Callback { public_url, attempt }),
        })
    }

    fn attempt(&self, candidate: Candidate<'a>, status: SendStatus) -> Attempt {
        let name = candidate.gateway.name;
        let attempt = Attempt::new(self.number_by(name), self.channel, name, status, self.now());
        Attempt { priority: candidate.priority, ..attempt }
    }

    /// Adds an attempt for a message without any gateway request, because an operator must find it in the list.
    fn note_unasked(&mut self, status: SendStatus) {
        let is_retried = !self.permitted.repeated.is_empty();
        if self.has_attempt() || is_retried {
            return;
        }
        if let Some(candidate) = self.candidates(self.channel).first() {
            let attempt = self.attempt(*candidate, status);
            self.attempts.push(Attempt { receipt_at: Some(attempt.at), ..attempt });
        }
    }
}

impl ChannelFailure {
    /// A gateway was not asked, which may be otherwise at this moment.
    fn skipped(&mut self, why: Failure, until: Timestamp) {
        self.reason.get_or_insert(why);
        self.may_work_at(until);
    }

    /// Keeps the earliest moment.
    fn may_work_at(&mut self, moment: Timestamp) {
        self.later = Some(self.later.map_or(moment, |earlier| earlier.min(moment)));
    }
}
