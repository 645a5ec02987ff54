//! Check and end commands: request, decision, settlement.

use super::command::{CommandKind, DecisionContext, DecisionInput, Next, Responder};
use super::event::EventSink;
use super::record::NumberKey;
use super::reply::{Reply, VerificationSummary};
use crate::attempts::{AttemptLogWriter, VerifyStatus};
use crate::audit::Audited;
use crate::domain::{Code, Timestamp};
use crate::engine::{
    self, CheckOutcome, CheckPermit, CheckResult, CheckStep, EndOutcome, Ending, NumberState, Policy,
    Submitted, Verification, VerificationName,
};
use crate::gateway::CodeEnd;
use crate::guard::Ticket;
use crate::shard::{Durability, Refusal, Transaction};
use crate::trace::RequestId;

/// Checks a code.
#[derive(Debug)]
pub struct CheckCommand {
    /// The submitted code; `None` for a text that cannot be one.
    pub code: Option<Code>,
    /// The verification that the caller named.
    pub named: Option<VerificationName>,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
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
    AskGateway(CheckPermit),
}

/// A check for the gateway that holds the code. The attempt is already durable.
#[derive(Debug)]
pub struct GatewayCheck {
    /// The number of the code.
    pub key: NumberKey,
    /// The right to ask, to be settled with the answer.
    pub permit: CheckPermit,
    /// The submitted code.
    pub code: Code,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
    /// Replies to the check.
    pub responder: Responder<Reply<CheckOutcome>>,
}

impl GatewayCheck {
    /// The command that settles the check.
    pub fn settled(self, result: Result<CheckResult, Refusal>) -> SettleCheckCommand {
        let Self { permit, responder, .. } = self;
        SettleCheckCommand { permit, result, responder, decided: None }
    }
}

