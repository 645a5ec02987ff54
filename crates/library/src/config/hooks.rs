//! The keys by which identity systems sign their hooks. Each is a variable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Deserializer, Serialize};

use super::errors::hint;
use super::services::ConfiguredService;
use super::sources::Config;
use super::values::hidden;
use crate::domain::{ServiceId, Sid, SidKind, checked};

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct HookSettings {
    /// Secrets of Supabase's Send SMS hook, as Supabase shows them: v1,whsec_ and Base64. Several are separated by |, and
    /// each may begin with its service and a colon. Without one the service is default.
    #[serde(rename = "SUPABASE_HOOK_SECRETS", deserialize_with = "standard_keys", serialize_with = "hidden")]
    pub supabase: Vec<HookKey>,
    /// Signing keys of Zitadel's HTTP providers, in the same form.
    #[serde(rename = "ZITADEL_HOOK_KEYS", deserialize_with = "keys", serialize_with = "hidden")]
    pub zitadel: Vec<HookKey>,
    /// Signing keys of Logto's web hooks, in the same form.
    #[serde(rename = "LOGTO_HOOK_KEYS", deserialize_with = "keys", serialize_with = "hidden")]
    pub logto: Vec<HookKey>,
}

/// A key by which an identity system signs its hooks.
#[derive(Debug, Clone)]
pub struct HookKey {
    /// The name of the service that sends its codes.
    pub service: String,
    key: SecretSlice<u8>,
}

impl HookKey {
    pub fn expose(&self) -> &[u8] {
        self.key.expose_secret()
    }
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HookKey>, D::Error> {
    let accepted = "keys of at least 16 characters, separated by |, each perhaps behind the name of its service and a colon";
    checked(from, accepted, |text| hook_keys(text, |key| Some(key.as_bytes().to_vec())))
}

/// Secrets in the form of Standard Webhooks.
fn standard_keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HookKey>, D::Error> {
    let accepted = "secrets such as v1,whsec_ and Base64 of at least 16 bytes, separated by |, each perhaps behind the name of its \
                    service and a colon";
    let decode = |key: &str| {
        let key = key.strip_prefix("v1,").unwrap_or(key);
        STANDARD.decode(key.strip_prefix("whsec_")?).ok()
    };
    checked(from, accepted, |text| hook_keys(text, decode))
}

/// A shorter key could be tried out.
const SHORTEST_HOOK_KEY: usize = 16;

fn hook_keys(text: &str, decode: fn(&str) -> Option<Vec<u8>>) -> Option<Vec<HookKey>> {
    let entries = text.split(|c: char| c.is_whitespace() || c == '|').filter(|entry| !entry.is_empty());
    let key = |entry: &str| {
        let (service, key) = entry.split_once(':').unwrap_or((ServiceId::DEFAULT_NAME, entry));
        let key = SecretSlice::from(decode(key)?);
        let is_long = key.expose_secret().len() >= SHORTEST_HOOK_KEY;
        is_long.then(|| HookKey { service: service.to_owned(), key })
    };
    let keys = entries.map(key).collect::<Option<Vec<_>>>()?;
    (!keys.is_empty()).then_some(keys)
}

impl HookSettings {
    /// Notes keys whose service cannot exist. One made over the API is known only to the data directory. What is before the colon
    /// is not repeated: it may be a part of a key.
    pub fn validate(&self, services: &[ConfiguredService], c: &mut Config) {
        let known = || services.iter().map(|service| service.name.as_str()).chain([ServiceId::DEFAULT_NAME]);
        let is_known =
            |name: &str| known().any(|known| known == name) || Sid::parse(SidKind::Service, name).is_some();
        for (variable, keys) in [
            ("SUPABASE_HOOK_SECRETS", &self.supabase),
            ("ZITADEL_HOOK_KEYS", &self.zitadel),
            ("LOGTO_HOOK_KEYS", &self.logto),
        ] {
            for key in keys.iter().filter(|key| !is_known(&key.service)) {
                let what = "the name before the colon of a key is no service: it is default, a name of \"services\", or an id (VA...)";
                c.wrong(variable, format!("{what}{}", hint(&key.service, known())));
            }
        }
    }
}
