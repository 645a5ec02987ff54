//! A running front end with services, keys and the fake.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fake::{Fake, THEN};
use crate::clock::{Clock, ManualClock};
use crate::domain::{Channel, GatewayName, ServerKey, ServiceId, Sid, SidKind};
use crate::http::tests::client::Reply;
use crate::http::tests::script::Script;
use crate::http::tests::world::{World, deps};
use crate::http::{Base, Deps, V2};
use crate::registry::tests::world::named;
use crate::registry::tests::world::{World as RegistryWorld, start};
use crate::registry::{Registry, Scope, Service, gateway_sid};
use crate::shard::tests::FaultyStore;
use crate::store::BoxFuture;
use crate::webhook::{Outbox, OutboxBounds, Post, Posted, Transport};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

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

pub fn root() -> String {
    format!("{}:{TOKEN}", account())
}

pub fn gateway() -> Sid {
    gateway_sid(GatewayName::Simulator)
}

pub async fn registry() -> Registry {
    let mut world = RegistryWorld::new().with_account(&account().to_string(), TOKEN);
    world.clock = Arc::new(ManualClock::starting_at(THEN));
    world.gateways = vec![GatewayName::Simulator];
    "onceward".clone_into(&mut world.default.friendly_name);
    world.open().await
}

/// An outbox whose receivers never answer.
pub async fn outbox(registry: &Registry) -> Outbox {
    struct Silence;

    impl Transport for Silence {
        fn post(&self, _: Post) -> BoxFuture<'_, Posted> {
            Box::pin(std::future::pending())
        }
    }

    let key = ServerKey::from_bytes([7; 32]);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::starting_at(THEN));
    Outbox::start(
        start(&FaultyStore::new(), &clock, 21).await.expect("shards"),
        &key,
        Arc::new(registry.clone()),
        Arc::new(Silence),
        OutboxBounds::default(),
        None,
    )
}

impl V2World {
    pub async fn new() -> Self {
        Self::with(Script::panics(), |_| {}).await
    }

    pub async fn with(script: Script, change: impl FnOnce(&mut Deps)) -> Self {
        let (fake, registry) = (Fake::default(), registry().await);
        let service = registry.create_service(named("Owl Bank")).await.expect("a service");
        let mut deps = deps(script);
        deps.channels = Channel::ALL.to_vec();
        let base = Base { public_url: None, tls: false, listens_on: "127.0.0.1:3000".into() };
        let outbox = outbox(&registry).await;
        let v2 = V2::new(Arc::new(fake.clone()), registry.clone(), outbox.clone(), base, Arc::new(|| THEN));
        assert!(deps.v2.set(v2).is_ok());
        change(&mut deps);
        Self { world: World::with(deps).await, fake, registry, outbox, service }
    }

    /// A key's sid and secret.
    pub async fn key(&self, service: Option<ServiceId>, scopes: &[Scope]) -> String {
        let scopes = scopes.iter().copied().collect();
        let made = self.registry.create_key(service, scopes, None).await.expect("a key");
        format!("{}:{}", made.key.sid, made.secret.expose())
    }

    /// A path below the service.
    pub fn below(&self, path: &str) -> String {
        format!("/v2/Services/{}{path}", self.service.sid)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &root(), &[], "").await
    }

    /// For refused deletions, which have a body.
    pub async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path, &root(), &[], "").await
    }

    /// For successful deletions, which have none.
    pub async fn delete_unanswered(&self, path: &str) -> Reply {
        let mut client = self.world.client().await;
        client.send(format!("DELETE {path} HTTP/1.1\r\nhost: codes.example\r\n{}\r\n", basic(&root()))).await;
        client.reply_without_body().await
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

pub fn basic(user: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(user))
}

pub fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.body))
}

/// Asserts that a reply is this error, in Twilio's form.
#[track_caller]
pub fn is_error(reply: &Reply, status: u16, code: u32) {
    let found = json(reply);
    let keys: Vec<&str> = ["code", "message", "more_info", "status"].to_vec();
    let names: Vec<&String> = found.as_object().expect("an object").keys().collect();
    assert_eq!(names, keys, "{found}");
    assert_eq!((reply.status, found["status"].as_u64()), (status, Some(status.into())), "{found}");
    assert_eq!(found["code"], code, "{found}");
    assert_eq!(found["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    assert!(found["message"].as_str().is_some_and(|message| !message.is_empty()), "{found}");
}
