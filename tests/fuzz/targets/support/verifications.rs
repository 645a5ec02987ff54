//! The front end with real services on shards over a store in memory, and a double that records verifications.

use std::sync::Arc;

use onceward::attempts::{ListedAttempt, VerifyStatus};
use onceward::audit::Author;
use onceward::clock::ManualClock;
use onceward::config::Bounds;
use onceward::config::services::AccountSettings;
use onceward::delivery::{Attempt, SendStatus};
use onceward::domain::{
    ApiSecret, AttemptId, AttemptLogKey, Channel, GatewayName, PhoneNumber, ServerKey, ServiceId, Sid,
    SidKind, Timestamp,
};
use onceward::engine::LockoutState;
use onceward::gateway::BoxFuture;
use onceward::guard::VerifiedNumbers;
use onceward::http::{Base, V2};
use onceward::node::kinds;
use onceward::numbers::NumberCapacity;
use onceward::registry::{Registry, RegistryDeps, RegistrySettings, ServiceSettings};
use onceward::shard::{ShardDeps, Shards};
use onceward::store::MemoryStore;
use onceward::template::Templates;
use onceward::verify::{
    AttemptQuery, BeginRequest, CarriedMessage, CarryCode, CheckCode, Ending, Erasure, Refused,
    SealedAttempt, Status, Summary, Verification, VerificationTarget, Verifications,
};
use onceward::webhook::{ATTEMPT_TIME, Outbox, OutboxBounds, Poster};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::front_end::{FrontEnd, Notes, Reply};

/// One shard whose clock stands still.
async fn shards() -> Shards {
    let bounds = Bounds::default();
    Shards::start(ShardDeps {
        store: Arc::new(MemoryStore::default()),
        clock: Arc::new(ManualClock::starting_at(NOW)),
        kinds: kinds::all(&NumberCapacity::new(bounds.numbers), &VerifiedNumbers::new(1_000)),
        shards: 1,
        settings: kinds::shard_settings(&bounds),
        rng: StdRng::seed_from_u64(1),
        metrics: Arc::default(),
    })
    .await
    .expect("shards")
}

async fn registry(shards: Shards, settings: RegistrySettings) -> Registry {
    let default = ServiceSettings { friendly_name: "Acme".to_owned(), ..ServiceSettings::default() };
    Registry::open(RegistryDeps {
        shards,
        settings,
        default,
        templates: Templates::new("{code}", "{code}"),
        gateways: vec![GatewayName::Simulator],
        twilio_messaging_service: None,
    })
    .await
    .expect("an empty store")
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The header with `AC` and sixteen times `ac`, and the token.
pub const AUTHORIZATION: &str = "authorization: Basic \
     QUNhY2FjYWNhY2FjYWNhY2FjYWNhY2FjYWNhY2FjYWNhYzowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\r\n";

/// A call of [`Verifications`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Begin { to: PhoneNumber, code: Option<String> },
    Check(VerificationTarget),
    Fetch(VerificationTarget),
    End(VerificationTarget),
    Attempts { limit: usize },
}

type Answer<'a, T = Verification> = BoxFuture<'a, Result<T, Refused>>;

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

impl Verifications for Notes<Call> {
    fn begin(&self, service: ServiceId, begin: BeginRequest) -> Answer<'_> {
        let code = begin.code.as_ref().map(|code| code.expose().to_owned());
        let verification = shown(service, VerificationTarget::Number(begin.to), Status::Pending);
        self.note(Call::Begin { to: begin.to, code }, verification)
    }

    fn carry(&self, _: ServiceId, carry: CarryCode) -> Answer<'_, CarriedMessage> {
        let CarryCode { to, code, channel, .. } = carry;
        let channel = channel.unwrap_or(Channel::Sms);
        let message = CarriedMessage { sid: None, to, channel, at: NOW, is_repeated: false };
        self.note(Call::Begin { to, code: Some(code.expose().to_owned()) }, Ok(message))
    }

    fn outcome(&self, _: ServiceId, _: PhoneNumber) -> Answer<'_, bool> {
        Box::pin(async { Ok(true) })
    }

    fn check(&self, service: ServiceId, check: CheckCode) -> Answer<'_> {
        self.note(Call::Check(check.target), shown(service, check.target, Status::Pending))
    }

    fn fetch(&self, service: ServiceId, target: VerificationTarget) -> Answer<'_> {
        self.note(Call::Fetch(target), shown(service, target, Status::Pending))
    }

    fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        _: Option<Author>,
    ) -> Answer<'_> {
        let status = if ending == Ending::Approved { Status::Approved } else { Status::Canceled };
        self.note(Call::End(target), shown(service, target, status))
    }

    fn lockout(&self, _: ServiceId, _: PhoneNumber) -> Answer<'_, LockoutState> {
        Box::pin(async { Ok(LockoutState { wrong_codes: 5, until: None }) })
    }

    fn unlock(&self, _: ServiceId, _: PhoneNumber, _: Author) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn erase(&self, _: ServiceId, _: PhoneNumber, _: Author) -> Answer<'_, Erasure> {
        Box::pin(async { Ok(Erasure::default()) })
    }

    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Vec<SealedAttempt>> {
        self.note(Call::Attempts { limit: query.limit }, Ok(Vec::new()))
    }

    fn attempt(&self, _sid: Sid) -> Answer<'_, SealedAttempt> {
        Box::pin(async { Err(Refused::NotFound) })
    }

    fn summary(&self, _query: AttemptQuery) -> Answer<'_, Summary> {
        Box::pin(async { Ok(Summary { total: 7, converted: 3 }) })
    }
}

/// The front end and a service.
pub struct V2FrontEnd {
    front_end: FrontEnd,
    notes: Notes<Call>,
    /// The id of the only service.
    pub service: String,
}

impl V2FrontEnd {
    pub fn start() -> Self {
        let notes = Notes::<Call>::default();
        let front_end = FrontEnd::start();
        let (registry, outbox, service) = front_end.block_on(async {
            let shards = shards().await;
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

    /// Sends a request: method and path, and header lines.
    pub fn ask(&mut self, target: &str, headers: &str, body: &str) -> (Reply, Vec<Call>) {
        let length = body.len();
        let request = format!(
            "{target} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        let (reply, _) = self.front_end.ask(request.as_bytes(), false);
        (reply, self.notes.take())
    }
}
