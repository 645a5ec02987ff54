//! The shards as actors: restarts, bounds, gateways that hang, an orderly stop.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::world::number;
use crate::clock::{Clock, ManualClock};
use crate::config::{Bounds, DeliverySettings};
use crate::delivery::tracker::Tracker;
use crate::delivery::{Delivery, DeliveryParts, Routed};
use crate::domain::{Channel, GatewayName, Routing};
use crate::domain::{Code, CodeLength, ServerKey, ServiceId, Timestamp};
use crate::engine::{Lockout, Policy, Salt, SendOptions, SendRules};
use crate::gateway::{Accepted, BoxFuture, Gateway, GatewayError, OutgoingMessage, Simulator};
use crate::shard::Policies;
use crate::shard::{
    CheckAnswer, CheckRequest, Parts, Refusal, SendAnswer, SendRequest, StartError, Verifier,
};
use crate::store::{Fault, MemoryStore, Revision, Store, Write};
use crate::template::{MessageStyle, Templates};

#[tokio::test]
async fn a_code_is_sent_and_approved_once() {
    let world = World::start().await;
    let code = world.sends(1).await;
    assert_eq!(world.checks(1, &code).await, Ok(CheckAnswer::Approved));
    assert_eq!(world.checks(1, &code).await, Ok(CheckAnswer::Wrong { attempts_left: 5, live: false }));
}

#[tokio::test]
async fn a_shard_that_panics_starts_again_from_the_store_with_every_count() {
    let world = World::start().await;
    let code = world.sends(1).await;
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(4)));
    // Everything else that reads this clock has to stand it.
    world.clock.panics(true);
    assert_eq!(world.checks_wrong(1).await, Err(Refusal::Stopping));
    world.clock.panics(false);
    world.is_back().await;
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(3)));
    assert_eq!(world.checks(1, &code).await, Ok(CheckAnswer::Approved));
}

#[tokio::test]
async fn a_restart_of_the_program_finds_every_count_lockout_and_use() {
    let mut world = World::start().await;
    let live = world.sends(1).await;
    world.checks_wrong(1).await.expect("an answer");
    for _ in 0..5 {
        world.sends_if_open(2).await;
        world.checks_wrong(2).await.expect("an answer");
    }
    let used = world.sends(3).await;
    world.checks(3, &used).await.expect("an answer");
    world.restarts().await;
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(3)));
    assert_eq!(world.checks(1, &live).await, Ok(CheckAnswer::Approved));
    assert!(matches!(world.checks_wrong(2).await, Ok(CheckAnswer::Locked { .. })));
    assert_eq!(world.checks(3, &used).await, Ok(CheckAnswer::Wrong { attempts_left: 5, live: false }));
}

#[tokio::test]
async fn commands_in_flight_are_bounded() {
    let world = World::with(Bounds { commands: 2, ..Bounds::default() }).await;
    world.store.hold();
    let verifier = &world.verifier;
    let held = [tokio::spawn(ask(verifier.clone(), 1)), tokio::spawn(ask(verifier.clone(), 2))];
    world.store.waiting(1).await;
    until(|| verifier.commands_in_flight() == 2).await;
    assert_eq!(world.checks_wrong(3).await, Err(Refusal::Overloaded));
    world.store.release();
    for send in held {
        assert!(matches!(send.await.expect("no panic"), Ok(SendAnswer::Sent { .. })));
    }
    assert!(world.checks_wrong(3).await.is_ok());
}

