//! One gateway with what stands in front of it: its places and its circuit breaker.

use std::sync::Arc;

use super::circuit::Guard;
use super::places::Places;
use super::{Held, Routed};
use crate::config::{Bounds, BreakerSettings};
use crate::domain::{Channel, GatewayName};
use crate::gateway::Gateway;

/// One gateway.
pub(super) struct Outlet {
    pub routed_as: GatewayName,
    pub name: GatewayName,
    pub gateway: Arc<dyn Gateway>,
    pub places: Places,
    pub guard: Guard,
}

/// Which gateways may carry a message: every message of a verification must carry the same code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carriers {
    /// No message was taken yet: any.
    Any,
    /// A gateway made the code: only that one can repeat it.
    Only(GatewayName),
    /// A message with our code was taken: no gateway that makes one of its own.
    OfOurCode,
}

impl Outlet {
    pub fn new(routed: Routed, bounds: &Bounds, breaker: BreakerSettings) -> Self {
        let Routed { routed_as, gateway } = routed;
        let name = gateway.name();
        let places = Places::new(name, bounds.sends, bounds.sends_waiting);
        Self { routed_as, name, gateway, places, guard: Guard::new(name, breaker) }
    }

    pub fn serves(&self, channel: Channel) -> bool {
        self.gateway.channels().contains(&channel)
    }

    /// Whether it may carry a message of this sort.
    pub fn is_one_of(&self, carriers: Carriers) -> bool {
        match carriers {
            Carriers::Any => true,
            Carriers::Only(name) => self.name == name,
            Carriers::OfOurCode => self.gateway.checker().is_none(),
        }
    }

    /// Who keeps the code of a message that it has taken, if not we.
    pub fn holding(&self, channel: Channel) -> Option<Held> {
        self.gateway.checker().map(|_| Held { by: self.name, channel })
    }
}
