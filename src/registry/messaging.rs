//! Messaging configurations: the gateway for a country.

use super::{MessagingConfiguration, Registry, RegistryError, Service};
use crate::domain::{GatewayName, Region, Sid, SidKind};

const WHAT: &str = "messaging configuration";

/// The id of a gateway where Twilio's API has a messaging service.
pub fn gateway_sid(gateway: GatewayName) -> Sid {
    Sid::of_name(SidKind::MessagingService, "gateway", gateway.as_str())
}

impl Registry {
    /// Has a gateway send to a country.
    pub async fn create_messaging(
        &self,
        service: Sid,
        country: String,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration, RegistryError> {
        let this = self.clone();
        self.change(service, move |service, ids| {
            let country = country_of(&country).ok_or_else(|| RegistryError::Invalid {
                field: "country",
                why: "must be a country's two letters of ISO 3166-1, such as DE".to_owned(),
            })?;
            this.is_known(&messaging_service)?;
            if service.messaging.iter().any(|kept| kept.country == country) {
                return Err(RegistryError::Exists { what: WHAT, field: "country" });
            }
            let now = ids.now;
            let made = MessagingConfiguration { country, messaging_service, created: now, updated: now };
            service.messaging.push(made.clone());
            Ok(made)
        })
        .await
    }

    /// Has another gateway send to a country.
    pub async fn update_messaging(
        &self,
        service: Sid,
        country: String,
        messaging_service: Sid,
    ) -> Result<MessagingConfiguration, RegistryError> {
        let this = self.clone();
        self.change(service, move |service, ids| {
            let at = place(service, &country)?;
            this.is_known(&messaging_service)?;
            let kept = service.messaging.get_mut(at).ok_or(RegistryError::NotFound(WHAT))?;
            if kept.messaging_service != messaging_service {
                kept.messaging_service = messaging_service;
                kept.updated = ids.now;
            }
            Ok(kept.clone())
        })
        .await
    }

    /// Lets the server's own routing decide again.
    pub async fn delete_messaging(&self, service: Sid, country: String) -> Result<(), RegistryError> {
        self.change(service, move |service, _| {
            let at = place(service, &country)?;
            service.messaging.remove(at);
            Ok(())
        })
        .await
    }

    /// The gateway that a service has for a country; `None` where the server's own routing decides, also when the gateway is
    /// not configured any more.
    pub fn gateway_for(&self, service: &Service, country: Region) -> Option<GatewayName> {
        if service.messaging.is_empty() {
            return None;
        }
        let country = country.to_string();
        let kept = service.messaging.iter().find(|kept| kept.country == country)?;
        self.gateway_of(&kept.messaging_service)
    }

    /// The configured gateway that an id names.
    pub fn gateway_of(&self, messaging_service: &Sid) -> Option<GatewayName> {
        self.0.gateways.iter().find(|(sid, _)| sid == messaging_service).map(|(_, name)| *name)
    }

    fn is_known(&self, messaging_service: &Sid) -> Result<(), RegistryError> {
        if self.gateway_of(messaging_service).is_some() {
            return Ok(());
        }
        let known: Vec<String> =
            self.0.gateways.iter().map(|(sid, name)| format!("{sid} ({name})")).collect();
        let why = format!("must be the id of a gateway that is configured: {}", known.join(", "));
        Err(RegistryError::Invalid { field: "messaging_service_sid", why })
    }
}

impl Service {
    /// The configuration for a country, in capitals or not.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub fn messaging(&self, country: &str) -> Result<&MessagingConfiguration, RegistryError> {
        let at = place(self, country)?;
        self.messaging.get(at).ok_or(RegistryError::NotFound(WHAT))
    }
}

/// A country's letters, in capitals. Networks of no country have digits.
fn country_of(text: &str) -> Option<String> {
    let country = Region::parse(text.trim())?.to_string();
    country.bytes().all(|b| b.is_ascii_uppercase()).then_some(country)
}

fn place(service: &Service, country: &str) -> Result<usize, RegistryError> {
    let found = service.messaging.iter().position(|kept| kept.country.eq_ignore_ascii_case(country));
    found.ok_or(RegistryError::NotFound(WHAT))
}
