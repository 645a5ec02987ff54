//! The gateways of an engine, and in which order they are tried.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::{DeliverySettings, GatewaySettings, SettingError};
use crate::delivery::Routed;
use crate::domain::{Channel, GatewayName, ProviderName, Routing, RoutingEntry};
use crate::gateway::{
    Gateway, HttpGatewaySettings, MadaSettings, SinchSettings, TwilioSettings, TwilioVerifySettings,
    TwilioVoiceSettings,
};
use crate::node::{Gateways, build_gateways};

/// The builder's settings for senders.
#[derive(Clone)]
pub(super) struct Senders {
    settings: GatewaySettings,
    own: Vec<Arc<dyn Gateway>>,
    /// In the order in which they were added; empty for the inbox.
    added: Vec<RoutingEntry>,
    /// The order as a text, which goes before.
    routing: Option<String>,
}

pub(super) struct Assembled {
    pub(super) gateways: Gateways,
    /// The settings with the order that was settled on.
    pub(super) settings: GatewaySettings,
    /// The channels that a send may ask for.
    pub(super) channels: Vec<Channel>,
}

impl Default for Senders {
    fn default() -> Self {
        Self::of(GatewaySettings::simulator())
    }
}

impl Senders {
    /// With these settings and their order.
    pub(super) fn of(settings: GatewaySettings) -> Self {
        // The default, if no other gateway is configured, is the inbox alone.
        let nothing = settings.routing == Routing::only(GatewayName::Simulator);
        let added = if nothing { Vec::new() } else { settings.routing.entries().to_vec() };
        Self { settings, own: Vec::new(), added, routing: None }
    }

    pub(super) fn twilio_messages(&mut self, twilio: TwilioSettings) {
        self.settings.twilio_messages = Some(twilio);
        self.add(GatewayName::TwilioMessages);
    }

    /// Gets its own position only without Messages.
    pub(super) fn twilio_voice(&mut self, twilio: TwilioVoiceSettings) {
        self.settings.twilio_voice = Some(twilio);
    }

    pub(super) fn twilio_verify(&mut self, twilio: TwilioVerifySettings) {
        self.settings.twilio_verify = Some(twilio);
        self.add(GatewayName::TwilioVerify);
    }

    pub(super) fn sinch(&mut self, sinch: SinchSettings) {
        self.settings.sinch = Some(sinch);
        self.add(GatewayName::Sinch);
    }

    pub(super) fn mada(&mut self, mada: MadaSettings) {
        self.settings.mada = Some(mada);
        self.add(GatewayName::Mada);
    }

    pub(super) fn http(&mut self, http: HttpGatewaySettings) {
        self.settings.http = Some(http);
        self.add(GatewayName::Http);
    }

    pub(super) fn own(&mut self, gateway: Arc<dyn Gateway>) {
        self.add(gateway.name());
        self.own.push(gateway);
    }

    pub(super) fn routing(&mut self, order: String) {
        self.routing = Some(order);
    }

    fn add(&mut self, gateway: GatewayName) {
        if !self.added.iter().any(|entry| entry.gateway == gateway) {
            self.added.push(RoutingEntry { gateway, prefixes: Vec::new() });
        }
    }

    /// Decides the order, builds the gateways, and checks them against the settings.
    pub(super) fn assemble(
        mut self,
        delivery: &DeliverySettings,
        clock: &Arc<dyn Clock>,
    ) -> Result<Assembled, StartError> {
        self.settings.routing = match self.routing.take() {
            Some(order) => Routing::parse(&order)?.resolve(|name| self.stands_for(name))?,
            None => self.order_of_addition(),
        };
        if !delivery.voice && self.settings.routing.names(GatewayName::TwilioVoice) {
            let problem = "TwilioVoice is in the order of the gateways, and it calls: allow calls";
            return Err(SettingError::new("voice", false, problem).into());
        }
        let gated = self.settings.twilio_voice.as_ref().is_some_and(|voice| voice.gate);
        if gated && delivery.public_url.is_none() {
            let problem = "give a public_url: Twilio asks there for what it is to say once a key was pressed";
            return Err(SettingError::new("twilio_voice.gate", true, problem).into());
        }
        let mut gateways = build_gateways(&self.settings, clock)?;
        let own = self.own.into_iter();
        gateways.routed.extend(own.map(|gateway| Routed { routed_as: gateway.name(), gateway }));
        check_names(&gateways.routed, &self.settings.routing)?;
        let channels = channels(&gateways.routed, &self.settings.routing, delivery)?;
        Ok(Assembled { gateways, settings: self.settings, channels })
    }

