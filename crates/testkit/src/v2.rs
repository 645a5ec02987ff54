//! A running front end with services, keys and the fake.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onceward::clock::ManualClock;
use onceward::config::services::AccountSettings;
use onceward::config::{Bounds, HookSettings};
use onceward::domain::{ApiSecret, CodeLength, GatewayName, ServerKey, ServiceId, Sid, SidKind};
use onceward::engine::{LockoutRule, Policy, SendOptions, SendRules, SlotHash};
use onceward::http::{Base, V2, V2Logs};
use onceward::limits::guard::VerifiedNumbers;
use onceward::node::kinds;
use onceward::registry::{
    Registry, RegistryDeps, RegistrySettings, Scope, Service, ServiceSettings, gateway_sid,
};
use onceward::shard::{ShardDeps, Shards};
use onceward::store::MemoryStore;
use onceward::template::Templates;
use onceward::verification::numbers::NumberCapacity;
use onceward::webhook::{Event, Outbox, OutboxBounds};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::client::Reply;
use crate::fake::{Fake, THEN};
use crate::script::Script;
use crate::setup::Setup;
use crate::world::World;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Of the shards and of the outbox.
const SERVER_KEY: [u8; 32] = [7; 32];

/// A front end on loopback with the service "Owl Bank" beside the default one. Requests have the account's credentials
/// unless they name others.
pub struct V2World {
    pub world: World,
    pub fake: Fake,
    pub registry: Registry,
    pub outbox: Outbox,
    pub service: Arc<Service>,
}

pub fn account() -> Sid {
    Sid::new(SidKind::Account, [0xac; 16])
}

/// User and password of the account.
pub fn root() -> String {
    format!("{}:{TOKEN}", account())
}

/// The messaging service that stands for the only gateway.
pub fn gateway() -> Sid {
    gateway_sid(GatewayName::Simulator)
}

impl V2World {
    pub async fn new() -> Self {
        Self::scripted(Script::panics()).await
    }

    pub async fn scripted(script: Script) -> Self {
        Self::with(Setup::scripted(script)).await
    }

    pub async fn with(mut setup: Setup) -> Self {
        let shards = shards().await;
        let registry = registry(shards.clone(), setup.service_name).await;
        let outbox = outbox(shards, &registry);
        let service = registry.create_service(named("Owl Bank")).await.expect("a service");
        let public_url = setup.public_url.take().map(Into::into);
        let base = Base { public_url, tls: false, listens_on: "127.0.0.1:3000".into() };
        let fake = Fake::default();
        let v2 = V2 {
            verifications: Arc::new(fake.clone()),
            registry: registry.clone(),
            outbox: outbox.clone(),
            base,
            now: Arc::new(|| THEN),
            running: None,
            copies: Arc::new(Semaphore::new(1)),
            hosted: None,
            captcha: None,
            hooks: HookSettings::default(),
            logs: V2Logs::default(),
        };
        let world = World::over(setup.into_front_end(Some(v2))).await;
        Self { world, fake, registry, outbox, service }
    }

    /// A key's sid and secret.
    pub async fn key(&self, service: Option<ServiceId>, scopes: &[Scope]) -> String {
        let scopes = scopes.iter().copied().collect();
        let made = self.registry.create_key(service, scopes, None).await.expect("a key");
        format!("{}:{}", made.key.sid, made.secret.expose())
    }

    /// Records an event as a decision about its number would.
    pub async fn emit(&self, event: Event) {
        let slots = SlotHash::new(&ServerKey::from_bytes(SERVER_KEY));
        let slot = slots.of_number(event.service, event.about.to);
        self.outbox.announce(event, slot).await.expect("kept");
    }

    /// A path below the service.
    pub fn below(&self, path: &str) -> String {
        format!("/v2/Services/{}{path}", self.service.sid)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &root(), &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &root(), &[], "").await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.ask("POST", path, &root(), &["content-type: application/x-www-form-urlencoded"], &body).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &root(), &["content-type: application/json"], &body.to_string()).await
    }

    pub async fn ask(&self, method: &str, path: &str, user: &str, headers: &[&str], body: &str) -> Reply {
        let headers: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
        let length =
            if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let basic = basic(user);
        self.world
            .ask(format!(
                "{method} {path} HTTP/1.1\r\nhost: codes.example\r\n{basic}{headers}{length}\r\n{body}"
            ))
            .await
    }
}

/// The header line with these credentials.
pub fn basic(user: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(user))
}

/// Members of a service's settings.
pub fn given(members: Value) -> Map<String, Value> {
    match members {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// Settings with only a name.
pub fn named(name: &str) -> Map<String, Value> {
    given(json!({ "friendly-name": name }))
}

/// One shard whose clock stands still.
async fn shards() -> Shards {
    let bounds = Bounds::default();
    Shards::start(ShardDeps {
        store: Arc::new(MemoryStore::default()),
        clock: Arc::new(ManualClock::starting_at(THEN)),
        kinds: kinds::all(&NumberCapacity::new(bounds.numbers), &VerifiedNumbers::new(1_000)),
        shards: 1,
        settings: kinds::shard_settings(&bounds),
        rng: StdRng::seed_from_u64(7),
        metrics: Arc::default(),
    })
    .await
    .expect("shards")
}

/// A registry with an account, whose default service has the rules of the older routes.
async fn registry(shards: Shards, default: &str) -> Registry {
    let policy = Policy {
        max_attempts: 5,
        lockout: LockoutRule::Fixed(Duration::from_secs(1_800)),
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
        sends: SendRules::CONTRACT,
    };
    let account = AccountSettings { sid: account(), token: ApiSecret::new(TOKEN.to_owned()) };
    Registry::open(RegistryDeps {
        shards,
        settings: RegistrySettings {
            account: Some(account),
            local_only: true,
            ..RegistrySettings::default()
        },
        default: ServiceSettings::of_policy(default.to_owned(), &policy),
        templates: Templates::new("{code}", "{code}"),
        gateways: vec![GatewayName::Simulator],
        twilio_messaging_service: None,
    })
    .await
    .expect("an empty store")
}

/// An outbox whose receivers never answer.
fn outbox(shards: Shards, registry: &Registry) -> Outbox {
    Outbox::start(
        shards,
        &ServerKey::from_bytes(SERVER_KEY),
        registry.clone(),
        Arc::new(|_| Box::pin(std::future::pending())),
        OutboxBounds::default(),
        None,
    )
}
