//! Decisions about a message: may it be sent, what came of it, and what that counts.

use rand::Rng as _;

use super::decision::{Decision, Next};
use super::model::{Reply, SendOutcome, Sent, VerificationSummary};
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::delivery::{Attempt, Delivered, Failure, Outgoing, Permitted, PlannedMessage, Reason, SendStatus};
use crate::domain::{AttemptLogKey, Channel, NumberKey, Timestamp};
use crate::engine::{
    self, Begin, BeginOutcome, NumberState, ResumeOutcome, Salt, SendPermit, SendResult, SettleOutcome,
    Verification, VerificationOptions,
};
use crate::limits::guard::{GuardNews, GuardRefusal, Rule, VerifiedNumber};
use crate::limits::keys::KEPT_BEYOND;
use crate::observe::metrics::{Fact, SendEnd, SendFacts, VerificationStep};
use crate::shard::Refusal;

/// Decides a message that a client asks for.
pub(super) fn send(decision: &mut Decision<'_, '_>, outgoing: &mut Outgoing) -> Result<Next, Refusal> {
    let (NumberKey { service, number, is_test, is_carried }, now) = (decision.key, decision.now);
    let channel = outgoing.channel;
    let answer = |failure| Reply::new(Err(failure), now, None);
    if let Some(earlier) = outgoing.keyed.and_then(|keyed| keyed.earlier(decision.view).transpose()) {
        let answered = |earlier| Reply { earlier: Some(earlier), ..answer(Failure::Gateway) };
        return Ok(Next::Sent(earlier.map(answered)));
    }
    make_room(decision, outgoing)?;
    if let Some((guard, (signals, parts))) = decision.deps.guard.as_ref().zip(outgoing.asks.take()) {
        let plain = NumberKey::new(service, number);
        let is_known = decision.view.get::<VerifiedNumber>(plain.id()).is_some();
        let request_id = outgoing.request_id.as_deref();
        match guard.assess(&signals, parts, &outgoing.limits, is_known, request_id) {
            Ok(ticket) => outgoing.allowance = Some(vec![ticket]),
            Err(refusal) => {
                decision.told.push(GuardNews::Refused(channel, refusal, signals.client));
                return Ok(Next::Sent(Ok(answer(Failure::Guard(refusal)))));
            }
        }
    }
    let mut salt = Salt([0; 16]);
    decision.view.rng().fill_bytes(&mut salt.0);
    let supplied_code = outgoing.supplied_code.as_ref();
    let options = VerificationOptions { supplied_code, is_test, is_carried };
    let request = Begin {
        service,
        number,
        options: outgoing.options.unwrap_or(decision.rules.policy.code),
        channel,
        verification: outgoing.has_limits.then_some(options),
    };
    let (next, outcome) = engine::begin(decision.state, &decision.rules, request, salt, now);
    let (failure, end, rule, until) = match outcome {
        BeginOutcome::Busy => return Err(Refusal::NumberBusy),
        BeginOutcome::Permitted(permit) => {
            decision.put(next);
            return Ok(permitted(decision, outgoing, permit, next));
        }
        BeginOutcome::Locked { until } => (Failure::Locked { until }, SendEnd::Locked, Rule::Lockout, until),
        BeginOutcome::Limited(limit) => {
            (Failure::Limited(limit), SendEnd::Limited, Rule::Verification, limit.until())
        }
    };
    decision.put(next);
    decision.facts.push(Fact::Send(unsent(decision.key, channel, end)));
    let refusal = GuardRefusal { rule, until: Some(until) };
    decision.told.push(GuardNews::Refused(channel, refusal, outgoing.client.network));
    decision.give_back(outgoing.allowance.clone().unwrap_or_default());
    Ok(Next::Sent(Ok(answer(failure))))
}

