//! How the gateways are, for `/readyz`.

use std::time::Duration;

use super::Delivery;
use super::breaker::Circuit;
use super::outlet::Outlet;
use crate::domain::GatewayName;

/// How one gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayState {
    /// Which one.
    pub name: GatewayName,
    /// Whether it is asked.
    pub circuit: Circuit,
    /// How long until it is tried again, while the circuit is open.
    pub tries_again_in: Option<Duration>,
    /// What the gateway itself says: `Ok`, or what an operator must mend.
    pub readiness: Result<(), String>,
}

impl Delivery {
    /// How every gateway is, in the order in which they were given.
    pub fn states(&self) -> Vec<GatewayState> {
        self.outlets.iter().map(|outlet| self.state(outlet)).collect()
    }

    /// `Ok` while a message to any number can be expected to leave, else what each gateway lacks. Those
    /// that take any number count, on the channel that verifications begin with; where there are none
    /// such, all do.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        let takes_any = |outlet: &&Outlet| {
            let entries = self.routing.entries().iter();
            let mut own = entries.filter(|entry| entry.gateway == outlet.routed_as);
            own.any(|entry| entry.prefixes.is_empty()) && outlet.serves(self.first_channel())
        };
        let mut reasons: Vec<_> =
            self.outlets.iter().filter(takes_any).map(|outlet| self.trouble(outlet)).collect();
        if reasons.is_empty() {
            reasons = self.outlets.iter().map(|outlet| self.trouble(outlet)).collect();
        }
        // One without trouble is enough.
        reasons.into_iter().collect::<Option<Vec<_>>>().map_or(Ok(()), Err)
    }

    fn state(&self, outlet: &Outlet) -> GatewayState {
        let now = self.clock.now();
        let (circuit, until) = outlet.guard.shown(now);
        GatewayState {
            name: outlet.name,
            circuit,
            tries_again_in: until.map(|until| until.since(now)),
            readiness: outlet.gateway.readiness(),
        }
    }

    /// Why a gateway cannot be expected to work. One that may be tried again can: behind a load balancer
    /// only a ready server gets the message that can prove it.
    fn trouble(&self, outlet: &Outlet) -> Option<String> {
        let GatewayState { name, circuit, tries_again_in, readiness } = self.state(outlet);
        // Rounded up, as the details of the same answer are: in less than a second is not "in 0 s".
        let wait = tries_again_in.unwrap_or_default().as_millis().div_ceil(1_000);
        match readiness {
            Err(reason) => Some(reason),
            Ok(()) if circuit == Circuit::Open => {
                Some(format!("{name} does not work just now; it is tried again in {wait} s"))
            }
            Ok(()) => None,
        }
    }
}
