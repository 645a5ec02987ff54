//! Decisions about submitted codes, and about ends that callers decide.

use super::decision::{Asking, Decision, Next};
use super::model::{Reply, VerificationSummary};
use crate::delivery::Check;
use crate::delivery::attempts::{AttemptLog, Checked, VerifyStatus};
use crate::domain::{Channel, NumberKey};
use crate::engine::{
    self, CheckOutcome, CheckResult, CheckStep, EndOutcome, Ending, NumberState, Salt, Submitted,
    Verification, VerificationDetails, VerificationName,
};
use crate::limits::keys::{ANSWER_KEPT_FOR, CheckAnswer, Earlier, KeyedRequest};
use crate::observe::metrics::{Fact, VerificationStep};
use crate::registry::audit::AuditEntry;
use crate::shard::Refusal;

/// A request to end a verification, or to clear the counts of a number.
#[derive(Debug, Clone)]
pub struct End {
    /// The number under verification.
    pub key: NumberKey,
    /// The result.
    pub ending: Ending,
    /// The verification; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// The entry of the audit log, if the request has an effect.
    pub audited: Option<AuditEntry>,
    /// Something of the number was erased before. Then an erasure has an effect in any case.
    pub was_erased: bool,
}

impl End {
    /// A request without an entry of the audit log, about the verification that is under way.
    pub const fn new(key: NumberKey, ending: Ending) -> Self {
        Self { key, ending, named: None, audited: None, was_erased: false }
    }
}

/// Decides a submitted code.
pub(super) fn check(decision: &mut Decision<'_, '_>, check: &Check) -> Result<Next, Refusal> {
    if let Some(earlier) = check.keyed.and_then(|keyed| keyed.earlier(decision.view)) {
        let reply = match &earlier {
            Earlier::Same(
                known @ KeyedRequest { answer: Some(CheckAnswer { outcome, begun, last_send }), .. },
            ) => {
                let summary = VerificationSummary::remembered(known, *begun, *last_send, known.at);
                Reply::new(*outcome, known.at, Some(summary))
            }
            _ => Reply { earlier: Some(earlier), ..Reply::new(CheckOutcome::NotFound, decision.now, None) },
        };
        return Ok(Next::Checked(Ok(reply)));
    }
    let NumberKey { service, number, .. } = decision.key;
    let submitted = Submitted { code: check.code.as_ref(), number, service, named: check.named };
    let (next, step) = engine::check(decision.state, &decision.rules, submitted, decision.now);
    decision.put(next);
    let outcome = match step {
        CheckStep::Busy => return Err(Refusal::NumberBusy),
        CheckStep::AskGateway(permit) => {
            decision.emit_lockout(&next);
            return Ok(Next::AskGateway(permit));
        }
        CheckStep::Decided(outcome) => outcome,
    };
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
    // A text that holds no code is no check of one.
    let looked_at = decision.before.map(|v| v.salt).zip(status).filter(|_| check.code.is_some());
    let reply = decided(decision, outcome, &next, looked_at);
    remember(decision, check, &reply);
    Ok(Next::Checked(Ok(reply)))
}

