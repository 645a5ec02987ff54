//! Records over shards on a store in memory.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::delivery::{Attempt, FollowUp, Reason, SendStatus, TakenAllowance};
use crate::domain::{Channel, GatewayName, Locale, PhoneNumber, ServiceId};
use crate::engine::{Salt, VerificationName};
use crate::registry::world::start_shards;
use crate::shard::tests::FaultyStore;
use crate::shard::{Subject, Transaction};
use crate::template::{AppHash, MessageStyle, SendDigits};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Shards over a store, and the handle of their attempts.
struct World {
    shards: Shards,
    attempts: Attempts,
    clock: Arc<ManualClock>,
    due: UnboundedReceiver<AttemptLogKey>,
}

impl World {
    async fn over(store: &FaultyStore, settings: AttemptLogSettings) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let shards = start_shards(3, store, &(clock.clone() as Arc<dyn Clock>), 1).await.expect("shards");
        let attempts = Attempts::new(&shards, &ServerKey::from_bytes([7; 32]), settings);
        let (to, due) = unbounded_channel();
        attempts.on_due(move |key| {
            let _ = to.send(key);
        });
        Self { shards, attempts, clock, due }
    }

    async fn new() -> Self {
        Self::over(&FaultyStore::new(), AttemptLogSettings::default()).await
    }

    /// Keeps a record, as a decision about its number would.
    async fn keeps(&self, key: AttemptLogKey, log: AttemptLog) {
        let keep = move |view: &mut Transaction<'_>| {
            view.put(key.id(), Some(&log));
            Ok::<_, Refusal>(())
        };
        let subject = Subject { slot: key.slot(), id: key.id() };
        self.shards.decide(subject, keep).await.expect("an answer").expect("kept");
    }

    /// The verifications whose planned send is due so many seconds after the start.
    async fn due(&mut self, seconds: u64) -> BTreeSet<u64> {
        self.clock.advance(second(seconds).since(self.clock.now()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::iter::from_fn(|| self.due.try_recv().ok()).map(|key| key.verification).collect()
    }

    /// The verifications of the newest attempts.
    async fn listed(&self, limit: usize) -> Vec<u64> {
        let rows = self.attempts.list(&AttemptQuery::newest(limit)).await.expect("a list").records;
        rows.iter().map(|row| row.id.key.verification).collect()
    }
}

fn second(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn key(verification: u64) -> AttemptLogKey {
    AttemptLogKey { service: ServiceId::DEFAULT, verification }
}

/// One message to a number with these last digits, which a gateway accepted at `at`.
fn sent(last_digits: u64, at: Timestamp) -> AttemptLog {
    let number = PhoneNumber::from_u64(14_155_550_100 + last_digits).expect("a number");
    let row = Attempt {
        priority: 1,
        message_id: Some(format!("SM\u{1b}{last_digits}")),
        ..Attempt::new(0, Channel::Sms, GatewayName::Http, SendStatus::Sent, at)
    };
    AttemptLog {
        rows: vec![row],
        next_attempt: 1,
        ..AttemptLog::new(number, at, AttemptLogSettings::default())
    }
}

fn planned(last_digits: u64, due: Timestamp) -> AttemptLog {
    let follow_up = FollowUp {
        due,
        channel: Channel::Call,
        reason: Reason::NextStep,
        step: 1,
        sent: 1,
        allowance: TakenAllowance::default(),
    };
    let expires = due.plus(Duration::from_secs(600));
    let style = MessageStyle {
        app_hash: AppHash::parse("FA+9qCX9VSu"),
        locale: Locale::parse("pt-BR"),
        send_digits: SendDigits::parse("ww12#"),
        ..MessageStyle::default()
    };
    let plan = PlannedSend { salt: Salt([1; 16]), style, expires, follow_up };
    AttemptLog { plan: Some(Box::new(plan)), ..sent(last_digits, START) }
}

#[tokio::test]
async fn a_list_has_the_newest_attempts_of_all_shards_or_of_some_services_first() {
    let world = World::new().await;
    // Several at each moment, so that the order of services matters.
    let at = |id| START.plus(Duration::from_millis(id / 5));
    let key = |id: u64| {
        let service = ServiceId::new(u32::try_from(id % 4).expect("small"));
        AttemptLogKey { service, verification: id }
    };
    for id in 1..=1_500 {
        world.keeps(key(id), sent(id % 90, at(id))).await;
    }
    for (services, limit) in
        [(None, 3), (Some(vec![0]), 2_000), (Some(vec![3, 1]), 2_000), (None, 2_000), (Some(vec![9]), 2_000)]
    {
        let services: Option<Vec<_>> = services.map(|of| of.into_iter().map(ServiceId::new).collect());
        let is_listed = |id: &u64| services.as_ref().is_none_or(|of| of.contains(&key(*id).service));
        let mut expected: Vec<_> = (1..=1_500).filter(is_listed).map(|id| (at(id), key(id))).collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        expected.truncate(limit);
        let query = AttemptQuery { services: services.clone(), ..AttemptQuery::newest(limit) };
        let listed = world.attempts.list(&query).await.expect("a list").records;
        let listed: Vec<_> = listed.iter().map(|listed| (listed.attempt.at, listed.id.key)).collect();
        assert_eq!(listed, expected, "{services:?}");
    }
    let page = async |read| {
        let (to, before) = (Some(sent(2, START).number), Some(START.plus(Duration::from_millis(1))));
        world.attempts.list(&AttemptQuery { before, to, read, ..AttemptQuery::newest(10) }).await
    };
    let found = page(Some(600)).await.expect("a list");
    let stopped = found.stopped.expect("too many for one page");
    assert!(found.records.is_empty() && stopped < START.plus(Duration::from_millis(150)), "{stopped:?}");
    let rest = page(None).await.expect("a list");
    assert_eq!((rest.records.len(), rest.stopped), (1, None));
    let (mut count, after) = (0, Some(START.plus(Duration::from_millis(250))));
    world
        .attempts
        .each(&AttemptQuery { after, ..AttemptQuery::newest(0) }, |_| count += 1)
        .await
        .expect("all");
    assert!((250..1_500).contains(&count), "{count} were read, of which 250 are late enough");
}

#[tokio::test]
async fn a_verification_is_found_in_every_slot() {
    let world = World::new().await;
    let name = VerificationName::from_bits(0x2a_bcde);
    for id in name.ids().filter(|id| id % 300 == 0) {
        world.keeps(key(id), sent(1, START)).await;
    }
    world.keeps(key(1), sent(1, START)).await;
    let number = sent(1, START).number;
    let address = VerificationAddress { service: ServiceId::DEFAULT, number, name };
    let verification = Some(Sealer::new(&ServerKey::from_bytes([7; 32])).verification(&address));
    let query = AttemptQuery { verification, ..AttemptQuery::newest(10) };
    let listed = world.attempts.list(&query).await.expect("a list").records;
    assert!(listed.len() > 2 && listed.iter().all(|l| VerificationName::of(l.id.key.verification) == name));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_records_go_when_there_are_too_many_unless_a_send_is_planned() {
    let settings = AttemptLogSettings { keep_at_most: 3, ..AttemptLogSettings::default() };
    let store = FaultyStore::new();
    let world = World::over(&store, settings).await;
    world.keeps(key(1), planned(1, second(60))).await;
    for id in 2..=8 {
        world.keeps(key(id), sent(id, second(id))).await;
    }
    // A minute of sweeps.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.listed(10).await, [8, 7, 6, 1]);
    world.shards.flush().await;
    assert_eq!(store.snapshot().len(), 4, "the others are gone from the disk");
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_handed_out_once_when_its_time_has_come() {
    let mut world = World::new().await;
    for (id, seconds) in [(1, 3), (2, 1), (3, 9), (4, 9)] {
        world.keeps(key(id), planned(id, second(seconds))).await;
    }
    assert_eq!(world.due(0).await, [].into());
    // A receipt has said that the next step need not wait.
    world.keeps(key(3), planned(3, second(2))).await;
    assert_eq!(world.due(3).await, [1, 2, 3].into());
    assert_eq!(world.due(8).await, [].into());
    assert_eq!(world.due(9).await, [4].into());
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_planned_is_due_and_all_is_listed() {
    let store = FaultyStore::new();
    let world = World::over(&store, AttemptLogSettings::default()).await;
    world.keeps(key(1), planned(1, second(1))).await;
    world.keeps(key(2), sent(2, START)).await;
    let mut again = World::over(&store.reopen(), AttemptLogSettings::default()).await;
    let mut listed = again.listed(10).await;
    listed.sort_unstable();
    assert_eq!(listed, [1, 2]);
    assert_eq!(again.due(1).await, [key(1).verification].into());
    let log = again.attempts.log(key(1)).await.expect("an answer").expect("a record");
    assert_eq!(log, planned(1, second(1)));
}