/// Whether there is room for the records that a send adds.
fn make_room(decision: &mut Decision<'_, '_>, outgoing: &Outgoing) -> Result<(), Refusal> {
    let service = decision.key.service;
    let Decision { deps, view, .. } = decision;
    if outgoing.keyed.is_some() {
        deps.keys.capacity.check_room(service)?;
    }
    if view.get::<NumberState>(decision.key.id()).is_none() {
        deps.numbers.check_room(service)?;
    }
    deps.guard.as_ref().map_or(Ok(()), |guard| guard.has_room(service, &outgoing.limits))
}

fn permitted(
    decision: &mut Decision<'_, '_>,
    outgoing: &Outgoing,
    permit: SendPermit,
    next: NumberState,
) -> Next {
    let (recipient, channel, now) = (decision.key, outgoing.channel, decision.now);
    let (verification, policy) = (permit.verification, decision.rules.policy);
    let summary = VerificationSummary::of(&verification, &policy);
    // A carried code is remembered once it is accepted.
    if let Some(keyed) = outgoing.keyed.filter(|_| outgoing.carried.is_none()) {
        let until = summary.expires.plus(KEPT_BEYOND);
        keyed.remember((summary.id, summary.details), until, None, decision.view);
    }
    let tags = outgoing.has_limits.then_some(&outgoing.tags);
    decision.emit(Some(&verification), |events| events.permitted(&verification, Some(channel), tags));
    // A test number is sent no message: the caller knows the code.
    if recipient.is_test {
        let wrong = if let NumberState::Open(open) = next { open.failures.in_a_row } else { 0 };
        let (attempts_left, message_id) = (policy.attempts_left(wrong), format!("test-{:016x}", summary.id));
        let sent = Sent { attempts_left, message_id, is_postponed: false };
        decision.facts.push(Fact::Send(unsent(recipient, channel, SendEnd::Test)));
        return Next::Sent(Ok(Reply::new(Ok(sent), now, Some(summary))));
    }
    let taken = outgoing.allowance.clone().unwrap_or_default();
    let (log, settings) = (decision.log_key(&verification.salt), decision.deps.attempt_log);
    let message = PlannedMessage {
        salt: verification.salt,
        style: outgoing.style.clone(),
        expires: verification.expires,
        due: now,
        channel,
        reason: Reason::Asked,
        step: 0,
        is_sent: false,
        is_exempt: outgoing.client.is_exempt,
        allowance: None,
    };
    let (first_attempt, mut asked) =
        AttemptLog::permit_in(log, recipient, settings, (message, taken), decision.view);
    // By the compatible routes a further message has a code of its own, and a carried code always has.
    if let Some(replaced) = permit.replaced.filter(|v| v.is_active(now) && asked.is_empty()) {
        let before: Option<AttemptLog> = decision.view.get(decision.log_key(&replaced.salt).id());
        asked = before.map(|log| log.asked_in_vain()).unwrap_or_default();
    }
    if begins(&permit, now) {
        let step = VerificationStep::Begun;
        decision.facts.push(Fact::Verification { recipient, channel, gateway: None, step, took: None });
    }
    Next::Deliver(Permitted { permit, log, first_attempt, repeated: Vec::new(), planned: None, asked })
}