/// Settles a check with the answer of the gateway that holds the code.
pub(super) fn settle(
    decision: &mut Decision<'_, '_>,
    Asking { check, permit, .. }: &Asking,
    result: Result<CheckResult, Refusal>,
) -> Next {
    let answer = result.unwrap_or(CheckResult::NotAsked);
    let (next, outcome) = engine::settle_check(decision.state, &decision.rules, permit, answer, decision.now);
    decision.put(next);
    let status = match (answer, outcome) {
        (CheckResult::Approved, CheckOutcome::Approved) => VerifyStatus::Success,
        (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
        (CheckResult::NotLive, _) => VerifyStatus::Expired,
        // An approval that came too late counts as no answer.
        (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
            VerifyStatus::GatewayError
        }
    };
    let reply = decided(decision, outcome, &next, Some((permit.salt, status)));
    if result.is_ok() {
        remember(decision, check, &reply);
    }
    Next::Checked(result.map(|_| reply))
}

/// Records the outcome of a check, and replies. The reply describes the verification as it is after the check, or was before
/// one that ended it.
fn decided(
    decision: &mut Decision<'_, '_>,
    outcome: CheckOutcome,
    next: &NumberState,
    looked_at: Option<(Salt, VerifyStatus)>,
) -> Reply<CheckOutcome> {
    let about = match outcome {
        CheckOutcome::Approved
        | CheckOutcome::Wrong { .. }
        | CheckOutcome::LockedNow { .. }
        | CheckOutcome::GatewayFailed => next.verification().or(decision.before),
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => None,
    };
    let asked = decision.before.filter(|v| looked_at.is_some_and(|(salt, _)| v.salt == salt));
    if let Some(verification) = &asked {
        let is_spent = next.verification().as_ref().is_some_and(Verification::is_spent);
        let id = verification.salt.id();
        decision.emit(id, |events| events.checked(verification, outcome, is_spent));
    }
    decision.emit_lockout(next);
    let channel = about.map(|v| v.details(&decision.rules.policy).channel);
    decision.count(Fact::Check { recipient: decision.key, channel, outcome });
    concluded(decision, outcome, about, looked_at, outcome == CheckOutcome::Approved)
}

/// Remembers the answer to a check with a key. One that says that the client may try again is not remembered.
fn remember(decision: &mut Decision<'_, '_>, check: &Check, reply: &Reply<CheckOutcome>) {
    let Some(keyed) = check.keyed else { return };
    let outcome = match reply.outcome {
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::GatewayFailed => {
            return;
        }
        outcome => outcome,
    };
    // Without room a repetition is another check: to refuse this one would lock out a person with the right code.
    if decision.deps.keys.capacity.check_room(decision.key.service).is_err() {
        return;
    }
    let (id, channel, begun, last_send) = match &reply.verification {
        Some(v) => (v.id, v.details.channel, v.details.begun, v.details.last_send),
        None => (0, Channel::Sms, decision.now, decision.now),
    };
    let last_attempt = reply.attempts.as_ref().map(AttemptLog::last_attempt_at);
    let answer = CheckAnswer { outcome, begun, last_send: last_send.max(last_attempt.unwrap_or(last_send)) };
    keyed.remember((id, channel), decision.now.plus(ANSWER_KEPT_FOR), Some(answer), decision.view);
}

/// Records a check in the log of its verification, counts the steps of the verification that the reply is about, records a
/// verified number, and replies.
fn concluded<O>(
    decision: &mut Decision<'_, '_>,
    outcome: O,
    about: Option<Verification>,
    looked_at: Option<(Salt, VerifyStatus)>,
    is_approved: bool,
) -> Reply<O> {
    let recorded = looked_at
        .and_then(|(salt, status)| AttemptLog::checked(decision.log_key(&salt), status, decision.view));
    let (log, Checked { last, is_first, taken }) = match recorded {
        Some((log, checked)) => (Some(log), checked),
        None => (about.and_then(|v| decision.attempts_of(&v)), Checked::default()),
    };
    let summary = about.map(|v| VerificationSummary::of(&v, &decision.rules.policy));
    if let Some(VerificationDetails { channel, .. }) = summary.map(|summary| summary.details) {
        let recipient = decision.key;
        let took = last.map(|(.., at)| decision.now.since(at));
        let (channel, gateway) =
            last.map_or((channel, None), |(channel, gateway, _)| (channel, Some(gateway)));
        let steps = [(is_first, VerificationStep::Tried), (is_approved, VerificationStep::Approved)];
        for (_, step) in steps.into_iter().filter(|(is_made, _)| *is_made) {
            decision.count(Fact::Verification { recipient, channel, gateway, step, took });
        }
        if let Some(guard) = decision.deps.guard.as_ref().filter(|_| is_approved) {
            // A number is verified by a carried code as by another.
            let key = NumberKey { is_carried: false, ..recipient };
            if let Some(news) = guard.record_verified(key, taken, decision.view) {
                decision.tell_guard(news);
            }
        }
    }
    Reply { attempts: log, ..Reply::new(outcome, decision.now, summary) }
}

/// Ends a verification, or clears the counts of a number. An erasure also erases what other records say of the number.
pub(super) fn end(decision: &mut Decision<'_, '_>, end: &End) -> Result<Next, Refusal> {
    let End { ending, named, audited, was_erased, .. } = end;
    let (next, outcome) = engine::end(decision.state, &decision.rules, *ending, *named, decision.now);
    let ended = match outcome {
        EndOutcome::Busy => return Err(Refusal::NumberBusy),
        EndOutcome::Ended(verification) => verification,
        EndOutcome::NotFound => None,
    };
    decision.put(next);
    // An event would name the erased number again.
    if let Some(verification) = ended.as_ref().filter(|_| *ending != Ending::Erased) {
        let id = verification.salt.id();
        decision.emit(id, |events| events.ended_by_request(verification, *ending));
    }
    decision.emit_lockout(&next);
    let has_changed = next != decision.state;
    let has_effect = match ending {
        Ending::Approved | Ending::Canceled => ended.is_some(),
        Ending::Cleared => has_changed,
        Ending::Erased => {
            let NumberKey { service, number, .. } = decision.key;
            let attempts = AttemptLog::erase(service, number, decision.view);
            let events = decision.deps.events.as_ref();
            let had_events = events.is_some_and(|events| events.erase(decision.key, decision.view));
            let has_effect = has_changed || attempts.is_some() || had_events || *was_erased;
            decision.give_back(attempts.into_iter().flatten());
            has_effect
        }
    };
    if let Some(entry) = audited.as_ref().filter(|_| has_effect) {
        entry.record(decision.view);
    }
    if let Some(verification) = ended.filter(|_| *ending == Ending::Canceled) {
        let (recipient, step) = (decision.key, VerificationStep::Canceled);
        let channel = verification.details(&decision.rules.policy).channel;
        decision.count(Fact::Verification { recipient, channel, gateway: None, step, took: None });
    }
    let approved = ended.filter(|_| *ending == Ending::Approved).map(|v| (v.salt, VerifyStatus::Success));
    Ok(Next::Ended(concluded(decision, has_effect, ended, approved, approved.is_some())))
}
