//! Checks and endings: what they ask for, how they are decided, and how they leave.

use super::command::{CommandKind, Exit, Next, Responder};
use super::record::NumberKey;
use super::reply::{Facts, Reply};
use crate::attempts::VerifyStatus;
use crate::domain::{Code, Timestamp};
use crate::engine::{
    self, CheckOutcome, CheckPermit, CheckResult, CheckStep, EndOutcome, Ending, NumberState, Policy, Rules,
    Submitted, Verification, VerificationName,
};
use crate::shard::{Durability, Refusal};

/// Checks a code.
#[derive(Debug)]
pub struct CheckCommand {
    /// The submitted code; `None` for a text that cannot be one.
    pub code: Option<Code>,
    /// The verification that the caller named.
    pub named: Option<VerificationName>,
    /// For a test number: nothing is limited.
    pub is_test: bool,
    /// Replies when the check is decided, by a gateway too if one holds the code.
    pub responder: Responder<Reply<CheckOutcome>>,
    /// The decision.
    pub decided: Option<CheckDecision>,
}

/// The decision about a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckDecision {
    /// Reply. The status is for the list of attempts, if a code was looked at.
    Reply(Reply<CheckOutcome>, Option<VerifyStatus>),
    /// Ask the gateway that holds the code.
    Ask(CheckPermit),
}

/// A submitted code that the gateway which holds the verification's code has to check. The attempt is durably counted.
#[derive(Debug)]
pub struct GatewayCheck {
    /// The number of the code.
    pub key: NumberKey,
    /// The right to ask, to be settled with the answer.
    pub permit: CheckPermit,
    /// The submitted code.
    pub code: Code,
    /// Replies in the end.
    pub responder: Responder<Reply<CheckOutcome>>,
}

impl GatewayCheck {
    /// The command that takes in the gateway's answer.
    pub fn settled(self, result: CheckResult) -> SettleCheckCommand {
        let Self { permit, responder, .. } = self;
        SettleCheckCommand { permit, result, responder, decided: None }
    }
}

impl CheckCommand {
    pub(super) fn decide(
        &mut self,
        NumberKey { service, number }: NumberKey,
        state: NumberState,
        mut rules: Rules<'_>,
        now: Timestamp,
    ) -> Next {
        if self.is_test {
            rules.policy = rules.policy.without_limits();
        }
        let before = state.at(&rules.policy, now).verification();
        let submitted = Submitted { code: self.code.as_ref(), number, service, named: self.named };
        let (next, step) = engine::check(state, &rules, submitted, now);
        self.decided = Some(match step {
            CheckStep::Busy { .. } => return None,
            CheckStep::AskGateway(permit) => CheckDecision::Ask(permit),
            CheckStep::Decided(outcome) => {
                let status = match outcome {
                    CheckOutcome::Approved => Some(VerifyStatus::Success),
                    CheckOutcome::Wrong { live, .. } | CheckOutcome::LockedNow { live, .. } => {
                        Some(if live { VerifyStatus::InvalidCode } else { VerifyStatus::Expired })
                    }
                    CheckOutcome::Locked { .. }
                    | CheckOutcome::NoChecksLeft { .. }
                    | CheckOutcome::NotFound
                    | CheckOutcome::GatewayFailed => None,
                };
                CheckDecision::Reply(reply(outcome, next, before, &rules.policy, now), status)
            }
        });
        Some((next, Durability::Durable))
    }

    pub(super) fn leave(self, mut exit: Exit<'_, '_>) {
        let Self { code, responder, decided, named: _, is_test: _ } = self;
        match (decided, code) {
            (Some(CheckDecision::Reply(reply, _)), _) => {
                confirm_if_approved(&reply, &exit);
                responder.send(Ok(reply));
            }
            (Some(CheckDecision::Ask(permit)), Some(code)) if is_open(&permit, &exit) => {
                exit.leaving.went_to_gateway();
                exit.deps.effects.check(GatewayCheck { key: exit.key, permit, code, responder });
            }
            (Some(CheckDecision::Ask(permit)), _) => {
                // The commit took longer than the question may: an answer would not be believed.
                exit.leaving.went_to_gateway();
                let result = CheckResult::NotAsked;
                let settle = SettleCheckCommand { permit, result, responder, decided: None };
                exit.then(CommandKind::SettleCheck(settle));
            }
            (None, _) => responder.send(Err(Refusal::StoreUnavailable)),
        }
    }
}