/// Decides a planned message that is due, and makes it of its plan.
pub(super) fn resume(
    decision: &mut Decision<'_, '_>,
    log: AttemptLogKey,
    outgoing: &mut Outgoing,
) -> Result<Next, Refusal> {
    let nothing_due = Next::Sent(Ok(Reply::new(Err(Failure::Gateway), decision.now, None)));
    let record: Option<AttemptLog> = decision.view.get(log.id());
    let due = record.and_then(|record| Some((record.plan.clone()?, record)));
    // The plan began, was put off or was dropped since it was due.
    let Some((planned, record)) = due.filter(|(planned, _)| planned.due <= decision.now) else {
        return Ok(nothing_due);
    };
    let outcome = if decision.deps.policies.serves(decision.key.service) {
        let (next, outcome) = engine::resume(decision.state, &decision.rules, planned.salt, decision.now);
        if outcome == ResumeOutcome::Busy {
            return Err(Refusal::NumberBusy);
        }
        decision.put(next);
        outcome
    } else {
        ResumeOutcome::NotUsable
    };
    let ResumeOutcome::Permitted(permit) = outcome else {
        record.end_plan(log, decision.view);
        decision.give_back(planned.allowance.unwrap_or_default());
        return Ok(nothing_due);
    };
    decision.emit(Some(&permit.verification), |events| events.permitted(&permit.verification, None, None));
    let repeated = record.repeated_by(&planned);
    outgoing.client.network = record.taken.iter().rev().find_map(|ticket| ticket.client);
    outgoing.client.is_exempt = planned.is_exempt;
    let (first_attempt, asked) = record.begin_plan(log, decision.view);
    (outgoing.channel, outgoing.style) = (planned.channel, planned.style.clone());
    outgoing.allowance.clone_from(&planned.allowance);
    Ok(Next::Deliver(Permitted { permit, log, first_attempt, repeated, planned: Some(planned), asked }))
}

/// Settles a send with its result.
pub(super) fn settle(
    decision: &mut Decision<'_, '_>,
    outgoing: &Outgoing,
    permitted: &Permitted,
    delivered: &Delivered,
) -> Next {
    let (permit, now) = (&permitted.permit, decision.now);
    let is_active = decision.before.is_some_and(|before| permit.is_for(&before) && before.is_active(now));
    let result = &delivered.result;
    let (next, outcome) = engine::settle(decision.state, &decision.rules, permit, result, now);
    decision.put(next);
    // The system of a carried code repeats what was not accepted.
    let is_remembered = match &outgoing.carried {
        Some(_) => matches!(result, SendResult::Accepted { .. }),
        None => result.may_still_arrive(),
    };
    match (outgoing.keyed, &outgoing.carried) {
        (Some(keyed), Some(carried)) if is_remembered => {
            let until = permitted.expires().max(now.plus(carried.remembered_for));
            let details = permit.verification.details(&decision.rules.policy);
            keyed.remember((permit.verification.salt.id(), details), until, None, decision.view);
        }
        (Some(keyed), None) if !is_remembered => keyed.withdraw(decision.view),
        _ => {}
    }
    // A check may be faster than the gateway's answer: unless it counted for an earlier message, the code of the last one was
    // entered.
    let entered = |log: AttemptLog| log.verify == VerifyStatus::Success && log.last().is_none();
    let mut is_verified = !is_active && decision.view.get(permitted.log.id()).is_some_and(entered);
    let (recipient, settings) = (decision.key, decision.deps.attempt_log);
    let (log, replaced_plan) =
        AttemptLog::settle_in(recipient, settings, permitted, delivered, decision.view);
    if permitted.planned.is_none() {
        let left = next.verification();
        decision.emit(Some(&permit.verification), |events| events.settled(permit, delivered, left));
    }
    // No message has left for the plan that this send takes the place of.
    decision.give_back(replaced_plan.into_iter().chain(delivered.certainly_not_sent()));
    facts(outgoing, delivered).for_each(|fact| decision.facts.push(fact));
    let ends = permitted.expires();
    for &Attempt { channel, gateway, .. } in delivered.attempts.iter().rev().filter(|of| of.may_have_left()) {
        decision.facts.push(Fact::Left { recipient, channel, gateway, ends, is_verified });
        is_verified = false;
    }
    // The permit describes a send whose code was replaced or withdrawn meanwhile.
    let shown = next.verification().filter(|v| permit.is_for(v)).unwrap_or(permit.verification);
    let summary = is_remembered.then(|| VerificationSummary::of(&shown, &decision.rules.policy));
    let reply = |outcome| Reply { attempts: log, ..Reply::new(outcome, now, summary) };
    // The client can repeat its request, unless a newer carried code took the place of this one.
    let is_repeatable = permitted.planned.is_none() && outgoing.carried.is_none();
    if is_repeatable && delivered.certain_failure() == Some(Failure::NoLongerUsable) {
        return Next::Sent(Err(Refusal::NumberBusy));
    }
    Next::Sent(send_outcome(delivered, outcome).map(reply))
}

