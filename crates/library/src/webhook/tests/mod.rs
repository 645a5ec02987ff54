//! The outbox as its users see it. The helpers come first, because the other files share them.

mod bounds;
mod content;
mod crash;
mod guard;
mod listing;
mod order;
mod retries;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Channel, PhoneNumber, ServerKey, ServiceId, Sid, SidKind, Timestamp};
use crate::engine::SlotHash;
use crate::registry::world::{World as Services, blank, start};
use crate::registry::{Origin, Registry, Service, ServiceSettings, Webhook, WebhookStatus};
use crate::shard::Refusal;
use crate::shard::tests::FaultyStore;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const SERVICE: ServiceId = ServiceId::new(7);
const OTHER: ServiceId = ServiceId::new(8);

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
    outbox: Outbox,
}

impl World {
    /// One webhook, the first, for every event.
    async fn new() -> Self {
        Self::with(OutboxBounds::default(), &[hook(1)]).await
    }

    async fn with(bounds: OutboxBounds, hooks: &[Webhook]) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let services =
            Services::new().with_account("ACacacacacacacacacacacacacacacacac", "a token of 16 or more");
        let registry = services.open().await;
        let receivers = Arc::new(Receivers::default());
        let store = FaultyStore::new();
        let shards = shards(&store, &(clock.clone() as Arc<dyn Clock>)).await;
        let outbox = open(&shards, &registry, &receivers, &bounds);
        let world =
            Self { store, clock, services: services.store, registry, receivers, bounds, shards, outbox };
        world.set_hooks(hooks).await;
        world
    }

    /// Kills the process and starts it again.
    async fn crash(&mut self) {
        self.shards.stop();
        self.store = self.store.reopen();
        self.receivers = Arc::new(Receivers { script: Mutex::default(), ..Receivers::default() });
        let shards = shards(&self.store, &(self.clock.clone() as Arc<dyn Clock>)).await;
        self.outbox = open(&shards, &self.registry, &self.receivers, &self.bounds);
        self.shards = shards;
    }

    fn emit(&self, verification: u8, kind: EventType) {
        self.emit_in(SERVICE, verification, kind);
    }

    /// Emits an event, and lets happen what is due.
    async fn emits(&self, verification: u8, kind: EventType) {
        self.emit(verification, kind);
        self.settle().await;
    }

    fn emit_in(&self, service: ServiceId, verification: u8, kind: EventType) {
        let (at, outbox) = (self.clock.now(), self.outbox.clone());
        let event = Event { kind, service, verification: ve(verification), at, about: about() };
        // An event that the store does not accept is lost, as its decision would be.
        tokio::spawn(async move { outbox.emit(event).await });
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
    fn asked(&self) -> Vec<ReceivedPost> {
        std::mem::take(&mut *self.receivers.asked.lock().expect("what was asked"))
    }

    async fn listed(&self, webhook: u8) -> Vec<Delivery> {
        let query = DeliveryQuery { limit: 1_000, ..DeliveryQuery::default() };
        self.outbox.deliveries(SERVICE, yw(webhook), &query).await.expect("a list").records
    }

    async fn states(&self, webhook: u8) -> Vec<DeliveryState> {
        self.listed(webhook).await.iter().map(|delivery| delivery.state).collect()
    }

    async fn set_hooks(&self, hooks: &[Webhook]) {
        for service in [SERVICE, OTHER] {
            self.registry.put_service(service_with(service, hooks.to_vec())).await;
        }
    }
}

/// One shard over a store.
async fn shards(store: &FaultyStore, clock: &Arc<dyn Clock>) -> Shards {
    start(store, clock, 42).await.expect("shards")
}

fn open(shards: &Shards, registry: &Registry, receivers: &Arc<Receivers>, bounds: &OutboxBounds) -> Outbox {
    Outbox::start(
        shards.clone(),
        &ServerKey::from_bytes([7; 32]),
        registry.clone(),
        Receivers::transport(receivers),
        bounds.clone(),
        None,
    )
}

impl Outbox {
    /// Verifications with an expected expiry event.
    pub(crate) fn expected(&self) -> usize {
        self.inner.queues.expected()
    }

