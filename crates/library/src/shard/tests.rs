//! An example of the code that a new kind of record needs. Vouchers exist only in these tests, on real shards over a store
//! in memory and a stopped clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::clock::{EngineClock, ManualClock};
use crate::domain::Timestamp;
use crate::store::{Store as _, StoreError, StoreLimits};
use crate::testing::{self, FaultyStore, HOUR, START, StoreFault};

const ONE: Subject = Subject { slot: 5, id: [1; 12] };
/// In another slot of the same shard.
const TWO: Subject = Subject { slot: 7, id: [2; 12] };

/// The remaining amount of a voucher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Voucher {
    left: u32,
    ends: Timestamp,
}

impl Record for Voucher {
    const KIND: u8 = 200;
    const PLURAL: &'static str = "vouchers";

    fn expires(&self) -> Timestamp {
        self.ends
    }
}

impl LogRecord for Voucher {
    fn places(&self) -> Places {
        let needed_until = if self.left > 0 { Timestamp::MAX } else { Timestamp::EPOCH };
        Places { at: START, needed_until, ..Places::default() }
    }
}

#[derive(Clone, Copy)]
enum VoucherAction {
    Issue(u32),
    Spend(u32),
    /// Panics after a write.
    Panic,
}

/// The remaining amount; `None` if it was too small.
type VoucherReply = Result<Option<u32>, Refusal>;

fn decide(id: Id, action: VoucherAction, view: &mut Transaction<'_>) -> Option<u32> {
    let voucher = view.get::<Voucher>(id).unwrap_or(Voucher { left: 0, ends: view.now().plus(HOUR) });
    let left = match action {
        VoucherAction::Issue(left) => left,
        VoucherAction::Spend(amount) => voucher.left.checked_sub(amount)?,
        VoucherAction::Panic => {
            view.put::<Voucher>(id, None);
            panic!("a command that the shard cannot decide")
        }
    };
    view.put(id, Some(&Voucher { left, ..voucher }));
    Some(left)
}

struct World {
    store: FaultyStore,
    clock: Arc<ManualClock>,
    shards: Shards,
}

impl World {
    async fn new() -> Self {
        Self::over(FaultyStore::default()).await
    }

    async fn over(store: FaultyStore) -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let shards = start(&store, &clock).await.expect("shards");
        Self { store, clock, shards }
    }

    /// The program dies, and starts again from the durable state.
    async fn restarted(self) -> Self {
        let Self { store, clock, shards } = self;
        let store = store.reopen();
        shards.stop();
        let shards = start(&store, &clock).await.expect("shards");
        Self { store, clock, shards }
    }

    fn ask(&self, subject: Subject, action: VoucherAction) -> oneshot::Receiver<VoucherReply> {
        self.shards.decide(subject, move |view| Ok(decide(subject.id, action, view)))
    }

    /// Returns once the shard of the subjects has decided what it was asked before, whatever the store says.
    async fn decided(&self) {
        let (reply, answer) = oneshot::channel();
        let decide: Decide = Box::new(|_| {
            reply.send(()).expect("the test waits");
            None
        });
        self.shards.submit(Command { subject: ONE, admit: Admission::Settlement, decide });
        answer.await.expect("an answer");
    }

    async fn reply_to(&self, subject: Subject, action: VoucherAction) -> VoucherReply {
        self.ask(subject, action).await.expect("an answer")
    }

    /// A voucher's remaining amount, in the memory of the slot's owner.
    async fn seen(&self, Subject { slot, id }: Subject) -> Option<u32> {
        let look = move |view: &Transaction<'_>| view.get::<Voucher>(id).map(|voucher| voucher.left);
        self.shards.read(slot, look).await.expect("the shard runs")
    }

    /// The same on the disk.
    fn durable(&self, Subject { slot, id }: Subject) -> Option<u32> {
        let records = self.store.snapshot();
        let kept = records.get(&RecordKey { slot, kind: Voucher::KIND, id });
        kept.map(|kept| decode::<Voucher>(&kept.record).expect("a voucher").left)
    }
}

