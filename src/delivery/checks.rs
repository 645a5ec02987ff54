//! Requests to gateways about codes: checks of codes that a gateway holds, and confirmations of success.

use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::budget::Budget;
use super::error::{DeliveryError, NO_ANSWER};
use super::guarded::{CircuitPermit, GuardedGateway};
use super::limiter::GatewayPermit;
use super::{Circuit, Delivery};
use crate::domain::{Code, GatewayName, Held, PhoneNumber};
use crate::gateway::{GatewayError, Verdict};

/// The gateway that holds a code did not say whether a submitted one is right. Logged already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway that holds the code did not say whether it is right")]
pub struct CheckError {
    /// Whether the gateway may have looked at the code, and may have counted the attempt itself. `false` is
    /// certain.
    pub may_have_been_looked_at: bool,
}

const NOT_ASKED: CheckError = CheckError { may_have_been_looked_at: false };

impl Delivery {
    /// Asks the gateway that holds the code, within the send budget and its concurrency limit. A gateway whose
    /// circuit is open is not asked. The caller has counted the attempt, and never asks twice at once about one
    /// number.
    pub async fn check(&self, held: Held, to: PhoneNumber, code: &Code) -> Result<Verdict, CheckError> {
        let budget = Budget::starting_now(self.send_budget);
        let name = held.by.as_str();
        let holder = self.gateways.iter().find(|gateway| gateway.name == held.by);
        let Some((holder, checker)) = holder.and_then(|h| h.gateway.checker().map(|c| (h, c))) else {
            self.log_unknown_holder(held.by);
            return Err(NOT_ASKED);
        };
        let admitted = self.admit_check(holder, budget.end).await;
        let Ok((_permit, circuit)) = admitted
            .inspect_err(|reason| debug!(number = %to, gateway = name, %reason, "gateway check not tried"))
        else {
            return Err(NOT_ASKED);
        };
        let answer = timeout_at(budget.end, checker.check(to, held.channel, code)).await.ok();
        circuit.answered(answer.as_ref(), self.clock.now());
        let error = match answer {
            Some(Ok(verdict)) => return Ok(verdict),
            Some(Err(error)) => error,
            None => {
                warn!(number = %to, gateway = name, reason = NO_ANSWER, "gateway check failed");
                return Err(CheckError { may_have_been_looked_at: true });
            }
        };
        let GatewayError { class, code, detail, .. } = &error;
        warn!(number = %to, gateway = name, %class, code, detail, "gateway check failed");
        Err(CheckError { may_have_been_looked_at: class.may_have_been_sent() })
    }

    async fn admit_check<'a>(
        &self,
        holder: &'a GuardedGateway,
        end: Instant,
    ) -> Result<(GatewayPermit<'a>, CircuitPermit<'a>), DeliveryError> {
        if holder.circuit.keeps_out(self.clock.now()) {
            return Err(DeliveryError::OutOfService);
        }
        let mut permit = holder.limiter.acquire(end, end).await?;
        let circuit = holder.circuit.enter(self.clock.now()).ok_or(DeliveryError::OutOfService)?;
        permit.ask();
        Ok((permit, circuit))
    }

    /// Logged once per gateway, because it is the same for every code that the gateway still holds.
    fn log_unknown_holder(&self, name: GatewayName) {
        let mut logged = self.unknown_holders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !logged.contains(&name) {
            logged.push(name);
            error!(
                gateway = name.as_str(),
                "gateway with live codes not configured; configure it until they have expired"
            );
        }
    }

    /// Tells the gateway that a message led to a verified number, where the gateway wants to know. Best effort: not
    /// while it is busy or out of service, once, and for no longer than a send may take.
    pub async fn confirm(&self, gateway: GatewayName, message_id: &str) {
        let Some(found) = self.gateways.iter().find(|other| other.name == gateway) else { return };
        let works = found.circuit.shown(self.clock.now()).0 == Circuit::Closed;
        let Some(_permit) = found.limiter.try_acquire().filter(|_| works) else { return };
        let end = Budget::starting_now(self.send_budget).end;
        let gateway = gateway.as_str();
        match timeout_at(end, found.gateway.confirm(message_id)).await {
            Ok(Ok(())) => {}
            Ok(Err(GatewayError { class, code, detail, .. })) => {
                debug!(gateway, %class, code, detail, "success not confirmed to the gateway");
            }
            Err(_) => debug!(gateway, reason = NO_ANSWER, "success not confirmed to the gateway"),
        }
    }
}
