//! Commands about one number. The shard decides them in order, and performs their effects when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) have the decisions. This module has the command, its effects, and
//! the one place that performs them.

use std::sync::Arc;

use super::check::{self, End};
use super::decision::{Decision, Next};
use super::send;
use crate::delivery::{Check, Delivered, Outgoing};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, NumberState, Verification};
use crate::limits::guard::GuardNews;
use crate::observe::metrics::Fact;
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::shard::{After, Command, Load, Refusal, Subject, Then, Transaction};

pub use super::decision::{Asking, NumberDeps, PendingReply, Responder, Sending, Task, ToldEnd, Waiter};

/// One command about one number.
pub struct NumberCommand {
    key: NumberKey,
    request: Request,
    deps: Arc<NumberDeps>,
    subject: Subject,
    /// The client's request, if it is traced.
    cause: Option<SpanContext>,
    /// The span from the submission until the decision is durable.
    span: Option<Span>,
}

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code.
    Send(Box<Outgoing>, Waiter),
    /// Make the planned send of the live code that this record has.
    Resume(AttemptLogKey, Waiter),
    /// Check a code.
    Check(Check, Waiter),
    /// End a verification, or clear the counts of a number.
    End(End, Waiter),
    /// Settle a send with its result.
    Settle(Sending, Delivered),
    /// Settle a check with the answer of the gateway that holds the code. An error answers the client; the gateway was not
    /// asked.
    SettleCheck(Asking, Result<CheckResult, Refusal>),
}

impl Request {
    fn into_waiter(self) -> Waiter {
        match self {
            Self::Send(_, waiter)
            | Self::Resume(_, waiter)
            | Self::Check(_, waiter)
            | Self::End(_, waiter)
            | Self::Settle(Sending { waiter, .. }, _)
            | Self::SettleCheck(Asking { waiter, .. }, _) => waiter,
        }
    }
}

/// What a decision about a number asks for. Nothing of it happens before the changes are durable.
struct Effects {
    facts: Vec<Fact>,
    /// What gateways and the guard are told.
    told: Vec<Task>,
    next: Next,
}

impl NumberCommand {
    /// A command that is linked to a client's request, if that is traced.
    pub fn new(key: NumberKey, request: Request, deps: Arc<NumberDeps>) -> Self {
        let (id, name) = match &request {
            Request::Send(outgoing, _) => (&outgoing.request_id, Some("decide send")),
            Request::Settle(Sending { outgoing, .. }, _) => (&outgoing.request_id, None),
            Request::Check(check, _) => (&check.request_id, Some("decide check")),
            Request::SettleCheck(Asking { check, .. }, _) => (&check.request_id, None),
            Request::Resume(..) | Request::End(..) => (&None, None),
        };
        let cause = id.as_ref().and_then(RequestId::span).cloned();
        let span = name.and_then(|name| cause.as_ref()?.child(name, SpanKind::Internal));
        let subject = deps.subject(&key);
        Self { key, request, deps, subject, cause, span }
    }

    fn decided(&mut self, view: &mut Transaction<'_>) -> Result<Effects, Refusal> {
        let mut decision = Decision::new(self.key, &self.deps, self.cause.as_ref(), view);
        let next = match &mut self.request {
            Request::Send(outgoing, _) => send::send(&mut decision, outgoing)?,
            Request::Resume(log, _) => send::resume(&mut decision, *log)?,
            Request::Check(check, _) => check::check(&mut decision, check)?,
            Request::End(end, _) => check::end(&mut decision, end)?,
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                send::settle(&mut decision, outgoing, permitted, delivered)
            }
            Request::SettleCheck(asking, result) => check::settle(&mut decision, asking, *result),
        };
        let Decision { facts, told, .. } = decision;
        Ok(Effects { facts, told, next })
    }

    fn perform(mut self, effects: Effects, after: &mut After<'_>) {
        drop(self.span.take());
        let Self { key, request, deps, subject, .. } = self;
        effects.facts.iter().for_each(|fact| deps.metrics.count(fact));
        effects.told.into_iter().for_each(|task| (deps.outside)(&deps, task));
        let further = match (request, effects.next) {
            (Request::Send(outgoing, waiter), Next::Deliver(permitted))
            | (Request::Resume(_, waiter), Next::DeliverPlanned(outgoing, permitted)) => {
                deliver_if_live(Sending { outgoing, permitted, waiter }, subject, &deps, after)
            }
            (Request::Check(check, waiter), Next::AskGateway(permit)) => {
                ask_if_in_time(Asking { check, permit, waiter }, subject, &deps, after)
            }
            (Request::Settle(Sending { mut outgoing, waiter, .. }, delivered), Next::SendAgain) => {
                outgoing.allowance = delivered.allowance;
                Some(Request::Send(outgoing, waiter))
            }
            (request, next) => {
                request.into_waiter().answer(next);
                None
            }
        };
        if let Some(request) = further {
            after.enqueue(NumberCommand::new(key, request, deps));
        }
    }
}

