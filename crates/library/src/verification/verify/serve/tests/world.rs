//! Services over a store in memory, with gateways and a webhook that record everything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, ManualClock};
use crate::config::services::{AccountSettings, RegistrySettings};
use crate::config::{AttemptLogSettings, Bounds, BreakerSettings, DeliverySettings, GuardSettings};
use crate::delivery::attempts::Attempts;
use crate::delivery::{Delivery, DeliveryDeps, Routed};
use crate::domain::{
    ApiSecret, Channel, Code, CodeLength, GatewayName, PhoneNumber, ProviderName, Routing, ServerKey,
    ServiceId, Sid, SidKind, Timestamp,
};
use crate::gateway::{Accepted, ErrorClass, Gateway, GatewayError, OutgoingMessage, Verdict};
use crate::limits::guard::{GuardConfig, PumpingGuard, VerifiedNumbers};
use crate::limits::rate::{IdempotencyKeys, Limits, MOST_RECORDS};
use crate::node::kinds;
use crate::registry::world::{contract, given};
use crate::registry::{Registry, RegistryDeps, Service, ServiceSettings, WebhookFields};
use crate::shard::tests::FaultyStore;
use crate::shard::{ShardDeps, Shards};
use crate::store::BoxFuture;
use crate::template::Templates;
use crate::verification::numbers::{NumberCapacity, NumberKey, Outgoing, Verifier, VerifierDeps};
use crate::verification::verify::{
    BeginRequest, CheckCode, Ending, Refused, Verification, VerificationTarget, Verifying,
};
use crate::webhook::{Outbox, OutboxBounds, Post, Posted, Transport};

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Fictitious numbers. Each test uses its own.
pub fn number(last_digits: u64) -> PhoneNumber {
    PhoneNumber::from_u64(14_155_550_000 + last_digits).expect("a number")
}

/// A message that a gateway received.
#[derive(Debug, Clone)]
pub struct Handed {
    pub by: GatewayName,
    pub channel: Channel,
    pub to: PhoneNumber,
    pub code: String,
}

/// The provider behind every gateway, which records the messages in their order.
#[derive(Clone, Default)]
pub struct FakeProvider {
    handed: Arc<Mutex<Vec<Handed>>>,
    plan: Arc<Mutex<VecDeque<ErrorClass>>>,
    arrivals: Arc<watch::Sender<usize>>,
    hangs: Arc<watch::Sender<Hangs>>,
}

/// Which gateways do not answer.
#[derive(Clone, Copy)]
struct Hangs(fn(GatewayName) -> bool);

impl Default for Hangs {
    fn default() -> Self {
        Self(|_| false)
    }
}

impl FakeProvider {
    pub fn handed(&self) -> Vec<Handed> {
        self.handed.lock().expect("the record").clone()
    }

    /// The code in the last message to a number.
    pub fn code_for(&self, to: PhoneNumber) -> Code {
        let handed = self.handed().into_iter().rev().find(|handed| handed.to == to);
        Code::parse(&handed.expect("a message").code).expect("a code")
    }

    /// The next message fails with this class.
    pub fn fails_with(&self, class: ErrorClass) {
        self.plan.lock().expect("the plan").push_back(class);
    }

    /// With `true`, no later message is answered until a call with `false`.
    pub fn hangs(&self, hangs: bool) {
        self.hangs.send_replace(if hangs { Hangs(|_| true) } else { Hangs::default() });
    }

    /// These gateways answer no later message.
    pub fn hangs_at(&self, gateways: fn(GatewayName) -> bool) {
        self.hangs.send_replace(Hangs(gateways));
    }

    /// Waits until `messages` messages have arrived.
    pub async fn arrived(&self, messages: usize) {
        self.arrivals
            .subscribe()
            .wait_for(|arrived| *arrived >= messages)
            .await
            .expect("the provider is there");
    }
}

struct FakeGateway {
    name: GatewayName,
    provider: FakeProvider,
}

