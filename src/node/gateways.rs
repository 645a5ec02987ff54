//! The gateways that the settings ask for.

use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::GatewaySettings;
use crate::delivery::Routed;
use crate::domain::GatewayName;
use crate::gateway::{Gateway, Simulator};

/// Every gateway, and the simulator once more for its inbox page.
pub struct Gateways {
    /// The gateways with their names in the routing.
    pub routed: Vec<Routed>,
    /// The simulator, if it is configured.
    pub simulator: Option<Arc<Simulator>>,
}

/// Builds every gateway that is configured. Sends nothing.
pub fn build(settings: &GatewaySettings, clock: &Arc<dyn Clock>) -> Result<Gateways, StartError> {
    let mut routed = Vec::new();
    for provider in &settings.providers {
        let name = provider.name();
        // Numbers that are routed to Twilio for texts are called by Twilio too.
        let is_meant = name == GatewayName::TwilioVoice && !settings.routing.names(name);
        let routed_as = if is_meant { GatewayName::TwilioMessages } else { name };
        routed.push(Routed { routed_as, gateway: provider.build(Arc::clone(clock))? });
    }
    let simulator = settings.has_simulator().then(|| Arc::new(Simulator::new(Arc::clone(clock))));
    if let Some(simulator) = &simulator {
        let gateway = Arc::clone(simulator) as Arc<dyn Gateway>;
        routed.push(Routed { routed_as: GatewayName::Simulator, gateway });
    }
    Ok(Gateways { routed, simulator })
}