#[tokio::test]
async fn a_gateway_that_hangs_holds_up_its_own_sends_only() {
    let world = World::over(Arc::new(HangingGateway), Bounds::default()).await;
    let hanging = tokio::spawn(ask(world.verifier.clone(), 1));
    until(|| world.store.commits() == 1).await;
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(4)));
    assert_eq!(world.checks_wrong(2).await, Ok(CheckAnswer::Wrong { attempts_left: 5, live: false }));
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn a_gateway_that_panics_costs_its_send_and_nothing_else() {
    let bounds = Bounds { commands_per_number: 2, ..Bounds::default() };
    let world = World::over(Arc::new(PanickingGateway), bounds).await;
    for _ in 0..3 {
        assert_eq!(ask(world.verifier.clone(), 1).await, Ok(SendAnswer::GatewayFailed));
    }
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(4)));
    assert_eq!(world.verifier.commands_in_flight(), 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_its_send() {
    let world = World::start().await;
    world.store.hold();
    let caller = tokio::spawn(ask(world.verifier.clone(), 1));
    world.store.waiting(1).await;
    caller.abort();
    world.store.release();
    until(|| world.simulator.messages(None, 10).len() == 1).await;
}

#[tokio::test]
async fn a_store_that_fails_refuses_and_recovers_without_a_restart() {
    let world = World::start().await;
    let code = world.sends(1).await;
    world.store.fail_next([Fault::UnknownNotApplied]);
    assert_eq!(world.checks_wrong(1).await, Err(Refusal::StoreUnavailable));
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(3)));
    assert_eq!(world.checks(1, &code).await, Ok(CheckAnswer::Approved));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_after_the_commit_timeout() {
    let world = World::start().await;
    world.sends(1).await;
    world.store.fail_next([Fault::Hang]);
    assert_eq!(world.checks_wrong(1).await, Err(Refusal::StoreUnavailable));
    assert_eq!(world.checks_wrong(1).await, Ok(wrong(3)));
}

