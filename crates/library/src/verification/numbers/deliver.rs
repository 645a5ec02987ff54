//! What happens outside of the shards. Tasks that durable decisions leave: messages for gateways, and submitted codes for
//! the gateways that hold the code, whose results come back as commands; and what gateways and the guard are told. And
//! planned sends: when one is due, the number's shard decides whether the code can still be used, and records its beginning
//! before a gateway is asked.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::carry::{Carrying, InProgress, note_taken};
use super::command::{NumberCommand, Request};
use super::decision::{Asking, NumberDeps, Responder, Sending, Task, ToldEnd, Waiter};
use super::in_flight::CommandLimit;
use crate::delivery::attempts::Attempts;
use crate::delivery::{CodeLiveness, CodeState, Delivery};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, Salt};
use crate::limits::guard::Ticket;
use crate::shard::{Refusal, Shards};

/// Carries out tasks. What a gateway is asked or told runs in a task of its own: a disconnected caller cannot interrupt a
/// send, and no shard waits for a gateway.
pub fn with_gateways(
    delivery: Arc<Delivery>,
    shards: Shards,
    carried: InProgress,
) -> impl Fn(&Arc<NumberDeps>, Task) + Send + Sync {
    move |deps, task| {
        let (deps, shards, delivery) = (Arc::clone(deps), shards.clone(), Arc::clone(&delivery));
        match task {
            Task::Deliver(sending) => {
                let carried = Arc::clone(&carried);
                let deliver = async move {
                    let Sending { outgoing, permitted, .. } = &sending;
                    let (key, verification) = (outgoing.key, permitted.permit.verification);
                    let delivered = match &outgoing.supplied_code {
                        Some(code) if outgoing.carried.is_some() => {
                            let carrying = Carrying::new(&carried, &shards, key, verification.salt.id());
                            delivery.deliver(outgoing, permitted, code, &carrying).await
                        }
                        _ => {
                            let code = verification.code_seed(key.service, key.number).code(&deps.key);
                            let liveness =
                                NumberLiveness { deps: &deps, shards: &shards, key, salt: verification.salt };
                            delivery.deliver(outgoing, permitted, &code, &liveness).await
                        }
                    };
                    let settle = Request::Settle(sending, delivered);
                    shards.submit(NumberCommand::new(key, settle, deps));
                };
                // The future is large: it is moved once, into its box.
                tokio::spawn(Box::pin(deliver));
            }
            Task::AskGateway(asking) => {
                tokio::spawn(async move {
                    let result = ask(&delivery, &shards, &asking).await;
                    let (key, settle) = (asking.check.key, Request::SettleCheck(asking, result));
                    shards.submit(NumberCommand::new(key, settle, deps));
                });
            }
            Task::TellGateway(ToldEnd { gateway, message_id, end }) => {
                tokio::spawn(async move {
                    delivery.report_code_end(gateway, &message_id, end).await;
                });
            }
            Task::TellGuard(key, news) => {
                if let Some(guard) = delivery.guard() {
                    guard.learn(key, news);
                }
            }
        }
    }
}

async fn ask(
    delivery: &Delivery,
    shards: &Shards,
    Asking { check, permit, .. }: &Asking,
) -> Result<CheckResult, Refusal> {
    let asking = async {
        // Another node may own the records.
        if !shards.owns_records() {
            return Err(Refusal::StoreUnavailable);
        }
        // The gateway has its own time limit; this one holds in any case. The shard ignores a later answer.
        let left = permit.until.since(shards.clock().now());
        if left.is_zero() {
            return Ok(CheckResult::NotAsked);
        }
        Ok(timeout(left, delivery.check(check, permit.held)).await.unwrap_or(CheckResult::Unknown))
    };
    // A check that is never settled would hold up its number until its time has passed.
    AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_panic| {
        let (request_id, number) = (check.request_id.as_deref(), check.key.number);
        tracing::error!(request_id, %number, "gateway check panicked; the attempt counts");
        Ok(CheckResult::Unknown)
    })
}

/// Tells a delivery run whether its code is still live.
struct NumberLiveness<'a> {
    deps: &'a NumberDeps,
    shards: &'a Shards,
    key: NumberKey,
    salt: Salt,
}

impl CodeLiveness for NumberLiveness<'_> {
    async fn code_state(&self) -> CodeState {
        match self.deps.verification(self.shards, self.key).await {
            Ok(Some(v)) if v.salt == self.salt && v.is_live(self.shards.clock().now()) => CodeState::Live,
            Ok(_) => CodeState::Ended,
            Err(_) => CodeState::Unknown,
        }
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }

    async fn note_taken(&self, log: AttemptLogKey, taken: Ticket) -> bool {
        note_taken(self.shards, log, taken).await
    }
}

/// The wait before a refused planned send is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What planned sends need.
pub struct FollowUps {
    /// The plans.
    pub attempts: Attempts,
    /// The shards that decide planned sends.
    pub shards: Shards,
    /// The dependencies of each command.
    pub deps: Arc<NumberDeps>,
    /// The limit on commands in flight. A planned send takes a place of its service, therefore a stop waits for it.
    pub limit: Arc<CommandLimit>,
    /// For sends in flight at once.
    pub room: Arc<Semaphore>,
}

impl FollowUps {
    /// Makes planned sends when they are due, until the handle is dropped.
    pub fn start(self) -> Arc<Self> {
        let follow_ups = Arc::new(self);
        let weak = Arc::downgrade(&follow_ups);
        follow_ups.attempts.on_due(move |log| drop(tokio::spawn(follow(Weak::clone(&weak), log))));
        follow_ups
    }

    /// Sends that have begun go on; the others are due again after the next start.
    pub fn stop(&self) {
        self.room.close();
    }

    /// Returns whether the planned send was refused: nothing was sent, and the code may still be usable.
    async fn is_refused(&self, log: AttemptLogKey) -> bool {
        let number = match self.attempts.log(log).await {
            Ok(Some(found)) => NumberKey::new(log.service, found.number),
            Ok(None) => return false,
            Err(_) => return true,
        };
        match self.limit.acquire(log.service, true) {
            Ok(permit) => {
                let (responder, pending) = Responder::new(permit);
                let resume = Request::Resume(log, Waiter::FollowUp(responder));
                self.shards.submit(NumberCommand::new(number, resume, Arc::clone(&self.deps)));
                // If the shard fails, it is due again after the restart, unless the send had begun.
                matches!(pending.await, Ok(Err(_)))
            }
            Err(refusal) => refusal != Refusal::Stopping,
        }
    }
}

/// Makes a planned send that is due.
async fn follow(follow_ups: Weak<FollowUps>, log: AttemptLogKey) -> Option<()> {
    loop {
        let room = Arc::clone(&follow_ups.upgrade()?.room);
        let place = room.acquire_owned().await.ok()?;
        let is_refused = follow_ups.upgrade()?.is_refused(log).await;
        drop(place);
        if !is_refused {
            return None;
        }
        sleep(TRY_AGAIN_AFTER).await;
    }
}
