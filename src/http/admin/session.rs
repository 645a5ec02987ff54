//! Sessions of people at the dashboard. They are in memory: a restart ends each.

use std::collections::HashMap;
use std::time::Duration;

use base16ct::lower::encode_string;
use hyper::HeaderMap;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::domain::{Sid, Timestamp};
use crate::http::request;
use crate::registry::{Caller, CredentialFingerprint, Registry};

/// A session ends after this time without a page that a person has opened.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// A session ends after this time, used or not.
const MAX_SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions at a time. The one that was not used for longest ends for a further one.
const MOST_SESSIONS: usize = 10_000;

/// The secret of a session, which only its cookie has: 256 random bits in hex.
#[derive(Clone)]
pub struct SessionId(Zeroizing<String>);

/// The SHA-256 of a [`SessionId`].
type Key = [u8; 32];

impl SessionId {
    /// The id in the cookie with this name.
    pub fn of(headers: &HeaderMap, cookie: &str) -> Option<Self> {
        let id = request::cookie(headers, cookie)?;
        Some(Self(Zeroizing::new(id.to_owned())))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The token that the session's forms carry.
    pub fn form_token(&self) -> String {
        encode_string(&Sha256::new().chain_update("form ").chain_update(&*self.0).finalize())
    }

    pub fn made_form(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }

    fn key(&self) -> Key {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// The notice of a form without a known action.
pub const NO_ACTION: &str = "Nothing was changed: the form names no action.";

/// What became of what a person did.
pub type Notice = Result<String, String>;

/// What was made, with its secret.
pub type Made = (Sid, Zeroizing<String>);

/// What a session remembers.
pub struct Session {
    fingerprint: CredentialFingerprint,
    began: Timestamp,
    used: Timestamp,
    pub notice: Option<Notice>,
    pub made: Option<Made>,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.used.plus(IDLE) || now >= self.began.plus(MAX_SESSION)
    }
}

pub struct Sessions {
    live: Mutex<HashMap<Key, Session>>,
    rng: Mutex<StdRng>,
}

impl Sessions {
    /// `rng` must be seeded by the system.
    pub fn new(rng: StdRng) -> Self {
        Self { live: Mutex::default(), rng: Mutex::new(rng) }
    }

    /// Begins a session of the caller with this credential.
    pub fn begin(&self, fingerprint: CredentialFingerprint, now: Timestamp) -> SessionId {
        let random: [u8; 32] = self.rng.lock().random();
        let id = SessionId(Zeroizing::new(encode_string(&random)));
        let mut live = self.live.lock();
        live.retain(|_, session| !session.is_over(now));
        let longest_unused = live.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
        if let Some(key) = longest_unused.filter(|_| live.len() >= MOST_SESSIONS) {
            live.remove(&key);
        }
        let session = Session { fingerprint, began: now, used: now, notice: None, made: None };
        live.insert(id.key(), session);
        id
    }

    /// The person of a session; `None` once it is over, or its key revoked. `is_use`: it does not idle.
    pub fn caller(
        &self,
        id: &SessionId,
        is_use: bool,
        registry: &Registry,
        now: Timestamp,
    ) -> Option<Caller> {
        let (key, mut live) = (id.key(), self.live.lock());
        let session = live.get_mut(&key)?;
        let caller = registry.caller_of(&session.fingerprint).filter(|_| !session.is_over(now));
        if caller.is_none() {
            live.remove(&key);
        } else if is_use {
            session.used = now;
        }
        caller
    }

    /// Changes what a session remembers.
    pub fn with<T>(&self, id: &SessionId, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.live.lock().get_mut(&id.key()).map(change)
    }

    pub fn end(&self, id: &SessionId) {
        self.live.lock().remove(&id.key());
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::testing::World;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_785_441_600_000 + seconds * 1_000)
    }

    #[tokio::test]
    async fn a_session_ends_unused_after_half_an_hour_and_after_twelve_hours() {
        let world = World::bare().await;
        let registry = &world.registry;
        let account = registry.renew_account().await.expect("an account");
        let caller =
            registry.authenticate(&account.sid.to_string(), account.token.expose_secret()).expect("it");
        let sessions = Sessions::new(StdRng::seed_from_u64(1));
        let fingerprint = registry.fingerprint_of(&caller).expect("a credential");
        let [idle, busy] = [0, 0].map(|second| sessions.begin(fingerprint.clone(), at(second)));
        let lives =
            |id: &SessionId, is_use, second| sessions.caller(id, is_use, registry, at(second)).is_some();
        assert!(lives(&idle, false, 20 * 60) && lives(&busy, true, 20 * 60));
        assert!(!lives(&idle, false, 30 * 60), "what a script asks for is no use");
        assert!(!lives(&idle, true, 30 * 60), "and it is gone");
        for half in 1..30 {
            assert_eq!(lives(&busy, true, half * 25 * 60), half * 25 < 12 * 60, "{half}");
        }
        let session = sessions.begin(fingerprint, at(300));
        registry.renew_account().await.expect("another");
        assert!(!lives(&session, true, 301), "the token was replaced");
    }
}
