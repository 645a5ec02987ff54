//! Commands about one number: send a code, check a code, end a verification.
//!
//! The shard decides them in order ([`send`](super::send) and [`check`](super::check) have the decisions), and performs
//! their effects when the decision is durable. Messages for gateways, and submitted codes for the gateways that hold the
//! code, leave the shard as tasks, whose results come back as commands.

use std::sync::Arc;

use tokio::time::timeout;

use super::check::{self, End};
use super::decision::{Decision, Next};
use super::in_flight::Responder;
use super::model::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, CodeLiveness, Delivered, Delivery, Failure, Outgoing};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, Salt};
use crate::limits::guard::{GuardNews, Ticket};
use crate::shard::{Command, Load, Refusal, Shards, Subject, Then, Transaction};

pub use super::decision::{Asking, NumberDeps, Sending, Task};

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code, or make the planned send of the live code that this record has.
    Send(Box<Outgoing>, Option<AttemptLogKey>, Responder<Reply<SendOutcome>>),
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
}

impl NumberCommand {
    /// Its number is that of the request.
    pub fn new(request: Request, deps: Arc<NumberDeps>) -> Self {
        let key = match &request {
            Request::Send(outgoing, ..) | Request::Settle(Sending { outgoing, .. }, _) => outgoing.key,
            Request::Check(check, _) | Request::SettleCheck(Asking { check, .. }, _) => check.key,
            Request::End(end, _) => end.key,
        };
        Self { key, request, deps }
    }

    /// Hands the request on, or answers it.
    fn go_on(self, next: Next, view: &Transaction<'_>) -> Option<Command> {
        let Self { request, deps, .. } = self;
        let again = |request| Some(Self::new(request, Arc::clone(&deps)).into());
        match (request, next) {
            (Request::Send(outgoing, _, responder), Next::Deliver(permitted)) => {
                return again(deliver_if_live(Sending { outgoing, permitted, responder }, &deps, view)?);
            }
            (Request::Check(check, responder), Next::AskGateway(permit)) => {
                return again(ask_if_in_time(Asking { check, permit, responder }, &deps, view)?);
            }
            (
                Request::Send(.., responder) | Request::Settle(Sending { responder, .. }, _),
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
        let mut decision = Decision::new(self.key, &self.deps, view);
        let decided = match &mut self.request {
            Request::Send(outgoing, None, _) => send::send(&mut decision, outgoing),
            Request::Send(outgoing, Some(log), _) => send::resume(&mut decision, *log, outgoing),
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
                    for news in told {
                        self.deps.tell_guard(self.key, news);
                    }
                    self.go_on(next, view)
                }
                Err(refusal) => self.refuse(refusal),
            })),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse<T>(self, refusal: Refusal) -> Option<T> {
        let Self { key, request, deps, .. } = self;
        let give_back = |unused: Vec<Ticket>| {
            for ticket in unused {
                deps.tell_guard(key, GuardNews::NotSent(ticket));
            }
        };
        match request {
            Request::Send(outgoing, log, responder) => {
                // A plan stays, with what was taken for it.
                give_back(if log.is_none() { outgoing.allowance.refundable() } else { Vec::new() });
                responder.send(Err(refusal));
            }
            Request::Check(_, responder) => responder.send(Err(refusal)),
            Request::End(_, responder) => responder.send(Err(refusal)),
            // An earlier commit has begun it, and a gateway may have been asked.
            Request::Settle(Sending { responder, .. }, delivered) => {
                give_back(delivered.allowance.refundable());
                responder.send(Err(Refusal::OutcomeUnknown));
            }
            Request::SettleCheck(Asking { responder, .. }, _) => {
                responder.send(Err(Refusal::OutcomeUnknown));
            }
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
        let subject = command.deps.subject(&command.key);
        Self { subject, load, decide: Box::new(move |view| command.decide(view)) }
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

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask_if_in_time(asking: Asking, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let asked = deps.state_in(asking.check.key, view).verification();
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(view.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}

/// Carries out tasks. What a gateway is asked runs in a task of its own: a disconnected caller cannot interrupt a send, and
/// no shard waits for a gateway.
pub fn with_gateways(
    delivery: Arc<Delivery>,
    shards: Shards,
) -> impl Fn(&Arc<NumberDeps>, Task) + Send + Sync {
    move |deps, task| {
        let (deps, shards, delivery) = (Arc::clone(deps), shards.clone(), Arc::clone(&delivery));
        match task {
            Task::Deliver(sending) => {
                let deliver = async move {
                    let Sending { outgoing, permitted, .. } = &sending;
                    let (key, verification) = (outgoing.key, permitted.permit.verification);
                    let code = verification.code_seed(key.service, key.number).code(&deps.key);
                    let liveness = Liveness { deps: &deps, shards: &shards, key, salt: verification.salt };
                    let delivered = delivery.deliver(outgoing, permitted, &code, &liveness).await;
                    shards.submit(NumberCommand::new(Request::Settle(sending, delivered), deps));
                };
                // The future is large: it is moved once, into its box.
                tokio::spawn(Box::pin(deliver));
            }
            Task::AskGateway(asking) => {
                tokio::spawn(async move {
                    let Asking { check, permit, .. } = &asking;
                    // The gateway has its own time limit; this one holds in any case. The shard ignores a later answer.
                    let left = permit.until.since(shards.clock().now());
                    let result = if !shards.owns_records() {
                        // Another node may own the records.
                        Err(Refusal::StoreUnavailable)
                    } else if left.is_zero() {
                        Ok(CheckResult::NotAsked)
                    } else {
                        let asked = timeout(left, delivery.check(check, permit.held)).await;
                        Ok(asked.unwrap_or(CheckResult::Unknown))
                    };
                    shards.submit(NumberCommand::new(Request::SettleCheck(asking, result), deps));
                });
            }
        }
    }
}

/// Tells a delivery run whether its code is still live.
struct Liveness<'a> {
    deps: &'a Arc<NumberDeps>,
    shards: &'a Shards,
    key: NumberKey,
    salt: Salt,
}

impl CodeLiveness for Liveness<'_> {
    async fn code_is_live(&self) -> Result<(), Failure> {
        let state = self.deps.state(self.shards, self.key).await;
        let (state, now) = state.map_err(|_| Failure::StateUnknown)?;
        let live = state.verification().filter(|v| v.salt == self.salt && v.is_live(now));
        live.map(drop).ok_or(Failure::NoLongerUsable)
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }

    async fn note_taken(&self, log: AttemptLogKey, taken: Ticket) -> bool {
        let (slot, id) = (log.slot(), log.id());
        let noted = self.shards.decide(Subject { slot, id }, move |view| {
            if let Some(mut log) = view.get::<AttemptLog>(id) {
                log.take(taken);
                view.put(id, Some(&log));
            }
            Ok::<_, Refusal>(())
        });
        matches!(noted.await, Ok(Ok(())))
    }
}
