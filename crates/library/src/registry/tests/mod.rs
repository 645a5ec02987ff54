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

use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::config::services::ConfiguredService;
use crate::config::{GatewaySettings, GuardSettings, Settings};
use crate::domain::{Locale, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::gateway::{ProviderSettings, TwilioAccount, TwilioSender, TwilioSettings};
use crate::registry::audit::Actor;
use crate::registry::{
    Item, Registry, RegistryError, Service, ServiceSettings, Template, TestNumber, template_sid,
};
use crate::testing::{START, World, given};

/// Twilio's own id of a messaging service.
const TWILIOS: &str = "MG0123456789abcdef0123456789abcdef";

/// The registry of a process that is set up no further.
async fn opened() -> Registry {
    World::bare().await.registry.clone()
}

/// Mada sends texts, and Twilio by a messaging service.
async fn with_twilio() -> World {
    let account = TwilioAccount {
        account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
        auth_token: SecretString::from("a token"),
        base_url: "https://api.twilio.com".to_owned(),
    };
    let sender = TwilioSender::MessagingService(TWILIOS.to_owned());
    let twilio = ProviderSettings::TwilioMessages(TwilioSettings { account, sender, whatsapp: None });
    World::of("Twilio;Mada", Value::Null, |settings| settings.gateways.providers = vec![twilio]).await
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

/// With a template "login" for text messages in these languages; the first is the default.
async fn with_login(texts: &[(&str, &str)]) -> World {
    let template = Template {
        friendly_name: "login".to_owned(),
        default_locale: texts.first().map(|(tag, _)| locale(tag)),
        translations: texts.iter().map(|(tag, text)| (locale(tag), (*text).to_owned())).collect(),
        ..Template::default()
    };
    World::set_up(|settings| settings.registry.templates.push(template.named("login"))).await
}

fn locale(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
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
