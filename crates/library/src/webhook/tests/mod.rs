//! The outbox as its users see it. The helpers come first, because the other files share them. Its world
//! stays apart from [`testing::World`], whose outbox asks the network: this one has receivers in memory, and a store of
//! its own, where a fault meets events alone.

mod content;
mod crash;
mod order;
mod retries;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderMap;
use reqwest::{Body, Request};
use serde_json::Value;

use super::*;
use crate::clock::{EngineClock, ManualClock};
use crate::domain::{AttemptLogKey, Channel, NumberKey, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::engine::Sealer;
use crate::registry::{Origin, Registry, Service, ServiceSettings, Webhook, WebhookStatus, blank};
use crate::shard::{LogRange, Record as _, Refusal, Shards, Subject};
use crate::testing::{self, FaultyStore, HOUR, MINUTE, SECOND, START};

const SERVICE: ServiceId = ServiceId::new(7);

/// The slot of all events.
const SLOT: u8 = 42;

/// An outbox over a store in memory, a stopped clock, and receivers with a test's script. The runtime's time stands
/// still too, and passes when all tasks wait.
struct World {
    store: FaultyStore,
    clock: Arc<ManualClock>,
    /// The store of the registry.
    services: FaultyStore,
    registry: Registry,
    receivers: Arc<Receivers>,
    bounds: OutboxBounds,
    shards: Shards,
    outbox: Arc<Outbox>,
}

impl World {
    /// One webhook, the first, for every event.
    async fn new() -> Self {
        Self::with(OutboxBounds::default(), &[hook(1)]).await
    }

    async fn with(bounds: OutboxBounds, hooks: &[Webhook]) -> Self {
        let process = testing::World::bare().await;
        let (services, registry) = (process.store.clone(), process.registry.clone());
        let clock = Arc::clone(&process.clock);
        let (receivers, store) = (Arc::default(), FaultyStore::default());
        let decisions = EngineClock::over(clock.clone());
        let (shards, outbox) = open(&store, decisions, &registry, &receivers, &bounds).await;
        let world = Self { store, clock, services, registry, receivers, bounds, shards, outbox };
        let sid = Sid::new(SidKind::Service, [0x5e; 16]);
        let service = blank(SERVICE, sid, Origin::Api, ServiceSettings::default(), START);
        world.registry.put_service(Service { webhooks: hooks.to_vec(), ..service }).await;
        world
    }

    /// Kills the process and starts it again. The receivers have no script any more.
    async fn crash(&mut self) {
        self.shards.stop();
        (self.store, self.receivers) = (self.store.reopen(), Arc::default());
        let Self { store, clock, registry, receivers, bounds, .. } = &*self;
        let decisions = EngineClock::over(clock.clone());
        (self.shards, self.outbox) = open(store, decisions, registry, receivers, bounds).await;
    }

    fn emit(&self, verification: u8, kind: EventType) {
        self.emit_in(SERVICE, verification, kind);
    }

    /// Emits an event, and lets happen what is due.
    async fn emits(&self, verification: u8, kind: EventType) {
        self.emit(verification, kind);
        self.settle().await;
    }

    /// An event that the store does not accept is lost, as its decision would be.
    fn emit_in(&self, service: ServiceId, verification: u8, kind: EventType) {
        let (outbox, verification) = (Arc::clone(&self.outbox), id_of(verification));
        let id = AttemptLogKey::new(service, verification, SLOT).id();
        drop(self.shards.decide(Subject { slot: SLOT, id }, move |view| {
            let key = NumberKey::new(service, number());
            outbox.tell(key, Some(verification), Channel::Sms, view, |told| told.emit(kind, Value::Null));
            Ok::<_, Refusal>(())
        }));
    }

    /// Lets both times pass, in steps that are shorter than any wait.
    async fn pass(&self, by: Duration) {
        let step = (by / 400).max(Duration::from_millis(100));
        let mut left = by;
        while !left.is_zero() {
            let part = left.min(step);
            self.clock.advance(part);
            // In a long time, the next look at the clock begins everything that is due.
            tokio::time::sleep(part.min(11 * SECOND)).await;
            left -= part;
        }
    }

    /// Lets everything that is due now happen and be written.
    async fn settle(&self) {
        self.pass(SECOND).await;
    }

    /// The requests that receivers got since the last call.
    fn asked(&self) -> Vec<Received> {
        std::mem::take(&mut *self.receivers.asked.lock().expect("what was asked"))
    }

    async fn listed(&self, webhook: u8) -> Vec<Delivery> {
        let is_its =
            |delivery: &Delivery| delivery.event.service == SERVICE && delivery.webhook == yw(webhook);
        let range = LogRange { since: Timestamp::EPOCH, until: None, fits: is_its, skip: 0, limit: 1_000 };
        self.outbox.list(None, range).await.expect("a list")
    }

    async fn states(&self, webhook: u8) -> Vec<DeliveryState> {
        self.listed(webhook).await.iter().map(|delivery| delivery.state).collect()
    }
}

/// One shard over a store, and its outbox.
async fn open(
    store: &FaultyStore,
    clock: EngineClock,
    registry: &Registry,
    receivers: &Arc<Receivers>,
    bounds: &OutboxBounds,
) -> (Shards, Arc<Outbox>) {
    let shards = testing::shards(store, clock, 1, crate::node::kinds()).await.expect("shards");
    let (key, receivers) = (testing::server_key(), Arc::clone(receivers));
    let transport: Transport = Box::new(move |request| {
        let receivers = Arc::clone(&receivers);
        Box::pin(async move { receivers.post(request).await })
    });
    let outbox = Outbox::start(shards.clone(), &key, registry.clone(), transport, bounds.clone());
    (shards, outbox)
}

/// 0 would be none.
const fn id_of(verification: u8) -> u64 {
    (verification as u64 + 1) << 16
}

/// A request that a receiver got.
#[derive(Debug, Clone, PartialEq)]
struct Received {
    url: String,
    headers: HeaderMap,
    at: Timestamp,
    body: Value,
}

impl Received {
    fn id(&self) -> EventId {
        EventId::parse(self.headers["webhook-id"].to_str().expect("text")).expect("an id")
    }

    fn kind(&self) -> &str {
        self.body["type"].as_str().expect("a type")
    }

    fn is_to(&self, webhook: u8) -> bool {
        self.url == hook(webhook).url
    }

    fn is_about(&self, verification: u8) -> bool {
        self.body["data"]["verification_sid"] == ve(verification).to_string()
    }
}

/// The behaviour of a receiver.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Answer(u16),
    Refuse,
    /// Accepts it after this many seconds.
    AnswerAfter(u64),
    /// Does not answer for this many seconds.
    Hang(u64),
}