    fn order_of_addition(&self) -> Routing {
        let mut entries = self.added.clone();
        let has_place = |name| entries.iter().any(|entry| entry.gateway == name);
        let calls = self.settings.twilio_voice.is_some();
        if calls && !has_place(GatewayName::TwilioMessages) && !has_place(GatewayName::TwilioVoice) {
            entries.push(RoutingEntry { gateway: GatewayName::TwilioVoice, prefixes: Vec::new() });
        }
        if entries.is_empty() { Routing::only(GatewayName::Simulator) } else { Routing::new(entries) }
    }

    /// The gateway that a name in the routing means, or an error if it is not configured.
    fn stands_for(&self, provider: ProviderName) -> Result<GatewayName, String> {
        let name = match provider {
            ProviderName::Gateway(name) => name,
            ProviderName::Twilio if self.has(GatewayName::TwilioMessages) => GatewayName::TwilioMessages,
            ProviderName::Twilio => GatewayName::TwilioVerify,
        };
        if self.has(name) {
            return Ok(name);
        }
        Err(match provider {
            ProviderName::Twilio => {
                "Twilio is not given: add it with twilio_messages or twilio_verify".to_owned()
            }
            ProviderName::Gateway(name) => {
                format!("{name} is not given: add its settings, or one of your own")
            }
        })
    }

    fn has(&self, name: GatewayName) -> bool {
        let settings = &self.settings;
        let given = match name {
            GatewayName::Simulator => true,
            GatewayName::TwilioMessages => settings.twilio_messages.is_some(),
            GatewayName::TwilioVoice => settings.twilio_voice.is_some(),
            GatewayName::TwilioVerify => settings.twilio_verify.is_some(),
            GatewayName::Sinch => settings.sinch.is_some(),
            GatewayName::Mada => settings.mada.is_some(),
            GatewayName::Http => settings.http.is_some(),
        };
        given || self.own.iter().any(|gateway| gateway.name() == name)
    }
}

/// Refuses a gateway that is given twice, and an order that names one that is not given.
fn check_names(routed: &[Routed], routing: &Routing) -> Result<(), SettingError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = routed.iter().map(|routed| routed.gateway.name()).find(|name| !names.insert(*name)) {
        let problem = "two gateways have this name, and there can be one of each: give one another name";
        return Err(SettingError::new("gateway", twice, problem));
    }
    for entry in routing.entries() {
        if !routed.iter().any(|routed| routed.routed_as == entry.gateway) {
            let problem = format!("{} is in the order, and its settings are not given", entry.gateway);
            return Err(SettingError::new("routing", routing, problem));
        }
    }
    Ok(())
}

/// The channels that the gateways serve; an error when a requested one has no gateway.
fn channels(
    routed: &[Routed],
    routing: &Routing,
    delivery: &DeliverySettings,
) -> Result<Vec<Channel>, SettingError> {
    let served = |channel: Channel| {
        let mut asked = routed.iter().filter(|routed| routing.names(routed.routed_as));
        asked.any(|routed| routed.gateway.channels().contains(&channel))
    };
    if delivery.voice && !served(Channel::Call) {
        return Err(SettingError::new("voice", true, "no gateway in the order can call"));
    }
    let allowed = |channel: Channel| (channel != Channel::Call || delivery.voice) && served(channel);
    if let Some(step) = delivery.workflow.iter().find(|step| !allowed(step.channel)) {
        let problem = if step.channel == Channel::Call {
            "calls are not allowed: allow voice"
        } else {
            "no gateway in the order serves this channel"
        };
        return Err(SettingError::new("workflow", step.channel.as_str(), problem));
    }
    Ok(Channel::ALL.into_iter().filter(|channel| allowed(*channel)).collect())
}
