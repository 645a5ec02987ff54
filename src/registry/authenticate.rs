//! Credentials of a request.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::credential::LiveKey;
use super::{Registry, Root, Scope};
use crate::domain::{ServiceId, Sid, SidKind};

/// Compared with where there is no such id: no secret has this hash.
const NO_SECRET: [u8; 32] = [0; 32];

/// A client that has proved who it is.
#[derive(Clone)]
pub enum Caller {
    /// The account itself, which may do everything.
    Root,
    /// A holder of this key.
    Key(CallerKey),
}

/// A key that was used.
#[derive(Clone)]
pub struct CallerKey(Arc<LiveKey>);

/// Neither the account nor a live key, or the wrong secret. Which of these is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user name is no known id, or the password is not its secret")]
pub struct Unauthenticated;

impl Caller {
    /// Returns `true` if the caller has the scope in this service.
    pub fn may(&self, scope: Scope, service: ServiceId) -> bool {
        match self {
            Self::Root => true,
            Self::Key(CallerKey(live)) => {
                live.key.scopes.has(scope) && live.key.service.is_none_or(|own| own == service)
            }
        }
    }

    /// Returns `true` if the caller has the scope in every service and for what belongs to none: the list of services,
    /// the safe list.
    pub fn may_everywhere(&self, scope: Scope) -> bool {
        match self {
            Self::Root => true,
            Self::Key(CallerKey(live)) => live.key.scopes.has(scope) && live.key.service.is_none(),
        }
    }

    /// The one service that the caller's key is for; `None` for all of them.
    pub fn service(&self) -> Option<ServiceId> {
        match self {
            Self::Root => None,
            Self::Key(CallerKey(live)) => live.key.service,
        }
    }

    /// The key's id; `None` for the account itself.
    pub fn key(&self) -> Option<Sid> {
        match self {
            Self::Root => None,
            Self::Key(CallerKey(live)) => Some(live.key.sid),
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key() {
            None => f.write_str("Caller(root)"),
            Some(sid) => write!(f, "Caller({sid})"),
        }
    }
}

/// The form of a secret in records.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl Registry {
    /// The caller with these credentials: the account's sid and auth token, or a key's sid and secret. Takes as long whether or not
    /// there is such an id. Never waits: the use is noted with a lazy change.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub fn authenticate(&self, user: &str, password: &str) -> Result<Caller, Unauthenticated> {
        let credentials = self.0.published.credentials.load();
        let root = self.root().filter(|root| Sid::parse(SidKind::Account, user) == Some(root.sid));
        let key = Sid::parse(SidKind::ApiKey, user).and_then(|sid| credentials.keys.get(&sid));
        let key = key.filter(|live| self.0.published.services.load().accept(&live.key));
        let expected = root.map(|root| root.hash).or_else(|| key.map(|live| live.hash));
        let right: bool = hash(password).ct_eq(&expected.unwrap_or(NO_SECRET)).into();
        match (root, key) {
            _ if !right => Err(Unauthenticated),
            (Some(_), _) => Ok(Caller::Root),
            (None, Some(live)) => {
                if live.note_use(self.wall()) {
                    self.note_use(live);
                }
                Ok(Caller::Key(CallerKey(Arc::clone(live))))
            }
            (None, None) => Err(Unauthenticated),
        }
    }

    /// The account's id, as answers show it. Zeros before there is an account, that is before the start is complete.
    pub fn account_sid(&self) -> Sid {
        self.root().map_or_else(|| Sid::new(SidKind::Account, [0; 16]), |root| root.sid)
    }

    /// The account's credentials: those of the environment come before those of the store.
    pub(super) fn root(&self) -> Option<Root> {
        self.0.given_root.or_else(|| self.0.published.credentials.load().root)
    }
}
