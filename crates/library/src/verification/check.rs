//! Decisions about submitted codes, and about ends that callers decide.

use super::decision::{Asking, Decision, Next};
use super::model::{Reply, VerificationSummary};
use crate::delivery::Check;
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::domain::{Channel, NumberKey};
use crate::engine::{
    self, CheckOutcome, CheckResult, CheckStep, EndOutcome, Ending, NumberState, Salt, Submitted,
    Verification, VerificationDetails, VerificationName,
};
use crate::limits::keys::{ANSWER_KEPT_FOR, KeyedRequest};
use crate::observe::metrics::{Fact, VerificationStep};
use crate::registry::EventType;
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
    /// The entry of the audit log. An end by request has it if it has an effect, all else in any case.
    pub audited: Option<AuditEntry>,
}

impl End {
    /// A request without an entry of the audit log, about the verification that is under way.
    pub const fn new(key: NumberKey, ending: Ending) -> Self {
        Self { key, ending, named: None, audited: None }
    }
}

/// Decides a submitted code.
pub(super) fn check(decision: &mut Decision<'_, '_>, check: &Check) -> Result<Next, Refusal> {
    if let Some(earlier) = check.keyed.and_then(|keyed| keyed.earlier(decision.view).transpose()) {
        let answered = |KeyedRequest { verification: id, details, at, until: expires, outcome, .. }| {
            let summary = VerificationSummary { id, expires, details };
            // The same key may be that of a send.
            Ok(Reply::new(outcome.ok_or(Refusal::OtherRequest)?, at, Some(summary)))
        };
        return Ok(Next::Checked(earlier.and_then(answered)));
    }
    let NumberKey { service, number, .. } = decision.key;
    let submitted = Submitted { code: check.code.as_ref(), number, service, named: check.named };
    let (next, step) = engine::check(decision.state, &decision.rules, submitted, decision.now);
    decision.put(next);
    let outcome = match step {
        CheckStep::Busy => return Err(Refusal::NumberBusy),
        CheckStep::AskGateway(permit) => return Ok(Next::AskGateway(permit)),
        CheckStep::Decided(outcome) => outcome,
    };
    // A text that holds no code is no check of one.
    let looked_at = decision.before.map(|v| v.salt).filter(|_| check.code.is_some());
    let reply = decided(decision, outcome, &next, looked_at, None);
    remember(decision, check, &reply);
    Ok(Next::Checked(Ok(reply)))
}

/// Settles a check with the answer of the gateway that holds the code; `None` if this process may not own the number.
pub(super) fn settle(
    decision: &mut Decision<'_, '_>,
    Asking { check, permit, .. }: &Asking,
    result: Option<CheckResult>,
) -> Next {
    let answer = result.unwrap_or(CheckResult::NotAsked);
    let (next, outcome) = engine::settle_check(decision.state, &decision.rules, permit, answer, decision.now);
    decision.put(next);
    // Whatever follows from it.
    let said = match answer {
        CheckResult::Wrong => Some(VerifyStatus::InvalidCode),
        CheckResult::NotLive => Some(VerifyStatus::Expired),
        CheckResult::Unknown => Some(VerifyStatus::GatewayError),
        CheckResult::Approved | CheckResult::NotAsked => None,
    };
    let reply = decided(decision, outcome, &next, Some(permit.salt), said);
    if result.is_some() {
        remember(decision, check, &reply);
    }
    Next::Checked(result.map(|_| reply).ok_or(Refusal::StoreUnavailable))
}

/// Records the outcome of a check, and replies. The reply describes the verification as it is after the check, or was before
/// one that ended it.
fn decided(
    decision: &mut Decision<'_, '_>,
    outcome: CheckOutcome,
    next: &NumberState,
    looked_at: Option<Salt>,
    said: Option<VerifyStatus>,
) -> Reply<CheckOutcome> {
    let (status, event) = match outcome {
        CheckOutcome::Approved => (Some(VerifyStatus::Success), Some(EventType::Approved)),
        CheckOutcome::LockedNow { live: true, .. } | CheckOutcome::Wrong { live: true, attempts_left: 0 } => {
            (Some(VerifyStatus::InvalidCode), Some(EventType::MaxAttemptsReached))
        }
        CheckOutcome::Wrong { live: true, .. } => (Some(VerifyStatus::InvalidCode), None),
        CheckOutcome::Wrong { live: false, .. } | CheckOutcome::LockedNow { live: false, .. } => {
            (Some(VerifyStatus::Expired), None)
        }
        CheckOutcome::GatewayFailed => (Some(VerifyStatus::GatewayError), None),
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => {
            (None, None)
        }
    };
    let about = status.and(next.verification().or(decision.before));
    let channel = about.map(|v| v.details(&decision.rules.policy).channel);
    decision.facts.push(Fact::Check { recipient: decision.key, channel, outcome });
    concluded(decision, outcome, about, looked_at.zip(said.or(status)), event)
}

