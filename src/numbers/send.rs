//! Sends: what they ask for, how they are decided, and how they leave.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::command::{CommandKind, Exit, Next, Responder, track_key};
use super::record::NumberKey;
use super::reply::{Facts, Reply, SendOutcome};
use crate::attempts::{Plan, TrackWriter};
use crate::delivery::{Delivered, Dropped, PlanChange, Purpose};
use crate::domain::{Channel, Code, Timestamp, TrackKey};
use crate::engine::{
    self, Begin, BeginOutcome, NumberState, ResumeOutcome, Rules, Salt, SendOptions, SendPermit, SendResult,
    SettleOutcome, VerificationOptions,
};
use crate::shard::{Durability, Refusal};
use crate::template::MessageStyle;

/// Sends a code.
#[derive(Debug)]
pub struct SendCommand {
    /// Properties of a new code; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// How the message is delivered.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Begins a verification with limits and an id of its own; `None` for the compatible routes.
    pub own: Option<OwnOptions>,
    /// Replies when the gateway has answered too.
    pub responder: Responder<Reply<SendOutcome>>,
    /// The decision.
    pub decided: Option<SendDecision>,
}

/// Options of a verification with limits and an id of its own.
#[derive(Debug, Clone, Default)]
pub struct OwnOptions {
    /// The code that the caller supplies.
    pub brought: Option<Code>,
    /// For a test number: no message is sent, and nothing is limited.
    pub is_test: bool,
    /// What the caller attaches to the verification, for its events.
    pub tags: BTreeMap<String, String>,
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
        NumberKey { service, number }: NumberKey,
        state: NumberState,
        mut rules: Rules<'_>,
        rng: &mut StdRng,
        now: Timestamp,
    ) -> Next {
        let mut salt = Salt([0; 16]);
        rng.fill_bytes(&mut salt.0);
        let own = self.own.as_ref();
        let is_test = own.is_some_and(|own| own.is_test);
        if is_test {
            rules.policy = rules.policy.without_limits();
        }
        let policy = rules.policy;
        let request = Begin {
            service,
            number,
            options: self.options.unwrap_or(policy.code),
            channel: self.channel,
            verification: own
                .map(|own| VerificationOptions { supplied_code: own.brought.as_ref(), silent: is_test }),
        };
        let (next, outcome) = engine::begin(state, &rules, request, salt, now);
        let refused = |outcome| SendDecision::Refused(Reply::new(outcome, now, None));
        self.decided = Some(match outcome {
            BeginOutcome::Permitted(permit) if is_test => {
                let outcome = SendOutcome::Sent {
                    attempts_left: policy.max_attempts,
                    message_id: format!("test-{:016x}", permit.salt.track()),
                    postponed: false,
                };
                let facts = Facts::of_permit(&permit, &policy);
                SendDecision::Silent(permit, Reply::new(outcome, now, Some(facts)))
            }
            BeginOutcome::Permitted(permit) => SendDecision::Permitted(permit),
            BeginOutcome::Locked { until } => refused(SendOutcome::Locked { until }),
            BeginOutcome::NoChecksLeft { until } => refused(SendOutcome::NoChecksLeft { until }),
            BeginOutcome::NoSendsLeft { until } => refused(SendOutcome::NoSendsLeft { until }),
            BeginOutcome::CoolingDown { until } => refused(SendOutcome::CoolingDown { until }),
            BeginOutcome::StillSending { until } => refused(SendOutcome::StillSending { until }),
            BeginOutcome::Busy { .. } => return None,
        });
        Some((next, Durability::Durable))
    }

    pub(super) fn leave(self, first_attempt: u8, exit: Exit<'_, '_>) {
        let Self { channel, style, responder, decided, options: _, own: _ } = self;
        match decided {
            Some(SendDecision::Permitted(permit)) => {
                let (purpose, caller) = (Purpose::Request, Caller::Client(responder));
                let track = track_key(exit.key.service, &permit.salt, exit.subject.slot);
                let key = exit.key;
                Dispatch { key, permit, channel, style, purpose, track, first_attempt, caller }.leave(exit);
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
    pub track: TrackKey,
    /// Replies when delivery has ended, or when there is nothing to send.
    pub responder: Responder<()>,
    /// The decision; `None` when nothing is due, or the code cannot be used any more.
    pub decided: Option<(SendPermit, Box<Plan>)>,
}

impl ResumeCommand {
    pub(super) fn decide(
        &mut self,
        track: &mut TrackWriter<'_, '_>,
        serves: bool,
        state: NumberState,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> Next {
        // The plan began, was put off or was dropped since it was due.
        let Some(plan) = track.due() else { return Some((state, Durability::Lazy)) };
        if !serves {
            track.drop_follow_up(Dropped::NotUsable);
            return Some((state, Durability::Lazy));
        }
        let (next, outcome) = engine::resume(state, rules, plan.salt, now);
        match outcome {
            ResumeOutcome::Permitted(permit) => {
                self.decided = Some((permit, plan));
                // The results of earlier sends may not be durable yet. Without them this one alone would decide the code's
                // fate after a crash: a failure would withdraw a code that a person has.
                Some((next, Durability::Durable))
            }
            ResumeOutcome::NotUsable => {
                track.drop_follow_up(Dropped::NotUsable);
                Some((next, Durability::Lazy))
            }
            ResumeOutcome::Busy { .. } => None,
        }
    }

    pub(super) fn leave(self, first_attempt: u8, exit: Exit<'_, '_>) {
        let Self { track, responder, decided } = self;
        let Some((permit, plan)) = decided else { return responder.send(Ok(())) };
        let Plan { style, follow_up, .. } = *plan;
        let (key, channel) = (exit.key, follow_up.channel);
        let (purpose, caller) = (Purpose::FollowUp(follow_up), Caller::FollowUp(responder));
        Dispatch { key, permit, channel, style, purpose, track, first_attempt, caller }.leave(exit);
    }
}

/// A permitted message on its way to delivery.
#[derive(Debug)]
pub struct Dispatch {
    /// The recipient.
    pub key: NumberKey,
    /// The right to send, to be settled with the result.
    pub permit: SendPermit,
    /// How the message is delivered.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The record of its attempts.
    pub track: TrackKey,
    /// The number of its first attempt.
    pub first_attempt: u8,
    /// Waits for the end of the send.
    pub caller: Caller,
}

impl Dispatch {
    /// Hands the message to delivery, unless a later command of the same batch made its code useless.
    fn leave(mut self, mut exit: Exit<'_, '_>) {
        exit.leaving.went_to_gateway();
        let now = exit.leaving.now();
        let state = exit.state().map(|state| state.at(&exit.policy(), now));
        let live = state.and_then(|state| state.verification()).filter(|v| v.is_live(now));
        if let Some(live) = live.filter(|live| live.salt == self.permit.salt) {
            // A later command of the batch may have prolonged its life, and the message says how long it is.
            self.permit.expires = live.expires;
            exit.deps.effects.deliver(self);
        } else {
            let plan = match self.purpose {
                Purpose::Request => PlanChange::Keep,
                Purpose::FollowUp(_) => PlanChange::End(Some(Dropped::NotUsable)),
            };
            let result = SendResult::NoLongerUsable;
            let delivered = Delivered { result, attempts: Vec::new(), plan, trouble: None };
            exit.then(CommandKind::Settle(self.settled(delivered)));
        }
    }

    /// The command that takes in the result.
    pub fn settled(self, delivered: Delivered) -> SettleCommand {
        let Self { permit, style, purpose, first_attempt, caller, .. } = self;
        SettleCommand { permit, style, purpose, first_attempt, delivered, caller, decided: None }
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
    /// Replies. A planned send must not be made again because the store failed, therefore its scheduler is told that it
    /// ended, whatever became of the decision about it.
    pub(super) fn reply(self, reply: Result<Reply<SendOutcome>, Refusal>) {
        match self {
            Self::Client(responder) => responder.send(reply),
            Self::FollowUp(responder) => responder.send(Ok(())),
        }
    }
}

/// Takes in the result of a send.
#[derive(Debug)]
pub struct SettleCommand {
    /// The permit of the send.
    pub permit: SendPermit,
    /// How its message is worded.
    pub style: MessageStyle,
    /// Why it was made.
    pub purpose: Purpose,
    /// The number that was reserved for its first attempt.
    pub first_attempt: u8,
    /// How it ended.
    pub delivered: Delivered,
    /// Waits for the reply.
    pub caller: Caller,
    /// The decision.
    pub decided: Option<Result<Reply<SendOutcome>, Refusal>>,
}

impl SettleCommand {
    pub(super) fn decide(
        &mut self,
        state: NumberState,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> (NumberState, Durability) {
        let Delivered { result, trouble, .. } = &self.delivered;
        let (next, outcome) = engine::settle(state, rules, &self.permit, result, now);
        let policy = &rules.policy;
        // A send that was replaced or withdrawn meanwhile is described by its permit.
        let current = next.verification().filter(|v| v.salt == self.permit.salt);
        let facts = current.map_or_else(|| Facts::of_permit(&self.permit, policy), |v| Facts::of(&v, policy));
        let reply = |outcome| Reply { trouble: *trouble, ..Reply::new(outcome, now, Some(facts)) };
        self.decided = Some(send_outcome(result, outcome).map(reply));
        let durability = match result {
            // A code that stays needs no second record: a crash loses only that its message was accepted, and a send
            // that was not settled is treated as one that may have been.
            SendResult::Accepted { held: None, .. }
            | SendResult::Failed { may_have_been_sent: true, held: None }
            | SendResult::Postponed { .. } => Durability::Lazy,
            // A withdrawn code has to stay withdrawn. And without the holder's name the right code would be compared
            // with one that no person has.
            _ => Durability::Durable,
        };
        (next, durability)
    }

    pub(super) fn leave(self) {
        self.caller.reply(self.decided.unwrap_or(Err(Refusal::StoreUnavailable)));
    }
}

fn send_outcome(result: &SendResult, outcome: SettleOutcome) -> Result<SendOutcome, Refusal> {
    let postponed = matches!(result, SendResult::Postponed { .. });
    match (result, outcome) {
        (SendResult::NumberRefused, _) => Ok(SendOutcome::NumberRefused),
        (SendResult::Overloaded, _) => Err(Refusal::SendsOverloaded),
        (_, SettleOutcome::Locked { until }) => Ok(SendOutcome::Locked { until }),
        (
            SendResult::Accepted { message_id, .. } | SendResult::Postponed { message_id },
            SettleOutcome::Open { attempts_left },
        ) => Ok(SendOutcome::Sent { attempts_left, message_id: message_id.clone(), postponed }),
        (SendResult::Failed { .. } | SendResult::NoLongerUsable, SettleOutcome::Open { .. }) => {
            Ok(SendOutcome::GatewayFailed)
        }
    }
}
