//! Commands about one number: send a code, check a code, end a verification.
//!
//! The shard decides them in order ([`send`](super::send) and [`check`](super::check) have the decisions), and performs
//! their effects when the decision is durable. Messages for gateways, and submitted codes for the gateways that hold the
//! code, leave the shard as tasks, whose results come back as commands.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::check::{self, End};
use super::decision::{Decision, Next, Outside};
use super::in_flight::Responder;
use super::model::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, Delivered, Delivery, Failure, Outgoing};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, Ending, Salt};
use crate::limits::guard::{GuardNews, Ticket};
use crate::shard::{Admission, Command, Refusal, Shards, Then, Transaction};

pub use super::decision::{Asking, NumberDeps, Sending, Task};

/// The operation, with who waits for its end.
pub enum Request {
    /// Send a code, or make the planned send of the live code that this record has.
    Send(Box<Outgoing>, Option<AttemptLogKey>, Responder<Reply<SendOutcome>>),
    /// Check a code.
    Check(Check, Responder<Reply<CheckOutcome>>),
    /// End a verification, or clear the counts of a number.
    End(End, Responder<Reply<bool>>),
    /// Settle a send with its result.
    Settle(Sending, Delivered),
    /// Settle a check with the answer of the gateway that holds the code; `None` if it was not asked, because another node
    /// may own the records.
    SettleCheck(Asking, Option<CheckResult>),
}

/// One command about the number of the request.
pub fn command(request: Request, deps: Arc<NumberDeps>) -> Command {
    let (key, admit) = match &request {
        Request::Send(outgoing, ..) => (outgoing.key, Admission::Bounded),
        Request::Check(check, _) => (check.key, Admission::Bounded),
        Request::End(end, _) => (end.key, Admission::Bounded),
        Request::Settle(Sending { outgoing, .. }, _) => (outgoing.key, Admission::Settlement),
        Request::SettleCheck(Asking { check, .. }, _) => (check.key, Admission::Settlement),
    };
    let subject = deps.subject(&key);
    let command = NumberCommand { key, request, deps };
    Command { subject, admit, decide: Box::new(move |view| command.decide(view)) }
}

struct NumberCommand {
    key: NumberKey,
    request: Request,
    deps: Arc<NumberDeps>,
}

impl NumberCommand {
    /// Hands the request on, or answers it.
    fn go_on(self, next: Next, view: &Transaction<'_>) -> Option<Command> {
        let Self { request, deps, .. } = self;
        match (request, next) {
            (Request::Send(outgoing, _, responder), Next::Deliver(permitted)) => {
                let settled = deliver_if_live(Sending { outgoing, permitted, responder }, &deps, view)?;
                return Some(command(settled, deps));
            }
            (Request::Check(check, responder), Next::AskGateway(permit)) => {
                (deps.outside)(&deps, Task::AskGateway(Asking { check, permit, responder }));
            }
            (Request::Send(.., responder), Next::Sent(reply)) => responder.send(reply),
            (Request::Settle(sending, _), Next::Sent(reply)) => sending.responder.send(reply),
            (Request::Check(_, responder), Next::Checked(reply)) => responder.send(reply),
            (Request::SettleCheck(asking, _), Next::Checked(reply)) => asking.responder.send(reply),
            (Request::End(_, responder), Next::Ended(reply)) => responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a decision that panicked.
            _ => tracing::error!("decision not performed"),
        }
        None
    }

