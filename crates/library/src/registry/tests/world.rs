//! A registry over a store in memory, with a stopped clock.

#![expect(missing_docs, clippy::expect_used, reason = "only tests use it")]
#![expect(clippy::new_without_default, clippy::return_self_not_must_use, reason = "only tests use it")]

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, json};

use crate::clock::{Clock, ManualClock};
use crate::config::services::{AccountSettings, ConfiguredService};
use crate::config::{Bounds, GuardSettings};
use crate::domain::{CodeLength, GatewayName, Locale, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::node::kinds;
use crate::registry::handle::Current;
use crate::registry::services::{service_id, unnamed_default};
use crate::registry::{
    Policies, Registry, RegistryDeps, RegistryError, RegistrySettings, Service, ServiceRecord,
    ServiceSettings, Template,
};
use crate::shard::faulty_store::FaultyStore;
use crate::shard::{Refusal, ShardDeps, Shards};
use crate::template::Templates;
use crate::verification::ShardStartError;

#[cfg(test)]
pub(crate) use crate::registry::services::blank;

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Twilio's own id of a messaging service.
pub const TWILIOS: &str = "MG0123456789abcdef0123456789abcdef";

impl Policies {
    /// The rules of the default service, which also hold for services that have none of their own.
    pub fn new(default: Policy) -> Self {
        Self { default, current: Current::default() }
    }

    /// Adds a service with these rules.
    pub fn set(&self, id: ServiceId, policy: &Policy) {
        let mut next = (**self.current.load()).clone();
        let settings = ServiceSettings::of_policy(id.get().to_string(), policy);
        let service = Service { id, ..unnamed_default(&settings, Timestamp::EPOCH) };
        next.by_id.insert(id, Arc::new(service));
        self.current.store(Arc::new(next));
    }
}

/// The inputs of a registry.
pub struct World {
    pub store: FaultyStore,
    pub clock: Arc<ManualClock>,
    pub settings: RegistrySettings,
    pub default: ServiceSettings,
    pub gateways: Vec<GatewayName>,
    seed: u64,
}

impl World {
    /// A world, and its registry.
    pub async fn opened() -> (Self, Registry) {
        let world = Self::new();
        let registry = world.open().await;
        (world, registry)
    }

    pub fn new() -> Self {
        Self {
            store: FaultyStore::new(),
            clock: Arc::new(ManualClock::starting_at(START)),
            settings: RegistrySettings { local_only: true, ..RegistrySettings::default() },
            default: ServiceSettings::of_policy("Acme".to_owned(), &contract(Duration::from_secs(30))),
            gateways: vec![GatewayName::TwilioMessages, GatewayName::Mada],
            seed: 7,
        }
    }

    pub fn with_service(mut self, service: ConfiguredService) -> Self {
        self.settings.services.push(service);
        self
    }

    pub fn with_template(mut self, template: Template) -> Self {
        self.settings.templates.push(template);
        self
    }

    pub fn with_account(mut self, sid: &str, token: &str) -> Self {
        let sid = Sid::parse(SidKind::Account, sid).expect("an id");
        self.settings.account = Some(AccountSettings { sid, token: token.into() });
        self
    }

    pub async fn open(&self) -> Registry {
        let registry = Registry::open(RegistryDeps {
            shards: self.shards().await.expect("shards"),
            settings: self.settings.clone(),
            default: self.default.clone(),
            templates: Templates::new("{code}"),
            gateways: self.gateways.clone(),
            twilio_messaging_service: Sid::parse(SidKind::MessagingService, TWILIOS),
        });
        registry.await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub async fn shards(&self) -> Result<Shards, ShardStartError> {
        start(&self.store, &(Arc::clone(&self.clock) as Arc<dyn Clock>), self.seed).await
    }

    /// The same after a crash and a restart, with another seed.
    pub fn restarted(self) -> Self {
        Self { store: self.store.reopen(), seed: self.seed + 1, ..self }
    }
}

impl Registry {
    /// Writes the record of a service as it is.
    pub async fn put_service(&self, service: Service) {
        let id = service_id(service.id);
        let record = ServiceRecord::Present(Box::new(service));
        let put = self.decide::<_, Refusal>(move |draft| {
            draft.put(id, &record);
            Ok(())
        });
        put.await.expect("durable");
    }
}

/// The rules of the compatible routes, with this life of codes.
pub fn contract(life: Duration) -> Policy {
    Policy {
        max_attempts: 5,
        lockout: LockoutRule::Fixed(Duration::from_secs(1_800)),
        code: SendOptions { life, length: CodeLength::SIX },
        sends: SendRules::CONTRACT,
    }
}

/// One shard over a store.
pub async fn start(
    store: &FaultyStore,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<Shards, ShardStartError> {
    start_shards(1, store, clock, seed).await
}

pub async fn start_shards(
    shards: usize,
    store: &FaultyStore,
    clock: &Arc<dyn Clock>,
    seed: u64,
) -> Result<Shards, ShardStartError> {
    Shards::start(ShardDeps {
        store: Arc::new(store.clone()),
        clock: Arc::clone(clock),
        kinds: kinds(),
        shards,
        bounds: Bounds::default(),
        rng: StdRng::seed_from_u64(seed),
        metrics: Arc::default(),
    })
    .await
}

/// A service of config.json with only a name.
pub fn configured(name: &str) -> ConfiguredService {
    let given = named(&format!("The {name}"));
    ConfiguredService {
        guard: GuardSettings::default(),
        name: name.to_owned(),
        settings: ServiceSettings::default().with(given).expect("settings"),
        test_numbers: Vec::new(),
        origin: "config.json, key \"services\"".to_owned(),
    }
}

/// A template for text messages in these languages; the first is the default.
pub fn template(name: &str, texts: &[(&str, &str)]) -> Template {
    let template = Template {
        friendly_name: name.to_owned(),
        default_locale: texts.first().map(|(tag, _)| locale(tag)),
        translations: texts.iter().map(|(tag, text)| (locale(tag), (*text).to_owned())).collect(),
        ..Template::default()
    };
    template.named(name)
}

pub fn locale(tag: &str) -> Locale {
    Locale::parse(tag).expect("a language")
}

pub fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text, None).expect("a number")
}

/// Members of a service's settings.
pub fn given(members: serde_json::Value) -> Map<String, serde_json::Value> {
    match members {
        serde_json::Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// Settings with only a name.
pub fn named(name: &str) -> Map<String, serde_json::Value> {
    given(json!({ "friendly-name": name }))
}

impl Registry {
    /// Creates a service as over the API.
    pub async fn made(&self, name: &str) -> Arc<Service> {
        self.create_service(named(name)).await.expect("a service")
    }
}

/// The refused field.
#[track_caller]
pub fn refused_field<T: std::fmt::Debug>(answer: Result<T, RegistryError>) -> &'static str {
    match answer {
        Err(RegistryError::Invalid { field, .. }) => field,
        other => panic!("not refused: {other:?}"),
    }
}
