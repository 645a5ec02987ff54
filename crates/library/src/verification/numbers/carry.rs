//! Carried codes: messages with a code that another system made and checks. They have no verification, and their code is
//! in memory only. Delivery plans nothing for them: a caller repeats what failed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng as _;

use super::decision::{Decision, Next};
use super::reply::{Reply, SendOutcome, VerificationSummary};
use super::send::{facts, send_outcome};
use super::verifier::Verifier;
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::delivery::{Carried, CodeLiveness, CodeState, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{Salt, SendOptions, SendPermit, SettleOutcome, Verification};
use crate::limits::guard::GuardNews;
use crate::limits::keys::{Earlier, KEPT_BEYOND, RequestKey};
use crate::observe::metrics::{Fact, VerificationStep};
use crate::shard::{Refusal, Shards};

/// The message that is being carried to each number, by the id of its attempts. A newer message replaces an older one.
pub(super) type InProgress = Arc<Mutex<HashMap<NumberKey, u64>>>;

/// A message that is being carried, until it is dropped.
pub(super) struct Carrying<'a> {
    in_progress: &'a InProgress,
    shards: &'a Shards,
    key: NumberKey,
    id: u64,
}

impl<'a> Carrying<'a> {
    pub(super) fn new(in_progress: &'a InProgress, shards: &'a Shards, key: NumberKey, id: u64) -> Self {
        in_progress.lock().insert(key, id);
        Self { in_progress, shards, key, id }
    }
}

impl CodeLiveness for Carrying<'_> {
    async fn code_state(&self) -> CodeState {
        let is_newest = self.in_progress.lock().get(&self.key) == Some(&self.id);
        if is_newest { CodeState::Live } else { CodeState::Ended }
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let mut messages = self.in_progress.lock();
        if messages.get(&self.key) == Some(&self.id) {
            messages.remove(&self.key);
        }
    }
}

/// Permits a message: reserves the log of its attempts, in which receipts find them.
pub(super) fn carry(
    decision: &mut Decision<'_, '_>,
    outgoing: &Outgoing,
    of_number: RequestKey,
    options: SendOptions,
) -> Next {
    let (now, key) = (decision.now, decision.key);
    let mut salt = Salt([0; 16]);
    decision.view.rng().fill_bytes(&mut salt.0);
    let (log, settings) = (decision.log_key(&salt), decision.deps.attempt_log);
    let taken = outgoing.allowance.refundable();
    let (first_attempt, _) = AttemptLog::permit(log, key.number, settings, taken, decision.view);
    let verification = Verification::beginning(salt, &options, now);
    let permit = SendPermit { verification, replaced: None, before: None };
    // While the code before it lives, the person asks for another because that one has not arrived.
    let asked = match of_number.earlier(decision.view) {
        Some(Earlier::Same(last)) if now < last.at.plus(options.life) => {
            let last = AttemptLogKey::new(key.service, last.verification, decision.view.slot());
            decision.view.get::<AttemptLog>(last.id()).map(|log| log.asked_in_vain()).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let repeated = Vec::new();
    Next::Deliver(Permitted { permit, begins: true, log, first_attempt, repeated, follow_up: None, asked })
}

/// Records the attempts, and remembers a message that a gateway accepted.
pub(super) fn settle(
    decision: &mut Decision<'_, '_>,
    outgoing: &Outgoing,
    Carried { of_number, remembered_for, .. }: &Carried,
    permitted: &Permitted,
    delivered: &Delivered,
) -> Next {
    let (settings, now) = (decision.deps.attempt_log, decision.now);
    // Also of a message that was refused: one gateway may have been asked before, whose report finds its attempt here.
    let number = decision.key.number;
    let (log, _) = AttemptLog::record(number, settings, &outgoing.style, permitted, delivered, decision.view);
    let outcome = send_outcome(delivered, SettleOutcome::Open { attempts_left: 0 });
    if matches!(outcome, Ok(SendOutcome::Sent { .. })) {
        let about = (permitted.permit.verification.salt.id(), outgoing.channel());
        let ends = permitted.expires();
        if let Some(of_code) = outgoing.keyed {
            of_code.remember(about, ends.max(now.plus(*remembered_for)), None, decision.view);
        }
        of_number.remember(about, ends.plus(KEPT_BEYOND), None, decision.view);
    }
    for ticket in delivered.certainly_not_sent() {
        decision.tell_guard(GuardNews::NotSent(ticket));
    }
    for fact in facts(outgoing, true, delivered) {
        decision.count(fact);
    }
    let (reason, may_have_been_sent) = (delivered.reason, delivered.result.may_still_arrive());
    let summary = VerificationSummary::of(&permitted.permit.verification, &decision.rules.policy);
    let reply = |outcome| Reply {
        reason,
        may_have_been_sent,
        attempts: log,
        ..Reply::new(outcome, now, Some(summary))
    };
    Next::Sent(outcome.map(reply))
}

impl Verifier {
    /// Notes that the number was verified by the code of its last carried message. Returns `false` if that code ended more
    /// than ten minutes ago, or if its outcome is known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn carried_outcome(&self, key: NumberKey, of_number: RequestKey) -> Result<bool, Refusal> {
        let guard = self.deps.guard.clone();
        let decided = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let Some(sent) = of_number.take(view) else { return Ok(None) };
            let log = AttemptLogKey::new(key.service, sent.verification, view.slot());
            let checked = AttemptLog::checked(log, VerifyStatus::Success, view);
            let mut checked = checked.map(|(_, checked)| checked).unwrap_or_default();
            let taken = std::mem::take(&mut checked.taken);
            let news = guard.as_ref().and_then(|guard| guard.record_verified(key, taken, view));
            Ok::<_, Refusal>(Some((sent.channel, checked, news)))
        });
        let Some((channel, checked, news)) = decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))? else {
            return Ok(false);
        };
        let (recipient, gateway) = (key, checked.accepted_by);
        let tried = checked.is_first.then_some(VerificationStep::Tried);
        for step in tried.into_iter().chain([VerificationStep::Approved]) {
            self.deps.metrics.count(&Fact::Verification { recipient, channel, gateway, step });
        }
        if let Some((guard, news)) = self.deps.guard.as_ref().zip(news) {
            guard.learn(key, news);
        }
        Ok(true)
    }
}
