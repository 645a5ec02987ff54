//! API keys are made, listed and revoked.

use std::sync::Arc;

use super::authenticate::hash;
use super::credential::KeptKey;
use super::error::not_found;
use super::record::{self, CredentialRecord, KeyRecord, credential_key};
use super::snapshot::Credentials;
use super::writer::Writer;
use super::{ApiKey, Inner, NewApiKey, Registry, RegistryError, Scopes};
use crate::config::services::rules;
use crate::domain::{ApiSecret, ServiceId, Sid, SidKind};

/// Live keys for one service, or for all: enough for every program to have its own, and two while it changes to a new one.
pub const KEYS_PER_SERVICE: usize = 20;

/// Keys of one installation, revoked ones included.
const MOST: usize = 50_000;

/// Revoked keys that are still listed, so that a program that goes on using one can be named.
const REVOKED_MOST: usize = 100;

/// A key's name, in characters.
const NAME_LONGEST: usize = 64;

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyWish {
    /// The one service that it is for; `None` for all.
    pub service: Option<ServiceId>,
    /// What it is for; at least one.
    pub scopes: Scopes,
    /// What people call it: 1 to 64 characters.
    pub name: Option<String>,
}

impl Registry {
    /// Makes a key. Its secret is in the answer, and nowhere else.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Invalid`], [`RegistryError::TooMany`], [`RegistryError::Store`].
    pub async fn create_key(&self, wish: KeyWish) -> Result<NewApiKey, RegistryError> {
        self.alone(move |inner, mut writer| async move {
            let name = wish.name.map(|name| rules::note(&name, NAME_LONGEST)).transpose();
            let name = name.map_err(RegistryError::invalid("name"))?;
            if wish.scopes == Scopes::default() {
                let why = "must be at least one of verify, admin and metrics".to_owned();
                return Err(RegistryError::Invalid { field: "scopes", why });
            }
            inner.has_room(wish.service)?;
            let secret: [u8; 32] = writer.bytes();
            // Letters and digits only: Twilio's library for Go sends no other secret.
            let secret = ApiSecret::new(base16ct::lower::encode_string(&secret));
            let key = ApiKey {
                sid: writer.sid(SidKind::ApiKey),
                service: wish.service,
                scopes: wish.scopes,
                name,
                created: inner.clock.wall(),
                last_used: None,
                revoked: None,
            };
            let number = writer.next_credential;
            // Also when the commit fails: it may yet be applied.
            writer.next_credential += 1;
            inner.keep_key(&mut writer, KeptKey::new(key.clone(), hash(secret.expose()), number)).await?;
            Ok(NewApiKey { key, secret })
        })
        .await
    }

    /// Every key, the newest first; those of one service, if it is named.
    pub fn keys(&self, service: Option<ServiceId>) -> Vec<ApiKey> {
        let credentials = self.0.credentials.load();
        let wanted = |kept: &&Arc<KeptKey>| service.is_none() || kept.key.service == service;
        let mut kept: Vec<&Arc<KeptKey>> = credentials.keys.values().filter(wanted).collect();
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.number));
        kept.into_iter().map(|kept| kept.shown()).collect()
    }

    /// From now on the key is refused. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Store`].
    pub async fn revoke_key(&self, sid: Sid) -> Result<ApiKey, RegistryError> {
        self.alone(move |inner, mut writer| async move {
            let kept = inner.credentials.load().keys.get(&sid).cloned().ok_or_else(|| not_found(&sid))?;
            let mut key = kept.shown();
            if key.revoked.is_some() {
                return Ok(key);
            }
            key.revoked = Some(inner.clock.wall());
            inner.keep_key(&mut writer, KeptKey::new(key.clone(), kept.hash, kept.number)).await?;
            inner.forget_revoked(&mut writer).await;
            Ok(key)
        })
        .await
    }

    /// Writes down when keys were used last, where that has changed: at most a commit a minute for each key in use. Not
    /// in the way of any answer.
    ///
    /// # Errors
    /// [`RegistryError::Store`]; what was not written is tried again the next time.
    pub async fn write_last_uses(&self) -> Result<(), RegistryError> {
        let behind: Vec<Sid> = {
            let credentials = self.0.credentials.load();
            credentials.keys.values().filter(|kept| kept.is_behind()).map(|kept| kept.key.sid).collect()
        };
        for sid in behind {
            self.alone(move |inner, mut writer| async move {
                let kept = inner.credentials.load().keys.get(&sid).cloned();
                let Some(kept) = kept.filter(|kept| kept.is_behind()) else { return Ok(()) };
                let key = kept.shown();
                inner.keep_key(&mut writer, KeptKey::new(key, kept.hash, kept.number)).await
            })
            .await?;
        }
        Ok(())
    }
}

impl Inner {
    fn has_room(&self, service: Option<ServiceId>) -> Result<(), RegistryError> {
        let services = self.services.load();
        if service.is_some_and(|id| !services.has(id)) {
            return Err(RegistryError::NotFound("service"));
        }
        let credentials = self.credentials.load();
        if credentials.keys.len() >= MOST {
            return Err(RegistryError::TooMany { what: "API keys", limit: MOST });
        }
        let live = credentials.live(&services).filter(|kept| kept.key.service == service).count();
        if live >= KEYS_PER_SERVICE {
            let what = if service.is_some() {
                "live API keys for this service"
            } else {
                "live API keys for all services"
            };
            return Err(RegistryError::TooMany { what, limit: KEYS_PER_SERVICE });
        }
        Ok(())
    }

    /// Makes a key durable, and then visible.
    async fn keep_key(&self, writer: &mut Writer, kept: KeptKey) -> Result<(), RegistryError> {
        let record = CredentialRecord::Key(KeyRecord::of(&kept.key, &kept.hash));
        let record = record::seal(&record).map_err(RegistryError::Store)?;
        self.write(writer, credential_key(kept.number), Some(record)).await?;
        let mut credentials = Credentials::clone(&self.credentials.load());
        let sid = kept.key.sid;
        // What was noted of its use since it was looked at is noted again.
        if let Some(before) = credentials.keys.get(&sid).and_then(|before| before.shown().last_used) {
            kept.touch(before);
        }
        credentials.keys.insert(sid, Arc::new(kept));
        self.credentials.store(Arc::new(credentials));
        Ok(())
    }

    /// Removes the oldest revoked keys when there are many. What cannot be removed now is when the next one is revoked.
    async fn forget_revoked(&self, writer: &mut Writer) {
        let mut revoked: Vec<(u64, Sid)> = {
            let credentials = self.credentials.load();
            let revoked = credentials.keys.values().filter(|kept| kept.key.revoked.is_some());
            revoked.map(|kept| (kept.number, kept.key.sid)).collect()
        };
        revoked.sort_unstable();
        let surplus = revoked.len().saturating_sub(REVOKED_MOST);
        for (number, sid) in revoked.into_iter().take(surplus) {
            let key = credential_key(number);
            if let Err(error) = self.write(writer, key, None).await {
                tracing::warn!(%error, "a key that was revoked long ago is still in the list");
                return;
            }
            writer.revisions.remove(&key);
            let mut credentials = Credentials::clone(&self.credentials.load());
            credentials.keys.remove(&sid);
            self.credentials.store(Arc::new(credentials));
        }
    }
}
