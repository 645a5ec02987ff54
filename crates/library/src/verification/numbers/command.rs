//! Commands about one number. The shard decides them in order, and performs their effects when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) have the decisions. This module has the command, and the one place
//! that performs it.

use std::sync::Arc;

use super::check::{self, End};
use super::decision::{Decision, Next};
use super::in_flight::Responder;
use super::reply::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::delivery::{Check, Delivered, Outgoing};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, NumberState, Verification};
use crate::limits::guard::GuardNews;
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::shard::{Command, Load, Refusal, Subject, Then, Transaction};

pub use super::decision::{Asking, NumberDeps, Sending, Task};

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code.
    Send(Box<Outgoing>, Responder<Reply<SendOutcome>>),
    /// Make the planned send of the live code that this record has.
    Resume(AttemptLogKey, Responder<Reply<SendOutcome>>),
    /// Check a code.
    Check(Check, Responder<Reply<CheckOutcome>>),
    /// End a verification, or clear the counts of a number.
    End(End, Responder<Reply<bool>>),
    /// Settle a send with its result.
    Settle(Sending, Delivered),
    /// Settle a check with the answer of the gateway that holds the code. An error answers the client; the gateway was not
    /// asked.
    SettleCheck(Asking, Result<CheckResult, Refusal>),
}

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

    /// Hands the request on, or answers it.
    fn go_on(self, next: Next, view: &Transaction<'_>) -> Option<Command> {
        let Self { key, request, deps, span, .. } = self;
        drop(span);
        let again = |request| Some(Self::new(key, request, Arc::clone(&deps)).into());
        match (request, next) {
            (Request::Send(outgoing, responder), Next::Deliver(None, permitted))
            | (Request::Resume(_, responder), Next::Deliver(Some(outgoing), permitted)) => {
                return again(deliver_if_live(Sending { outgoing, permitted, responder }, &deps, view)?);
            }
            (Request::Check(check, responder), Next::AskGateway(permit)) => {
                return again(ask_if_in_time(Asking { check, permit, responder }, &deps, view)?);
            }
            (Request::Settle(Sending { mut outgoing, responder, .. }, delivered), Next::SendAgain) => {
                outgoing.allowance = delivered.allowance;
                return again(Request::Send(outgoing, responder));
            }
            (
                Request::Send(_, responder)
                | Request::Resume(_, responder)
                | Request::Settle(Sending { responder, .. }, _),
                Next::Sent(reply),
            ) => responder.send(reply),
            (
                Request::Check(_, responder) | Request::SettleCheck(Asking { responder, .. }, _),
                Next::Checked(reply),
            ) => responder.send(reply),
            (Request::End(_, responder), Next::Ended(reply)) => responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a decision that panicked.
            _ => tracing::error!("decision not performed"),
        }
        None
    }

    fn decide(mut self, view: Result<&mut Transaction<'_>, Refusal>) -> Option<Then> {
        let view = match view {
            Ok(view) => view,
            Err(refusal) => return self.refuse(refusal),
        };
        let mut decision = Decision::new(self.key, &self.deps, self.cause.as_ref(), view);
        let decided = match &mut self.request {
            Request::Send(outgoing, _) => send::send(&mut decision, outgoing),
            Request::Resume(log, _) => send::resume(&mut decision, *log),
            Request::Check(check, _) => check::check(&mut decision, check),
            Request::End(end, _) => check::end(&mut decision, end),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                Ok(send::settle(&mut decision, outgoing, permitted, delivered))
            }
            Request::SettleCheck(asking, result) => Ok(check::settle(&mut decision, asking, *result)),
        };
        let Decision { facts, told, .. } = decision;
        match decided {
            Ok(next) => Some(Box::new(move |fate, view| match fate {
                Ok(()) => {
                    for fact in &facts {
                        self.deps.metrics.count(fact);
                    }
                    for task in told {
                        (self.deps.outside)(&self.deps, task);
                    }
                    self.go_on(next, view)
                }
                Err(refusal) => self.refuse(refusal),
            })),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse<T>(mut self, refusal: Refusal) -> Option<T> {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = self;
        // An earlier commit has begun it, and a gateway may have been asked.
        let unknown = Refusal::OutcomeUnknown;
        let unused = match &request {
            Request::Send(outgoing, _) => outgoing.allowance.refundable(),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                // The send has ended, also if its result cannot be made durable. What it planned is not kept either.
                send::facts(outgoing, permitted.begins, delivered).for_each(|fact| deps.metrics.count(&fact));
                delivered.allowance.refundable()
            }
            Request::Resume(..) | Request::Check(..) | Request::End(..) | Request::SettleCheck(..) => {
                Vec::new()
            }
        };
        for ticket in unused {
            (deps.outside)(&deps, Task::TellGuard(key, GuardNews::NotSent(ticket)));
        }
        match request {
            Request::Send(_, responder) | Request::Resume(_, responder) => responder.send(Err(refusal)),
            Request::Check(_, responder) => responder.send(Err(refusal)),
            Request::End(_, responder) => responder.send(Err(refusal)),
            Request::Settle(Sending { responder, .. }, _) => responder.send(Err(unknown)),
            Request::SettleCheck(Asking { responder, .. }, _) => responder.send(Err(unknown)),
        }
        None
    }
}

impl From<NumberCommand> for Command {
    fn from(command: NumberCommand) -> Self {
        let load = match command.request {
            Request::Settle(..) | Request::SettleCheck(..) => Load::Settlement,
            _ => Load::Bounded,
        };
        Self { subject: command.subject, load, decide: Box::new(move |view| command.decide(view)) }
    }
}

/// Hands the message to delivery, unless its commit took longer than the send may, or a later command made its code
/// useless: then it is settled.
fn deliver_if_live(sending: Sending, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let Sending { outgoing, permitted, .. } = &sending;
    let (permit, now) = (&permitted.permit, view.now());
    let present = present(outgoing.key, deps, view);
    // A carried code that a newer one replaces may still be the first to leave.
    let is_live = outgoing.carried.is_some() || present.is_some_and(|v| v.is_live(now) && permit.is_for(&v));
    if is_live && permit.verification.is_sending(now) {
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask_if_in_time(asking: Asking, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let asked = present(asking.check.key, deps, view);
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(view.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}

/// The verification of a number as it is now.
fn present(key: NumberKey, deps: &NumberDeps, view: &Transaction<'_>) -> Option<Verification> {
    let state: NumberState = view.get(key.id())?;
    state.at(&deps.policies.of(key.service), view.now()).verification()
}
