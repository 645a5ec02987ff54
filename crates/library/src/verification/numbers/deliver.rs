//! What happens outside of the shards. Tasks that durable decisions leave: messages for gateways, and submitted codes for
//! the gateways that hold the code, whose results come back as commands; and what gateways and the guard are told.

use std::sync::Arc;

use tokio::time::timeout;

use super::command::{Asking, NumberCommand, NumberDeps, Request, Sending, Task};
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{CodeLiveness, Delivery, Failure};
use crate::domain::{AttemptLogKey, NumberKey, Timestamp};
use crate::engine::{CheckResult, NumberState, Salt};
use crate::limits::guard::Ticket;
use crate::shard::{Refusal, Shards, Subject, Transaction};

/// Carries out tasks. What a gateway is asked or told runs in a task of its own: a disconnected caller cannot interrupt a
/// send, and no shard waits for a gateway.
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
            Task::TellGateway(gateway, message_id, end) => {
                tokio::spawn(async move { delivery.report_code_end(gateway, &message_id, end).await });
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
}

impl NumberDeps {
    /// The state of a number as it is now, and when that is; fresh without a record.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] after a stop, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn state(&self, shards: &Shards, key: NumberKey) -> Result<(NumberState, Timestamp), Refusal> {
        let policy = self.policies.of(key.service);
        let Subject { slot, id } = self.subject(&key);
        let read = move |view: &Transaction<'_>| {
            let state = view.get(id).unwrap_or(NumberState::Fresh);
            (state.at(&policy, view.now()), view.now())
        };
        shards.read(slot, read).await
    }
}

/// Tells a delivery run whether its code is still live.
struct Liveness<'a> {
    deps: &'a NumberDeps,
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
