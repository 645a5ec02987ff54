//! Who may ask: the account itself, and API keys.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{ApiSecret, ServiceId, Sid, Timestamp};

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To send and check codes.
    Verify,
    /// To change services and what belongs to them.
    Admin,
    /// To read figures.
    Metrics,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Verify, Self::Admin, Self::Metrics];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
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
            Self::Metrics => 4,
        }
    }
}

/// Several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// One more.
    pub const fn add(&mut self, scope: Scope) {
        self.0 |= scope.bit();
    }

    /// Whether it is among them.
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

/// An API key, without its secret, which nobody knows but whoever was shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `SK`.
    pub sid: Sid,
    /// The one service that it is for; `None` for all.
    pub service: Option<ServiceId>,
    /// What it is for.
    pub scopes: Scopes,
    /// What people call it.
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

/// A key as it is held. Changes replace it, but for the minute of its last use.
pub(super) struct KeptKey {
    /// `last_used` in here is what is on the disk.
    pub(super) key: ApiKey,
    pub(super) hash: [u8; 32],
    /// Where its record is.
    pub(super) number: u64,
    /// The minute since 1970 in which it was used last; 0 for never. Moves on without a change of the snapshot, so
    /// that nobody who is authenticated waits for anything.
    used: AtomicU64,
}

const MINUTE_MS: u64 = 60_000;

impl KeptKey {
    pub(super) const fn new(key: ApiKey, hash: [u8; 32], number: u64) -> Self {
        let used = match key.last_used {
            Some(at) => at.as_millis() / MINUTE_MS,
            None => 0,
        };
        Self { key, hash, number, used: AtomicU64::new(used) }
    }

    /// Notes that it is used.
    pub(super) fn touch(&self, now: Timestamp) {
        let minute = now.as_millis() / MINUTE_MS;
        // Most uses find the minute there, and then write nothing that other processors would have to read again.
        if self.used.load(Ordering::Relaxed) < minute {
            self.used.fetch_max(minute, Ordering::Relaxed);
        }
    }

    /// As it is now, with the last use.
    pub(super) fn shown(&self) -> ApiKey {
        ApiKey { last_used: self.last_used(), ..self.key.clone() }
    }

    /// Whether the last use is not on the disk yet.
    pub(super) fn is_behind(&self) -> bool {
        self.last_used() != self.key.last_used
    }

    fn last_used(&self) -> Option<Timestamp> {
        let minute = self.used.load(Ordering::Relaxed);
        (minute > 0).then(|| Timestamp::from_millis(minute.saturating_mul(MINUTE_MS)))
    }
}
