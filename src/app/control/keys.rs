//! Requests about API keys, and their answers.

use serde::{Deserialize, Serialize};

use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::registry::{ApiKey, KeyOptions, Registry, RegistryError, Scope, Scopes};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeysRequest {
    /// Make a key. Answered with a [`KeyLine`] that has the secret.
    Create {
        /// Sid or name; all services without it.
        service: Option<String>,
        scopes: Vec<String>,
        name: Option<String>,
    },
    /// List keys, the newest first. Answered with one [`KeyLine`] for each.
    List {
        /// Sid or name; all services without it.
        service: Option<String>,
    },
    /// From now on this key is refused. Answered with its [`KeyLine`].
    Revoke { sid: String },
    /// Make a new auth token for the account. Answered with a [`RootLine`].
    NewRoot,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    pub sid: String,
    /// `None` for all services.
    pub service_sid: Option<String>,
    pub service_name: Option<String>,
    pub scopes: Vec<String>,
    pub name: Option<String>,
    /// RFC 3339, UTC.
    pub created: String,
    /// The minute in which it was used last.
    pub last_used: Option<String>,
    pub revoked: Option<String>,
    /// Its secret, when it was just made, and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootLine {
    pub account_sid: String,
    pub auth_token: String,
}

impl KeysRequest {
    /// What it changes, for the log; `None` when it only looks.
    pub(super) const fn changes(&self) -> Option<&'static str> {
        match self {
            Self::Create { .. } => Some("an API key was made"),
            Self::Revoke { .. } => Some("an API key was revoked"),
            Self::NewRoot => Some("the account has a new auth token"),
            Self::List { .. } => None,
        }
    }

    /// Returns the lines of the answer, or the reason in words for a person.
    pub async fn carry_out(self, registry: &Registry) -> Result<Vec<serde_json::Value>, String> {
        let lines = match self {
            Self::Create { service, scopes, name } => {
                let service = service_of(registry, service)?;
                let scopes: Option<Scopes> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
                let scopes = scopes.ok_or("a scope is verify or admin")?;
                let made = registry.create_key(KeyOptions { service, scopes, name }).await;
                let made = made.map_err(|error| words(&error))?;
                let secret = Some(made.secret.expose().to_owned());
                vec![serde_json::to_value(KeyLine { secret, ..line(registry, &made.key) })]
            }
            Self::List { service } => {
                let service = service_of(registry, service)?;
                registry.keys(service).iter().map(|key| serde_json::to_value(line(registry, key))).collect()
            }
            Self::Revoke { sid } => {
                let sid = Sid::parse(SidKind::ApiKey, &sid).ok_or("a key is named by its id, SK...")?;
                let revoked = registry.revoke_key(sid).await.map_err(|error| words(&error))?;
                vec![serde_json::to_value(line(registry, &revoked))]
            }
            Self::NewRoot => {
                let made = registry.new_root().await.map_err(|error| words(&error))?;
                let line = RootLine {
                    account_sid: made.sid.to_string(),
                    auth_token: made.token.expose().to_owned(),
                };
                vec![serde_json::to_value(line)]
            }
        };
        // Texts always have a form in JSON.
        lines.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

fn service_of(registry: &Registry, text: Option<String>) -> Result<Option<ServiceId>, String> {
    let Some(text) = text else { return Ok(None) };
    match registry.find_service(&text) {
        Ok(service) => Ok(Some(service.id)),
        Err(RegistryError::NotFound(_)) => Err(format!(
            "there is no service {text:?}; name it by its id (VA...), its name in config.json, its friendly name, or default"
        )),
        Err(error) => Err(words(&error)),
    }
}

fn words(error: &RegistryError) -> String {
    match error {
        RegistryError::TooMany { what, limit } if what.contains("live API keys") => {
            format!(
                "there are {limit} {what} already; revoke one that is not used any more (onceward keys list)"
            )
        }
        error => error.to_string(),
    }
}

fn line(registry: &Registry, key: &ApiKey) -> KeyLine {
    let service = key.service.map(|id| (id, registry.service_by_id(id)));
    let (service_sid, service_name) = match service {
        None => (None, None),
        Some((_, Some(service))) => {
            (Some(service.sid.to_string()), Some(service.settings.friendly_name.clone()))
        }
        Some((id, None)) => (Some(format!("(removed service {})", id.get())), None),
    };
    let written = |at: Timestamp| at.rfc3339_millis().to_string();
    KeyLine {
        sid: key.sid.to_string(),
        service_sid,
        service_name,
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        name: key.name.clone(),
        created: written(key.created),
        last_used: key.last_used.map(written),
        revoked: key.revoked.map(written),
        secret: None,
    }
}
