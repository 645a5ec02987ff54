//! Credentials: the account itself, and API keys.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::domain::{ApiSecret, ServiceId, Sid, Timestamp};

/// A group of routes that a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To send and check codes.
    Verify,
    /// To change services and what belongs to them.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Verify, Self::Admin];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Admin => "admin",
        }
    }

    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Verify => 1,
            Self::Admin => 2,
        }
    }
}

/// Several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scopes(u8);

impl Scopes {
    /// One more.
    pub const fn add(&mut self, scope: Scope) {
        self.0 |= scope.bit();
    }

    /// Returns `true` if `scope` is in the set.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut all = Self::default();
        scopes.into_iter().for_each(|scope| all.add(scope));
        all
    }
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// `SK`.
    pub sid: Sid,
    /// The one service that it is for; `None` for all.
    pub service: Option<ServiceId>,
    /// The routes that it may be used for.
    pub scopes: Scopes,
    /// The name for people.
    pub name: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// The minute in which it was used last.
    pub last_used: Option<Timestamp>,
    /// From when on it is refused.
    pub revoked: Option<Timestamp>,
}

/// A key that was just made, with its secret: shown once, and kept nowhere.
#[derive(Debug)]
pub struct NewApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: ApiSecret,
}

/// The account's credentials that were just made: shown once, and kept nowhere.
#[derive(Debug)]
pub struct NewRoot {
    /// `AC`.
    pub sid: Sid,
    /// The auth token.
    pub token: ApiSecret,
}

/// The record of the account's credentials or of an API key. It has the SHA-256 of a secret, never the secret. A slow hash
/// is for secrets that people choose; these are at least 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// The account's own.
    Root(Root),
    /// An API key.
    Key {
        /// The key.
        key: ApiKey,
        /// Of its secret.
        hash: [u8; 32],
        /// Keys are numbered as they are made, from 1.
        number: u64,
    },
}

impl Credential {
    /// The key's id; `None` for the account's own.
    pub const fn key(&self) -> Option<Sid> {
        match self {
            Self::Key { key, .. } => Some(key.sid),
            Self::Root(_) => None,
        }
    }
}

/// The account's own credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `AC`.
    pub sid: Sid,
    /// Of its auth token.
    pub hash: [u8; 32],
}

/// A key in the snapshot.
pub(super) struct LiveKey {
    /// Without the last use.
    pub(super) key: ApiKey,
    pub(super) hash: [u8; 32],
    pub(super) number: u64,
    /// The minute since 1970 of the last use; 0 for never. Changes within a snapshot, so that a use costs no lock.
    used: AtomicU64,
}

const MINUTE_MS: u64 = 60_000;

impl LiveKey {
    pub(super) fn new(mut key: ApiKey, hash: [u8; 32], number: u64) -> Self {
        let used = minute_of(key.last_used.take());
        Self { key, hash, number, used: AtomicU64::new(used) }
    }

    /// Notes a use. Whether it is the first in its minute.
    pub(super) fn note_use(&self, now: Timestamp) -> bool {
        let minute = minute_of(Some(now));
        // Most uses write nothing that other processors would have to read again.
        self.used.load(Ordering::Relaxed) < minute && self.used.fetch_max(minute, Ordering::Relaxed) < minute
    }

    /// Takes over the last use of `other`. Returns `true` if nothing else differs.
    pub(super) fn merge_last_use(&self, other: &Self) -> bool {
        self.used.fetch_max(other.used.load(Ordering::Relaxed), Ordering::Relaxed);
        (&self.key, self.hash) == (&other.key, other.hash)
    }

    /// The key with its last use.
    pub(super) fn with_last_use(&self) -> ApiKey {
        let minute = self.used.load(Ordering::Relaxed);
        let last_used = (minute > 0).then(|| Timestamp::from_millis(minute.saturating_mul(MINUTE_MS)));
        ApiKey { last_used, ..self.key.clone() }
    }
}

fn minute_of(at: Option<Timestamp>) -> u64 {
    at.map_or(0, |at| at.as_millis() / MINUTE_MS)
}
