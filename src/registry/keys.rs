//! API keys are made, listed and revoked; the account's own credentials are made.

use std::cmp::Reverse;
use std::sync::Arc;

use super::command::{NEW, NewIds, record};
use super::credential::{LiveKey, hash};
use super::error::check_room;
use super::service::{ServiceRecord, credential_id, service_id};
use super::{AccountCredentials, ApiKey, Credential, Item, NewApiKey, Registry, RegistryError, Scopes};
use crate::config::note;
use crate::domain::{ApiSecret, ServiceId, Sid, SidKind};
use crate::registry::audit::{Action, Change};
use crate::shard::{Durability, Refusal, Transaction};

/// Live keys for one service, or for all: enough for every program to have its own, and two while it changes to a new one.
pub const KEYS_PER_SERVICE: usize = 20;

/// Keys of one installation, revoked ones included.
const MOST: usize = 50_000;

const NAME_LONGEST: usize = 64;

/// The number of the account's record among credentials.
const ROOT: u64 = 0;

/// The record number of [`Credential::HadKey`]. No key ever gets it.
const HAD_KEY: u64 = u64::MAX;

impl Registry {
    /// Makes a key for one service, or for all, with at least one scope and a name of up to 64 characters for people. Its
    /// secret is in the answer, and nowhere else.
    pub async fn create_key(
        &self,
        service: Option<ServiceId>,
        scopes: Scopes,
        name: Option<String>,
    ) -> Result<NewApiKey, RegistryError> {
        let (now, author) = (self.wall(), self.author.clone());
        let service_sid = service.and_then(|id| Some(self.service_by_id(id)?.sid));
        self.decide::<Credential, _, _>(NEW, move |view| {
            let name = name.as_deref().map(|name| note(name, NAME_LONGEST)).transpose();
            let name = name.map_err(RegistryError::invalid("name"))?;
            if scopes == Scopes::default() {
                return Err(RegistryError::invalid("scopes")("must be verify, admin, or both".to_owned()));
            }
            let number = next_number(view, service)?;
            let mut ids = NewIds::new(now, view.rng());
            let secret: [u8; 32] = ids.bytes();
            // Letters and digits only: Twilio's library for Go sends no other secret.
            let secret = ApiSecret::new(base16ct::lower::encode_string(&secret));
            let key = ApiKey {
                sid: ids.sid(SidKind::ApiKey),
                service,
                scopes,
                name,
                created: now,
                last_used: None,
                revoked: None,
            };
            let credential = Credential::Key { key: key.clone(), hash: hash(secret.expose()), number };
            view.put(credential_id(number), Some(&credential), Durability::Durable);
            record(author.as_ref(), Change::of(Action::KeyCreated).in_service(service_sid).to(key.sid), view);
            Ok(NewApiKey { key, secret })
        })
        .await
    }

    /// Every key, the newest first; those of one service, if it is named.
    pub fn keys(&self, service: Option<ServiceId>) -> Vec<ApiKey> {
        let snapshot = self.snapshot();
        let wanted = |live: &&Arc<LiveKey>| service.is_none() || live.key.service == service;
        let mut keys: Vec<&Arc<LiveKey>> = snapshot.keys.values().filter(wanted).collect();
        keys.sort_by_key(|live| Reverse(live.number));
        keys.into_iter().map(|live| live.with_last_use()).collect()
    }

