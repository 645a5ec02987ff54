//! What tests of this crate and of those above it share: the services of a process over a store in memory, with a
//! stopped clock and the double of providers.

#![expect(missing_docs, clippy::expect_used, reason = "only tests use it")]

mod provider;
mod store;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use crate::clock::{EngineClock, ManualClock};
use crate::config::{self, Bounds, GuardSettings, Settings, Sources};
use crate::delivery::{Carried, Routed};
use crate::domain::{Channel, Code, GatewayName, PhoneNumber, Routing, ServerKey, ServiceId, Timestamp};
use crate::node::{Running, StartOptions};
use crate::registry::audit::{Actor, Author};
use crate::registry::{Service, WebhookFields};
use crate::shard::{Kinds, LogRange, ShardDeps, Shards};
use crate::store::StoreError;
use crate::verification::{
    CheckCode, Ending, GivenKey, NumberKey, Outgoing, Refused, Verification, VerificationTarget,
};
use crate::webhook::{Delivery, Event, EventRecord};

pub use self::provider::{Answer, Handed, ProviderDouble, accepted, down, error, hanging};
pub use self::store::{FaultyStore, Kept, StoreFault};

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub const SECOND: Duration = secs(1);
pub const MINUTE: Duration = secs(60);
pub const HOUR: Duration = secs(3_600);

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The key of each [`World`]'s records.
pub fn server_key() -> ServerKey {
    ServerKey::from_bytes([7; 32])
}

/// Fictitious numbers. Each test uses its own.
pub fn number(last_digits: u64) -> PhoneNumber {
    PhoneNumber::from_u64(14_155_550_000 + last_digits).expect("a number")
}

/// The services of a process over a store in memory.
pub struct World {
    running: Box<Running>,
    pub store: FaultyStore,
    pub service: Arc<Service>,
    pub provider: ProviderDouble,
    pub clock: Arc<ManualClock>,
    settings: Box<Settings>,
}

impl Deref for World {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// Only the default service, which its `service` is.
    pub async fn bare() -> Self {
        Self::set_up(|_| ()).await
    }

    /// The same with these settings.
    pub async fn set_up(change: impl FnOnce(&mut Settings)) -> Self {
        Self::of("Simulator", Value::Null, change).await
    }

    /// One service with these rules, and one gateway.
    pub async fn with(settings: Value) -> Self {
        Self::routing("Simulator", settings).await
    }

    pub async fn routing(routing: &str, settings: Value) -> Self {
        Self::guarded(GuardSettings::default(), routing, settings).await
    }

    /// With these rules of the pumping guard.
    pub async fn guarded(guard: GuardSettings, routing: &str, service: Value) -> Self {
        Self::of(routing, service, |settings| settings.guard = guard).await
    }

    /// With these settings of the process, and a service with these rules; `null` makes none.
    pub async fn of(routing: &str, service: Value, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        settings.gateways.routing = self::routing(routing);
        change(&mut settings);
        let (store, provider) = (FaultyStore::default(), ProviderDouble::default());
        let clock = Arc::new(ManualClock::starting_at(START));
        let running = start(&store, &settings, &clock, &provider).await;
        let service = if let Value::Object(mut fields) = service {
            fields.entry("friendly-name").or_insert("Owl Bank".into());
            running.registry.create_service(fields).await.expect("a service")
        } else {
            running.registry.default_service()
        };
        Self { running, store, service, provider, clock, settings }
    }

    /// The program dies and starts again from the durable state.
    pub async fn crashes(self) -> Self {
        let store = self.store.reopen();
        let running = start(&store, &self.settings, &self.clock, &self.provider).await;
        let service = running.registry.service(&self.service.sid).expect("the service");
        Self { running, store, service, ..self }
    }

    /// The same, with other settings.
    pub async fn crashes_with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.crashes().await
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub fn author(&self) -> Author {
        self.registry.author(Actor::new("account", None, None), None)
    }

    /// Adds a webhook for every event, at an address that is never reached.
    pub async fn has_webhook(&self) {
        let fields = WebhookFields {
            friendly_name: Some("all".to_owned()),
            event_types: Some(vec!["*".to_owned()]),
            url: Some("https://169.254.0.1/hook".to_owned()),
            status: None,
        };
        self.registry.create_webhook(self.service.sid, fields).await.expect("a webhook");
    }

    /// The events for webhooks, the oldest first. Those of different numbers at one moment are in no order.
    pub async fn events(&self) -> Vec<Event> {
        let range = LogRange {
            since: Timestamp::EPOCH,
            until: None,
            fits: |_: &Delivery| true,
            skip: 0,
            limit: 10_000,
        };
        let deliveries = self.outbox.list(None, range).await.expect("a list");
        deliveries.into_iter().rev().map(|delivery| delivery.event).collect()
    }

