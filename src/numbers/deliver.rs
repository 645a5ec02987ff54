//! Effects of decisions about numbers: messages to gateways, and submitted codes to the gateways that hold the code. Each
//! result comes back as a command.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, Weak};

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::check::GatewayCheck;
use super::command::{CommandKind, Effects, NumberCommand, NumberDeps};
use super::record::NumberKey;
use super::send::Dispatch;
use crate::delivery::{CheckError, CheckJob, CodeLiveness, CodeState, Delivery, Job, Verdict};
use crate::domain::{GatewayName, ServiceId};
use crate::engine::{CheckResult, Salt};
use crate::gateway::CodeEnd;
use crate::shard::{Refusal, Shards};
use crate::trace::RequestId;

/// Implements [`Effects`] with [`Delivery`]. [`GatewayEffects::connect`] must run before the first decision.
pub struct GatewayEffects {
    delivery: Arc<Delivery>,
    /// Weak, because the dependencies of decisions hold these gateways.
    links: OnceLock<(Weak<NumberDeps>, Shards)>,
}

struct ConnectedEffects {
    deps: Arc<NumberDeps>,
    shards: Shards,
    delivery: Arc<Delivery>,
}

impl GatewayEffects {
    /// Not yet connected.
    pub fn new(delivery: Arc<Delivery>) -> Arc<Self> {
        Arc::new(Self { delivery, links: OnceLock::new() })
    }

    /// Sends later results to these shards.
    pub fn connect(&self, deps: &Arc<NumberDeps>, shards: Shards) {
        let _ = self.links.set((Arc::downgrade(deps), shards));
    }

    fn links(&self) -> Option<ConnectedEffects> {
        let (deps, shards) = self.links.get()?;
        let (deps, shards) = (deps.upgrade()?, shards.clone());
        Some(ConnectedEffects { deps, shards, delivery: Arc::clone(&self.delivery) })
    }
}

/// Each effect runs in its own task: a disconnected caller cannot interrupt a send, and no shard waits for a gateway.
impl Effects for GatewayEffects {
    fn deliver(&self, dispatch: Dispatch) {
        if let Some(links) = self.links() {
            // The future is large: it is moved once, into its box.
            tokio::spawn(Box::pin(links.deliver(dispatch)));
        }
    }

    fn check(&self, check: GatewayCheck) {
        if let Some(links) = self.links() {
            tokio::spawn(links.check(check));
        }
    }

    fn wants_code_end(&self, end: CodeEnd) -> bool {
        self.delivery.wants_code_end(end)
    }

    fn report_code_end(&self, service: ServiceId, gateway: GatewayName, message_id: String, end: CodeEnd) {
        let delivery = Arc::clone(&self.delivery);
        tokio::spawn(async move { delivery.report_code_end(service, gateway, &message_id, end).await });
    }
}

impl ConnectedEffects {
    async fn deliver(self, dispatch: Dispatch) {
        let Self { deps, shards, delivery } = &self;
        let Dispatch { key, permit, .. } = dispatch;
        let job = Job {
            log: dispatch.log,
            number: key.number,
            style: dispatch.style.clone(),
            expires: permit.verification.expires,
            channel: dispatch.channel,
            code: permit.verification.code_seed(key.service, key.number).code(&deps.key),
            held: permit.verification.held,
            trial: None,
            ours_only: permit.verification.offset() != 0,
            first_attempt: dispatch.first_attempt,
            purpose: dispatch.purpose.clone(),
            within: None,
            request_id: dispatch.request_id.clone(),
        };
        let liveness = NumberLiveness { links: &self, key, salt: permit.verification.salt };
        let delivered = delivery.deliver(&job, &liveness).await;
        let cause = dispatch.request_id.as_ref().and_then(RequestId::span).cloned();
        let settle = CommandKind::Settle(dispatch.settled(delivered));
        shards.submit(NumberCommand::new(key, settle, Arc::clone(deps)).caused_by(cause));
    }

    async fn check(self, check: GatewayCheck) {
        let GatewayCheck { key, permit, .. } = check;
        let Self { deps, shards, delivery } = self;
        let cause = check.request_id.as_ref().and_then(RequestId::span).cloned();
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
            let job = CheckJob {
                service: key.service,
                held: permit.held,
                number: key.number,
                code: &check.code,
                request_id: check.request_id.as_ref(),
            };
            Ok(match timeout(left, delivery.check(job)).await {
                Ok(Ok(Verdict::Approved)) => CheckResult::Approved,
                Ok(Ok(Verdict::Wrong)) => CheckResult::Wrong,
                Ok(Ok(Verdict::NotLive)) => CheckResult::NotLive,
                Ok(Err(CheckError { may_have_been_looked_at: false })) => CheckResult::NotAsked,
                Ok(Err(CheckError { may_have_been_looked_at: true })) | Err(_) => CheckResult::Unknown,
            })
        };
        // A check that is never settled would hold up its number until its time has passed.
        let result = AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|_panic| {
            let request_id = check.request_id.as_deref();
            tracing::error!(request_id, number = %key.number, "gateway check panicked; the attempt counts");
            Ok(CheckResult::Unknown)
        });
        let settle = CommandKind::SettleCheck(check.settled(result));
        shards.submit(NumberCommand::new(key, settle, deps).caused_by(cause));
    }
}

/// Tells a delivery run whether its code is still live.
struct NumberLiveness<'a> {
    links: &'a ConnectedEffects,
    key: NumberKey,
    salt: Salt,
}

impl CodeLiveness for NumberLiveness<'_> {
    async fn code_state(&self) -> CodeState {
        let ConnectedEffects { deps, shards, .. } = self.links;
        match deps.verification(shards, self.key).await {
            Ok(Some(v)) if v.salt == self.salt && v.is_live(shards.clock().now()) => CodeState::Live,
            Ok(_) => CodeState::Ended,
            Err(_) => CodeState::Unknown,
        }
    }

    fn may_send(&self) -> bool {
        self.links.shards.owns_records()
    }
}
