//! Hosted sessions: an application creates one, a person verifies a number in it, and the application redeems the result.
//!
//! A session is a record of the shards. Three secrets give access to it, one after the other: the address of the page,
//! which works once; the cookie that replaces it; and the code that the application exchanges for the result. Only their
//! SHA-256 is stored. All have the form of [`SessionSecret`].

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::domain::{Channel, Locale, PhoneNumber, ServerKey, ServiceId, Sid, SidKind, Timestamp};
use crate::engine::{Sealer, SlotHash};
use crate::registry::ServiceSettings;
use crate::shard::{Capacity, LimitedTable, Record, Refusal, Shards, Subject};

/// The life of a session.
pub const SESSION_LIFE: Duration = Duration::from_secs(15 * 60);
/// The life of its record and of its cookie. When the session's time is over, they lead the person back.
pub const RECORD_LIFE: Duration = Duration::from_secs(60 * 60);
/// How long the application may redeem the code.
const CODE_LIFE: Duration = Duration::from_secs(60);

/// The most messages of one session. One that was refused or failed counts.
const MOST_SENDS: u8 = 3;

/// Seconds after the first and the second message until the next one to the same number.
const WAITS: [u64; MOST_SENDS as usize - 1] = [30, 60];

/// A SHA-256.
type Hash = [u8; 32];

/// What the application asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The number.
    pub to: Option<PhoneNumber>,
    /// Whether the person may enter another number than `to`.
    pub may_change: bool,
    /// The channels that the page offers, in this order; empty for the service's own.
    pub channels: Vec<Channel>,
    pub locale: Option<Locale>,
    pub returns_to: ReturnTarget,
}

/// How the application gets the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnTarget {
    /// The page is shown in a window of another site, whose origin is `address`, and the code is in a message to that window.
    /// Otherwise it is in the query of the address.
    pub is_embedded: bool,
    pub address: String,
    /// Goes with the code.
    pub state: Option<String>,
}

impl ReturnTarget {
    /// Whether the service lists the address or origin, letter by letter.
    pub fn is_listed(&self, settings: &ServiceSettings) -> bool {
        let list = if self.is_embedded { &settings.embed_origins } else { &settings.return_urls };
        list.iter().flat_map(|list| list.split_ascii_whitespace()).any(|listed| listed == self.address)
    }
}

/// The record of a session.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedSession {
    pub request: SessionRequest,
    /// [`RECORD_LIFE`] after it was created.
    expires: Timestamp,
    /// Hash of the secret in the address, then of the cookie.
    secret: Hash,
    /// Whether a browser has the cookie.
    is_open: bool,
    /// The number of the last message.
    pub number: Option<PhoneNumber>,
    /// Whether the page asks for the code that went to `number`.
    pub awaits_code: bool,
    /// The verification of the last message, and how that was sent, once a gateway has accepted it.
    pub sent: Option<(Sid, Channel)>,
    /// When the next message may go to `number`.
    pub next_send: Timestamp,
    sends: u8,
    /// When the number was verified.
    pub approved: Option<Timestamp>,
    /// Hash of the code that the application may redeem then.
    code: Hash,
    code_ends: Timestamp,
    /// Whether the next message needs the operator's challenge.
    pub asks_challenge: bool,
}

