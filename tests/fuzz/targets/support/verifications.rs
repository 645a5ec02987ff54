//! The front end with real services and a double that records verifications.

use std::sync::{Arc, Mutex};

use onceward::attempts::{ListedAttempt, VerifyStatus};
use onceward::audit::Author;
use onceward::config::services::{AccountSettings, RegistrySettings};
use onceward::delivery::{Attempt, SendStatus};
use onceward::domain::{
    ApiSecret, AttemptId, AttemptLogKey, Channel, GatewayName, PhoneNumber, ServerKey, ServiceId, Sid,
    SidKind, Timestamp,
};
use onceward::engine::LockoutState;
use onceward::gateway::BoxFuture;
use onceward::http::{Base, V2};
use onceward::store::MemoryStore;
use onceward::verify::{
    AttemptQuery, BeginRequest, CarriedMessage, CarryCode, CheckCode, Ending, Erasure, Refused,
    SealedAttempt, Status, Summary, Verification, VerificationTarget, Verifications,
};
use onceward::webhook::{ATTEMPT_TIME, Outbox, OutboxBounds, Poster};

use super::front_end::{FrontEnd, Reply};
use super::registry::{registry, shards};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// `AC` and sixteen times `ac`, with the token, in Basic authentication.
const ROOT: &str =
    "QUNhY2FjYWNhY2FjYWNhY2FjYWNhY2FjYWNhY2FjYWNhYzowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==";

/// A call of [`Verifications`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Begin { to: PhoneNumber, code: Option<String> },
    Check(VerificationTarget),
    Fetch(VerificationTarget),
    End(VerificationTarget),
    Attempts { limit: usize },
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Call>>>);

impl Notes {
    fn note<T: Send + 'static>(&self, asked: Call, answer: T) -> BoxFuture<'_, T> {
        self.0.lock().expect("not poisoned").push(asked);
        Box::pin(async { answer })
    }
}

fn shown(service: ServiceId, target: VerificationTarget, status: Status) -> Result<Verification, Refused> {
    let number = PhoneNumber::from_u64(14_155_550_100).ok_or(Refused::NotFound)?;
    let sid = |kind| Sid::new(kind, [0xe7; 16]);
    Ok(Verification {
        sid: if let VerificationTarget::Sid(sid) = target { sid } else { sid(SidKind::Verification) },
        service,
        to: if let VerificationTarget::Number(number) = target { number } else { number },
        channel: Channel::Sms,
        status,
        created: NOW,
        updated: NOW,
        attempts: vec![SealedAttempt {
            sid: sid(SidKind::Attempt),
            verification: sid(SidKind::Verification),
            listed: ListedAttempt {
                id: AttemptId { key: AttemptLogKey { service, verification: 0 }, attempt: 0 },
                number,
                attempt: Attempt::new(0, Channel::Call, GatewayName::Simulator, SendStatus::Sent, NOW),
                verify_status: VerifyStatus::New,
                checked_at: None,
                converted: false,
            },
        }],
    })
}

