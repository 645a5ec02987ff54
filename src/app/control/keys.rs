//! Requests about API keys, and their answers.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Subcommand};
use serde::{Deserialize, Serialize};

use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::node::AccountFile;
use crate::registry::{ApiKey, Item, KeyOptions, Registry, RegistryError, Scope, Scopes};

/// A request of `onceward keys`, as it is written on the command line and sent over the socket. Answered with
/// [`KeyLine`]s or a [`RootLine`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Subcommand)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeysRequest {
    /// Create a key, and show its secret once.
    Create {
        /// For this service only: its id (VA...), its name in config.json, its friendly name, or "default". Without it,
        /// for all services.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,

        /// Permissions of the key: verify (send and check codes), admin (change services), metrics (read metrics).
        /// May be given several times.
        #[arg(long = "scope", value_name = "SCOPE", default_values_t = ["verify".to_owned()], value_delimiter = ',', value_parser = Scope::ALL.map(Scope::as_str))]
        scopes: Vec<String>,

        /// A name for the key, such as the program that will use it.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
    },

    /// List keys, the newest first, without their secrets.
    List {
        /// Only the keys of this service.
        #[arg(long, value_name = "NAME|VA..")]
        service: Option<String>,
    },

    /// Revoke a key: from now on the server refuses it.
    Revoke {
        /// The id of the key.
        #[arg(value_name = "SK..")]
        sid: String,
    },

    /// Make a new auth token for the account, show it, and write it to account.env in the data directory. The server
    /// refuses the old one from then on.
    #[command(name = "root", arg(Arg::new("new").long("new").required(true).action(ArgAction::SetTrue).help("Confirm that you want a new one")))]
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
    /// In the answer to a revocation: the key was revoked before, and nothing has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub already_revoked: bool,
    /// Its secret, when it was just made, and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl KeyLine {
    fn log(&self, event: &str) {
        let Self { sid, name, scopes, .. } = self;
        let service = self.service_name.as_deref().or(self.service_sid.as_deref()).unwrap_or("all");
        tracing::info!(key = sid, name, service, scopes = scopes.join(","), "{event}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootLine {
    pub account_sid: String,
    pub auth_token: String,
    /// The file that has both.
    pub file: PathBuf,
}

impl KeysRequest {
    /// Returns the lines of the answer, or the reason in words for a person. Logs what it changes.
    pub async fn carry_out(
        self,
        registry: &Registry,
        account: &AccountFile,
    ) -> Result<Vec<serde_json::Value>, String> {
        let lines = match self {
            Self::Create { service, scopes, name } => {
                let service = service_of(registry, service)?;
                let scopes: Option<Scopes> = scopes.iter().map(|scope| Scope::parse(scope)).collect();
                let scopes = scopes
                    .ok_or_else(|| format!("a scope is {}", Scope::ALL.map(Scope::as_str).join(" or ")))?;
                let made = registry.create_key(KeyOptions { service, scopes, name }).await;
                let made = made.map_err(|error| words(&error))?;
                let secret = Some(made.secret.expose().to_owned());
                let key = KeyLine { secret, ..line(registry, &made.key) };
                key.log("API key created");
                vec![serde_json::to_value(key)]
            }
            Self::List { service } => {
                let service = service_of(registry, service)?;
                registry.keys(service).iter().map(|key| serde_json::to_value(line(registry, key))).collect()
            }
            Self::Revoke { sid } => {
                let sid = Sid::parse(SidKind::ApiKey, &sid).ok_or("a key is named by its id, SK...")?;
                let revoked = registry.revoke_key(sid).await;
                let (revoked, already_revoked) =
                    revoked.map_err(|error| not_revoked(registry, sid, &error))?;
                let key = KeyLine { already_revoked, ..line(registry, &revoked) };
                if !already_revoked {
                    key.log("API key revoked");
                }
                vec![serde_json::to_value(key)]
            }
            Self::NewRoot => {
                let made = account.renew(registry).await.map_err(|error| error.to_string())?;
                tracing::info!(account = %made.sid, "auth token replaced");
                let line = RootLine {
                    account_sid: made.sid.to_string(),
                    auth_token: made.token.expose().to_owned(),
                    file: account.path().to_owned(),
                };
                vec![serde_json::to_value(line)]
            }
        };
        // The serialization of these lines cannot fail.
        lines.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

pub(super) fn service_of(registry: &Registry, text: Option<String>) -> Result<Option<ServiceId>, String> {
    let Some(text) = text else { return Ok(None) };
    registry.find_service(&text).map(|service| Some(service.id))
}

fn words(error: &RegistryError) -> String {
    match error {
        RegistryError::TooMany { item: Item::LiveKeyOfService | Item::LiveKeyOfAccount, .. } => {
            format!("{error}; revoke one that is not used any more (onceward keys list)")
        }
        error => error.to_string(),
    }
}

/// After a failed commit the server refuses the key already, because the revocation may be on the disk.
fn not_revoked(registry: &Registry, sid: Sid, error: &RegistryError) -> String {
    let is_refused = || registry.keys(None).iter().any(|key| key.sid == sid && key.revoked.is_some());
    match error {
        RegistryError::Store(why) if is_refused() => format!(
            "the revocation of {sid} is not durable: {why}. A running server refuses the key and writes the revocation \
             once the store works, but a restart before that forgets it. Without a running server the key is not \
             revoked. Remove the cause, which a running server's log names, and run the command again"
        ),
        RegistryError::Store(why) => {
            format!(
                "{sid} is not revoked: {why}. Remove the cause, which a running server's log names, and run the \
                 command again"
            )
        }
        error => words(error),
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
        already_revoked: false,
        secret: None,
    }
}