    /// Revokes a key, which the server then refuses. A revoked key stays unchanged. Returns the key, and whether it was
    /// revoked before.
    pub async fn revoke_key(&self, sid: Sid) -> Result<(ApiKey, bool), RegistryError> {
        let found = self.snapshot().keys.get(&sid).map(|live| live.number);
        let (id, now) = (credential_id(found.ok_or(RegistryError::NotFound(Item::ApiKey))?), self.wall());
        let this = self.clone();
        self.decide::<Credential, _, _>(id, move |view| {
            let Some(Credential::Key { mut key, hash, number }) = view.get(id) else {
                return Err(RegistryError::NotFound(Item::ApiKey));
            };
            view.holds_at_once();
            let already_revoked = key.revoked.is_some();
            key.revoked.get_or_insert(now);
            if key.is_for_compatible_routes() {
                view.put(credential_id(HAD_KEY), Some(&Credential::HadKey), Durability::Durable);
            }
            let credential = Credential::Key { key: key.clone(), hash, number };
            view.put(id, Some(&credential), Durability::Durable);
            if !already_revoked {
                let service = key.service.and_then(|id| Some(this.service_by_id(id)?.sid));
                record(
                    this.author.as_ref(),
                    Change::of(Action::KeyRevoked).in_service(service).to(sid),
                    view,
                );
            }
            Ok((key, already_revoked))
        })
        .await
    }

    /// Keeps the minute of a key's last use. A crash within 150 ms may lose it.
    pub(super) fn note_use(&self, live: &LiveKey) {
        let (id, used) = (credential_id(live.number), live.with_last_use().last_used);
        self.submit::<Credential, (), Refusal>(id, move |view| {
            if let Some(Credential::Key { mut key, hash, number }) = view.get(id) {
                key.last_used = key.last_used.max(used);
                view.put(id, Some(&Credential::Key { key, hash, number }), Durability::Lazy);
            }
            Ok(())
        });
    }

    /// Draws a new auth token for the account, and its id if it has none. Nothing changes before
    /// [`Registry::keep_account`].
    ///
    /// # Errors
    /// [`RegistryError::ReadOnly`] when the environment gives the token.
    pub async fn draw_account(&self) -> Result<AccountCredentials, RegistryError> {
        if self.account_is_given() {
            let why = "the account's auth token is given by ONCEWARD_AUTH_TOKEN, and is changed there";
            return Err(RegistryError::ReadOnly(why.to_owned()));
        }
        let (id, now) = (credential_id(ROOT), self.wall());
        self.decide::<Credential, _, _>(id, move |view| {
            let before = view.get(id);
            let mut ids = NewIds::new(now, view.rng());
            let sid = match before {
                Some(Credential::Root(root)) => root.sid,
                _ => ids.sid(SidKind::Account),
            };
            // As long as Twilio's, and in the same letters: some clients check that.
            let token: [u8; 16] = ids.bytes();
            Ok(AccountCredentials { sid, token: ApiSecret::new(base16ct::lower::encode_string(&token)) })
        })
        .await
    }

    /// Makes these the account's credentials, durably. The server then refuses the old auth token.
    pub async fn keep_account(&self, root: &AccountCredentials) -> Result<(), RegistryError> {
        let (id, root, author) = (credential_id(ROOT), root.hashed(), self.author.clone());
        self.decide::<Credential, _, _>(id, move |view| {
            view.put(id, Some(&Credential::Root(root.clone())), Durability::Durable);
            record(author.as_ref(), Change::of(Action::AccountTokenReplaced), view);
            Ok(())
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

    /// Returns `true` if these are the account's credentials.
    pub fn is_account(&self, root: &AccountCredentials) -> bool {
        self.root() == Some(root.hashed())
    }
}

/// The number of a new key, if there may be one more for this service, or for all.
fn next_number(view: &mut Transaction<'_>, service: Option<ServiceId>) -> Result<u64, RegistryError> {
    if let Some(id) = service
        && !matches!(view.get(service_id(id)), Some(ServiceRecord::Present(_)))
    {
        return Err(RegistryError::NotFound(Item::Service));
    }
    let (mut last, mut keys, mut live) = (ROOT, 0, 0);
    for (_, record) in view.iter::<Credential>() {
        if let Credential::Key { key, number, .. } = record {
            last = last.max(number);
            keys += 1;
            live += usize::from(key.service == service && key.revoked.is_none());
        }
    }
    check_room(keys, MOST, Item::ApiKey)?;
    let live_keys = if service.is_some() { Item::LiveKeyOfService } else { Item::LiveKeyOfAccount };
    check_room(live, KEYS_PER_SERVICE, live_keys)?;
    Ok(last + 1)
}