impl Verifications for Notes {
    fn begin(&self, service: ServiceId, begin: BeginRequest) -> BoxFuture<'_, Result<Verification, Refused>> {
        let code = begin.code.as_ref().map(|code| code.expose().to_owned());
        self.note(
            Call::Begin { to: begin.to, code },
            shown(service, VerificationTarget::Number(begin.to), Status::Pending),
        )
    }

    fn carry(&self, _: ServiceId, carry: CarryCode) -> BoxFuture<'_, Result<CarriedMessage, Refused>> {
        let CarryCode { to, code, channel, .. } = carry;
        let channel = channel.unwrap_or(Channel::Sms);
        let message = CarriedMessage { sid: None, to, channel, at: NOW, is_repeated: false };
        self.note(Call::Begin { to, code: Some(code.expose().to_owned()) }, Ok(message))
    }

    fn outcome(&self, _: ServiceId, _: PhoneNumber) -> BoxFuture<'_, Result<bool, Refused>> {
        Box::pin(async { Ok(true) })
    }

    fn check(&self, service: ServiceId, check: CheckCode) -> BoxFuture<'_, Result<Verification, Refused>> {
        self.note(Call::Check(check.target), shown(service, check.target, Status::Pending))
    }

    fn fetch(
        &self,
        service: ServiceId,
        target: VerificationTarget,
    ) -> BoxFuture<'_, Result<Verification, Refused>> {
        self.note(Call::Fetch(target), shown(service, target, Status::Pending))
    }

    fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        _: Option<Author>,
    ) -> BoxFuture<'_, Result<Verification, Refused>> {
        let status = if ending == Ending::Approved { Status::Approved } else { Status::Canceled };
        self.note(Call::End(target), shown(service, target, status))
    }

    fn lockout(&self, _: ServiceId, _: PhoneNumber) -> BoxFuture<'_, Result<LockoutState, Refused>> {
        Box::pin(async { Ok(LockoutState { wrong_codes: 5, until: None }) })
    }

    fn unlock(&self, _: ServiceId, _: PhoneNumber, _: Author) -> BoxFuture<'_, Result<(), Refused>> {
        Box::pin(async { Ok(()) })
    }

    fn erase(&self, _: ServiceId, _: PhoneNumber, _: Author) -> BoxFuture<'_, Result<Erasure, Refused>> {
        Box::pin(async { Ok(Erasure::default()) })
    }

    fn attempts(&self, query: AttemptQuery) -> BoxFuture<'_, Result<Vec<SealedAttempt>, Refused>> {
        self.note(Call::Attempts { limit: query.limit }, Ok(Vec::new()))
    }

    fn attempt(&self, _sid: Sid) -> BoxFuture<'_, Result<SealedAttempt, Refused>> {
        Box::pin(async { Err(Refused::NotFound) })
    }

    fn summary(&self, _query: AttemptQuery) -> BoxFuture<'_, Result<Summary, Refused>> {
        Box::pin(async { Ok(Summary { total: 7, converted: 3 }) })
    }
}

/// The front end and a service.
pub struct V2FrontEnd {
    front_end: FrontEnd,
    notes: Notes,
    service: String,
}

impl V2FrontEnd {
    pub fn start() -> Self {
        let notes = Notes::default();
        let front_end = FrontEnd::start();
        let (registry, outbox, service) = front_end.block_on(async {
            let shards = shards(&Arc::new(MemoryStore::default()), NOW).await;
            let account = AccountSettings {
                sid: Sid::new(SidKind::Account, [0xac; 16]),
                token: ApiSecret::new(TOKEN.to_owned()),
            };
            let settings =
                RegistrySettings { account: Some(account), local_only: true, ..RegistrySettings::default() };
            let registry = registry(shards.clone(), settings).await;
            let settings =
                [("friendly-name".to_owned(), "Owl Bank".into()), ("custom-code".to_owned(), true.into())];
            let service = registry.create_service(settings.into_iter().collect()).await.expect("a service");
            let key = ServerKey::from_bytes([7; 32]);
            // No event is emitted: the outbox posts nothing.
            let outbox = Outbox::start(
                shards,
                &key,
                Arc::new(registry.clone()),
                Arc::new(Poster::new(false, ATTEMPT_TIME)),
                OutboxBounds::default(),
                None,
            );
            (registry, outbox, service.sid.to_string())
        });
        let base = Base { public_url: None, tls: false, listens_on: "127.0.0.1:3000".into() };
        front_end.serves_v2(V2::new(Arc::new(notes.clone()), registry, outbox, base, Arc::new(|| NOW)));
        Self { front_end, notes, service }
    }

    /// The id of the only service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Sends a request with the account's credentials.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        key: Option<&str>,
        body: &[u8],
    ) -> (Reply, Vec<Call>) {
        let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        self.exchange(method, path, &format!("authorization: Basic {ROOT}\r\n{key}"), content_type, body)
    }

    /// Sends a request without credentials.
    pub fn ask_unauthenticated(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> (Reply, Vec<Call>) {
        self.exchange(method, path, "", content_type, body)
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        content_type: &str,
        body: &[u8],
    ) -> (Reply, Vec<Call>) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        let (reply, _) = self.front_end.ask(&[head.as_bytes(), body].concat(), false);
        (reply, std::mem::take(&mut *self.notes.0.lock().expect("not poisoned")))
    }
}