    fn decide(mut self, view: Result<&mut Transaction<'_>, Refusal>) -> Option<Then> {
        let decided = view.and_then(|view| {
            let mut decision = Decision::new(self.key, &self.deps, view);
            let next = match &mut self.request {
                Request::Send(outgoing, None, _) => send::send(&mut decision, outgoing)?,
                Request::Send(outgoing, Some(log), _) => send::resume(&mut decision, *log, outgoing)?,
                Request::Check(check, _) => check::check(&mut decision, check)?,
                Request::End(end, _) => check::end(&mut decision, end)?,
                Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                    send::settle(&mut decision, outgoing, permitted, delivered)
                }
                Request::SettleCheck(asking, result) => check::settle(&mut decision, asking, *result),
            };
            // An event would name an erased number again.
            if !matches!(&self.request, Request::End(End { ending: Ending::Erased, .. }, _)) {
                decision.emit_lockout();
            }
            Ok((next, decision.facts, decision.told))
        });
        let (next, facts, told) = match decided {
            Ok(decided) => decided,
            Err(refusal) => return self.refuse(refusal),
        };
        Some(Box::new(move |fate, view| {
            if let Err(refusal) = fate {
                return self.refuse(refusal);
            }
            for fact in &facts {
                self.deps.metrics.count(fact);
            }
            self.deps.tell_guard(self.key, told);
            self.go_on(next, view)
        }))
    }

    fn refuse<T>(self, refusal: Refusal) -> Option<T> {
        let Self { key, mut request, deps } = self;
        // An earlier commit has begun it, and a gateway may have been asked.
        let is_settlement = match &mut request {
            Request::Settle(sending, _) => {
                sending.responder.answer(Err(Refusal::OutcomeUnknown));
                true
            }
            Request::SettleCheck(asking, _) => {
                asking.responder.answer(Err(Refusal::OutcomeUnknown));
                true
            }
            Request::Send(..) | Request::Check(..) | Request::End(..) => false,
        };
        if is_settlement && refusal == Refusal::StoreUnavailable {
            (deps.outside)(&deps, Task::SettleAgain(request));
            return None;
        }
        let unused = match &request {
            // A plan stays, with what was taken for it.
            Request::Send(outgoing, None, _) => outgoing.allowance.clone(),
            Request::Settle(_, delivered) => delivered.allowance.clone(),
            _ => None,
        };
        deps.tell_guard(key, unused.into_iter().flatten().map(GuardNews::NotSent));
        match request {
            Request::Send(.., responder) => responder.send(Err(refusal)),
            Request::Check(_, responder) => responder.send(Err(refusal)),
            Request::End(_, responder) => responder.send(Err(refusal)),
            Request::Settle(..) | Request::SettleCheck(..) => {}
        }
        None
    }
}

/// Hands the message to delivery, unless its commit took longer than the send may, or a later command made its code
/// useless: then it is settled.
fn deliver_if_live(sending: Sending, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let Sending { outgoing, permitted, .. } = &sending;
    let (permit, now) = (&permitted.permit, view.now());
    let present = deps.state_in(outgoing.key, view).verification();
    // A carried code that a newer one replaces may still be the first to leave.
    let is_live = outgoing.carried.is_some() || present.is_some_and(|v| v.is_live(now) && permit.is_for(&v));
    if is_live && permit.verification.is_sending(now) {
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// The wait before a settlement that the store has refused is decided again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Carries out tasks. What a gateway is asked runs in a task of its own: a disconnected caller cannot interrupt a send, and
/// no shard waits for a gateway.
pub(super) fn with_gateways(delivery: Arc<Delivery>, shards: Shards) -> Outside {
    Box::new(move |deps, task| {
        let (deps, shards, delivery) = (Arc::clone(deps), shards.clone(), Arc::clone(&delivery));
        let carried_out = async move {
            let request = match task {
                Task::Deliver(sending) => {
                    let Sending { outgoing, permitted, .. } = &sending;
                    let (key, verification) = (outgoing.key, permitted.permit.verification);
                    let code = verification.code_seed(key.service, key.number).code(&deps.key);
                    let salt = verification.salt;
                    let is_live = |taken| code_is_live(Arc::clone(&deps), &shards, key, salt, taken);
                    let delivered = delivery.deliver(outgoing, permitted, &code, &is_live).await;
                    Request::Settle(sending, delivered)
                }
                Task::AskGateway(asking) if shards.owns_records() => {
                    let result = delivery.check(&asking.check, &asking.permit).await;
                    Request::SettleCheck(asking, Some(result))
                }
                Task::AskGateway(asking) => Request::SettleCheck(asking, None),
                Task::SettleAgain(request) => {
                    sleep(AGAIN_AFTER).await;
                    request
                }
            };
            shards.submit(command(request, deps));
        };
        // The future is large: it is moved once, into its box.
        tokio::spawn(Box::pin(carried_out));
    })
}

/// Whether the code with this salt is still live. Makes durable what the guard has `taken` for its next message.
async fn code_is_live(
    deps: Arc<NumberDeps>,
    shards: &Shards,
    key: NumberKey,
    salt: Salt,
    taken: Option<Ticket>,
) -> Result<(), Failure> {
    let asked = shards.decide(deps.subject(&key), move |view| {
        let present = deps.state_in(key, view).verification();
        let is_live = present.is_some_and(|v| v.salt == salt && v.is_live(view.now()));
        let id = AttemptLogKey::new(key.service, salt.id(), view.slot()).id();
        if let Some((taken, mut log)) = taken.zip(view.get::<AttemptLog>(id)) {
            log.take(taken);
            view.put(id, Some(&log));
        }
        if is_live { Ok(Ok(())) } else { Ok::<_, Refusal>(Err(Failure::NoLongerUsable)) }
    });
    asked.await.ok().and_then(Result::ok).unwrap_or(Err(Failure::StateUnknown))
}