    /// Records an event as a decision about its number would. Durable when it returns.
    pub(crate) async fn emit(&self, event: Event) -> Result<(), Refusal> {
        let slots = SlotHash::new(&ServerKey::from_bytes([7; 32]));
        let slot = slots.of_number(event.service, event.about.to);
        self.announce(event, slot).await
    }
}

/// A request that a receiver got.
#[derive(Debug, Clone, PartialEq)]
struct ReceivedPost {
    at: Timestamp,
    url: String,
    id: String,
    verification: String,
    kind: String,
    headers: [(&'static str, String); 3],
    body: serde_json::Value,
    bytes: bytes::Bytes,
}

/// The behaviour of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Answer(u16),
    AskForTime(u16, u64),
    Refuse,
    /// Accepts it after this many seconds.
    AnswerAfter(u64),
    /// Does not answer for this many seconds.
    Hang(u64),
}

/// All receivers. Without a script they accept everything.
#[derive(Default)]
struct Receivers {
    asked: Mutex<Vec<ReceivedPost>>,
    /// By URL. The last one repeats for ever.
    script: Mutex<BTreeMap<String, VecDeque<Behaviour>>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
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
}

impl Receivers {
    fn transport(this: &Arc<Self>) -> Transport {
        let this = Arc::clone(this);
        Arc::new(move |post| {
            let this = Arc::clone(&this);
            Box::pin(async move { this.post(post).await })
        })
    }

    async fn post(&self, post: Post) -> Posted {
        let body: serde_json::Value = serde_json::from_slice(&post.body).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let header = |name| post.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let seconds: u64 = header("webhook-timestamp").expect("a time").parse().expect("seconds");
        self.asked.lock().expect("what was asked").push(ReceivedPost {
            at: Timestamp::from_millis(seconds * 1000),
            url: post.url.clone(),
            id: header("webhook-id").expect("an id"),
            verification: text(&body["data"]["verification_sid"]),
            kind: text(&body["type"]),
            headers: post.headers.clone(),
            body,
            bytes: post.body,
        });
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let posted = match self.next(&post.url) {
            Behaviour::Answer(status) => {
                Posted::Answered { status, retry_after: None, body: format!("an answer {status}") }
            }
            Behaviour::AskForTime(status, secs) => {
                Posted::Answered { status, retry_after: Some(Duration::from_secs(secs)), body: String::new() }
            }
            Behaviour::Refuse => Posted::NotAnswered(AttemptError::NotConnected, "no connection".to_owned()),
            Behaviour::AnswerAfter(secs) => {
                tokio::time::sleep(Duration::from_secs(secs)).await;
                Posted::Answered { status: 200, retry_after: None, body: String::new() }
            }
            Behaviour::Hang(secs) => {
                tokio::time::sleep(Duration::from_secs(secs)).await;
                Posted::NotAnswered(AttemptError::TimedOut, "no answer in time".to_owned())
            }
        };
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        posted
    }
}

fn service_with(id: ServiceId, webhooks: Vec<Webhook>) -> Service {
    let sid = Sid::new(SidKind::Service, [if id == SERVICE { 0x5e } else { 0x5f }; 16]);
    Service { webhooks, ..blank(id, sid, Origin::Api, ServiceSettings::default(), START) }
}

/// A webhook for every event.
fn hook(webhook: u8) -> Webhook {
    hook_for(webhook, &["*"])
}

fn hook_for(webhook: u8, events: &[&str]) -> Webhook {
    Webhook {
        sid: yw(webhook),
        friendly_name: "a webhook".to_owned(),
        event_types: events.iter().map(|&name| name.to_owned()).collect(),
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
    Sid::new(SidKind::Verification, [verification; 16])
}

fn about() -> About {
    About {
        to: PhoneNumber::parse("+14155550123", None).expect("a number"),
        channel: Channel::Sms,
        status: "pending".to_owned(),
        detail: Detail::None,
        locked_until: None,
        tags: BTreeMap::from([("order".to_owned(), "17".to_owned())]),
    }
}

/// The kinds of the requests, in their order.
fn kinds(asked: &[ReceivedPost]) -> Vec<&str> {
    asked.iter().map(|asked| asked.kind.as_str()).collect()
}