/// Remembers the answer to a check with a key. One that says that the client may try again is not remembered.
fn remember(decision: &mut Decision<'_, '_>, check: &Check, reply: &Reply<CheckOutcome>) {
    let may_try_again = matches!(
        reply.outcome,
        CheckOutcome::Locked { .. } | CheckOutcome::NoChecksLeft { .. } | CheckOutcome::GatewayFailed
    );
    let Some(keyed) = check.keyed.filter(|_| !may_try_again) else { return };
    // Without room a repetition is another check: to refuse this one would lock out a person with the right code.
    if decision.deps.keys.capacity.check_room(decision.key.service).is_err() {
        return;
    }
    let none = VerificationDetails::beginning(decision.now, Channel::Sms);
    let (id, mut details) = reply.verification.map_or((0, none), |of| (of.id, of.details));
    // The repeated answer has no attempts.
    let last_attempt = reply.attempts.as_ref().map(AttemptLog::last_attempt_at);
    details.last_send = details.last_send.max(last_attempt.unwrap_or_default());
    let until = decision.now.plus(ANSWER_KEPT_FOR);
    keyed.remember((id, details), until, Some(reply.outcome), decision.view);
}

/// Records a check in the log of its verification, emits and counts the end of the verification that the reply is about,
/// records a verified number, and replies.
fn concluded<O>(
    decision: &mut Decision<'_, '_>,
    outcome: O,
    about: Option<Verification>,
    looked_at: Option<(Salt, VerifyStatus)>,
    event: Option<EventType>,
) -> Reply<O> {
    if let Some((about, event)) = about.as_ref().zip(event) {
        decision.emit(Some(about), |events| events.ended(event));
    }
    let step = match event {
        Some(EventType::Approved) => Some(VerificationStep::Approved),
        Some(EventType::Canceled) => Some(VerificationStep::Canceled),
        _ => None,
    };
    let recorded = looked_at
        .and_then(|(salt, status)| AttemptLog::check_in(decision.log_key(&salt), status, decision.view));
    let last = recorded.as_ref().and_then(|(log, ..)| log.last());
    let (log, is_first, taken) = match recorded {
        Some((log, is_first, taken)) => (Some(log), is_first, taken),
        None => (about.and_then(|v| decision.view.get(decision.log_key(&v.salt).id())), false, Vec::new()),
    };
    let summary = about.map(|v| VerificationSummary::of(&v, &decision.rules.policy));
    if let Some(VerificationDetails { channel, .. }) = summary.map(|summary| summary.details) {
        let recipient = decision.key;
        let took = last.map(|(.., at)| decision.now.since(at));
        let (channel, gateway) =
            last.map_or((channel, None), |(channel, gateway, _)| (channel, Some(gateway)));
        for step in [is_first.then_some(VerificationStep::Tried), step].into_iter().flatten() {
            decision.facts.push(Fact::Verification { recipient, channel, gateway, step, took });
        }
        let is_approved = step == Some(VerificationStep::Approved);
        if let Some(guard) = decision.deps.guard.as_ref().filter(|_| is_approved) {
            // A number is verified by a carried code as by another.
            let key = NumberKey { is_carried: false, ..recipient };
            decision.told.extend(guard.record_verified(key, taken, decision.view));
        }
    }
    Reply { attempts: log, ..Reply::new(outcome, decision.now, summary) }
}

/// Ends a verification, or clears the counts of a number. An erasure also erases what other records say of the number.
pub(super) fn end(decision: &mut Decision<'_, '_>, end: &End) -> Result<Next, Refusal> {
    let End { ending, named, audited, .. } = end;
    let (next, outcome) = engine::end(decision.state, &decision.rules, *ending, *named, decision.now);
    let ended = match outcome {
        EndOutcome::Busy => return Err(Refusal::NumberBusy),
        EndOutcome::Ended(verification) => verification,
        EndOutcome::NotFound => None,
    };
    decision.put(next);
    let has_changed = next != decision.state;
    let has_effect = match ending {
        Ending::Approved | Ending::Canceled => ended.is_some(),
        Ending::Cleared => has_changed,
        Ending::Erased => {
            let NumberKey { service, number, .. } = decision.key;
            let attempts = AttemptLog::erase(service, number, decision.view);
            let events = decision.deps.events.as_ref();
            let had_events = events.is_some_and(|events| events.erase(decision.key, decision.view));
            let has_effect = has_changed || attempts.is_some() || had_events;
            decision.give_back(attempts.into_iter().flatten());
            has_effect
        }
    };
    // Other records of the number may have an end of their own.
    let is_of_more = matches!(ending, Ending::Cleared | Ending::Erased);
    if let Some(entry) = audited.as_ref().filter(|_| has_effect || is_of_more) {
        entry.record(decision.view);
    }
    let (event, status) = match ending {
        Ending::Approved => (Some(EventType::Approved), Some(VerifyStatus::Success)),
        Ending::Canceled => (Some(EventType::Canceled), None),
        // A cleared one emits its expiry event at its normal expiry.
        Ending::Cleared | Ending::Erased => (None, None),
    };
    let looked_at = ended.map(|v| v.salt).zip(status);
    Ok(Next::Ended(concluded(decision, has_effect, ended, looked_at, event)))
}
