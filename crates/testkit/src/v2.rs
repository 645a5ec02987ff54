//! A server as clients of Twilio Verify's API use it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onceward::domain::ServiceId;
use onceward::registry::{Registry, Scope, Service};
use onceward_library::testing::given;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::client::{Reply, json};
use crate::setup::{Setup, TOKEN, account};
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

impl V2World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let world = World::with(setup).await;
        let registry = world.running.registry.clone();
        let service =
            registry.create_service(given(json!({ "friendly-name": "Owl Bank" }))).await.expect("a service");
        Self { world, registry, service }
    }

    /// A key's sid and secret.
    pub async fn key(&self, service: Option<ServiceId>, scopes: &[Scope]) -> String {
        let scopes = scopes.iter().copied().collect();
        let made = self.registry.create_key(service, scopes, None).await.expect("a key");
        format!("{}:{}", made.key.sid, made.secret.expose_secret())
    }

    /// A path below the service.
    pub fn below(&self, path: &str) -> String {
        format!("/v2/Services/{}{path}", self.service.sid)
    }

    /// Sends a code by text message. Returns the verification.
    pub async fn begin(&self, to: &str) -> Value {
        let begun = self.post(&self.below("/Verifications"), &[("To", to), ("Channel", "sms")]).await;
        assert_eq!(begun.status, 201, "{}", begun.body);
        json(&begun)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &root(), &[], "").await
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
        let head = format!("{method} {path} HTTP/1.1\r\nhost: codes.example\r\n{}{headers}", basic(user));
        self.world.ask(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await
    }
}

/// The header line with these credentials.
pub fn basic(user: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(user))
}

pub fn sid(resource: &Value) -> &str {
    resource["sid"].as_str().expect("a sid")
}
