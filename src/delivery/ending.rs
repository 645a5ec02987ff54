//! The end of a delivery run: the plan, the result for the caller, and the log line.

use std::sync::PoisonError;
use std::time::Duration;

use rand::Rng as _;
use tracing::{debug, error, warn};

use super::backoff::{Retry, Situation, retry};
use super::error::{Failure, NO_ANSWER};
use super::guarded::GuardedGateway;
use super::job::{Delivered, PlanChange, Purpose};
use super::plan::{Allowance, FollowUp, Reason, SendStatus};
use super::run::{DeliveryRun, RetryLater};
use crate::domain::{AttemptId, Channel, Held, Timestamp};
use crate::engine::SendResult;
use crate::gateway::{Accepted, ErrorClass, GatewayError};

/// The wait before a planned message that met only full queues is tried again.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

/// The log line of a message that may have been sent.
const OUTCOME_UNKNOWN: &str = "outcome of a message unknown";

impl<O> DeliveryRun<'_, O> {
    /// The number of one of this run's attempts: they follow the earlier attempts, except for a first one that
    /// repeats an earlier one.
    pub(super) fn number_of(&self, attempt: usize) -> u8 {
        match (self.first_repeats, attempt) {
            (Some(earlier), 0) => earlier,
            (repeats, _) => {
                let new =
                    u8::try_from(attempt).unwrap_or(u8::MAX).saturating_sub(u8::from(repeats.is_some()));
                self.job.first_attempt.saturating_add(new)
            }
        }
    }

    /// Retries made so far of the attempt that is retried on the present channel. This run counts if it asked a
    /// gateway: to find every circuit open is no retry.
    fn retries(&self) -> u32 {
        let asked = self.attempts.len() > self.first_attempt_on_channel;
        self.retried.map_or(0, |(_, before)| before.saturating_add(u32::from(asked)))
    }

    /// When to retry on the present channel. The error says why the retry is not possible; `None` where retries
    /// are switched off.
    pub(super) fn plan_retry(&self, later: RetryLater) -> Result<Timestamp, Option<Failure>> {
        let settings = self.delivery.settings.retry.ok_or(None)?;
        let situation = Situation {
            retries: self.retries(),
            not_before: later.not_before,
            expires: self.job.expires,
            patience: self.workflow.patience(self.step),
            now: self.now(),
        };
        let random = self.delivery.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u32();
        match retry(&settings, situation, random) {
            Retry::At(due) => Ok(due),
            Retry::AsOftenAsAllowed => Err(Some(Failure::RetriesUsedUp)),
            Retry::TooLate => Err(Some(Failure::NoLongerUsable)),
        }
    }

    /// Whether the list of attempts shows the message as unsendable. A message that may have been sent is shown as a
    /// gateway's error until its retries are used up.
    pub(super) fn is_unsendable(&self, dropped: Failure) -> bool {
        self.may_have_been_sent.is_none() || dropped == Failure::RetriesUsedUp
    }

    pub(super) fn give_up(&mut self, attempt: Option<usize>) {
        if let Some(attempt) = self.attempts.get_mut(attempt.unwrap_or(self.first_attempt_on_channel)) {
            attempt.status = SendStatus::Unsendable;
        }
    }

    pub(super) fn accepted(&mut self, message_id: String, held: Option<Held>) -> Delivered {
        let sent = self.sent.saturating_add(1);
        self.may_have_left();
        let next = self.workflow.plan(self.step, sent, self.now(), self.job.expires);
        let plan = next.map_or(PlanChange::End(None), |(due, step, channel)| {
            let (reason, allowance) = (Reason::NextStep, self.allowance);
            PlanChange::Set(FollowUp { due, channel, reason, step, sent, allowance })
        });
        self.ended(SendResult::Accepted { message_id, held }, plan, None)
    }

    /// The message is retried on the present channel.
    pub(super) fn postponed_until(&mut self, due: Timestamp, later: RetryLater, error: Failure) -> Delivered {
        self.note_unasked(SendStatus::New);
        let attempt = match self.retried {
            Some((earlier, _)) => earlier,
            None => self.number_of(later.attempt.unwrap_or(self.first_attempt_on_channel)),
        };
        let reason = Reason::Retry { attempt, retries: self.retries() };
        let (channel, step, sent, allowance) = (self.channel, self.step, self.sent, self.allowance);
        self.postponed(attempt, FollowUp { due, channel, reason, step, sent, allowance }, error)
    }

    /// The budget has no time left for the next step.
    pub(super) fn postponed_to_step(&mut self, step: u8, channel: Channel, error: Failure) -> Delivered {
        let attempt = self.number_of(self.attempts.len());
        let (due, reason, sent, allowance) = (self.now(), Reason::NextStep, self.sent, self.allowance);
        self.postponed(attempt, FollowUp { due, channel, reason, step, sent, allowance }, error)
    }

    fn postponed(&mut self, attempt: u8, follow_up: FollowUp, error: Failure) -> Delivered {
        let (number, channel) = (self.job.number, self.channel.as_str());
        let request_id = self.job.request_id.as_deref();
        debug!(request_id, %number, channel, %error, "message postponed, retried in the background");
        let (message_id, may_have_been_sent) = (self.postponed_id(attempt), self.may_have_been_sent);
        let result = SendResult::Postponed { message_id, may_have_been_sent };
        self.ended(result, PlanChange::Set(follow_up), None)
    }

    fn postponed_id(&self, attempt: u8) -> String {
        format!("postponed-{}", AttemptId { key: self.job.log, attempt })
    }

    pub(super) fn failed(&mut self, error: Failure) -> Delivered {
        self.failed_for(error, error)
    }

    /// No gateway accepted the message. `dropped` is recorded for a planned message.
    pub(super) fn failed_for(&mut self, error: Failure, dropped: Failure) -> Delivered {
        self.log_failure(error, dropped);
        let plan = match &self.job.purpose {
            // Nothing was sent, and the code may still be valid.
            Purpose::FollowUp(planned) if error.is_passing() => {
                self.attempts.retain(|attempt| attempt.class.is_some());
                let (due, allowance) = (self.now().plus(NO_ROOM_WAIT), self.allowance);
                PlanChange::Set(FollowUp { due, allowance, ..planned.clone() })
            }
            Purpose::FollowUp(_) => PlanChange::End(self.is_unsendable(dropped).then_some(dropped)),
            Purpose::Request { .. } if self.attempts.is_empty() => PlanChange::Keep,
            Purpose::Request { .. } => PlanChange::End(None),
        };
        self.ended(error.result(self.may_have_been_sent), plan, Some(error))
    }

    fn ended(&mut self, result: SendResult, plan: PlanChange, reason: Option<Failure>) -> Delivered {
        self.log_configuration_errors(&result);
        let (attempts, allowance) = (std::mem::take(&mut self.attempts), self.allowance);
        Delivered { result, attempts, plan, reason, allowance }
    }

    /// A message may have left: the guard gets nothing back for it.
    pub(super) fn may_have_left(&mut self) {
        if self.allowance == Allowance::Held {
            self.allowance = Allowance::Spent;
        }
    }

    /// Logs a gateway's answer; `None` for no answer in time. No log line contains a code, a whole number
    /// or a provider's own words: an id with the code or the number in it is left out.
    pub(super) fn log_answer(
        &mut self,
        gateway: &GuardedGateway,
        answer: Option<&Result<Accepted, GatewayError>>,
    ) {
        let (number, channel) = (self.job.number, self.channel.as_str());
        let (request_id, gateway) = (self.job.request_id.as_deref(), gateway.name.as_str());
        match answer {
            Some(Ok(accepted)) => {
                let id = accepted.message_id.as_str();
                let digits = self.job.number.as_u64().to_string();
                let message_id =
                    (!id.contains(self.job.code.expose()) && !id.contains(&digits)).then_some(id);
                debug!(request_id, %number, channel, gateway, message_id, "message accepted");
            }
            Some(Err(error)) if error.class == ErrorClass::Configuration => {
                self.configuration_errors.push((self.channel, error.clone()));
            }
            Some(Err(GatewayError { class, code, detail, .. })) => {
                let code = self.logged(*code);
                let outcome = if class.may_have_been_sent() { OUTCOME_UNKNOWN } else { "message not sent" };
                let retry_after = class.retry_after_seconds();
                warn!(request_id, %number, channel, gateway, %class, code, retry_after, detail, "{outcome}");
            }
            None => warn!(request_id, %number, channel, gateway, reason = NO_ANSWER, "{OUTCOME_UNKNOWN}"),
        }
    }

    /// A provider's error code for the log: not one that is the message's code.
    fn logged(&self, error_code: Option<u32>) -> Option<u32> {
        error_code.filter(|code| self.job.code.expose().parse() != Ok(*code))
    }

    /// Logs the refusals of gateways that an operator must correct: as an error if no gateway has accepted the message,
    /// and no retry follows.
    fn log_configuration_errors(&mut self, result: &SendResult) {
        let errors = std::mem::take(&mut self.configuration_errors);
        let (number, request_id) = (self.job.number, self.job.request_id.as_deref());
        for (channel, GatewayError { gateway, class, code, detail, .. }) in errors {
            let (channel, gateway, code) = (channel.as_str(), gateway.as_str(), self.logged(code));
            if matches!(result, SendResult::Accepted { .. } | SendResult::Postponed { .. }) {
                warn!(request_id, %number, channel, gateway, %class, code, detail, "message not sent");
            } else {
                error!(request_id, %number, channel, gateway, %class, code, detail, "message not sent");
            }
        }
    }

    /// Logs a failure whose reason was not logged with a gateway's answer or by the limiter.
    fn log_failure(&self, error: Failure, dropped: Failure) {
        let (number, channel) = (self.job.number, self.channel.as_str());
        let request_id = self.job.request_id.as_deref();
        if dropped == Failure::RetriesUsedUp {
            warn!(request_id, %number, channel, "message unsendable, retries are used up");
            return;
        }
        match error {
            Failure::TimedOutWaiting
            | Failure::BudgetUnknown
            | Failure::NotServed
            | Failure::StateUnknown => {
                warn!(request_id, %number, channel, %error, "message not sent");
            }
            // While circuits are open, each request of a flood ends here.
            Failure::OutOfService { .. } => {
                let (first, reason) = (request_id.map(str::to_owned), error.to_string());
                self.delivery.out_of_service.note(move |count| {
                    warn!(request_id = first, %number, channel, error = reason, count, "message not sent");
                });
                debug!(request_id, %number, channel, %error, "message not sent");
            }
            // Not a failure: the code is not needed any more, or has cost enough.
            Failure::NoLongerUsable | Failure::TooManyMessages => {
                debug!(request_id, %number, channel, %error, "message not sent");
            }
            // The guard logs what it refuses.
            Failure::BadNumber
            | Failure::NotReachable
            | Failure::OptedOut
            | Failure::Blocked
            | Failure::Country
            | Failure::Gateway
            | Failure::RetriesUsedUp
            | Failure::NoAnswerInTime
            | Failure::Overloaded
            | Failure::BudgetSpent { .. }
            | Failure::RefusedByGuard => {}
        }
    }
}