/// Whether the gateway may still be asked.
fn is_open(permit: &CheckPermit, exit: &Exit<'_, '_>) -> bool {
    let now = exit.leaving.now();
    exit.state()
        .and_then(|state| state.verification())
        .is_some_and(|v| v.salt == permit.salt && v.checking_until == permit.until && v.is_checking(now))
}

/// The reply to a check. It describes the verification as it is after the check, or was before one that ended it.
fn reply(
    outcome: CheckOutcome,
    next: NumberState,
    before: Option<Verification>,
    policy: &Policy,
    now: Timestamp,
) -> Reply<CheckOutcome> {
    let facts = match outcome {
        CheckOutcome::Approved
        | CheckOutcome::Wrong { .. }
        | CheckOutcome::LockedNow { .. }
        | CheckOutcome::GatewayFailed => next.verification().or(before).map(|v| Facts::of(&v, policy)),
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => None,
    };
    Reply::new(outcome, now, facts)
}

fn confirm_if_approved(reply: &Reply<CheckOutcome>, exit: &Exit<'_, '_>) {
    if let (CheckOutcome::Approved, Some(facts)) = (reply.outcome, &reply.facts) {
        exit.confirm(facts.track);
    }
}

/// Takes in what the gateway that holds a code said about a submitted one.
#[derive(Debug)]
pub struct SettleCheckCommand {
    /// The permit that it was asked with.
    pub permit: CheckPermit,
    /// The gateway's answer.
    pub result: CheckResult,
    /// Replies to the check.
    pub responder: Responder<Reply<CheckOutcome>>,
    /// The decision, and its status for the list of attempts.
    pub decided: Option<(Reply<CheckOutcome>, VerifyStatus)>,
}

impl SettleCheckCommand {
    pub(super) fn decide(
        &mut self,
        state: NumberState,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> (NumberState, Durability) {
        let before = state.at(&rules.policy, now).verification();
        let (next, outcome) = engine::settle_check(state, rules, &self.permit, self.result, now);
        let status = match (self.result, outcome) {
            (CheckResult::Approved, CheckOutcome::Approved) => VerifyStatus::Success,
            (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
            (CheckResult::NotLive, _) => VerifyStatus::Expired,
            // An approval that came too late counts as no answer.
            (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
                VerifyStatus::GatewayError
            }
        };
        self.decided = Some((reply(outcome, next, before, &rules.policy, now), status));
        // The attempt was durably counted before the gateway was asked. If a crash loses the end of the question, its
        // record ends by itself when its time has passed.
        let durability = match outcome {
            CheckOutcome::Wrong { .. } => Durability::Lazy,
            CheckOutcome::GatewayFailed if self.result == CheckResult::Unknown => Durability::Lazy,
            _ => Durability::Durable,
        };
        (next, durability)
    }

    pub(super) fn leave(self, exit: &Exit<'_, '_>) {
        let Some((reply, _)) = self.decided else {
            return self.responder.send(Err(Refusal::StoreUnavailable));
        };
        confirm_if_approved(&reply, exit);
        self.responder.send(Ok(reply));
    }
}

/// Ends a verification, or clears the counts of a number.
#[derive(Debug)]
pub struct EndCommand {
    /// How it ends.
    pub ending: Ending,
    /// The verification that the caller named; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// Replies with the verification that ended; `None` if there was none.
    pub responder: Responder<Option<Facts>>,
    /// The decision.
    pub decided: Option<EndOutcome>,
}

impl EndCommand {
    pub(super) fn decide(&mut self, state: NumberState, rules: &Rules<'_>, now: Timestamp) -> Next {
        let (next, outcome) = engine::end(state, rules, self.ending, self.named, now);
        if let EndOutcome::Busy { .. } = outcome {
            return None;
        }
        self.decided = Some(outcome);
        Some((next, Durability::Durable))
    }

    pub(super) fn leave(self, exit: &Exit<'_, '_>) {
        let ended = match self.decided {
            Some(EndOutcome::Ended(verification)) => verification,
            Some(EndOutcome::NotFound | EndOutcome::Busy { .. }) => None,
            None => return self.responder.send(Err(Refusal::StoreUnavailable)),
        };
        let facts = ended.map(|v| Facts::of(&v, &exit.policy()));
        if let (Ending::Approved, Some(facts)) = (self.ending, &facts) {
            exit.confirm(facts.track);
        }
        self.responder.send(Ok(facts));
    }
}
