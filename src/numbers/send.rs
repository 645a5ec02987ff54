//! Send commands: request, decision, settlement.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::command::{CommandKind, DecisionContext, DecisionInput, Next, Responder, attempt_log_key};
use super::facts;
use super::record::NumberKey;
use super::reply::{Reply, SendOutcome, VerificationSummary};
use crate::attempts::{AttemptLogWriter, PlannedSend};
use crate::delivery::{Delivered, Failure, PlanChange, Purpose, TakenAllowance};
use crate::domain::{AttemptLogKey, Channel, Code};
use crate::engine::{
    self, Begin, BeginOutcome, NumberState, Policy, PossiblySent, ResumeOutcome, Salt, SendOptions,
    SendPermit, SendResult, SettleOutcome, VerificationOptions,
};
use crate::guard::{GuardRefusal, Rule, Ticket};
use crate::limit::RequestKey;
use crate::shard::{Durability, Refusal};
use crate::template::MessageStyle;
use crate::trace::RequestId;

/// Sends a code.
#[derive(Debug)]
pub struct SendCommand {
    /// Properties of a new code; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// The channel of the message.
    pub channel: Channel,
    /// The message's template, language and format.
    pub style: MessageStyle,
    /// Begins a verification with its own limits and id; `None` for the compatible routes.
    pub verification: Option<NamedVerification>,
    /// What the guard has taken for it.
    pub allowance: TakenAllowance,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
    /// Replies when delivery has ended, or at once if the send is refused.
    pub responder: Responder<Reply<SendOutcome>>,
    /// The decision.
    pub decided: Option<SendDecision>,
}

/// Options of a verification with its own limits and id.
#[derive(Debug, Clone, Default)]
pub struct NamedVerification {
    /// The code that the caller supplies.
    pub supplied_code: Option<Code>,
    /// Tags that the caller attaches to the verification, for its events.
    pub tags: BTreeMap<String, String>,
    /// The idempotency key.
    pub keyed: Option<RequestKey>,
}

/// The decision about a send.
#[derive(Debug, Clone)]
pub enum SendDecision {
    /// Hand the message to delivery.
    Permitted(SendPermit),
    /// Reply at once: a test number is sent no message.
    Silent(SendPermit, Reply<SendOutcome>),
    /// Refuse.
    Refused(Reply<SendOutcome>),
}

impl SendCommand {
    pub(super) fn decide(
        &mut self,
        DecisionInput { key: NumberKey { service, number, is_test }, state, rules, now }: DecisionInput<'_>,
        rng: &mut StdRng,
    ) -> Next {
        let mut salt = Salt([0; 16]);
        rng.fill_bytes(&mut salt.0);
        let own = self.verification.as_ref();
        let policy = rules.policy;
        let request = Begin {
            service,
            number,
            options: self.options.unwrap_or(policy.code),
            channel: self.channel,
            verification: own
                .map(|own| VerificationOptions { supplied_code: own.supplied_code.as_ref(), is_test }),
        };
        let (next, outcome) = engine::begin(state, &rules, request, salt, now);
        let refused = |outcome| SendDecision::Refused(Reply::new(outcome, now, None));
        self.decided = Some(match outcome {
            BeginOutcome::Permitted(permit) if is_test => {
                let outcome = SendOutcome::Sent {
                    attempts_left: attempts_left(&next, &policy),
                    message_id: format!("test-{:016x}", permit.verification.salt.id()),
                    postponed: false,
                };
                let summary = VerificationSummary::from_verification(&permit.verification, &policy);
                SendDecision::Silent(permit, Reply::new(outcome, now, Some(summary)))
            }
            BeginOutcome::Permitted(permit) => SendDecision::Permitted(permit),
            BeginOutcome::Locked { until } => refused(SendOutcome::Locked { until }),
            BeginOutcome::Limited(limit) => refused(SendOutcome::Limited(limit)),
            BeginOutcome::Busy { .. } => return None,
        });
        Some((next, Durability::Durable))
    }

    pub(super) fn answer(self, first_attempt: u8, context: DecisionContext<'_, '_>) {
        let Self { channel, style, allowance, request_id, responder, decided, options: _, verification } =
            self;
        let keyed = verification.and_then(|own| own.keyed);
        match decided {
            Some(SendDecision::Permitted(permit)) => {
                let (purpose, caller) = (Purpose::Request { allowance }, Caller::Client(responder));
                let log =
                    attempt_log_key(context.key.service, &permit.verification.salt, context.subject.slot);
                let (key, begins) = (context.key, facts::begins(&permit, context.reply.now()));
                let dispatch = Dispatch {
                    key,
                    permit,
                    begins,
                    channel,
                    style,
                    purpose,
                    log,
                    first_attempt,
                    keyed,
                    request_id,
                    caller,
                };
                dispatch.deliver_if_live(context);
            }
            Some(SendDecision::Silent(_, reply) | SendDecision::Refused(reply)) => responder.send(Ok(reply)),
            None => responder.send(Err(Refusal::StoreUnavailable)),
        }
    }
}

