//! Tasks that durable decisions leave: messages for gateways, and submitted codes for the gateways that hold the code,
//! whose results come back as commands; and what gateways and the guard are told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::command::{Asking, NumberCommand, NumberDeps, Request, Sending, Task, ToldEnd};
use crate::delivery::{CodeLiveness, CodeState, Delivery};
use crate::domain::NumberKey;
use crate::engine::{CheckResult, Salt};
use crate::shard::{Refusal, Shards};

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
                    let liveness =
                        NumberLiveness { deps: &deps, shards: &shards, key, salt: verification.salt };
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
            Task::TellGateway(key, ToldEnd { gateway, message_id, end }) => {
                tokio::spawn(async move {
                    delivery.report_code_end(key.service, gateway, &message_id, end).await;
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
}