impl Record for HostedSession {
    const KIND: u8 = 16;
    const PLURAL: &'static str = "hosted sessions";
    /// Its address to return to and its state are of one request, whose body has 16 KiB at most.
    const LONGEST: usize = 32 * 1024;

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Why a session refuses a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The session does not exist, has ended, or belongs to another browser.
    #[error("there is no such session")]
    NoSession,
    /// No message is left.
    #[error("the session has used its messages")]
    NoneLeft,
    /// The application fixed the number, or no message was sent yet.
    #[error("the session is not at this step")]
    NotNow,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl HostedSession {
    fn new(request: SessionRequest, secret: Hash, now: Timestamp) -> Self {
        let (number, expires) = (request.to, now.plus(RECORD_LIFE));
        Self { number, request, expires, secret, next_send: now, ..Self::default() }
    }

    /// Whether its time is over: it only leads back.
    pub fn is_over(&self, now: Timestamp) -> bool {
        RECORD_LIFE.saturating_sub(self.expires.since(now)) >= SESSION_LIFE
    }

    /// Whether another message may be sent, now or later.
    pub const fn has_sends(&self) -> bool {
        self.sends < MOST_SENDS
    }

    /// Whether the person may enter another number.
    pub const fn may_change(&self) -> bool {
        (self.request.may_change || self.request.to.is_none()) && self.has_sends()
    }

    /// Counts a message before it is sent. Until its outcome is known no other one goes to the number:
    /// [`Self::end_send`] follows. Returns `false` if the message has to wait; then the page asks for the code of the last one.
    pub fn begin_send(&mut self, number: PhoneNumber, now: Timestamp) -> Result<bool, Denied> {
        if !self.request.may_change && self.request.to.is_some_and(|to| to != number) {
            return Err(Denied::NotNow);
        }
        if !self.has_sends() || self.approved.is_some() {
            return Err(Denied::NoneLeft);
        }
        if self.number != Some(number) {
            (self.number, self.sent, self.awaits_code) = (Some(number), None, false);
        } else if now < self.next_send {
            self.awaits_code = self.sent.is_some();
            return Ok(false);
        }
        let wait = WAITS.get(usize::from(self.sends)).copied().unwrap_or_default();
        (self.sends, self.next_send) = (self.sends + 1, now.plus(Duration::from_secs(wait)));
        Ok(true)
    }

    /// Notes how a message ended. The next one need not wait for one that was not sent.
    pub fn end_send(&mut self, number: PhoneNumber, end: MessageEnd, now: Timestamp) {
        // The person has asked for a message to another number meanwhile.
        if self.number != Some(number) {
            return;
        }
        if let MessageEnd::Sent(verification, channel) = end {
            self.sent = Some((verification, channel));
            (self.awaits_code, self.asks_challenge) = (true, false);
            return;
        }
        self.next_send = now;
        if let MessageEnd::AsksChallenge = end {
            (self.sends, self.asks_challenge) = (self.sends.saturating_sub(1), true);
        }
    }

    /// Makes the page ask for another number.
    pub fn change_number(&mut self) -> Result<(), Denied> {
        if !self.may_change() || self.approved.is_some() {
            return Err(if self.has_sends() { Denied::NotNow } else { Denied::NoneLeft });
        }
        self.awaits_code = false;
        Ok(())
    }
}

/// How a message of a session ended.
#[derive(Debug, Clone, Copy)]
pub enum MessageEnd {
    /// A gateway accepted it, for this verification.
    Sent(Sid, Channel),
    /// It lacked a challenge. It does not count.
    AsksChallenge,
    /// It was refused or failed.
    NotSent,
}

/// Identifies a session and gives access to it: in an address, in a cookie, or as the code. 64 characters of base64url:
/// the 16 bytes of the session's id, then 256 random bits.
#[derive(Clone)]
pub struct SessionSecret {
    /// The id of its session.
    pub sid: Sid,
    text: Zeroizing<String>,
}

impl SessionSecret {
    fn new(sid: Sid, random: [u8; 32]) -> Self {
        let both = Zeroizing::new([&sid.bytes()[..], &random].concat());
        Self { sid, text: Zeroizing::new(URL_SAFE_NO_PAD.encode(&*both)) }
    }

    /// Reads a secret; `None` if the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 48)?);
        let sid = Sid::new(SidKind::HostedSession, *bytes.first_chunk()?);
        Some(Self { sid, text: Zeroizing::new(text.to_owned()) })
    }

    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The token that the forms of the page carry.
    pub fn form_token(&self) -> String {
        // Without the prefix the page would show the hash that the record stores.
        base16ct::lower::encode_string(
            &Sha256::new().chain_update("form ").chain_update(&*self.text).finalize(),
        )
    }

    /// The idempotency key of a check: a form that is sent again with the same text gets the same answer.
    pub fn check_key(&self, verification: &Sid, code: &str) -> String {
        let of_session = Sha256::new().chain_update("check ").chain_update(&*self.text);
        // The same text may be right for the next verification of the number while the answer to this one is
        // remembered.
        let of_session = of_session.chain_update(verification.bytes());
        base16ct::lower::encode_string(&of_session.chain_update(code).finalize())
    }

    pub fn has_form_token(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }

    fn hash(&self) -> Hash {
        Sha256::digest(self.text.as_bytes()).into()
    }

