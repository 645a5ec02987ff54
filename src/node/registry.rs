//! Services and credentials: opened before anything is decided.

use std::collections::HashMap;

use super::{AccountFile, StartError};
use crate::config::{GatewaySettings, GuardSettings, RegistrySettings};
use crate::delivery::Routed;
use crate::domain::{GatewayName, Sid, SidKind};
use crate::engine::Policy;
use crate::gateway::TwilioSender;
use crate::registry::{Registry, RegistryDeps, ServiceSettings};
use crate::shard::Shards;
use crate::template::Templates;

/// The settings of services and credentials.
#[derive(Clone)]
pub struct RegistryPlan {
    /// Services and templates of config.json, the account.
    settings: RegistrySettings,
    /// The friendly name of the default service.
    brand: String,
    /// Twilio's id of the messaging service that text messages come from, if they do.
    twilio_messaging_service: Option<Sid>,
    /// Whether the server accepts HTTP requests and therefore needs credentials. The library does not.
    pub(super) serves: bool,
}

impl RegistryPlan {
    /// Takes the messaging service from the gateways.
    pub fn new(settings: RegistrySettings, brand: String, gateways: &GatewaySettings, serves: bool) -> Self {
        Self { settings, brand, twilio_messaging_service: messaging_service(gateways), serves }
    }

    /// The rules of the pumping guard of the services in config.json, by their names there.
    pub(super) fn guards(&self) -> HashMap<String, GuardSettings> {
        let services = self.settings.services.iter();
        services.map(|service| (service.name.clone(), service.guard.clone())).collect()
    }

    /// Refuses the first start of a server that [`open`] would refuse after files were made.
    pub(super) fn check_first_start(&self, account: &AccountFile) -> Result<(), StartError> {
        if !self.serves {
            return Ok(());
        }
        if let Some(errors) = &self.settings.unless_keys {
            return Err(StartError::Exposed(errors.clone()));
        }
        account.read().map(drop).map_err(StartError::from)
    }

    pub(super) fn into_deps(
        self,
        shards: &Shards,
        policy: &Policy,
        templates: &Templates,
        gateways: &[Routed],
    ) -> RegistryDeps {
        RegistryDeps {
            shards: shards.clone(),
            settings: self.settings,
            default: ServiceSettings::of_policy(self.brand, policy),
            templates: templates.clone(),
            gateways: names(gateways),
            twilio_messaging_service: self.twilio_messaging_service,
        }
    }
}

/// Twilio's id of the messaging service, if there is one.
fn messaging_service(gateways: &GatewaySettings) -> Option<Sid> {
    match &gateways.twilio_messages.as_ref()?.sender {
        TwilioSender::MessagingService(sid) => Sid::parse(SidKind::MessagingService, sid),
        TwilioSender::Number(_) => None,
    }
}

/// Opens the registry. With the file of its account it is a server's, which gets an account at its first start, and
/// does not start on an address that other machines reach without a key.
pub(super) async fn open(deps: RegistryDeps, account: Option<&AccountFile>) -> Result<Registry, StartError> {
    let unless_keys = deps.settings.unless_keys.clone();
    let registry = Registry::open(deps).await?;
    let Some(account) = account else { return Ok(registry) };
    if let Some(errors) = unless_keys.filter(|_| registry.live_keys() == 0) {
        return Err(StartError::Exposed(errors));
    }
    account.load_or_create(&registry).await?;
    Ok(registry)
}

/// Gateways that a messaging configuration can name: each once, and those that send texts.
fn names(gateways: &[Routed]) -> Vec<GatewayName> {
    let mut names: Vec<GatewayName> = gateways.iter().map(|routed| routed.routed_as).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != GatewayName::TwilioVoice);
    names
}
