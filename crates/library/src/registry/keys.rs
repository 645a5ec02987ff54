//! API keys are made, listed and revoked; the account's own credentials are made; and which caller a request's credentials
//! belong to.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::audit::{Actor, Draft};
use super::handle::{Result, check_room};
use super::services::{credential_id, found, service_id};
use super::{AccountCredentials, Item, Registry, RegistryError};
use crate::config::note;
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::registry::audit::Action;
use crate::shard::Refusal;

const NAME_LONGEST: usize = 64;

/// The number of the account's record among credentials.
const ROOT: u64 = 0;

/// The record number of [`Credential::HadKey`]. No key ever gets it.
const HAD_KEY: u64 = u64::MAX;

/// The comparison value for an unknown id: no secret has this hash.
const NO_SECRET: [u8; 32] = [0; 32];

impl Registry {
    /// Makes a key for one service, or for all, with at least one scope and a name of up to 64 characters for people. Its
    /// secret is in the answer, and nowhere else. A key makes none: it would outlive its own revocation.
    pub async fn create_key(
        &self,
        service: Option<ServiceId>,
        scopes: Scopes,
        name: Option<String>,
    ) -> Result<NewApiKey> {
        let service_sid = service.and_then(|id| Some(self.service_by_id(id)?.sid));
        self.decide(move |draft| {
            let name = name.as_deref().map(|name| note(name, NAME_LONGEST)).transpose();
            let name = name.map_err(RegistryError::invalid("name"))?;
            if scopes.is_empty() {
                return Err(RegistryError::invalid("scopes")("must be verify, admin, or both".to_owned()));
            }
            if draft.author.as_ref().is_some_and(|author| author.actor.key().is_some()) {
                let why = "keys are created with the account's credentials, or on the server's machine";
                return Err(RegistryError::ReadOnly(why.to_owned()));
            }
            let number = next_number(draft, service)?;
            let secret: [u8; 32] = draft.bytes();
            // Letters and digits only: Twilio's library for Go sends no other secret.
            let secret = SecretString::from(base16ct::lower::encode_string(&secret));
            let key = ApiKey {
                sid: draft.sid(SidKind::ApiKey),
                service,
                scopes,
                name,
                created: draft.now,
                last_used: None,
                hash: hash(secret.expose_secret()),
                number,
            };
            draft.put(credential_id(number), &Credential::Key(key.clone()));
            draft.record(Action::KeyCreated, service_sid, key.sid.to_string(), String::new());
            Ok(NewApiKey { key, secret })
        })
        .await
    }

    /// Every key, the newest first; those of one service, if it is named.
    pub fn keys(&self, service: Option<ServiceId>) -> Vec<ApiKey> {
        let snapshot = self.snapshot();
        let wanted = snapshot.keys.values().filter(|key| service.is_none() || key.service == service);
        let mut keys: Vec<ApiKey> = wanted.map(|key| ApiKey::clone(key)).collect();
        keys.sort_by_key(|key| Reverse(key.number));
        keys
    }

    /// Removes a key, which the server then refuses.
    pub async fn revoke_key(&self, sid: Sid) -> Result<ApiKey> {
        let this = self.clone();
        self.decide(move |draft| {
            let keys = draft.view.iter::<Credential>().filter_map(|(_, record)| record.into_key());
            let key = found(keys, Item::ApiKey, |key| key.sid == sid)?;
            if key.is_for_compatible_routes() {
                draft.put(credential_id(HAD_KEY), &Credential::HadKey);
            }
            draft.view.put::<Credential>(credential_id(key.number), None);
            let service = key.service.and_then(|id| Some(this.service_by_id(id)?.sid));
            draft.record(Action::KeyRevoked, service, sid.to_string(), String::new());
            Ok(key)
        })
        .await
    }

    /// Keeps the minute of a key's last use, if it is not known yet. Returns before it is durable: a crash may lose it.
    pub(super) fn note_use(&self, key: &ApiKey) {
        let minute = Timestamp::from_millis(self.wall().as_millis() / 60_000 * 60_000);
        let (id, used) = (credential_id(key.number), Some(minute.max(key.created)));
        if key.last_used >= used {
            return;
        }
        drop(self.decide::<(), Refusal>(move |draft| {
            // An earlier request may have written it since the caller read the key.
            if let Some(Credential::Key(mut key)) = draft.view.get(id)
                && key.last_used < used
            {
                key.last_used = used;
                draft.view.put(id, Some(&Credential::Key(key)));
            }
            Ok(())
        }));
    }