    fn matches(&self, hash: &Hash) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

/// The hosted sessions.
pub struct HostedSessions {
    shards: Shards,
    sealer: Sealer,
    slots: SlotHash,
    pub capacity: Capacity,
    rng: Mutex<StdRng>,
}

impl HostedSessions {
    /// Over shards that keep [`HostedSession`]s, at most `limit`. `rng` must be seeded by the system.
    pub fn new(shards: &Shards, server_key: &ServerKey, limit: usize, rng: StdRng) -> Self {
        let capacity = Capacity::following::<HostedSession>(shards, LimitedTable::HostedSessions, limit);
        let (sealer, slots) = (Sealer::new(server_key), SlotHash::new(server_key));
        Self { shards: shards.clone(), sealer, slots, capacity, rng: Mutex::new(rng) }
    }

    /// Creates a session. Returns the secret of its address, and when it ends.
    ///
    /// # Errors
    /// [`Refusal`]; `TableFull` if the service has no room for another one.
    pub async fn create(
        &self,
        service: ServiceId,
        request: SessionRequest,
    ) -> Result<(SessionSecret, Timestamp), Refusal> {
        let subject: u64 = self.rng.lock().random();
        let secret = self.secret(self.sealer.session(service, subject));
        let (hash, capacity) = (secret.hash(), self.capacity.clone());
        let subject = Subject::of(service, subject, &self.slots);
        let created = self.shards.decide(subject, move |view| {
            capacity.check_room(service)?;
            let session = HostedSession::new(request, hash, view.now());
            view.put(subject.id, Some(&session));
            Ok(view.now().plus(SESSION_LIFE))
        });
        Ok((secret, created.await.unwrap_or(Err(Refusal::OutcomeUnknown))?))
    }

    /// Finds the session, and its service, by a cookie, or by an address that no browser has opened yet. Its time may be
    /// over.
    pub async fn find(
        &self,
        of: &SessionSecret,
        is_open: bool,
    ) -> Result<(ServiceId, HostedSession), Denied> {
        let secret = of.clone();
        let find = move |session: &mut Option<HostedSession>, _| {
            let is_it = |of: &HostedSession| of.is_open == is_open && secret.matches(&of.secret);
            session.clone().filter(is_it).ok_or(Denied::NoSession)
        };
        Ok((self.open(&of.sid)?.0, self.decide(&of.sid, find).await?))
    }

    /// Replaces the secret of the address, which no longer works, by that of a cookie, and returns it.
    pub async fn begin(&self, address: &SessionSecret) -> Result<SessionSecret, Denied> {
        let cookie = self.secret(address.sid);
        let hash = cookie.hash();
        let open = move |session: &mut HostedSession, _| {
            (session.secret, session.is_open) = (hash, true);
            Ok(())
        };
        self.change(address, false, open).await?;
        Ok(cookie)
    }

    /// Notes that the person entered the right code of this verification. Returns the code for the application. After that,
    /// every call returns a new code and ends the one before.
    pub async fn approve(
        &self,
        cookie: &SessionSecret,
        verification: Option<Sid>,
    ) -> Result<SessionSecret, Denied> {
        let code = self.secret(cookie.sid);
        let hash = code.hash();
        let approve = move |session: &mut HostedSession, now: Timestamp| {
            let is_now = verification.is_some() && session.sent.map(|(sid, _)| sid) == verification;
            let at = session.approved.or(is_now.then_some(now)).ok_or(Denied::NotNow)?;
            (session.approved, session.code) = (Some(at), hash);
            session.code_ends = now.plus(CODE_LIFE);
            Ok(())
        };
        self.change(cookie, true, approve).await?;
        Ok(code)
    }

    /// Ends the session of an address or a cookie.
    pub async fn end(&self, of: &SessionSecret) -> Result<(), Denied> {
        let secret = of.clone();
        let end = move |session: &mut Option<HostedSession>, _| {
            session.take_if(|session| secret.matches(&session.secret)).map(drop).ok_or(Denied::NoSession)
        };
        self.decide(&of.sid, end).await
    }

    /// Exchanges the code for the result, once: the number, the channel of its last message, and when it was verified. The
    /// session ends.
    ///
    /// # Errors
    /// [`Denied::NoSession`] if the session belongs to another service, or if the code is wrong, expired or redeemed.
    pub async fn redeem(
        &self,
        service: ServiceId,
        sid: &Sid,
        code: &str,
    ) -> Result<(PhoneNumber, Channel, Timestamp), Denied> {
        let code = SessionSecret::parse(code).filter(|code| code.sid == *sid).ok_or(Denied::NoSession)?;
        if self.open(sid)?.0 != service {
            return Err(Denied::NoSession);
        }
        let redeem = move |session: &mut Option<HostedSession>, now: Timestamp| {
            let is_right =
                |of: &mut HostedSession| code.matches(&of.code) && now < of.code_ends && !of.is_over(now);
            let done = session.take_if(is_right).ok_or(Denied::NoSession)?;
            let result = done.number.zip(done.sent).zip(done.approved);
            let ((to, (_, channel)), verified) = result.ok_or(Denied::NoSession)?;
            Ok((to, channel, verified))
        };
        self.decide(sid, redeem).await
    }

