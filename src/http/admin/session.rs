//! Sessions of people at the dashboard, and the limit on sign-ins that fail. Both are in memory: a restart ends every
//! session.

use std::collections::HashMap;
use std::net::IpAddr;
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
use crate::http::form::Form;
use crate::http::request;
use crate::http::request::network_of;
use crate::observe::log_limit::OncePerSecond;
use crate::registry::{Caller, CredentialFingerprint, Registry};

/// A session ends after this time without a page that a person has opened.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// A session ends after this time, used or not.
const MAX_SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// Sessions at once. A further one ends the one that was used least recently.
const MAX_SESSIONS: usize = 100;

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

/// What became of what a person did, for the next page.
pub type Notice = Result<String, String>;

/// What a form said, and what its answer shows once: for the page that the answer leads to.
pub struct Kept {
    pub path: String,
    pub form: Form,
    pub made: Option<Made>,
}

/// What was made, with its secret.
pub type Made = (Sid, Zeroizing<String>);

/// What a session remembers.
pub struct Session {
    fingerprint: CredentialFingerprint,
    began: Timestamp,
    used: Timestamp,
    pub notice: Option<Notice>,
    pub kept: Option<Kept>,
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
        let oldest = live.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
        if let Some(oldest) = oldest.filter(|_| live.len() >= MAX_SESSIONS) {
            live.remove(&oldest);
        }
        let session = Session { fingerprint, began: now, used: now, notice: None, kept: None };
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

/// Limits sign-ins that fail, from one address. There is no limit for all addresses together: guesses must not keep the
/// operator out, and secrets are too long to be guessed.
#[derive(Default)]
pub struct SignInLimit {
    counted: Mutex<HashMap<IpAddr, Timestamp>>,
    /// Lines in the log about sign-ins that failed, and that were refused by the limit.
    pub failed: OncePerSecond,
    pub limited: OncePerSecond,
}

/// Failures that are allowed at once, and the time after which one more is.
const AT_ONCE: u32 = 10;
const EACH: Duration = Duration::from_secs(6);

/// Addresses that are counted. Further ones have no limit.
const MAX_ADDRESSES: usize = 1_000;

impl SignInLimit {
    /// Counts a sign-in as failed, before its secret is compared: those at the same time count too.
    ///
    /// # Errors
    /// The time until the next one is allowed.
    pub fn begin(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut counted = self.counted.lock();
        counted.retain(|_, until| *until > now);
        let source = network_of(address);
        if counted.len() >= MAX_ADDRESSES && !counted.contains_key(&source) {
            return Ok(());
        }
        // The moment at which no failure counts any more.
        let until = counted.entry(source).or_insert(now);
        let next = until.plus(EACH);
        let wait = next.since(now).saturating_sub(EACH * AT_ONCE);
        if !wait.is_zero() {
            return Err(wait);
        }
        *until = next;
        Ok(())
    }

    /// Uncounts a sign-in that did not fail.
    pub fn give_back(&self, address: IpAddr) {
        if let Some(until) = self.counted.lock().get_mut(&network_of(address)) {
            *until = until.minus(EACH);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use secrecy::ExposeSecret as _;

    use std::net::Ipv6Addr;

    use super::*;
    use crate::testing::World;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

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
        for second in 0..200 {
            sessions.begin(fingerprint.clone(), at(second));
        }
        assert_eq!(sessions.live.lock().len(), MAX_SESSIONS);

        let session = sessions.begin(fingerprint, at(300));
        assert!(lives(&session, true, 301));
        registry.renew_account().await.expect("another");
        assert!(!lives(&session, true, 302), "the token was replaced");
    }

    #[test]
    fn guesses_from_many_addresses_keep_nobody_out() {
        let limit = SignInLimit::default();
        // Sign-ins that succeed are not counted.
        for _ in 0..100 {
            assert_eq!(limit.begin(STRANGER, at(0)), Ok(()));
            limit.give_back(STRANGER);
        }
        for n in 0..5_000 {
            let address = IpAddr::V6(Ipv6Addr::from_bits(n << 64));
            let allowed = (0..=AT_ONCE).filter(|_| limit.begin(address, at(0)).is_ok()).count();
            assert!(allowed >= usize::try_from(AT_ONCE).expect("it fits"), "{address}: {allowed}");
        }
        let first = IpAddr::V6(Ipv6Addr::from_bits(1 << 64));
        assert_eq!(
            [0, 6, 6].map(|second| limit.begin(first, at(second)).err()),
            [Some(EACH), None, Some(EACH)]
        );
        assert_eq!(limit.begin(STRANGER, at(0)), Ok(()));
        assert_eq!(limit.counted.lock().len(), MAX_ADDRESSES);
    }
}
