//! The gateways that the settings ask for.

use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::GatewaySettings;
use crate::delivery::Routed;
use crate::domain::{GatewayName, Sid, SidKind};
use crate::gateway::{Gateway, Simulator, TwilioSender};

/// Every gateway, and the simulator once more for its inbox page.
pub struct Gateways {
    /// The gateways with their names in the routing.
    pub routed: Vec<Routed>,
    /// The simulator, if it is configured.
    pub simulator: Option<Arc<Simulator>>,
}

/// Builds every gateway that is configured. Sends nothing.
pub fn build_gateways(settings: &GatewaySettings, clock: &Arc<dyn Clock>) -> Result<Gateways, StartError> {
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

/// Twilio's id of the messaging service that text messages come from, if they do.
pub(super) fn messaging_service(gateways: &GatewaySettings) -> Option<Sid> {
    match &gateways.twilio_messages()?.sender {
        TwilioSender::MessagingService(sid) => Sid::parse(SidKind::MessagingService, sid),
        TwilioSender::Number(_) => None,
    }
}

/// Gateways that a messaging configuration can name: each once, and those that send texts.
pub(super) fn names_of(gateways: &[Routed]) -> Vec<GatewayName> {
    let mut names: Vec<GatewayName> = gateways.iter().map(|routed| routed.routed_as).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != GatewayName::TwilioVoice);
    names
}
