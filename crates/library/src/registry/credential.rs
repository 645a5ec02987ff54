//! Credentials: the account itself, and API keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::AccountCredentials;
use super::audit::Actor;
use crate::domain::{ApiSecret, ServiceId, Sid, Timestamp};

crate::named! {
    /// A group of routes that a key may be used for.
    /// Records contain the position of the variant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Scope {
        /// To send and check codes.
        Verify = "verify",
        /// To change services and what belongs to them.
        Admin = "admin",
        /// To read metrics, and nothing else.
        Metrics = "metrics",
        /// To send codes that another system made, and to report their outcomes.
        Messages = "messages",
    }
}

impl Scope {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

pub type Scopes = BTreeSet<Scope>;

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub sid: Sid,
    /// The one service that it is for; `None` for all.
    pub service: Option<ServiceId>,
    pub scopes: Scopes,
    pub name: Option<String>,
    /// Who asked for it; `None` for a program that embeds the library.
    pub creator: Option<Actor>,
    pub created: Timestamp,
    /// The minute in which it was used last.
    pub last_used: Option<Timestamp>,
    /// From when on it is refused.
    pub revoked: Option<Timestamp>,
    pub(super) hash: [u8; 32],
    /// Keys are numbered as they are made, from 1.
    pub(super) number: u64,
}

impl ApiKey {
    /// Returns `true` if the key is for the compatible routes and nothing else.
    pub(super) fn is_for_compatible_routes(&self) -> bool {
        self.service == Some(ServiceId::DEFAULT) && self.scopes.contains(&Scope::Verify)
    }
}

/// Live keys for one service, or for all: enough for every program to have its own, and two while it changes to a new one.
pub const KEYS_PER_SERVICE: usize = 20;

/// A key that was just made, with its secret: shown once, and kept nowhere.
#[derive(Debug)]
pub struct NewApiKey {
    pub key: ApiKey,
    pub secret: ApiSecret,
}

/// The record of the account's credentials or of an API key. It has the SHA-256 of a secret, never the secret. A slow hash
/// is for secrets that people choose; these are at least 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    Root(CredentialFingerprint),
    Key(ApiKey),
    /// A key for the compatible routes was revoked: these routes require a key from then on, even if no key is left.
    HadKey,
}

impl Credential {
    pub fn into_key(self) -> Option<ApiKey> {
        if let Self::Key(key) = self { Some(key) } else { None }
    }
}

/// A credential without its secret, as a session keeps it. It is void when the secret is replaced or revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialFingerprint {
    pub sid: Sid,
    pub hash: [u8; 32],
}

impl From<&AccountCredentials> for CredentialFingerprint {
    fn from(AccountCredentials { sid, token }: &AccountCredentials) -> Self {
        Self { sid: *sid, hash: hash(token.expose()) }
    }
}

/// A client that has proved who it is.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The account itself, which may do everything.
    Root,
    Key(Arc<ApiKey>),
    /// An administrator of the server's machine, by user id. May do everything.
    User(u32),
}

impl Caller {
    fn used_key(&self) -> Option<&ApiKey> {
        if let Self::Key(key) = self { Some(key) } else { None }
    }

    /// Returns `true` if the caller has the scope in this service.
    pub fn may(&self, scope: Scope, service: ServiceId) -> bool {
        self.used_key()
            .is_none_or(|key| key.scopes.contains(&scope) && key.service.is_none_or(|own| own == service))
    }

    /// Returns `true` if the caller has the scope in every service and for what belongs to none: the list of services,
    /// the safe list.
    pub fn may_everywhere(&self, scope: Scope) -> bool {
        self.used_key().is_none_or(|key| key.scopes.contains(&scope) && key.service.is_none())
    }

    /// The one service that the caller's key is for; `None` for all of them.
    pub fn service(&self) -> Option<ServiceId> {
        self.used_key()?.service
    }

    /// The caller in the audit log.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Root => Actor::new("account", None, None),
            Self::Key(key) => Actor::new("key", Some(key.sid.to_string()), key.name.clone()),
            Self::User(uid) => Actor::user(*uid),
        }
    }

    /// The caller in the audit log, in a session of the dashboard.
    pub fn session(&self) -> Actor {
        let name = self.used_key().map_or_else(|| Some("account".to_owned()), |key| key.name.clone());
        Actor::new("session", self.key().map(|sid| sid.to_string()), name)
    }

    pub fn key(&self) -> Option<Sid> {
        self.used_key().map(|key| key.sid)
    }
}

/// The form of a secret in records.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
