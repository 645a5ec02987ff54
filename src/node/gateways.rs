//! The gateways that the settings ask for.

use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::GatewaySettings;
use crate::delivery::Routed;
use crate::domain::GatewayName;
use crate::gateway::{
    Gateway, HttpGateway, Mada, Simulator, Sinch, TwilioMessages, TwilioVerify, TwilioVoice,
};

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
    let mut add = |routed_as, gateway: Arc<dyn Gateway>| routed.push(Routed { routed_as, gateway });
    if let Some(twilio) = &settings.twilio_messages {
        let gateway = TwilioMessages::new(twilio, Arc::clone(clock))?;
        add(GatewayName::TwilioMessages, Arc::new(gateway));
    }
    if let Some(voice) = &settings.twilio_voice {
        // Numbers that are routed to Twilio for texts are called by Twilio too.
        let named = settings.routing.names(GatewayName::TwilioVoice);
        let routed_as = if named { GatewayName::TwilioVoice } else { GatewayName::TwilioMessages };
        add(routed_as, Arc::new(TwilioVoice::new(voice, Arc::clone(clock))?));
    }
    if let Some(verify) = &settings.twilio_verify {
        add(GatewayName::TwilioVerify, Arc::new(TwilioVerify::new(verify, Arc::clone(clock))?));
    }
    if let Some(sinch) = &settings.sinch {
        add(GatewayName::Sinch, Arc::new(Sinch::new(sinch, Arc::clone(clock))?));
    }
    if let Some(mada) = &settings.mada {
        add(GatewayName::Mada, Arc::new(Mada::new(mada, Arc::clone(clock))?));
    }
    if let Some(http) = &settings.http {
        add(GatewayName::Http, Arc::new(HttpGateway::new(http, Arc::clone(clock))?));
    }
    let simulator = settings.has_simulator().then(|| Arc::new(Simulator::new(Arc::clone(clock))));
    if let Some(simulator) = &simulator {
        add(GatewayName::Simulator, Arc::clone(simulator) as Arc<dyn Gateway>);
    }
    Ok(Gateways { routed, simulator })
}
