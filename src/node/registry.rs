//! Services and credentials: opened before anything is decided.

use std::collections::HashMap;

use super::{AccountFile, StartError};
use crate::config::{GatewaySettings, GuardSettings, RegistrySettings};
use crate::delivery::Routed;
use crate::domain::{GatewayName, Sid, SidKind};
use crate::gateway::TwilioSender;
use crate::registry::{Registry, RegistryDeps};

/// The rules of the pumping guard of the services in config.json, by their names there.
pub(super) fn guards(settings: &RegistrySettings) -> HashMap<String, GuardSettings> {
    settings.services.iter().map(|service| (service.name.clone(), service.guard.clone())).collect()
}

/// Refuses the first start of a server that [`open`] would refuse after files were made.
pub(super) fn check_first_start(
    settings: &RegistrySettings,
    account: &AccountFile,
) -> Result<(), StartError> {
    match &settings.unless_keys {
        Some(errors) => Err(StartError::Exposed(errors.clone())),
        None => account.read().map(drop).map_err(StartError::from),
    }
}

/// Twilio's id of the messaging service that text messages come from, if they do.
pub(super) fn messaging_service(gateways: &GatewaySettings) -> Option<Sid> {
    match &gateways.twilio_messages()?.sender {
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
pub(super) fn names(gateways: &[Routed]) -> Vec<GatewayName> {
    let mut names: Vec<GatewayName> = gateways.iter().map(|routed| routed.routed_as).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != GatewayName::TwilioVoice);
    names
}
