//! What happens outside of the shards. Tasks that durable decisions leave: messages for gateways, and submitted codes for
//! the gateways that hold the code, whose results come back as commands; and what gateways and the guard are told. And the
//! scheduler of planned sends: when one is due, the number's shard decides whether the code can still be used, and records
//! its beginning before a gateway is asked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::carry::{Carrying, InProgress};
use super::command::{NumberCommand, Request};
use super::decision::{Asking, NumberDeps, Responder, Sending, Task, ToldEnd, Waiter};
use super::in_flight::CommandLimit;
use crate::delivery::attempts::{AttemptLog, Attempts, Due};
use crate::delivery::{CodeLiveness, CodeState, Delivery};
use crate::domain::{AttemptLogKey, NumberKey};
use crate::engine::{CheckResult, Salt};
use crate::limits::guard::Ticket;
use crate::shard::{Refusal, Shards, Subject};

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
        let (slot, id) = (log.slot(), log.id());
        let noted = self.shards.router().decide_unbounded(Subject { slot, id }, move |view| {
            if let Some(mut log) = view.get::<AttemptLog>(id) {
                log.take(taken);
                view.put(id, Some(&log));
            }
            Ok::<_, Refusal>(())
        });
        matches!(noted.await, Ok(Ok(())))
    }
}

/// Poll interval for due plans while at least one plan exists. A planned send is due after half a second at the
/// earliest.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The wait before a refused planned send is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Planned sends that one poll takes.
const DUE_AT_ONCE: usize = 256;

/// The scheduler's dependencies.
pub struct FollowUps {
    /// The plans.
    pub attempts: Attempts,
    /// The shards that decide planned sends.
    pub shards: Shards,
    /// The dependencies of each command.
    pub deps: Arc<NumberDeps>,
    /// The limit on commands in flight. A planned send takes a place of its service, therefore a stop waits for it.
    pub limit: Arc<CommandLimit>,
    /// Sends in flight at once.
    pub at_once: usize,
}

/// Makes planned sends until `stop` is true or its sender is dropped. Sends that have begun by then go on; the others are
/// due again after the next start.
pub async fn follow_up(follow_ups: FollowUps, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(follow_ups.at_once.max(1)));
    let follow_ups = Arc::new(follow_ups);
    loop {
        let idle = follow_ups.attempts.plans.is_empty();
        tokio::select! {
            () = stop_requested(&mut stop) => return,
            () = follow_ups.attempts.plans.planned.notified(), if idle => {}
            () = sleep(LOOK_EVERY), if !idle => {}
        }
        for due in follow_ups.attempts.plans.take_due(follow_ups.shards.clock().now(), DUE_AT_ONCE) {
            let room = tokio::select! {
                () = stop_requested(&mut stop) => return,
                room = Arc::clone(&room).acquire_owned() => room,
            };
            let Ok(room) = room else { return };
            tokio::spawn(Arc::clone(&follow_ups).follow(due, room));
        }
    }
}

async fn stop_requested(stop: &mut watch::Receiver<bool>) {
    // An error means that the last handle is dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl FollowUps {
    async fn follow(self: Arc<Self>, due: Due, _room: OwnedSemaphorePermit) {
        let is_refused = match self.limit.acquire(due.key.service, true) {
            Ok(permit) => {
                let (responder, pending) = Responder::new(permit);
                let number = NumberKey::new(due.key.service, due.number);
                let resume = Request::Resume(due.key, Waiter::FollowUp(responder));
                self.shards.submit(NumberCommand::new(number, resume, Arc::clone(&self.deps)));
                // If the shard fails, its index offers the plan again after the restart, unless the send had begun.
                matches!(pending.await, Ok(Err(_)))
            }
            Err(refusal) => refusal != Refusal::Stopping,
        };
        // Nothing was sent, and the code may still be usable.
        if is_refused {
            self.attempts.plans.put_back(due, self.shards.clock().now().plus(TRY_AGAIN_AFTER));
        }
    }
}