/// Makes a planned send of the live code.
#[derive(Debug)]
pub struct ResumeCommand {
    /// The record that contains the plan.
    pub log: AttemptLogKey,
    /// Replies when delivery has ended, or when there is nothing to send.
    pub responder: Responder<()>,
    /// The decision; `None` when nothing is due, or the code cannot be used any more.
    pub decided: Option<(SendPermit, Box<PlannedSend>)>,
}

impl ResumeCommand {
    pub(super) fn decide(
        &mut self,
        DecisionInput { state, rules, now, .. }: DecisionInput<'_>,
        log: &mut AttemptLogWriter<'_, '_>,
        serves: bool,
        gives_back: &mut Vec<Ticket>,
    ) -> Next {
        // The plan began, was put off or was dropped since it was due.
        let Some(plan) = log.due() else { return Some((state, Durability::Lazy)) };
        if !serves {
            gives_back.extend(plan.follow_up.allowance.refundable());
            log.drop_follow_up(Failure::NoLongerUsable);
            return Some((state, Durability::Lazy));
        }
        let (next, outcome) = engine::resume(state, &rules, plan.salt, now);
        match outcome {
            ResumeOutcome::Permitted(permit) => {
                self.decided = Some((permit, plan));
                // The results of earlier sends may not be durable yet. If a crash lost them, a failure of this send
                // would withdraw a code that a recipient already has.
                Some((next, Durability::Durable))
            }
            ResumeOutcome::NotUsable => {
                gives_back.extend(plan.follow_up.allowance.refundable());
                log.drop_follow_up(Failure::NoLongerUsable);
                Some((next, Durability::Lazy))
            }
            ResumeOutcome::Busy { .. } => None,
        }
    }

    pub(super) fn answer(self, first_attempt: u8, context: DecisionContext<'_, '_>) {
        let Self { log, responder, decided } = self;
        let Some((permit, plan)) = decided else { return responder.send(Ok(())) };
        let PlannedSend { style, follow_up, .. } = *plan;
        let (key, channel) = (context.key, follow_up.channel);
        let (purpose, caller) = (Purpose::FollowUp(follow_up), Caller::FollowUp(responder));
        Dispatch {
            key,
            permit,
            begins: false,
            channel,
            style,
            purpose,
            log,
            first_attempt,
            keyed: None,
            request_id: None,
            caller,
        }
        .deliver_if_live(context);
    }
}

/// A permitted message on its way to delivery.
#[derive(Debug)]
pub struct Dispatch {
    /// The recipient.
    pub key: NumberKey,
    /// The right to send, to be settled with the result.
    pub permit: SendPermit,
    /// Whether it is the first message of its verification.
    pub begins: bool,
    /// The channel of the message.
    pub channel: Channel,
    /// The message's template, language and format.
    pub style: MessageStyle,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The record of its attempts.
    pub log: AttemptLogKey,
    /// The number of its first attempt.
    pub first_attempt: u8,
    /// The idempotency key of the request.
    pub keyed: Option<RequestKey>,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
    /// Waits for the end of the send.
    pub caller: Caller,
}

impl Dispatch {
    /// Hands the message to delivery, unless a later command of the same batch made its code useless.
    fn deliver_if_live(mut self, mut context: DecisionContext<'_, '_>) {
        context.reply.mark_at_gateway();
        let now = context.reply.now();
        let state = context.state().map(|state| state.at(&context.policy(), now));
        let live = state.and_then(|state| state.verification()).filter(|v| v.is_live(now));
        if let Some(live) = live.filter(|live| self.permit.is_for(live)) {
            // A later command of the batch may have prolonged its life, which the message states.
            self.permit.verification.expires = live.expires;
            context.deps.effects.deliver(self);
        } else {
            let plan = match self.purpose {
                Purpose::Request { .. } => PlanChange::Keep,
                Purpose::FollowUp(_) => PlanChange::End(Some(Failure::NoLongerUsable)),
            };
            let result = SendResult::NoLongerUsable;
            let allowance = self.purpose.allowance();
            let delivered = Delivered { result, attempts: Vec::new(), plan, reason: None, allowance };
            context.enqueue(CommandKind::Settle(self.settled(delivered)));
        }
    }

    /// The command that settles the send.
    pub fn settled(self, delivered: Delivered) -> SettleCommand {
        let Self { permit, begins, channel, style, purpose, first_attempt, keyed, caller, .. } = self;
        SettleCommand {
            permit,
            begins,
            channel,
            style,
            purpose,
            first_attempt,
            keyed,
            delivered,
            caller,
            decided: None,
        }
    }
}

/// Waits for the end of a send.
#[derive(Debug)]
pub enum Caller {
    /// A client.
    Client(Responder<Reply<SendOutcome>>),
    /// The scheduler of planned sends.
    FollowUp(Responder<()>),
}