impl CheckCommand {
    pub(super) fn decide(
        &mut self,
        DecisionInput { key: NumberKey { service, number, .. }, state, rules, now }: DecisionInput<'_>,
    ) -> Next {
        let before = state.at(&rules.policy, now).verification();
        let submitted = Submitted { code: self.code.as_ref(), number, service, named: self.named };
        let (next, step) = engine::check(state, &rules, submitted, now);
        self.decided = Some(match step {
            CheckStep::Busy { .. } => return None,
            CheckStep::AskGateway(permit) => CheckDecision::AskGateway(permit),
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

    pub(super) fn answer(self, mut context: DecisionContext<'_, '_>) {
        let Self { code, request_id, responder, decided, named: _ } = self;
        match (decided, code) {
            (Some(CheckDecision::Reply(reply, _)), _) => {
                report_code_end(&reply, &context);
                responder.send(Ok(reply));
            }
            (Some(CheckDecision::AskGateway(permit)), Some(code)) if is_open(&permit, &context) => {
                context.reply.mark_at_gateway();
                let key = context.key;
                context.deps.effects.check(GatewayCheck { key, permit, code, request_id, responder });
            }
            (Some(CheckDecision::AskGateway(permit)), _) => {
                // The commit took longer than the check budget. A gateway's answer would be ignored, therefore the
                // gateway is not asked.
                context.reply.mark_at_gateway();
                let result = Ok(CheckResult::NotAsked);
                let settle = SettleCheckCommand { permit, result, responder, decided: None };
                context.enqueue(CommandKind::SettleCheck(settle));
            }
            (None, _) => responder.send(Err(Refusal::StoreUnavailable)),
        }
    }
}

/// Whether the gateway may still be asked.
fn is_open(permit: &CheckPermit, context: &DecisionContext<'_, '_>) -> bool {
    let now = context.reply.now();
    let verification = context.state().and_then(|state| state.verification());
    verification.is_some_and(|v| v.is_checked_by(permit) && v.is_checking(now))
}

/// The reply to a check. It describes the verification as it is after the check, or was before one that ended it.
fn reply(
    outcome: CheckOutcome,
    next: NumberState,
    before: Option<Verification>,
    policy: &Policy,
    now: Timestamp,
) -> Reply<CheckOutcome> {
    let summary = match outcome {
        CheckOutcome::Approved
        | CheckOutcome::Wrong { .. }
        | CheckOutcome::LockedNow { .. }
        | CheckOutcome::GatewayFailed => {
            next.verification().or(before).map(|v| VerificationSummary::from_verification(&v, policy))
        }
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => None,
    };
    Reply::new(outcome, now, summary)
}

/// Tells the gateway that sent the code if the check ended it.
fn report_code_end(reply: &Reply<CheckOutcome>, context: &DecisionContext<'_, '_>) {
    let Some(summary) = &reply.verification else { return };
    match reply.outcome {
        CheckOutcome::Approved => context.report_code_end(summary.id, CodeEnd::Used),
        CheckOutcome::LockedNow { .. } => context.report_code_end(summary.id, CodeEnd::LockedOut),
        _ if summary.spent => context.report_code_end(summary.id, CodeEnd::LockedOut),
        _ => {}
    }
}

/// Settles a check with the answer of the gateway that holds the code.
#[derive(Debug)]
pub struct SettleCheckCommand {
    /// The permit that it was asked with.
    pub permit: CheckPermit,
    /// The gateway's answer. An error answers the client; the gateway was not asked.
    pub result: Result<CheckResult, Refusal>,
    /// Replies to the check.
    pub responder: Responder<Reply<CheckOutcome>>,
    /// The decision, and its status for the list of attempts.
    pub decided: Option<(Reply<CheckOutcome>, VerifyStatus)>,
}

impl SettleCheckCommand {
    pub(super) fn decide(
        &mut self,
        &DecisionInput { state, ref rules, now, .. }: &DecisionInput<'_>,
    ) -> (NumberState, Durability) {
        let before = state.at(&rules.policy, now).verification();
        let result = self.result.unwrap_or(CheckResult::NotAsked);
        let (next, outcome) = engine::settle_check(state, rules, &self.permit, result, now);
        let status = match (result, outcome) {
            (CheckResult::Approved, CheckOutcome::Approved) => VerifyStatus::Success,
            (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
            (CheckResult::NotLive, _) => VerifyStatus::Expired,
            // An approval that came too late counts as no answer.
            (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
                VerifyStatus::GatewayError
            }
        };
        self.decided = Some((reply(outcome, next, before, &rules.policy, now), status));
        // The attempt was durably counted before the gateway was asked. If a crash loses the result, the check expires
        // at its deadline.
        let durability = match outcome {
            CheckOutcome::Wrong { .. } => Durability::Lazy,
            CheckOutcome::GatewayFailed if result == CheckResult::Unknown => Durability::Lazy,
            _ => Durability::Durable,
        };
        (next, durability)
    }

    pub(super) fn answer(self, context: &DecisionContext<'_, '_>) {
        let Some((reply, _)) = self.decided else {
            return self.responder.send(Err(Refusal::StoreUnavailable));
        };
        report_code_end(&reply, context);
        self.responder.send(self.result.map(|_| reply));
    }
}

/// Ends a verification, or clears the counts of a number.
#[derive(Debug)]
pub struct EndCommand {
    /// The result.
    pub ending: Ending,
    /// The verification that the caller named; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// The entry of the audit log, if it has an effect.
    pub audited: Option<Audited>,
    /// Something of the number was erased before. Then an erasure has an effect in any case.
    pub was_erased: bool,
    /// Replies with the result.
    pub responder: Responder<EndReply>,
    /// The decision.
    pub decided: Option<EndOutcome>,
    /// [`EndReply::has_effect`].
    pub has_effect: bool,
}

/// The result of an [`EndCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndReply {
    /// The verification that ended; `None` if there was none.
    pub verification: Option<VerificationSummary>,
    /// The request changed something.
    pub has_effect: bool,
}

impl EndCommand {
    pub(super) fn decide(
        &mut self,
        &DecisionInput { state, ref rules, now, .. }: &DecisionInput<'_>,
    ) -> Next {
        let (next, outcome) = engine::end(state, rules, self.ending, self.named, now);
        if let EndOutcome::Busy { .. } = outcome {
            return None;
        }
        self.decided = Some(outcome);
        Some((next, Durability::Durable))
    }

    /// Erases what other records say of the number, and writes the entry of the audit log, if there was something to end.
    /// Returns what the guard gets back for planned messages.
    pub(super) fn finish(
        &mut self,
        key: NumberKey,
        has_changed: bool,
        events: Option<&dyn EventSink>,
        view: &mut Transaction<'_>,
    ) -> Vec<Ticket> {
        let mut held = Vec::new();
        self.has_effect = match self.ending {
            Ending::Approved | Ending::Canceled => matches!(self.decided, Some(EndOutcome::Ended(Some(_)))),
            Ending::Cleared => has_changed,
            Ending::Erased => {
                let attempts = AttemptLogWriter::erase(key.service, key.number, view);
                let had_events = events.is_some_and(|events| events.erase(key, view));
                let has_effect = has_changed || attempts.is_some() || had_events || self.was_erased;
                held = attempts.unwrap_or_default();
                has_effect
            }
        };
        if let Some(Audited { author, change }) = self.audited.as_ref().filter(|_| self.has_effect) {
            author.record(change.clone(), view);
        }
        held
    }

    pub(super) fn answer(self, context: &DecisionContext<'_, '_>) {
        let ended = match self.decided {
            Some(EndOutcome::Ended(verification)) => verification,
            Some(EndOutcome::NotFound | EndOutcome::Busy { .. }) => None,
            None => return self.responder.send(Err(Refusal::StoreUnavailable)),
        };
        let summary = ended.map(|v| VerificationSummary::from_verification(&v, &context.policy()));
        if let Some(summary) = &summary {
            let end = match self.ending {
                Ending::Approved => CodeEnd::Used,
                Ending::Canceled | Ending::Cleared | Ending::Erased => CodeEnd::Canceled,
            };
            context.report_code_end(summary.id, end);
        }
        self.responder.send(Ok(EndReply { verification: summary, has_effect: self.has_effect }));
    }
}