impl Gateway for FakeGateway {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async move {
            let code = message.code.expose().to_owned();
            let handed = Handed { by: self.name, channel: message.channel, to: message.to, code };
            self.provider.handed.lock().expect("the record").push(handed);
            self.provider.arrivals.send_modify(|arrived| *arrived += 1);
            self.provider
                .hangs
                .subscribe()
                .wait_for(|hangs| !hangs.0(self.name))
                .await
                .expect("the provider is there");
            let Some(class) = self.provider.plan.lock().expect("the plan").pop_front() else {
                return Ok(Accepted { message_id: "m".to_owned() });
            };
            let detail = "was told to fail".to_owned();
            Err(GatewayError { gateway: self.name, class, code: None, detail, whole_gateway: false })
        })
    }

    fn holds_codes(&self) -> bool {
        self.name == GatewayName::TwilioVerify
    }

    fn check<'a>(
        &'a self,
        _to: PhoneNumber,
        _channel: Channel,
        _code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async { Ok(Verdict::Wrong) })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A webhook: the names of its events in their order, each with the tag `order`.
#[derive(Clone, Default)]
pub struct Hook(Arc<Mutex<Vec<(String, serde_json::Value)>>>);

impl Hook {
    fn transport(&self) -> Transport {
        let Self(events) = self.clone();
        Arc::new(move |post: Post| {
            let body: serde_json::Value = serde_json::from_slice(&post.body).expect("an event");
            let kind = body["type"].as_str().expect("its name").to_owned();
            let order = body["data"]["tags"]["order"].clone();
            events.lock().expect("the record").push((kind, order));
            Box::pin(async { Posted::Answered { status: 200, retry_after: None, body: String::new() } })
        })
    }
}

/// The dependencies that a restart reuses.
#[derive(Clone)]
struct RestartDeps {
    clock: Arc<ManualClock>,
    provider: FakeProvider,
    hook: Hook,
    routing: &'static str,
    guard: GuardSettings,
    /// The limit on idempotency keys.
    keys: usize,
    bounds: Bounds,
}

pub struct World {
    pub verifying: Verifying,
    pub outbox: Outbox,
    pub registry: Registry,
    pub store: FaultyStore,
    pub service: Arc<Service>,
    pub provider: FakeProvider,
    deps: RestartDeps,
}

impl World {
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// One service with these rules, and one gateway.
    pub async fn with(settings: Value) -> Self {
        Self::routing("Simulator", settings).await
    }

    pub async fn routing(routing: &'static str, settings: Value) -> Self {
        Self::guarded(GuardSettings::default(), routing, settings).await
    }