impl Caller {
    /// Replies to the caller. The scheduler of planned sends always learns that the send ended. Otherwise it would
    /// repeat the send after a store failure.
    pub(super) fn reply(self, reply: Result<Reply<SendOutcome>, Refusal>) {
        match self {
            Self::Client(responder) => responder.send(reply),
            Self::FollowUp(responder) => responder.send(Ok(())),
        }
    }
}

/// Settles a send with its result.
#[derive(Debug)]
pub struct SettleCommand {
    /// The permit of the send.
    pub permit: SendPermit,
    /// Whether it was the first message of its verification.
    pub begins: bool,
    /// The channel that was asked for.
    pub channel: Channel,
    /// The message's template, language and format.
    pub style: MessageStyle,
    /// Why it was made.
    pub purpose: Purpose,
    /// The number that was reserved for its first attempt.
    pub first_attempt: u8,
    /// The idempotency key of the request.
    pub keyed: Option<RequestKey>,
    /// The result.
    pub delivered: Delivered,
    /// Waits for the reply.
    pub caller: Caller,
    /// The decision.
    pub decided: Option<Result<Reply<SendOutcome>, Refusal>>,
}

impl SettleCommand {
    pub(super) fn decide(
        &mut self,
        &DecisionInput { state, ref rules, now, .. }: &DecisionInput<'_>,
    ) -> (NumberState, Durability) {
        let (result, reason) = (&self.delivered.result, self.delivered.reason);
        let (next, outcome) = engine::settle(state, rules, &self.permit, result, now);
        // The permit describes a send whose code was replaced or withdrawn meanwhile.
        let current = next.verification().filter(|v| self.permit.is_for(v));
        let summary = VerificationSummary::from_verification(
            &current.unwrap_or(self.permit.verification),
            &rules.policy,
        );
        let may_have_been_sent = result.may_still_arrive();
        let reply = |outcome| Reply { reason, may_have_been_sent, ..Reply::new(outcome, now, Some(summary)) };
        self.decided = Some(send_outcome(&self.delivered, outcome).map(reply));
        let holder = |state: NumberState| state.verification().and_then(|v| v.held);
        let durability = match result {
            // A code that stays needs no second record: a crash loses only that its message was accepted, and a send
            // that was not settled is treated as one that may have been.
            SendResult::Accepted { held: None, .. }
            | SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) }
            | SendResult::Postponed {
                may_have_been_sent: None | Some(PossiblySent { held: None }), ..
            } if holder(state) == holder(next) => Durability::Lazy,
            // A withdrawn code must stay withdrawn after a crash. If a crash lost which gateway holds the code, or that
            // ours replaced it, the person's code would be wrong.
            _ => Durability::Durable,
        };
        (next, durability)
    }

    pub(super) fn answer(self) {
        self.caller.reply(self.decided.unwrap_or(Err(Refusal::StoreUnavailable)));
    }
}

/// The wrong codes that a number is still allowed.
const fn attempts_left(state: &NumberState, policy: &Policy) -> u8 {
    match state {
        NumberState::Open(open) => policy.attempts_left(open.failures.in_a_row),
        NumberState::Fresh | NumberState::Locked { .. } => policy.max_attempts,
    }
}

fn send_outcome(delivered: &Delivered, outcome: SettleOutcome) -> Result<SendOutcome, Refusal> {
    let Delivered { result, reason, .. } = delivered;
    let postponed = matches!(result, SendResult::Postponed { .. });
    match (result, outcome) {
        (SendResult::NumberRefused, _) => Ok(SendOutcome::NumberRefused),
        (SendResult::Overloaded, _) => Err(Refusal::SendsOverloaded),
        (_, SettleOutcome::Locked { until }) => Ok(SendOutcome::Locked { until }),
        (
            SendResult::Accepted { message_id, .. } | SendResult::Postponed { message_id, .. },
            SettleOutcome::Open { attempts_left },
        ) => Ok(SendOutcome::Sent { attempts_left, message_id: message_id.clone(), postponed }),
        (SendResult::Failed { .. }, SettleOutcome::Open { .. }) if *reason == Some(Failure::StateUnknown) => {
            Err(Refusal::StoreUnavailable)
        }
        // Another gateway may have sent the message before; its code stays good.
        (SendResult::Failed { may_have_been_sent: None }, SettleOutcome::Open { .. })
            if let Some(Failure::BudgetSpent { until }) = reason =>
        {
            Ok(SendOutcome::GuardRefused(GuardRefusal { rule: Rule::Budget, until: Some(*until) }))
        }
        (SendResult::Failed { .. }, SettleOutcome::Open { .. })
            if reason.is_some_and(Failure::is_about_the_number) =>
        {
            Ok(SendOutcome::NumberRefused)
        }
        (SendResult::Failed { .. } | SendResult::NoLongerUsable, SettleOutcome::Open { .. }) => {
            Ok(SendOutcome::GatewayFailed)
        }
    }
}