/// Whether the permitted message is the first of its verification. By the compatible routes a message that replaces a
/// live code belongs to the verification of that code.
fn begins(SendPermit { verification, replaced, before }: &SendPermit, now: Timestamp) -> bool {
    let follows = |earlier: &Verification| now < earlier.expires;
    match before {
        Some(before) => before.sends == 0,
        None => verification.sending <= 1 && !replaced.as_ref().is_some_and(follows),
    }
}

/// What the end of a request counts that leads to no message.
pub const fn unsent(recipient: NumberKey, channel: Channel, outcome: SendEnd) -> SendFacts {
    SendFacts { recipient, channel, gateway: None, outcome, error: None, parts: 1 }
}

/// What the end of a send counts.
fn facts<'a>(outgoing: &Outgoing, delivered: &'a Delivered) -> impl Iterator<Item = Fact> + use<'a> {
    let (recipient, channel) = (outgoing.key, outgoing.channel);
    let failed = delivered.attempts.iter().filter_map(move |&Attempt { channel, gateway, class, .. }| {
        Some(Fact::FailedAttempt { recipient, channel, gateway, error: class? })
    });
    // The last attempt is the one that decided.
    let last = delivered.attempts.last();
    let asked = last.filter(|attempt| attempt.class.is_some() || attempt.status == SendStatus::Sent);
    let outcome = match &delivered.result {
        SendResult::Accepted { .. } => SendEnd::Accepted,
        SendResult::Postponed { .. } => SendEnd::Postponed,
        SendResult::Failed { may_have_been_sent: Some(_) } => SendEnd::Unknown,
        SendResult::Failed { may_have_been_sent: None } => match delivered.reason {
            Some(Failure::NoLongerUsable) => SendEnd::Obsolete,
            Some(Failure::Guard(_)) => SendEnd::Limited,
            Some(reason) if reason.is_about_the_number() => SendEnd::NumberRefused,
            Some(reason) if reason.is_passing() => SendEnd::Overloaded,
            _ => SendEnd::Failed,
        },
    };
    let ended = Fact::Send(SendFacts {
        recipient,
        channel: last.map_or(channel, |attempt| attempt.channel),
        gateway: asked.map(|attempt| attempt.gateway),
        outcome,
        error: asked.and_then(|attempt| attempt.class),
        parts: delivered.parts,
    });
    failed.chain([ended])
}

fn send_outcome(delivered: &Delivered, outcome: SettleOutcome) -> Result<SendOutcome, Refusal> {
    match (delivered.certain_failure(), outcome) {
        (Some(failure), _) if failure.is_passing() => Err(Refusal::SendsOverloaded),
        (Some(failure), _) if failure.is_about_the_number() => Ok(Err(failure)),
        (_, SettleOutcome::Locked { until }) => Ok(Err(Failure::Locked { until })),
        (_, SettleOutcome::Open { attempts_left }) => match &delivered.result {
            SendResult::Accepted { message_id, .. } | SendResult::Postponed { message_id, .. } => {
                let is_postponed = matches!(delivered.result, SendResult::Postponed { .. });
                Ok(Ok(Sent { attempts_left, message_id: message_id.clone(), is_postponed }))
            }
            SendResult::Failed { may_have_been_sent } => match delivered.reason {
                Some(Failure::StateUnknown) => Err(Refusal::OutcomeUnknown),
                // A gateway may have taken the message, before a budget kept it from the next one.
                Some(Failure::Guard(_)) if may_have_been_sent.is_some() => Ok(Err(Failure::Gateway)),
                reason => Ok(Err(reason.unwrap_or(Failure::Gateway))),
            },
        },
    }
}
