//! The file from which the operator learns the account's credentials.
//!
//! The store has only the hash of the auth token. The server never reads the file, and the operator may remove it.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::StartError;
use super::server_key::{io_error, write_secret};
use crate::registry::{AccountCredentials, Registry};

/// The file's name in the data directory. Its lines are variables, as a shell, `.env` and systemd read them.
const FILE_NAME: &str = "account.env";

/// The file of one data directory.
#[derive(Debug)]
pub struct AccountFile {
    path: PathBuf,
    /// Held while store and file change.
    change: Mutex<()>,
}

impl AccountFile {
    pub fn of(data_dir: &Path) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Self { path: data_dir.join(FILE_NAME), change: Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the account at the first start.
    ///
    /// # Errors
    /// [`StartError::Account`] if the store refuses, [`StartError::AccountFile`] if the file cannot be written.
    pub async fn create_if_none(&self, registry: &Registry) -> Result<(), StartError> {
        if !registry.has_account() {
            let made = self.renew(registry).await?;
            tracing::info!(account = %made.sid, file = %self.path.display(), "account credentials created");
        }
        Ok(())
    }

    /// Makes a new auth token: in the store first, then in the file.
    ///
    /// # Errors
    /// As [`AccountFile::create_if_none`].
    pub async fn renew(&self, registry: &Registry) -> Result<AccountCredentials, StartError> {
        let _change = self.change.lock().await;
        let made = registry.renew_account().await.map_err(StartError::Account)?;
        let AccountCredentials { sid, token } = &made;
        let token = token.expose_secret();
        let text = Zeroizing::new(format!("ONCEWARD_ACCOUNT_SID={sid}\nONCEWARD_AUTH_TOKEN={token}\n"));
        // The change is rare, and the disk that holds it up holds up everything.
        let written = write_secret(&self.path, text.as_bytes(), true);
        let failed = io_error("write the account's credentials to", &self.path);
        written.map_err(|error| StartError::AccountFile(failed(error)))?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{StoreFault, World};

    #[tokio::test]
    async fn a_token_that_the_store_refuses_is_in_no_file() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let (file, registry) = (AccountFile::of(home.path()), &world.registry);
        world.store.fail_next([StoreFault::Unavailable]);
        assert!(matches!(file.create_if_none(registry).await, Err(StartError::Account(_))));
        assert!(!file.path().exists() && !registry.has_account());
        file.create_if_none(registry).await.expect("made");
        let first = fs::read_to_string(file.path()).expect("a file");
        file.create_if_none(registry).await.expect("it is there");
        world.store.fail_next([StoreFault::Unavailable]);
        assert!(file.renew(registry).await.is_err());
        assert_eq!(fs::read_to_string(file.path()).expect("a file"), first);
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing else is left behind");
    }

    #[tokio::test]
    async fn two_new_tokens_at_once_end_with_the_same_one_in_file_and_store() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let (file, registry) = (AccountFile::of(home.path()), &world.registry);
        for _ in 0..10 {
            let (one, two) = tokio::join!(file.renew(registry), file.renew(registry));
            assert!(one.is_ok() && two.is_ok());
            let text = fs::read_to_string(file.path()).expect("a file");
            let token = text.lines().find_map(|line| line.strip_prefix("ONCEWARD_AUTH_TOKEN="));
            let account = registry.account_sid().to_string();
            assert!(registry.authenticate(&account, token.expect("a token")).is_some(), "{text}");
        }
    }
}
