//! A server as clients of Twilio Verify's API use it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onceward::domain::{GatewayName, ServerKey, ServiceId, Sid};
use onceward::engine::SlotHash;
use onceward::registry::{Registry, Scope, Service, gateway_sid};
use onceward::webhook::Event;
use serde_json::{Map, Value, json};

use crate::client::Reply;
use crate::setup::{SERVER_KEY, Setup, TOKEN, account, given};
use crate::world::World;

/// A server with the service "Owl Bank" beside the default one. Requests have the account's credentials unless they name
/// others.
pub struct V2World {
    pub world: World,
    pub registry: Registry,
    pub service: Arc<Service>,
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
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let world = World::with(setup).await;
        let registry = world.running.registry.clone();
        let service = registry.create_service(named("Owl Bank")).await.expect("a service");
        Self { world, registry, service }
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
        self.world.running.outbox.announce(event, slot).await.expect("kept");
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

/// Settings with only a name.
pub fn named(name: &str) -> Map<String, Value> {
    given(json!({ "friendly-name": name }))
}