    /// Changes the session of a cookie, or of an address that no browser has opened yet, unless its time is over.
    ///
    /// # Errors
    /// Those of the change, and [`Denied::NoSession`].
    pub async fn change<T: Send + 'static>(
        &self,
        of: &SessionSecret,
        is_open: bool,
        change: impl FnOnce(&mut HostedSession, Timestamp) -> Result<T, Denied> + Send + 'static,
    ) -> Result<T, Denied> {
        let secret = of.clone();
        let change = move |session: &mut Option<HostedSession>, now| {
            let session = session.as_mut().filter(|of| of.is_open == is_open && secret.matches(&of.secret));
            change(session.filter(|of| !of.is_over(now)).ok_or(Denied::NoSession)?, now)
        };
        self.decide(&of.sid, change).await
    }

    /// Decides about the session with this id, if there is one.
    async fn decide<T: Send + 'static>(
        &self,
        sid: &Sid,
        decide: impl FnOnce(&mut Option<HostedSession>, Timestamp) -> Result<T, Denied> + Send + 'static,
    ) -> Result<T, Denied> {
        let (_, subject) = self.open(sid)?;
        let decided = self.shards.decide(subject, move |view| {
            let mut session = view.get(subject.id);
            let done = decide(&mut session, view.now())?;
            view.put(subject.id, session.as_ref());
            Ok(done)
        });
        decided.await.unwrap_or(Err(Denied::Refused(Refusal::OutcomeUnknown)))
    }

    fn open(&self, sid: &Sid) -> Result<(ServiceId, Subject), Denied> {
        let (service, subject) = self.sealer.open_session(sid).ok_or(Denied::NoSession)?;
        Ok((service, Subject::of(service, subject, &self.slots)))
    }

    fn secret(&self, sid: Sid) -> SessionSecret {
        SessionSecret::new(sid, self.rng.lock().random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{START as NOW, World};

    fn number(text: &str) -> PhoneNumber {
        PhoneNumber::from_e164(text).expect("a number")
    }

    fn session(to: Option<PhoneNumber>, may_change: bool) -> HostedSession {
        let request = SessionRequest { to, may_change, ..SessionRequest::default() };
        HostedSession::new(request, [0; 32], NOW)
    }

    const VERIFICATION: Sid = Sid::new(SidKind::Verification, [1; 16]);

    fn sent() -> MessageEnd {
        MessageEnd::Sent(VERIFICATION, Channel::Sms)
    }

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn further_messages_wait_by_the_servers_clock_and_end_after_three() {
        let (mut session, one) = (session(None, true), number("+14155552671"));
        for (at, expected) in [
            (0, Ok(true)),
            (29, Ok(false)),
            (30, Ok(true)),
            (89, Ok(false)),
            (90, Ok(true)),
            (800, Err(Denied::NoneLeft)),
        ] {
            let begun = session.begin_send(one, after(at));
            assert_eq!(begun, expected, "{at}");
            if begun == Ok(true) {
                // The gateway takes two seconds.
                assert_ne!(session.begin_send(one, after(at + 1)), Ok(true), "one message at a time");
                session.end_send(one, sent(), after(at + 2));
            }
        }
    }

    #[test]
    fn a_refused_message_counts_and_a_fixed_session_takes_only_its_number() {
        let numbers = [1, 2, 3, 4].map(|last| number(&format!("+1415555267{last}")));
        let ([one, two, ..], mut free) = (numbers, session(None, false));
        let begun = numbers.map(|to| {
            let begun = free.begin_send(to, NOW);
            free.end_send(to, MessageEnd::NotSent, NOW);
            begun
        });
        assert_eq!(begun, [Ok(true), Ok(true), Ok(true), Err(Denied::NoneLeft)]);
        let mut fixed = session(Some(one), false);
        assert_eq!(fixed.begin_send(two, NOW), Err(Denied::NotNow));
        assert_eq!(fixed.begin_send(one, NOW), Ok(true));
        assert_eq!(fixed.change_number(), Err(Denied::NotNow));
        let mut hinted = session(Some(one), true);
        assert_eq!(hinted.begin_send(two, NOW), Ok(true));
    }

    const SERVICE: ServiceId = ServiceId::new(1);

    /// A session that a browser has opened.
    async fn opened(sessions: &HostedSessions) -> SessionSecret {
        let request = session(None, true).request;
        let (address, _) = sessions.create(SERVICE, request).await.expect("a session");
        sessions.begin(&address).await.expect("a cookie")
    }

    async fn sends(sessions: &HostedSessions, cookie: &SessionSecret, to: PhoneNumber, verification: Sid) {
        let send = move |session: &mut HostedSession, now| {
            session.begin_send(to, now)?;
            session.end_send(to, MessageEnd::Sent(verification, Channel::Sms), now);
            Ok(())
        };
        sessions.change(cookie, true, send).await.expect("sent");
    }

    /// The session of a number that is verified, and the code of its application.
    async fn verified(sessions: &HostedSessions) -> (SessionSecret, SessionSecret) {
        let cookie = opened(sessions).await;
        sends(sessions, &cookie, number("+14155552671"), VERIFICATION).await;
        let code = sessions.approve(&cookie, Some(VERIFICATION)).await.expect("a code");
        (cookie, code)
    }

    #[tokio::test]
    async fn a_code_is_redeemed_within_a_minute_and_a_session_ends_after_15() {
        let world = World::new().await;
        let sessions = &world.hosted;
        let (cookie, late) = verified(sessions).await;
        world.advance(Duration::from_secs(60));
        let redeem = async |code: &SessionSecret| sessions.redeem(SERVICE, &code.sid, code.expose()).await;
        assert_eq!(redeem(&late).await, Err(Denied::NoSession));
        let again = sessions.approve(&cookie, None).await.expect("another code");
        assert_eq!(redeem(&late).await, Err(Denied::NoSession));
        world.advance(Duration::from_secs(59));
        assert_eq!(redeem(&again).await.map(|(.., verified)| verified), Ok(NOW));
        assert_eq!(redeem(&again).await, Err(Denied::NoSession), "once");

        let (cookie, _) = verified(sessions).await;
        let is_over = async || Some(sessions.find(&cookie, true).await.ok()?.1.is_over(world.verifier.now()));
        for (seconds, expected) in [(899, Some(false)), (1, Some(true)), (45 * 60 - 1, Some(true)), (1, None)]
        {
            world.advance(Duration::from_secs(seconds));
            assert_eq!(is_over().await, expected);
        }
        let changed = sessions.change(&cookie, true, |session, _| session.change_number()).await;
        assert_eq!(changed, Err(Denied::NoSession));
    }

    #[tokio::test]
    async fn a_code_of_another_verification_approves_nothing() {
        let world = World::new().await;
        let sessions = &world.hosted;
        let cookie = opened(sessions).await;
        let (first, second) = (VERIFICATION, Sid::new(SidKind::Verification, [2; 16]));
        sends(sessions, &cookie, number("+14155552671"), first).await;
        sends(sessions, &cookie, number("+14155552672"), second).await;
        for sid in [Some(first), None] {
            assert!(matches!(sessions.approve(&cookie, sid).await, Err(Denied::NotNow)), "{sid:?}");
        }
        assert!(sessions.approve(&cookie, Some(second)).await.is_ok());
    }

    #[tokio::test]
    async fn sessions_go_on_after_a_restart_and_what_was_used_stays_used() {
        let world = World::new().await;
        let before = &world.hosted;
        let (address, _) = before.create(SERVICE, session(None, true).request).await.expect("a session");
        let cookie = before.begin(&address).await.expect("a cookie");
        let (_, code) = verified(before).await;
        let (_, redeemed) = verified(before).await;
        before.redeem(SERVICE, &redeemed.sid, redeemed.expose()).await.expect("a result");
        let world = world.crashes().await;
        let after = &world.hosted;
        assert!(after.begin(&address).await.is_err());
        assert!(after.find(&cookie, true).await.is_ok());
        assert!(after.redeem(SERVICE, &redeemed.sid, redeemed.expose()).await.is_err());
        assert!(after.redeem(ServiceId::new(2), &code.sid, code.expose()).await.is_err());
        assert!(after.redeem(SERVICE, &cookie.sid, code.expose()).await.is_err());
        let forged = SessionSecret::new(code.sid, [9; 32]);
        assert!(after.redeem(SERVICE, &code.sid, forged.expose()).await.is_err());
        assert!(after.redeem(SERVICE, &code.sid, code.expose()).await.is_ok());
    }
}