async fn start(store: &FaultyStore, clock: &Arc<ManualClock>) -> Result<Shards, StoreError> {
    testing::shards(store, EngineClock::over(clock.clone()), 2, Kinds::default().with::<Voucher>()).await
}

#[tokio::test]
async fn what_is_answered_or_read_is_durable_first_and_then_told_to_followers() {
    let world = World::new().await;
    let told = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&told);
    world.shards.follow::<Voucher>(move |changes| {
        count.fetch_add(changes.count(), Ordering::Relaxed);
    });
    let told = || told.load(Ordering::Relaxed);
    world.store.hold();
    let mut answer = world.ask(ONE, VoucherAction::Issue(10));
    world.store.waiting(1).await;
    let mut second = world.ask(TWO, VoucherAction::Issue(20));
    let mut reader = world.ask(ONE, VoucherAction::Spend(11));
    world.decided().await;
    assert!(answer.try_recv().is_err() && second.try_recv().is_err() && reader.try_recv().is_err());
    assert_eq!((world.durable(ONE), told()), (None, 0));
    world.store.release();
    assert_eq!(
        (answer.await, second.await, reader.await),
        (Ok(Ok(Some(10))), Ok(Ok(Some(20))), Ok(Ok(None)))
    );
    assert_eq!((world.durable(ONE), world.durable(TWO), told()), (Some(10), Some(20), 2));
    assert_eq!((world.seen(ONE).await, world.store.commits()), (Some(10), 2), "one batch and another");
}

