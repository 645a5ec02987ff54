//! The file from which the operator learns the account's credentials.
//!
//! The store has only the hash of the auth token. The server writes a new token to the file first and to the store
//! second, and at a start the token of the file counts: a crash between the two writes loses no token. The operator may
//! remove the file; the token stays valid. In a cluster the token of the store counts, because another node may have
//! made a newer one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::server_key::{KeyError, io_error, write_secret};
use crate::config::is_readable_by_others;
use crate::domain::{Sid, SidKind};
use crate::registry::{AccountCredentials, Registry, RegistryError};

/// The file's name in the data directory. Its lines are variables, as a shell, `.env` and systemd read them.
const FILE_NAME: &str = "account.env";
const SID: &str = "ONCEWARD_ACCOUNT_SID=";
const TOKEN: &str = "ONCEWARD_AUTH_TOKEN=";

/// Why the account's credentials are not known or not kept. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error(transparent)]
    File(#[from] KeyError),
    #[error(
        "{} does not hold the account's credentials: it must have a line ONCEWARD_ACCOUNT_SID=AC... and a line \
         ONCEWARD_AUTH_TOKEN=...; put the right lines back, or remove the file",
        .0.display()
    )]
    Unreadable(PathBuf),
    #[error(
        "cannot store the account's credentials: {0}; free disk space (the log names the cause), or set \
         ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN in the environment, and try again"
    )]
    Registry(#[from] RegistryError),
}

/// The file of one data directory.
#[derive(Debug, Clone)]
pub struct AccountFile {
    path: PathBuf,
    /// Held while file and store change.
    change: Arc<Mutex<()>>,
    /// Whether the store may have a newer token than the file: one that another node of a cluster made.
    is_shared: bool,
}

impl AccountFile {
    /// `is_shared` says that the node is one of a cluster: then the token in the store counts.
    pub fn of(data_dir: &Path, is_shared: bool) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Self { path: data_dir.join(FILE_NAME), change: Arc::default(), is_shared }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the account at the first start. At later starts takes the credentials from the file, if there is one.
    ///
    /// # Errors
    /// [`AccountError`], when the file cannot be read or written, or the store refuses.
    pub async fn load_or_create(&self, registry: &Registry) -> Result<(), AccountError> {
        if registry.account_is_given() {
            return Ok(());
        }
        if is_readable_by_others(&self.path) {
            tracing::warn!(
                file = %self.path.display(),
                "account credentials readable by other users; run chmod 600 on it"
            );
        }
        match self.read()? {
            Some(found) if registry.is_account(&found) => {}
            Some(_) if self.is_shared && registry.has_account() => {
                tracing::warn!(
                    file = %self.path.display(),
                    "auth token in the file not valid; another node has made a newer one"
                );
            }
            Some(found) => {
                registry.keep_account(&found).await?;
                tracing::info!(account = %found.sid, file = %self.path.display(), "auth token taken from the file");
            }
            None if !registry.has_account() => {
                let made = self.renew(registry).await?;
                tracing::info!(account = %made.sid, file = %self.path.display(), "account credentials created");
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes a new auth token: in the file first, then in the store.
    ///
    /// # Errors
    /// [`AccountError`]; the old token then holds, unless the file has the new one already: that holds from the next start on.
    pub async fn renew(&self, registry: &Registry) -> Result<AccountCredentials, AccountError> {
        let _change = self.change.lock().await;
        let made = registry.draw_account().await?;
        let AccountCredentials { sid, token } = &made;
        let text = Zeroizing::new(format!("{SID}{sid}\n{TOKEN}{}\n", token.expose_secret()));
        // The change is rare, and the disk that holds it up holds up everything.
        let written = write_secret(&self.path, text.as_bytes(), true);
        written.map_err(io_error("write the account's credentials to", &self.path))?;
        registry.keep_account(&made).await?;
        Ok(made)
    }

    /// The credentials in the file; `None` without a file.
    pub(super) fn read(&self) -> Result<Option<AccountCredentials>, AccountError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read the account's credentials in", &self.path)(error).into()),
        };
        let value = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let sid = value(SID).and_then(|sid| Sid::parse(SidKind::Account, sid));
        let is_token = |token: &&str| {
            (16..=128).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let token = value(TOKEN).filter(is_token).map(SecretString::from);
        let (Some(sid), Some(token)) = (sid, token) else {
            return Err(AccountError::Unreadable(self.path.clone()));
        };
        Ok(Some(AccountCredentials { sid, token }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{StoreFault, World};

    #[tokio::test]
    async fn a_token_that_the_store_refuses_holds_from_the_next_start_on() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let (file, registry) = (AccountFile::of(home.path(), false), &world.registry);
        let first = file.renew(registry).await.expect("made");
        world.store.fail_next([StoreFault::Unavailable]);
        assert!(matches!(file.renew(registry).await, Err(AccountError::Registry(_))));
        assert!(registry.is_account(&first));
        file.load_or_create(registry).await.expect("loaded");
        assert!(registry.is_account(&file.read().expect("read").expect("a file")));
        assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing else is left behind");
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_written_is_not_made() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let registry = &world.registry;
        let refused = AccountFile::of(&home.path().join("none"), false).renew(registry).await;
        assert!(matches!(refused, Err(AccountError::File(_))), "{refused:?}");
        assert!(!registry.has_account());
    }

    #[tokio::test]
    async fn a_file_without_a_whole_token_is_refused_and_left_alone() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let (file, registry) = (AccountFile::of(home.path(), false), &world.registry);
        let sid = format!("{SID}{}\n", Sid::new(SidKind::Account, [1; 16]));
        for text in [sid.clone(), format!("{sid}{TOKEN}short\n")] {
            fs::write(file.path(), &text).expect("written");
            let refused = file.load_or_create(registry).await;
            assert!(matches!(refused, Err(AccountError::Unreadable(_))), "{refused:?}");
            assert_eq!(fs::read_to_string(file.path()).expect("a file"), text);
        }
        assert!(!registry.has_account());
    }

    #[tokio::test]
    async fn a_node_of_a_cluster_does_not_bring_back_a_token_that_was_replaced() {
        let (homes, world) =
            ([(); 2].map(|()| tempfile::tempdir().expect("a directory")), World::bare().await);
        let [a, b] = homes.each_ref().map(|home| AccountFile::of(home.path(), true));
        let registry = &world.registry;
        a.load_or_create(registry).await.expect("made");
        let replaced = a.read().expect("read").expect("a file");
        let newer = b.renew(registry).await.expect("made");
        a.load_or_create(registry).await.expect("loaded");
        assert!(registry.is_account(&newer) && !registry.is_account(&replaced));
    }

    #[tokio::test]
    async fn two_new_tokens_at_once_end_with_the_same_one_in_file_and_store() {
        let (home, world) = (tempfile::tempdir().expect("a directory"), World::bare().await);
        let (file, registry) = (AccountFile::of(home.path(), false), &world.registry);
        for _ in 0..10 {
            let (one, two) = tokio::join!(file.renew(registry), file.renew(registry));
            assert!(one.is_ok() && two.is_ok());
            assert!(registry.is_account(&file.read().expect("read").expect("a file")));
        }
    }
}