#[tokio::test]
async fn a_stop_waits_for_what_was_begun_and_refuses_what_comes_later() {
    let world = World::start().await;
    world.store.hold();
    let begun = tokio::spawn(ask(world.verifier.clone(), 1));
    world.store.waiting(1).await;
    let verifier = world.verifier.clone();
    let stop = tokio::spawn(async move { verifier.stop().await });
    tokio::task::yield_now().await;
    assert!(!stop.is_finished());
    world.store.release();
    stop.await.expect("no panic");
    assert!(matches!(begun.await.expect("no panic"), Ok(SendAnswer::Sent { .. })));
    assert!(matches!(world.checks_wrong(1).await, Err(Refusal::Stopping | Refusal::Overloaded)));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_start() {
    let store = MemoryStore::new();
    let one = number(1);
    let key = crate::shard::record::key_of(one.service, one.number);
    let put = Some(Bytes::from_static(b"not a record"));
    let gc_after = Timestamp::from_millis(u64::MAX);
    let write = Write { key, expect: Revision::ABSENT, put, gc_after };
    store.cas(vec![write], Duration::from_secs(1)).await.expect("written");
    let clock = Arc::new(TrippingClock::default());
    let simulator = Arc::new(Simulator::new(clock.clone()));
    let error = start(&store, &clock, simulator, 1, Bounds::default()).await.err().expect("no start");
    assert!(error.to_string().contains("restore the data directory from a backup"), "{error}");
}

/// A clock that can make whoever reads it panic.
pub struct TrippingClock {
    pub time: ManualClock,
    trips: AtomicBool,
}

impl Default for TrippingClock {
    fn default() -> Self {
        let time = ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        Self { time, trips: AtomicBool::new(false) }
    }
}

impl TrippingClock {
    fn panics(&self, panics: bool) {
        self.trips.store(panics, Ordering::SeqCst);
    }
}

impl Clock for TrippingClock {
    fn now(&self) -> Timestamp {
        if self.trips.load(Ordering::SeqCst) {
            panic_any("a test tripped the clock");
        }
        self.time.now()
    }
}

/// A provider that takes every call and never answers.
struct HangingGateway;

impl Gateway for HangingGateway {
    fn name(&self) -> GatewayName {
        GatewayName::Simulator
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, _: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(std::future::pending())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A provider whose code has a fault.
struct PanickingGateway;

impl Gateway for PanickingGateway {
    fn name(&self) -> GatewayName {
        GatewayName::Simulator
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn send<'a>(&'a self, _: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
        Box::pin(async { panic_any("a fault in a gateway") })
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

pub struct World {
    pub verifier: Verifier,
    pub store: MemoryStore,
    /// The shards' clock; everything else has one of its own, which never panics.
    pub clock: Arc<TrippingClock>,
    pub simulator: Arc<Simulator>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Bounds::default()).await
    }

    pub async fn with(bounds: Bounds) -> Self {
        let simulator = Arc::new(Simulator::new(Arc::new(TrippingClock::default())));
        let mut world = Self::over(simulator.clone(), bounds).await;
        world.simulator = simulator;
        world
    }

    pub async fn over(gateway: Arc<dyn Gateway>, bounds: Bounds) -> Self {
        Self::of(1, gateway, bounds).await
    }

    pub async fn with_shards(shards: usize, bounds: Bounds) -> Self {
        let simulator = Arc::new(Simulator::new(Arc::new(TrippingClock::default())));
        Self::of(shards, simulator, bounds).await
    }

    async fn of(shards: usize, gateway: Arc<dyn Gateway>, bounds: Bounds) -> Self {
        let store = MemoryStore::new();
        let clock = Arc::new(TrippingClock::default());
        let simulator = Arc::new(Simulator::new(clock.clone()));
        let verifier = start(&store, &clock, gateway, shards, bounds).await.expect("a start");
        Self { verifier, store, clock, simulator }
    }

    async fn restarts(&mut self) {
        self.store = self.store.reopen();
        let gateway = self.simulator.clone();
        self.verifier =
            start(&self.store, &self.clock, gateway, 1, Bounds::default()).await.expect("a start");
    }

    pub async fn sends(&self, n: u64) -> Code {
        assert!(matches!(ask(self.verifier.clone(), n).await, Ok(SendAnswer::Sent { .. })));
        self.simulator.messages(Some(number(n).number), 1).remove(0).code
    }

    async fn sends_if_open(&self, n: u64) {
        ask(self.verifier.clone(), n).await.expect("an answer");
    }

    pub async fn checks(&self, n: u64, code: &Code) -> Result<CheckAnswer, Refusal> {
        self.submits(n, Some(code.clone())).await
    }

    pub async fn checks_wrong(&self, n: u64) -> Result<CheckAnswer, Refusal> {
        self.submits(n, None).await
    }

    pub async fn submits(&self, n: u64, code: Option<Code>) -> Result<CheckAnswer, Refusal> {
        let number = number(n).number;
        self.verifier.check(CheckRequest { service: ServiceId::DEFAULT, number, code }).await
    }

    /// What the live code of number 1 is made from, as the store has it.
    pub async fn live_salt(&self) -> Salt {
        let (found, into) = std::sync::mpsc::channel();
        let scan = Box::new(move |_, _, bytes: &[u8]| {
            let state = crate::shard::record::decode(bytes).expect("a record");
            let _ = found.send(state.verification().expect("a verification").salt);
        });
        self.store.scan(crate::store::Kind::Number, scan).await.expect("a scan");
        into.try_recv().expect("a record")
    }

    /// Waits until the shard answers again, by asking about a number that never asked.
    async fn is_back(&self) {
        while self.checks_wrong(9).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert!(self.verifier.is_ready());
    }
}

async fn start(
    store: &MemoryStore,
    clock: &Arc<TrippingClock>,
    gateway: Arc<dyn Gateway>,
    shards: usize,
    bounds: Bounds,
) -> Result<Verifier, StartError> {
    let templates = Templates::new("Code {code}", "Code {code}");
    let delivery = Delivery::new(DeliveryParts {
        routing: Routing::only(gateway.name()),
        gateways: vec![Routed { routed_as: gateway.name(), gateway }],
        settings: DeliverySettings::default(),
        services: None,
        templates,
        tracker: Tracker::default(),
        clock: Arc::new(TrippingClock::default()),
        rng: StdRng::seed_from_u64(1),
        bounds: bounds.clone(),
    });
    let policy = Policy {
        max_attempts: 5,
        lockout: Duration::from_secs(1800),
        kind: Lockout::Fixed,
        sends: SendRules::CONTRACT,
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
    };
    Verifier::start(Parts {
        store: Arc::new(store.clone()),
        delivery: Arc::new(delivery),
        clock: clock.clone(),
        policies: Policies::new(policy),
        server_key: ServerKey::from_bytes([1; 32]),
        seeds: Box::new(|| StdRng::seed_from_u64(1)),
        shards,
        bounds,
    })
    .await
}

pub async fn ask(verifier: Verifier, n: u64) -> Result<SendAnswer, Refusal> {
    let number = number(n).number;
    let (service, style) = (ServiceId::DEFAULT, MessageStyle::default());
    verifier.send(SendRequest { service, number, options: None, channel: None, style }).await
}

/// Lets the other tasks run until something can be seen.
pub async fn until(mut seen: impl FnMut() -> bool) {
    while !seen() {
        tokio::task::yield_now().await;
    }
}

pub const fn wrong(attempts_left: u8) -> CheckAnswer {
    CheckAnswer::Wrong { attempts_left, live: true }
}