#[tokio::test]
async fn after_an_unknown_outcome_a_shard_refuses_everything() {
    for fault in [StoreFault::UnknownNotApplied, StoreFault::UnknownApplied] {
        let world = World::new().await;
        world.reply_to(ONE, VoucherAction::Issue(10)).await.expect("issued");
        world.store.fail_next([fault]);
        let refused = world.reply_to(ONE, VoucherAction::Spend(3)).await;
        assert_eq!(refused, Err(Refusal::OutcomeUnknown), "{fault:?}");
        for subject in [ONE, TWO] {
            assert_eq!(
                world.reply_to(subject, VoucherAction::Spend(0)).await,
                Err(Refusal::StoreUnavailable)
            );
        }
        let read = world.shards.read(ONE.slot, |_| ()).await;
        assert_eq!(read, Err(Refusal::StoreUnavailable), "{fault:?}");
        let left = world.durable(ONE);
        assert_eq!(world.restarted().await.seen(ONE).await, left, "{fault:?}: the disk says");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_everything_before_it() {
    let world = World::new().await;
    world.store.hold();
    // In the shard that is asked first.
    let [first, second] = [0, 2].map(|slot| Subject { slot, id: [slot; 12] });
    let in_flight = world.ask(first, VoucherAction::Issue(10));
    world.store.waiting(1).await;
    drop(world.ask(second, VoucherAction::Issue(20)));
    let shards = world.shards.clone();
    let mut flush = tokio::spawn(async move { shards.flush().await });
    assert!(timeout(Duration::from_secs(1), &mut flush).await.is_err(), "flushed before it is durable");
    world.store.release();
    flush.await.expect("flushed");
    assert_eq!((in_flight.await, world.durable(second)), (Ok(Ok(Some(10))), Some(20)));
}

#[tokio::test]
async fn while_memory_is_not_what_the_store_has_nothing_is_answered_from_it() {
    let world = World::new().await;
    world.reply_to(ONE, VoucherAction::Issue(10)).await.expect("issued");
    world.store.hold();
    let in_flight = world.ask(ONE, VoucherAction::Spend(1));
    world.store.waiting(1).await;
    world.store.set_owns_records(false);
    let refused = Err(Refusal::StoreUnavailable);
    let at_once = timeout(Duration::from_secs(10), world.reply_to(TWO, VoucherAction::Spend(0))).await;
    assert_eq!(at_once, Ok(refused));
    world.store.release();
    assert_eq!(in_flight.await, Ok(Ok(Some(9))), "the store has it");
    let read = world.shards.read(ONE.slot, |_| ()).await;
    assert_eq!(read, Err(Refusal::StoreUnavailable), "the process neither stops nor restarts");
    world.store.set_owns_records(true);
    assert_eq!(world.reply_to(ONE, VoucherAction::Spend(4)).await, Ok(Some(5)));
}

#[tokio::test]
async fn a_batch_keeps_the_limits_of_the_store_and_only_too_many_bytes_fail() {
    let voucher = || Voucher { left: 5, ends: START.plus(HOUR) };
    let bytes_per_batch = 3 * encode(&voucher()).len();
    for (limits, of_larger, largest) in [
        (StoreLimits { records_per_batch: 3, ..StoreLimits::NONE }, Ok(()), 4),
        (StoreLimits { bytes_per_batch, ..StoreLimits::NONE }, Err(Refusal::TooLarge), 3),
    ] {
        let store = FaultyStore::default();
        store.limit(limits);
        let world = World::over(store).await;
        world.store.hold();
        let first = world.ask(ONE, VoucherAction::Issue(5));
        world.store.waiting(1).await;
        let others = (0..21).map(|n| Subject { slot: ONE.slot, id: [100 + n; 12] });
        let mut answers: Vec<_> = others.map(|other| world.ask(other, VoucherAction::Issue(5))).collect();
        let reader = world.ask(ONE, VoucherAction::Spend(9));
        let larger = world.shards.decide(TWO, move |view| {
            (0..4).for_each(|n| view.put([50 + n; 12], Some(&voucher())));
            Ok::<_, Refusal>(())
        });
        answers.extend([first, world.ask(TWO, VoucherAction::Issue(5))]);
        world.decided().await;
        world.store.release();
        for answer in answers {
            assert_eq!(answer.await, Ok(Ok(Some(5))));
        }
        assert_eq!((reader.await, larger.await), (Ok(Ok(None)), Ok(of_larger)), "{limits:?}");
        assert_eq!(world.store.largest_commit(), largest, "{limits:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_alone() {
    let bytes_per_record = encode(&Voucher { left: 5, ends: START.plus(HOUR) }).len();
    let store = FaultyStore::default();
    store.limit(StoreLimits { bytes_per_record, ..StoreLimits::NONE });
    let world = World::over(store).await;
    world.store.hold();
    let first = world.ask(ONE, VoucherAction::Issue(5));
    world.store.waiting(1).await;
    let [before, long, after] =
        [(TWO, 5), (ONE, u32::MAX), (TWO, 6)].map(|(of, left)| world.ask(of, VoucherAction::Issue(left)));
    world.decided().await;
    world.store.release();
    assert_eq!((first.await, long.await), (Ok(Ok(Some(5))), Ok(Err(Refusal::TooLarge))));
    assert_eq!((before.await, after.await), (Ok(Ok(Some(5))), Ok(Ok(Some(6)))));
    assert_eq!((world.seen(ONE).await, world.seen(TWO).await), (Some(5), Some(6)), "it is undone");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_never_has_what_was_undone() {
    let world = World::new().await;
    world.reply_to(ONE, VoucherAction::Issue(10)).await.expect("issued");
    world.store.hold();
    let refused = world.ask(ONE, VoucherAction::Issue(9));
    world.store.waiting(1).await;
    let checkpoint = {
        let store = world.store.clone();
        tokio::spawn(async move { store.checkpoint().await })
    };
    // Passes once every task waits.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!checkpoint.is_finished(), "finished before what it has is durable");
    world.store.fail_held(StoreFault::Unavailable);
    world.store.release();
    assert_eq!(refused.await, Ok(Err(Refusal::StoreUnavailable)));
    let records = checkpoint.await.expect("a task").expect("a checkpoint").into_values();
    let left: Vec<u32> = records.map(|kept| decode::<Voucher>(&kept.record).expect("one").left).collect();
    assert_eq!(left, [10]);
}

#[tokio::test]
async fn a_decision_that_panics_is_undone_and_costs_no_other() {
    let world = World::new().await;
    world.reply_to(ONE, VoucherAction::Issue(10)).await.expect("issued");
    assert!(world.ask(ONE, VoucherAction::Panic).await.is_err(), "it answered");
    assert_eq!(world.reply_to(ONE, VoucherAction::Spend(1)).await, Ok(Some(9)), "it was undone");
    assert_eq!(world.durable(ONE), Some(9));
}

#[tokio::test]
async fn a_shard_that_panics_outside_a_decision_ends_all() {
    let world = World::new().await;
    world.shards.follow::<Voucher>(|changes| assert_eq!(changes.count(), 0, "a defect"));
    assert!(world.ask(ONE, VoucherAction::Issue(10)).await.is_err(), "it answered");
    world.shards.failed().await;
    let other = world.shards.read(ONE.slot + 1, |_| ()).await;
    assert_eq!((other, world.shards.owns_records()), (Err(Refusal::StoreUnavailable), false));
    assert_eq!(world.shards.read(ONE.slot, |_| ()).await, Err(Refusal::Stopping));
}

#[test]
fn the_digest_of_a_name_never_changes() {
    assert_eq!(name_digest(&"abc"), 0x1a60_c38b_bdf0_4315);
}

#[tokio::test]
async fn a_record_of_a_newer_version_or_an_unknown_kind_prevents_the_start() {
    let damaged: [(u8, &[u8], &str); 3] = [
        (Voucher::KIND, b"\x09later", "a record of vouchers has version 9"),
        (Voucher::KIND, b"\x01", "a record of vouchers cannot be decoded"),
        (99, b"\x01\0", "a record has kind 99"),
    ];
    for (kind, bytes, says) in damaged {
        let (store, clock) = (FaultyStore::default(), Arc::new(ManualClock::starting_at(START)));
        let key = RecordKey { slot: ONE.slot, kind, id: ONE.id };
        let (put, expires) = (Some(Bytes::from_static(bytes)), Timestamp::MAX);
        store.commit(vec![Write { key, put, expires }], Box::new(|done| assert_eq!(done, Ok(()))));
        let refused = start(&store, &clock).await.err().expect("refused").to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_expired_records_is_told_to_remove_them() {
    let store = FaultyStore::default();
    store.limit(StoreLimits { keeps_expired: true, ..StoreLimits::NONE });
    let world = World::over(store).await;
    world.reply_to(ONE, VoucherAction::Issue(10)).await.expect("issued");
    world.clock.set(START.plus(HOUR));
    let some_sweeps = Duration::from_secs(1);
    tokio::time::sleep(some_sweeps).await;
    assert!(world.store.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_a_change_in_flight_makes_needed_is_not_forgotten() {
    let world = World::new().await;
    world.shards.keep_newest::<Voucher>([0, usize::MAX], Duration::MAX);
    world.reply_to(ONE, VoucherAction::Issue(0)).await.expect("issued");
    world.clock.set(START.plus(Duration::from_secs(10)));
    world.store.hold();
    let needed = world.ask(ONE, VoucherAction::Issue(10));
    world.store.waiting(1).await;
    let some_sweeps = Duration::from_secs(1);
    tokio::time::sleep(some_sweeps).await;
    world.store.release();
    assert_eq!((needed.await, world.seen(ONE).await), (Ok(Ok(Some(10))), Some(10)));
    world.reply_to(ONE, VoucherAction::Spend(10)).await.expect("spent");
    tokio::time::sleep(some_sweeps).await;
    assert_eq!(world.seen(ONE).await, None, "it is not needed any more");
}
