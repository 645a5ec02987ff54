//! Checks of codes that a gateway holds.

use tracing::{error, warn};

use super::Delivery;
use super::error::NO_ANSWER;
use super::guarded::{TimeLimit, half_until};
use crate::domain::{Code, NumberKey};
use crate::engine::{CheckPermit, CheckResult, VerificationName};
use crate::gateway::{GatewayError, Verdict};
use crate::limits::keys::RequestKey;
use crate::observe::metrics::GatewayOperation;
use crate::observe::trace::RequestId;

/// A submitted code, as the shard decides about it.
pub struct Check {
    /// The number that the code was sent to.
    pub key: NumberKey,
    /// The submitted code; `None` for a text that holds none, which does not count.
    pub code: Option<Code>,
    /// The verification; `None` for the one that is under way.
    pub named: Option<VerificationName>,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
    /// The request's idempotency key.
    pub keyed: Option<RequestKey>,
}

impl Check {
    /// A check of the verification that is under way, by a request without an id.
    pub const fn new(key: NumberKey, code: Option<Code>) -> Self {
        Self { key, code, named: None, request_id: None, keyed: None }
    }
}

impl Delivery {
    /// Asks the gateway that holds the code, within the time of the permit and its concurrency limit: the shard ignores a
    /// later answer. A gateway whose circuit is open is not asked. The caller has counted the attempt, and never asks twice
    /// at once about one number. What the gateway did not say is logged.
    pub async fn check(&self, check: &Check, &CheckPermit { held, until, .. }: &CheckPermit) -> CheckResult {
        let Check { key: NumberKey { number, .. }, code, request_id, .. } = check;
        // A text that cannot be a code is wrong without a question. The commit of the attempt may have taken all the time.
        let left = self.deps.bounds.send_budget.min(until.since(self.now()));
        let Some(code) = code.as_ref().filter(|_| !left.is_zero()) else { return CheckResult::NotAsked };
        let time = TimeLimit::starting_now(left);
        let gateway = held.by.as_str();
        let mut holders = self.gateways.iter().filter(|gateway| gateway.gateway.holds_codes());
        let Some(holder) = holders.find(|gateway| gateway.name == held.by) else {
            error!(gateway, "gateway with live codes not configured; configure it until they have expired");
            return CheckResult::NotAsked;
        };
        // A check does not wait for a permit of a gateway that is out of service, and keeps half of its time for the answer.
        let is_out = holder.circuit.keeps_out(self.now());
        let permit = if is_out { None } else { holder.limiter.acquire(half_until(time.end)).await.ok() };
        if permit.is_none() || !holder.circuit.enter(self.now()) {
            return CheckResult::NotAsked;
        }
        let request = holder.gateway.check(*number, held.channel, code);
        let answer =
            self.request(holder, GatewayOperation::Check, request, time.end, request_id.as_ref()).await;
        let request_id = request_id.as_deref();
        let error = match holder.circuit.answered(answer, self.now()) {
            Some(Ok(Verdict::Approved)) => return CheckResult::Approved,
            Some(Ok(Verdict::Wrong)) => return CheckResult::Wrong,
            Some(Ok(Verdict::NotLive)) => return CheckResult::NotLive,
            Some(Err(error)) => error,
            None => {
                warn!(request_id, %number, gateway, reason = NO_ANSWER, "gateway check failed");
                return CheckResult::Unknown;
            }
        };
        let GatewayError { class, wait, code, detail, said, .. } = &error;
        let retry_after = wait.map(|wait| wait.as_secs());
        warn!(request_id, %number, gateway, %class, code, retry_after, detail, said, "gateway check failed");
        if class.may_have_been_sent() { CheckResult::Unknown } else { CheckResult::NotAsked }
    }
}