impl Command for NumberCommand {
    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        match self.request {
            Request::Send(..) | Request::Resume(..) => Load::UntilAnswered,
            Request::Check(..) | Request::End(..) => Load::UntilDecided,
            Request::Settle(..) | Request::SettleCheck(..) => Load::Settlement,
        }
    }

    fn decide(mut self: Box<Self>, view: &mut Transaction<'_>) -> Option<Then> {
        match self.decided(view) {
            Ok(effects) => Some(Box::new(move |fate, after| match fate {
                Ok(()) => self.perform(effects, after),
                Err(refusal) => self.refuse(refusal),
            })),
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    fn refuse(mut self: Box<Self>, refusal: Refusal) {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = *self;
        let (unused, has_begun) = match &request {
            Request::Send(outgoing, _) => (outgoing.allowance.refundable(), false),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                // The send has ended, also if its result cannot be made durable.
                send::facts(outgoing, permitted.begins, delivered).for_each(|fact| deps.metrics.count(&fact));
                // What it planned is not kept either.
                (delivered.allowance.refundable(), true)
            }
            Request::SettleCheck(..) => (Vec::new(), true),
            Request::Resume(..) | Request::Check(..) | Request::End(..) => (Vec::new(), false),
        };
        // An earlier commit has begun it, and a gateway may have been asked.
        let refusal = if has_begun { Refusal::OutcomeUnknown } else { refusal };
        for ticket in unused {
            (deps.outside)(&deps, Task::TellGuard(key, GuardNews::NotSent(ticket)));
        }
        match request.into_waiter() {
            Waiter::Send(responder) => responder.send(Err(refusal)),
            Waiter::Check(responder) => responder.send(Err(refusal)),
            Waiter::End(responder) => responder.send(Err(refusal)),
            // It would repeat a send that has ended.
            Waiter::FollowUp(responder) => responder.send(if has_begun { Ok(()) } else { Err(refusal) }),
        }
    }
}

/// Hands the message to delivery, unless its commit took longer than the send may, or a later command made its code
/// useless: then it is settled.
fn deliver_if_live(
    sending: Sending,
    subject: Subject,
    deps: &Arc<NumberDeps>,
    after: &mut After<'_>,
) -> Option<Request> {
    after.mark_at_gateway();
    let Sending { outgoing, permitted, .. } = &sending;
    let (permit, now) = (&permitted.permit, after.now());
    let live = present(outgoing.key, subject, deps, after).filter(|v| v.is_live(now));
    let is_live = permit.verification.is_sending(now) && live.is_some_and(|live| permit.is_for(&live));
    if is_live || outgoing.carried.is_some() {
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// The verification of a number as it is now.
fn present(key: NumberKey, subject: Subject, deps: &NumberDeps, after: &After<'_>) -> Option<Verification> {
    let state: NumberState = after.get(subject.slot, subject.id)?;
    state.at(&deps.policies.of(key.service), after.now()).verification()
}

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask_if_in_time(
    asking: Asking,
    subject: Subject,
    deps: &Arc<NumberDeps>,
    after: &mut After<'_>,
) -> Option<Request> {
    after.mark_at_gateway();
    let asked = present(asking.check.key, subject, deps, after);
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(after.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}
