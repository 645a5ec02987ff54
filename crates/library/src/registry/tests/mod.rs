//! The registry as its callers use it, over the services of a process.

mod audit;
mod belongings;
mod configured;
mod credentials;
mod durability;
mod services;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::services::ConfiguredService;
use crate::config::{GatewaySettings, GuardSettings, Settings};
use crate::domain::{Locale, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::registry::audit::Actor;
use crate::registry::{
    Item, Registry, RegistryError, Service, ServiceSettings, Template, TestNumber, template_sid,
};
use crate::testing::{START, World, given};

/// The registry of a process that is set up no further.
async fn opened() -> Registry {
    World::bare().await.registry.clone()
}

/// With a service of config.json.
async fn with_shop() -> World {
    World::set_up(adds_shop).await
}

fn adds_shop(settings: &mut Settings) {
    settings.registry.services.push(ConfiguredService {
        guard: GuardSettings::default(),
        name: "shop".to_owned(),
        settings: ServiceSettings::default().with(named("The shop")).expect("settings"),
    });
}

fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text, None).expect("a number")
}

/// Settings with only a name.
fn named(name: &str) -> Map<String, Value> {
    given(json!({ "friendly-name": name }))
}

impl Registry {
    /// Creates a service as over the API.
    async fn made(&self, name: &str) -> Arc<Service> {
        self.create_service(named(name)).await.expect("a service")
    }
}

/// The refused field.
#[track_caller]
fn refused_field<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> &'static str {
    match answer {
        Err(RegistryError::Invalid { field, .. }) => field,
        other => panic!("not refused: {other:?}"),
    }
}