    /// Makes a new auth token for the account, and its id if it has none. The server then refuses the old one.
    ///
    /// # Errors
    /// [`RegistryError::ReadOnly`] when the environment gives the token.
    pub async fn renew_account(&self) -> Result<AccountCredentials> {
        if self.account_is_given() {
            let why = "the account's auth token is given by ONCEWARD_AUTH_TOKEN, and is changed there";
            return Err(RegistryError::ReadOnly(why.to_owned()));
        }
        let id = credential_id(ROOT);
        self.decide(move |draft| {
            let sid = match draft.view.get(id) {
                Some(Credential::Root(root)) => root.sid,
                _ => draft.sid(SidKind::Account),
            };
            // As long as Twilio's, and in the same letters: some clients check that.
            let token = base16ct::lower::encode_string(&draft.bytes::<16>()).into();
            let made = AccountCredentials { sid, token };
            draft.put(id, &Credential::Root((&made).into()));
            draft.record(Action::AccountTokenReplaced, None, String::new(), String::new());
            Ok(made)
        })
        .await
    }

    /// Returns `true` if the environment gives the account's credentials.
    pub fn account_is_given(&self) -> bool {
        self.inner.given_root.is_some()
    }

    /// Returns `true` if there is an account.
    pub fn has_account(&self) -> bool {
        self.root().is_some()
    }

    /// The caller with these credentials: the account's sid and auth token, or a live key's sid and secret. Takes the same
    /// time for unknown ids. Never waits: the use becomes durable later.
    pub fn authenticate(&self, user: &str, password: &str) -> Option<Caller> {
        let snapshot = self.snapshot();
        let root = self.root().filter(|root| Sid::parse(SidKind::Account, user) == Some(root.sid));
        let key = Sid::parse(SidKind::ApiKey, user).and_then(|sid| snapshot.live_key(&sid));
        let expected = root.as_ref().map(|root| root.hash).or_else(|| key.map(|key| key.hash));
        let right: bool = hash(password).ct_eq(&expected.unwrap_or(NO_SECRET)).into();
        match (root, key) {
            _ if !right => None,
            (Some(_), _) => Some(Caller::Root),
            (None, Some(key)) => {
                self.note_use(key);
                Some(Caller::Key(Arc::clone(key)))
            }
            (None, None) => None,
        }
    }

    /// What a session keeps of a caller in place of its secret.
    pub fn fingerprint_of(&self, caller: &Caller) -> Option<CredentialFingerprint> {
        match caller {
            Caller::Root => self.root(),
            // It has no secret.
            Caller::User(_) => None,
            Caller::Key(key) => Some(CredentialFingerprint { sid: key.sid, hash: key.hash }),
        }
    }

    /// The caller with this credential; `None` once its secret is replaced or revoked.
    pub fn caller_of(&self, fingerprint: &CredentialFingerprint) -> Option<Caller> {
        let CredentialFingerprint { sid, hash } = fingerprint;
        if self.root().as_ref() == Some(fingerprint) {
            return Some(Caller::Root);
        }
        let snapshot = self.snapshot();
        let key = snapshot.live_key(sid).filter(|key| key.hash == *hash)?;
        Some(Caller::Key(Arc::clone(key)))
    }

    /// The account's id, as answers show it. Zeros before there is an account, that is before the start is complete.
    pub fn account_sid(&self) -> Sid {
        self.root().map_or_else(|| Sid::new(SidKind::Account, [0; 16]), |root| root.sid)
    }

    /// The account's credentials: those of the environment come before those of the store.
    pub(super) fn root(&self) -> Option<CredentialFingerprint> {
        self.inner.given_root.clone().or_else(|| self.snapshot().root.clone())
    }
}

/// The number of a new key, if there may be one more for this service, or for all.
fn next_number(draft: &mut Draft<'_, '_>, service: Option<ServiceId>) -> Result<u64> {
    if let Some(id) = service {
        draft.service(service_id(id))?;
    }
    let keys = draft.view.iter::<Credential>().filter_map(|(_, record)| record.into_key());
    let (mut held, mut last) = (0, ROOT);
    for key in keys {
        last = last.max(key.number);
        held += usize::from(key.service == service);
    }
    check_room(held, Item::ApiKey)?;
    Ok(last + 1)
}

// Credentials: the account itself, and API keys.

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
    pub created: Timestamp,
    /// The minute in which it was used last, or its creation if that is later.
    pub last_used: Option<Timestamp>,
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
    pub secret: SecretString,
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
        Self { sid: *sid, hash: hash(token.expose_secret()) }
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