    /// The names of these events.
    pub async fn told(&self) -> Vec<&'static str> {
        self.events().await.iter().map(|event| event.kind.as_str()).collect()
    }

    /// The number of verifications whose end the webhook will receive.
    pub async fn expected_ends(&self) -> usize {
        let mut count = 0;
        let add = |_, events: EventRecord| count += usize::from(events.expires.is_some());
        self.shards.for_each(add).await.expect("the records");
        count
    }

    pub async fn begins(&self, begin: Outgoing) -> Result<Verification, Refused> {
        self.verifier.begin(self.of_service(begin)).await
    }

    /// The same in a task.
    pub fn begins_meanwhile(&self, begin: Outgoing) -> JoinHandle<Result<Verification, Refused>> {
        let (verifier, begin) = (self.verifier.clone(), self.of_service(begin));
        tokio::spawn(async move { verifier.begin(begin).await })
    }

    fn of_service(&self, mut begin: Outgoing) -> Outgoing {
        begin.key.service = self.service.id;
        begin
    }

    /// A request to carry a code of another system.
    pub fn carry_code(&self, to: PhoneNumber, code: &str) -> Outgoing {
        self.of_service(asking_with(to, |message| {
            (message.supplied_code, message.carried) = (Code::parse(code), Some(Carried::default()));
        }))
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
        let code = code.or_else(|| Code::submitted("guess"));
        self.verifier.check(self.service.id, CheckCode::new(target, code)).await
    }

    pub async fn ends(&self, target: VerificationTarget, ending: Ending) -> Result<Verification, Refused> {
        self.verifier.end(self.service.id, target, ending, None).await
    }
}

/// Members of a service's settings.
pub fn given(members: Value) -> Map<String, Value> {
    match members {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// `Twilio` stands for its messages.
pub fn routing(text: &str) -> Routing {
    let resolved = Routing::parse(text, |name| Ok(name.unwrap_or(GatewayName::TwilioMessages)));
    resolved.expect("a routing")
}

/// Lets all tasks go on until they wait. Needs a paused clock.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Asks until it is so.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("asked 10,000 times");
}

/// A minimal beginning.
pub fn asking(to: PhoneNumber) -> Outgoing {
    asking_with(to, |_| {})
}

/// The same with another message.
pub fn asking_with(to: PhoneNumber, change: impl FnOnce(&mut Outgoing)) -> Outgoing {
    let key = NumberKey::new(ServiceId::DEFAULT, to);
    let mut message = Outgoing::new(key, Channel::Sms);
    change(&mut message);
    message
}

/// The same with an idempotency key. Keys of one length stand for the same request.
pub fn asking_once(to: PhoneNumber, key: &str) -> Outgoing {
    let fingerprint = [u8::try_from(key.len()).unwrap_or(1); 32];
    Outgoing { once: Some(GivenKey { key: key.to_owned(), fingerprint }), ..asking(to) }
}

/// The defaults, with one shard and a circuit that does not open.
fn settings() -> Box<Settings> {
    let sources = Sources { alone: true, parallelism: 1, ..Sources::default() };
    let mut settings = Box::new(config::load(&sources).expect("settings").settings);
    (settings.shards, settings.delivery.breaker.failures) = (1, 100);
    settings
}

/// Shards without the other services.
pub async fn shards(
    store: &FaultyStore,
    clock: EngineClock,
    shards: usize,
    kinds: Kinds,
) -> Result<Shards, StoreError> {
    let (store, bounds) = (Box::new(store.clone()), Bounds::default());
    let deps = ShardDeps { store, clock, bounds, metrics: Arc::default() };
    Shards::start(deps, shards, kinds, StdRng::seed_from_u64(42)).await
}

async fn start(
    store: &FaultyStore,
    settings: &Settings,
    clock: &Arc<ManualClock>,
    provider: &ProviderDouble,
) -> Box<Running> {
    let routing = settings.gateways.routing.entries().iter();
    let gateways = routing.map(|entry| entry.gateway).map(|name| {
        let gateway = provider.gateway(name);
        Routed { routed_as: name, gateway }
    });
    let running = Running::start(StartOptions {
        settings: settings.clone(),
        records: Some((server_key(), Box::new(store.clone()))),
        clock: EngineClock::over(clock.clone()),
        gateways: gateways.collect(),
        serves: false,
        metrics: Arc::default(),
    });
    Box::new(Box::pin(running).await.expect("services"))
}