    /// With these rules of the pumping guard.
    pub async fn guarded(guard: GuardSettings, routing: &'static str, settings: Value) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let deps = RestartDeps {
            clock,
            provider: FakeProvider::default(),
            hook: Hook::default(),
            routing,
            guard,
            keys: 1_000,
            bounds: Bounds::default(),
        };
        let (registry, verifying, outbox, store) = open(FaultyStore::new(), &deps).await;
        let mut settings = given(settings);
        settings.entry("friendly-name").or_insert("Owl Bank".into());
        let service = registry.create_service(settings).await.expect("a service");
        Self { verifying, registry, outbox, store, service, provider: deps.provider.clone(), deps }
    }

    /// So many idempotency keys are remembered.
    pub async fn with_room_for_keys(keys: usize) -> Self {
        let mut world = Self::new().await;
        world.deps.keys = keys;
        world.crashes().await
    }

    /// So many messages are at a gateway at once, and none waits.
    pub async fn with_room_for_sends(mut self, sends: usize) -> Self {
        self.deps.bounds = Bounds { sends, sends_waiting: 0, ..Bounds::default() };
        self.crashes().await
    }

    /// The program dies and starts again from the durable state.
    pub async fn crashes(self) -> Self {
        let (registry, verifying, outbox, store) = open(self.store.reopen(), &self.deps).await;
        let service = registry.service(&self.service.sid).expect("the service");
        Self { verifying, outbox, registry, store, service, ..self }
    }

    /// As [`crashes`](Self::crashes), with other rules of the pumping guard.
    pub async fn crashes_with(mut self, guard: GuardSettings) -> Self {
        self.deps.guard = guard;
        self.crashes().await
    }

    pub fn advance(&self, by: Duration) {
        self.deps.clock.advance(by);
    }

    /// Adds a webhook for every event.
    pub async fn has_webhook(&self) {
        let fields = WebhookFields {
            friendly_name: Some("all".to_owned()),
            event_types: Some(vec!["*".to_owned()]),
            url: Some("https://example.org/hook".to_owned()),
            status: None,
        };
        self.registry.create_webhook(self.service.sid, fields).await.expect("a webhook");
    }

    /// The webhook's first `events` events.
    pub async fn posted(&self, events: usize) -> Vec<String> {
        let types = || {
            let posted = self.deps.hook.0.lock().expect("the record");
            posted.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>()
        };
        // Tokio's time, which does not stand still here, passes while all tasks wait.
        for _ in 0..10_000 {
            if types().len() >= events {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        types()
    }

    /// The attempt that an id (`VL`) names.
    pub fn attempt_of(&self, sid: Sid) -> crate::domain::AttemptId {
        self.verifying.sealer.open_attempt(&sid).expect("an attempt")
    }

    /// The number of verifications whose end the webhook will receive.
    pub fn expected_ends(&self) -> usize {
        self.outbox.expected()
    }

    /// The tags `order` of the events that the webhook received.
    pub fn orders(&self) -> Vec<serde_json::Value> {
        self.deps.hook.0.lock().expect("the record").iter().map(|told| told.1.clone()).collect()
    }

    pub async fn begins(&self, begin: BeginRequest) -> Result<Verification, Refused> {
        self.verifying.begin(self.of_service(begin)).await
    }

    /// The same in a task.
    pub fn begins_meanwhile(&self, begin: BeginRequest) -> JoinHandle<Result<Verification, Refused>> {
        let (verifying, begin) = (self.verifying.clone(), self.of_service(begin));
        tokio::spawn(async move { verifying.begin(begin).await })
    }

    fn of_service(&self, mut begin: BeginRequest) -> BeginRequest {
        begin.message.key.service = self.service.id;
        begin
    }

    /// Begins a verification, which must succeed.
    pub async fn begun(&self, to: PhoneNumber) -> Verification {
        self.begins(asking(to)).await.expect("begun")
    }

    /// Checks a code, or a guess that no code can be.
    pub async fn checks(
        &self,
        target: VerificationTarget,
        code: Option<Code>,
    ) -> Result<Verification, Refused> {
        let code = code.or_else(|| Code::submitted("guess", CodeLength::SIX, true));
        self.verifying.check(self.service.id, CheckCode::new(target, code)).await
    }

    pub async fn ends(&self, target: VerificationTarget, ending: Ending) -> Result<Verification, Refused> {
        self.verifying.end(self.service.id, target, ending, None).await
    }
}

/// A minimal beginning.
pub fn asking(to: PhoneNumber) -> BeginRequest {
    asking_with(to, |_| {})
}

/// The same with another message.
pub fn asking_with(to: PhoneNumber, change: impl FnOnce(&mut Outgoing)) -> BeginRequest {
    let key = NumberKey::new(ServiceId::DEFAULT, to);
    let mut message = Outgoing { channel: Some(Channel::Sms), ..Outgoing::new(key) };
    change(&mut message);
    BeginRequest::new(message)
}

/// The same with an idempotency key.
pub fn asking_once(to: PhoneNumber, key: &str) -> BeginRequest {
    BeginRequest {
        idempotency_key: Some(key.to_owned()),
        fingerprint: [u8::try_from(key.len()).unwrap_or(1); 32],
        ..asking(to)
    }
}

fn account() -> AccountSettings {
    AccountSettings {
        sid: Sid::new(SidKind::Account, [0xac; 16]),
        token: ApiSecret::new("0123456789abcdef0123456789abcdef".to_owned()),
    }
}

async fn open(store: FaultyStore, deps: &RestartDeps) -> (Registry, Verifying, Outbox, FaultyStore) {
    let RestartDeps { clock, provider, hook, routing, guard, keys, bounds } = deps.clone();
    let clock: Arc<dyn Clock> = clock;
    let shared = Arc::new(store.clone());
    let rng = |seed| StdRng::seed_from_u64(seed);
    let templates = Templates::new("OTP message is {code}", "Your code is {code}");
    let resolved = Routing::parse(routing, |name| match name {
        ProviderName::Twilio => Ok(GatewayName::TwilioMessages),
        ProviderName::Gateway(name) => Ok(name),
    });
    let routing = resolved.expect("a routing");
    let names: Vec<GatewayName> = routing.entries().iter().map(|entry| entry.gateway).collect();
    let routed = |name: &GatewayName| Routed {
        routed_as: *name,
        gateway: Arc::new(FakeGateway { name: *name, provider: provider.clone() }),
    };
    let is_paid = names.iter().any(|name| *name != GatewayName::Simulator);
    let gateways = names.iter().map(routed).collect();
    let key = ServerKey::from_bytes([7; 32]);
    let capacity = NumberCapacity::new(Bounds::default().numbers);
    let known_numbers = VerifiedNumbers::new(Bounds::default().numbers);
    // Each start draws other salts.
    let seed = u64::try_from(store.snapshot().len()).expect("a count");
    let shards = Shards::start(ShardDeps {
        store: shared.clone(),
        clock: clock.clone(),
        kinds: kinds::all(&capacity, &known_numbers),
        shards: 1,
        settings: kinds::shard_settings(&Bounds::default()),
        rng: StdRng::seed_from_u64(3 + seed),
        metrics: Arc::default(),
    })
    .await
    .expect("shards");
    let policy = contract(Duration::from_secs(30));
    let limits = Limits::new(&shards, &key, MOST_RECORDS, 20_000);
    let keys = IdempotencyKeys::new(&shards, &key, keys);
    let registry = Registry::open(RegistryDeps {
        shards: shards.clone(),
        settings: RegistrySettings {
            account: Some(account()),
            local_only: true,
            ..RegistrySettings::default()
        },
        default: ServiceSettings::of_policy("onceward".to_owned(), &policy),
        templates: templates.clone(),
        gateways: names,
        twilio_messaging_service: None,
    })
    .await
    .expect("a registry");
    let breaker = BreakerSettings { failures: 100, ..BreakerSettings::default() };
    let guard = GuardConfig { settings: guard, is_free: !is_paid, ..GuardConfig::default() };
    let guard = PumpingGuard::start(&shards, &key, known_numbers, registry.clone(), guard);
    let guard = guard.await.expect("a guard");
    let attempts = Attempts::new(&shards, &key, AttemptLogSettings::default());
    let taken = |service, number, ticket| guard.take_again(service, number, &ticket);
    attempts.taken_since(guard.unwritten_since(), taken).await.expect("the attempts");
    let delivery = Arc::new(Delivery::new(DeliveryDeps {
        gateways,
        routing,
        settings: DeliverySettings { breaker, ..DeliverySettings::default() },
        services: Some(registry.clone()),
        templates,
        clock: clock.clone(),
        rng: Mutex::new(rng(2)),
        bounds: bounds.clone(),
        metrics: Arc::clone(shards.metrics()),
        guard: Some(guard),
    }));
    let outbox = Outbox::start(
        shards.clone(),
        &key,
        registry.clone(),
        hook.transport(),
        OutboxBounds::default(),
        None,
    );
    let verifier = Verifier::new(VerifierDeps {
        attempts,
        shards,
        capacity,
        keys: Arc::clone(keys.capacity()),
        delivery,
        policies: registry.policies(policy),
        server_key: key,
        bounds,
        events: Some(outbox.recorder()),
    });
    let verifying = Verifying::new(registry.clone(), verifier, limits, keys);
    (registry, verifying, outbox, store)
}
