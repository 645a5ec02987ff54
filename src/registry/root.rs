//! The account's own credentials.

use std::sync::Arc;

use super::authenticate::hash;
use super::record::{self, CredentialRecord, RootRecord, credential_key};
use super::snapshot::Credentials;
use super::{NewRoot, Registry, RegistryError};
use crate::domain::{ApiSecret, SidKind};

/// The number of the account's record among credentials.
pub(super) const ROOT: u64 = 0;

impl Registry {
    /// Makes the account's credentials, if there are none: at the first start. They are in the answer, and nowhere else.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub async fn ensure_root(&self) -> Result<Option<NewRoot>, RegistryError> {
        if self.0.credentials.load().root.is_some() {
            return Ok(None);
        }
        self.new_root().await.map(Some)
    }

    /// Makes a new auth token for the account; the old one is worth nothing from then on. The account's id stays.
    ///
    /// # Errors
    /// [`RegistryError::ReadOnly`] when the environment gives the token; [`RegistryError::Store`].
    pub async fn new_root(&self) -> Result<NewRoot, RegistryError> {
        self.alone(move |inner, mut writer| async move {
            let before = Credentials::clone(&inner.credentials.load());
            if before.root_is_given {
                return Err(RegistryError::ReadOnly(
                    "the account's auth token is given by ONCEWARD_AUTH_TOKEN, and is changed there"
                        .to_owned(),
                ));
            }
            let sid = before.root.map_or_else(|| writer.sid(SidKind::Account), |(sid, _)| sid);
            // As long as Twilio's, and in the same letters: some clients check that.
            let token: [u8; 16] = writer.bytes();
            let token = ApiSecret::new(base16ct::lower::encode_string(&token));
            let hash = hash(token.expose());
            let record = CredentialRecord::Root(RootRecord::of(&sid, &hash, inner.clock.wall()));
            let record = record::seal(&record).map_err(RegistryError::Store)?;
            inner.write(&mut writer, credential_key(ROOT), Some(record)).await?;
            let root = Some((sid, hash));
            inner.credentials.store(Arc::new(Credentials { root, ..before }));
            Ok(NewRoot { sid, token })
        })
        .await
    }
}