/// All receivers. Without a script they accept everything.
#[derive(Default)]
struct Receivers {
    asked: Mutex<Vec<Received>>,
    /// By URL. The last one repeats for ever.
    script: Mutex<BTreeMap<String, VecDeque<Behaviour>>>,
}

impl Receivers {
    fn play(&self, webhook: u8, does: impl IntoIterator<Item = Behaviour>) {
        let script = does.into_iter().collect();
        self.script.lock().expect("the script").insert(hook(webhook).url, script);
    }

    fn next(&self, url: &str) -> Behaviour {
        let mut script = self.script.lock().expect("the script");
        match script.get_mut(url) {
            Some(does) if does.len() > 1 => does.pop_front(),
            Some(does) => does.front().copied(),
            None => None,
        }
        .unwrap_or(Behaviour::Answer(200))
    }

    async fn post(&self, request: Request) -> Posted {
        let (url, headers) = (request.url().to_string(), request.headers().clone());
        let does = self.next(&url);
        let seconds: u64 = headers["webhook-timestamp"].to_str().expect("text").parse().expect("seconds");
        let body = request.body().and_then(Body::as_bytes).map(serde_json::from_slice);
        let (at, body) = (Timestamp::from_millis(seconds * 1000), body.expect("a body").expect("JSON"));
        self.asked.lock().expect("what was asked").push(Received { url, headers, at, body });
        if let Behaviour::AnswerAfter(secs) | Behaviour::Hang(secs) = does {
            tokio::time::sleep(Duration::from_secs(secs)).await;
        }
        let status = match does {
            Behaviour::Answer(status) => status,
            Behaviour::AnswerAfter(_) => 200,
            Behaviour::Refuse => return Posted::not_answered("no connection"),
            Behaviour::Hang(_) => return Posted::not_answered("no answer in time"),
        };
        Posted { status: Some(status), detail: String::new(), retry_after: None }
    }
}

/// A webhook for every event.
fn hook(webhook: u8) -> Webhook {
    Webhook {
        sid: yw(webhook),
        friendly_name: "a webhook".to_owned(),
        event_types: vec!["*".to_owned()],
        url: format!("https://{webhook}.example.com/hooks"),
        status: WebhookStatus::Enabled,
        secret: vec![webhook; 32],
        created: START,
        updated: START,
    }
}

fn yw(webhook: u8) -> Sid {
    Sid::new(SidKind::Webhook, [webhook; 16])
}

fn ve(verification: u8) -> Sid {
    let key = NumberKey::new(SERVICE, number());
    Sealer::new(&testing::server_key()).verification(key, id_of(verification))
}

fn number() -> PhoneNumber {
    testing::number(123)
}

/// The kinds of the requests, in their order.
fn kinds<'a>(asked: impl IntoIterator<Item = &'a Received>) -> Vec<&'a str> {
    asked.into_iter().map(Received::kind).collect()
}
