//! Codes that a gateway holds: only it can say whether a submitted one is right.

use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::budget::Budget;
use super::outlet::Outlet;
use super::{Delivery, DeliveryError};
use crate::domain::{Code, GatewayName, Held, PhoneNumber};
use crate::gateway::{GatewayError, Verdict};

/// The gateway that holds a code did not say whether a submitted one is right. Logged already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway that holds the code did not say whether it is right")]
pub struct CheckError {
    /// Whether it may have looked at the code, and so may count the attempt itself. `false` is
    /// certain.
    pub may_have_been_looked_at: bool,
}

const NOT_ASKED: CheckError = CheckError { may_have_been_looked_at: false };

impl Delivery {
    /// Asks the gateway that holds the code, within the send budget and its places. One whose circuit
    /// is open is surely not asked. The caller has counted the attempt, and asks never twice at once
    /// about one number.
    pub async fn check(&self, held: Held, to: PhoneNumber, code: &Code) -> Result<Verdict, CheckError> {
        let budget = Budget::starting_now(self.send_budget);
        let gateway = held.by.as_str();
        let outlet = self.outlets.iter().find(|outlet| outlet.name == held.by);
        let Some((outlet, checker)) = outlet.and_then(|o| o.gateway.checker().map(|c| (o, c))) else {
            self.tell_unknown_holder(held.by);
            return Err(NOT_ASKED);
        };
        let wait = self.way_to(outlet, budget.end).await;
        let Ok((_place, pass)) = wait.inspect_err(|reason| debug!(number = %to, gateway, "{reason}")) else {
            return Err(NOT_ASKED);
        };
        let answer = timeout_at(budget.end, checker.check(to, held.channel, code)).await.ok();
        pass.answered(answer.as_ref(), self.clock.now());
        let error = match answer {
            Some(Ok(verdict)) => return Ok(verdict),
            Some(Err(error)) => error,
            None => {
                warn!(number = %to, gateway, "the gateway did not say within the send budget whether a code is right");
                return Err(CheckError { may_have_been_looked_at: true });
            }
        };
        let GatewayError { class, code, detail, .. } = &error;
        warn!(number = %to, gateway, %class, code, detail, "the gateway did not say whether a code is right");
        Err(CheckError { may_have_been_looked_at: class.may_have_been_sent() })
    }

    /// A place and the right to ask.
    async fn way_to<'a>(
        &self,
        outlet: &'a Outlet,
        end: Instant,
    ) -> Result<(super::places::Place<'a>, super::circuit::Pass<'a>), DeliveryError> {
        if outlet.guard.keeps_out(self.clock.now()) {
            return Err(DeliveryError::OutOfService);
        }
        let mut place = outlet.places.take(end, end).await?;
        let pass = outlet.guard.enter(self.clock.now()).ok_or(DeliveryError::OutOfService)?;
        place.ask();
        Ok((place, pass))
    }

    /// Once, for it is the same for every code that the gateway still holds.
    fn tell_unknown_holder(&self, name: GatewayName) {
        let mut told = self.unknown_holders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !told.contains(&name) {
            told.push(name);
            error!(
                gateway = name.as_str(),
                "codes are held by a gateway that is not configured any more and cannot be checked; \
                 configure it until they have expired"
            );
        }
    }

    /// Tells the gateway that a message led to a verified number, where it wants to know. Best effort:
    /// not while it is busy or out of service, once, and no longer than a send may take.
    pub async fn confirm(&self, gateway: GatewayName, message_id: &str) {
        let Some(outlet) = self.outlets.iter().find(|outlet| outlet.name == gateway) else { return };
        let is_sound = outlet.guard.shown(self.clock.now()).0 == super::Circuit::Closed;
        let Some(_place) = outlet.places.take_free().filter(|_| is_sound) else { return };
        let end = Budget::starting_now(self.send_budget).end;
        match timeout_at(end, outlet.gateway.confirm(message_id)).await {
            Ok(Ok(())) => {}
            Ok(Err(GatewayError { class, code, detail, .. })) => {
                debug!(
                    gateway = gateway.as_str(),
                    %class,
                    code,
                    detail,
                    "the gateway was not told of a success"
                );
            }
            Err(_) => debug!(gateway = gateway.as_str(), "the gateway did not acknowledge a success in time"),
        }
    }
}
