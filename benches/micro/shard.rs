//! A command's way through the [`Verifier`] and back, with a store that keeps nothing: no disk, no HTTP, and a gateway
//! that accepts at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use onceward::attempts::Attempts;
use onceward::clock::{Clock, SystemClock};
use onceward::config::{AttemptLogSettings, Bounds, DeliverySettings};
use onceward::delivery::{Delivery, DeliveryDeps, Routed};
use onceward::domain::{Channel, GatewayName, Routing, ServiceId, Timestamp};
use onceward::engine::Policy;
use onceward::gateway::{Accepted, BoxFuture, Gateway, GatewayError, OutgoingMessage};
use onceward::guard::ClientSignals;
use onceward::limit::{self, IdempotencyKeys};
use onceward::node::kinds;
use onceward::numbers::{
    CheckOutcome, CheckRequest, NumberCapacity, NumberKey, Policies, Reply, SendOutcome, SendRequest,
    Verifier, VerifierDeps,
};
use onceward::shard::{ShardDeps, Shards};
use onceward::store::{Done, Owner, Slots, Store, StoreError, Visitor, Write};
use onceward::template::{MessageStyle, Templates};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;

use crate::now;
use crate::samples::{key, number, policy};

/// Commands in flight at the same moment.
const AT_ONCE: [u64; 3] = [1, 64, 1024];

/// Numbers that take turns. Each allows 254 wrong codes.
const NUMBERS: u64 = 1 << 16;

#[derive(Clone, Copy)]
enum Task {
    /// A check of a number without a verification: decided without a commit.
    CheckUnknown,
    /// A wrong code: one commit.
    CheckWrong,
    /// A send: one commit, a task for the gateway, and its result.
    Send,
}

pub fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let world = Arc::new(runtime.block_on(World::start()));
    let mut asked = false;
    for (name, task) in
        [("check, no commit", Task::CheckUnknown), ("check, commit", Task::CheckWrong), ("send", Task::Send)]
    {
        let mut group = criterion.benchmark_group(format!("shard round trip, {name}, at once"));
        for at_once in AT_ONCE {
            group.throughput(Throughput::Elements(at_once));
            group.bench_function(BenchmarkId::from_parameter(at_once), |b| {
                if !asked && matches!(task, Task::CheckWrong) {
                    asked = true;
                    runtime.block_on(world.all_have_asked());
                }
                b.iter_custom(|rounds| runtime.block_on(side_by_side(&world, task, at_once, rounds)));
            });
        }
        group.finish();
    }
}

/// Each of `callers` tasks makes `rounds` requests, one after the other.
async fn side_by_side(world: &Arc<World>, task: Task, callers: u64, rounds: u64) -> Duration {
    let began = now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                for _ in 0..rounds {
                    world.ask(task).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("an end");
    }
    began.elapsed()
}

struct World {
    verifier: Verifier,
    next: AtomicU64,
}

impl World {
    async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let bounds = Bounds::default();
        let gateway: Arc<dyn Gateway> = Arc::new(AcceptsAtOnce);
        let delivery = Delivery::new(DeliveryDeps {
            routing: Routing::only(gateway.name()),
            gateways: vec![Routed { routed_as: gateway.name(), gateway }],
            settings: DeliverySettings::default(),
            services: None,
            templates: Templates::new("OTP message is {code}", "{code}"),
            clock: Arc::clone(&clock),
            rng: StdRng::seed_from_u64(1),
            bounds: bounds.clone(),
            metrics: Arc::default(),
            guard: None,
        });
        let capacity = NumberCapacity::new(bounds.numbers);
        let shards = Shards::start(ShardDeps {
            store: Arc::new(NoDisk),
            clock,
            kinds: kinds::all(&capacity, &onceward::guard::VerifiedNumbers::new(1_000_000)),
            shards: std::thread::available_parallelism().map_or(2, usize::from),
            settings: kinds::shard_settings(&bounds),
            rng: StdRng::seed_from_u64(2),
            metrics: Arc::default(),
        });
        let shards = shards.await.expect("shards");
        let keys = IdempotencyKeys::new(&shards, &key(), limit::Bounds::default());
        let verifier = Verifier::new(VerifierDeps {
            attempts: Attempts::new(&shards, AttemptLogSettings::default()),
            keys: Arc::clone(keys.capacity()),
            shards,
            capacity,
            delivery: Arc::new(delivery),
            policies: Policies::new(Policy { max_attempts: u8::MAX, ..policy() }),
            server_key: key(),
            bounds,
            events: None,
        });
        Self { verifier, next: AtomicU64::new(0) }
    }

    async fn all_have_asked(&self) {
        for _ in 0..NUMBERS {
            self.ask(Task::Send).await;
        }
    }

    async fn ask(&self, task: Task) {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % NUMBERS;
        match task {
            Task::CheckUnknown => {
                let answer = self.check(NUMBERS + index).await;
                assert!(matches!(answer.outcome, CheckOutcome::Wrong { live: false, .. }), "{answer:?}");
            }
            Task::CheckWrong => {
                let answer = self.check(index).await;
                assert!(matches!(answer.outcome, CheckOutcome::Wrong { live: true, .. }), "{answer:?}");
            }
            Task::Send => {
                let answer = self.verifier.send(SendRequest {
                    key: NumberKey::new(ServiceId::DEFAULT, number(index)),
                    options: None,
                    channel: None,
                    style: MessageStyle::default(),
                    verification: None,
                    client: ClientSignals::default(),
                    request_id: None,
                });
                let answer = answer.await.expect("no refusal");
                assert!(matches!(answer.outcome, SendOutcome::Sent { .. }), "{answer:?}");
            }
        }
    }

    /// A submission that cannot be a code: the engine counts it as wrong.
    async fn check(&self, index: u64) -> Reply<CheckOutcome> {
        let key = NumberKey::new(ServiceId::DEFAULT, number(index));
        let request = CheckRequest { key, code: None, named: None, request_id: None };
        self.verifier.check(request).await.expect("no refusal")
    }
}

/// Every batch is durable at once.
struct NoDisk;

impl Store for NoDisk {
    fn commit(&self, _writes: Vec<Write>, done: Done) {
        done(Ok(()));
    }

    fn restore(&self, _slots: Slots, _visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn expected_records(&self) -> u64 {
        0
    }

    fn attach(&self, _owners: Vec<Arc<dyn Owner>>) {}

    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn newest_time(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

struct AcceptsAtOnce;

impl Gateway for AcceptsAtOnce {
    fn name(&self) -> GatewayName {
        GatewayName::Http
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn send<'a>(&'a self, _message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async { Ok(Accepted { message_id: "SM1".to_owned() }) })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}
