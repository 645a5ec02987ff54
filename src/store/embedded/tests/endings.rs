//! Many records that end: they leave the snapshot, with rounds and without.

use super::faulty::Event;
use super::*;
use crate::clock::Clock as _;
use crate::store::embedded::disk::Step;

/// Enough for several steps of the search for dead records, and for several rounds of it.
const MANY: u64 = 20_000;

#[test]
fn when_nothing_changes_any_more_records_that_end_still_leave_the_snapshot() {
    let mut world = world_with_many();
    world.clock.advance(LONG);
    world.expected.clear();
    let mut turns = 0;
    while entries(&world) > 0 {
        tidy(&world);
        turns += 1;
        assert!(turns <= 2, "{} records are left", entries(&world));
    }
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn what_goes_into_and_out_of_the_snapshot_is_synced_after_each_64_records() {
    let synced = |world: &World| {
        let of_sled = |event: &&Event| **event == Event::Did(super::faulty::Operation::SyncFile, "db".into());
        u64::try_from(world.disk.take_events().iter().filter(of_sled).count()).unwrap()
    };
    let world = world_with_many();
    let times = synced(&world);
    assert!(times >= MANY / 64, "{times} syncs while records came");
    world.clock.advance(LONG);
    tidy(&world);
    let removed = MANY - entries(&world);
    let times = synced(&world);
    assert!(removed > 10_000 && times >= removed / 64, "{times} syncs for {removed} removals");
}

#[test]
fn an_idle_store_looks_for_dead_records_by_itself() {
    let mut world = world_with_many();
    world.abandon();
    world.clock.advance(LONG);
    let mut options = world.options(&world.dir());
    options.round_every = Duration::from_millis(1);
    let store = EmbeddedStore::open(options).unwrap();
    // As every start does; before it nothing is changed.
    assert_eq!(world.contents_of(&store), Contents::new());
    world.until("dead records stay in an idle store", || store.snapshot.account().unwrap().entries == 0);
    world.runtime.block_on(store.close()).unwrap();
}

#[test]
fn when_no_record_has_ended_an_idle_store_reads_and_writes_nothing() {
    let world = world_with_many();
    // The first pass learns when the first record ends.
    for _ in 0..=MANY / 4096 {
        tidy(&world);
    }
    assert!(!may_expire(&world));
    world.disk.take_events();
    tidy(&world);
    assert_eq!(world.disk.take_events(), []);
    assert_eq!(entries(&world), MANY);
    world.clock.advance(LONG);
    assert!(may_expire(&world));
}

#[test]
fn when_a_record_that_ends_sooner_is_written_an_idle_store_does_not_sleep_over_it() {
    let mut world = world_with_many();
    for _ in 0..=MANY / 4096 {
        tidy(&world);
    }
    let sooner = START.plus(Duration::from_secs(1));
    let write = Write { gc_after: sooner, ..write(MANY + 1, Revision::ABSENT, Some("sooner")) };
    world.runtime.block_on(world.store().cas(vec![write], LONG)).unwrap();
    world.round().unwrap();
    world.clock.advance(Duration::from_secs(2));
    for _ in 0..=MANY / 4096 {
        tidy(&world);
    }
    assert_eq!(entries(&world), MANY);
    world.assert_as_expected();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_one_record_changes_now_and_then_all_that_have_ended_leave_the_snapshot() {
    let mut world = world_with_many();
    world.clock.advance(LONG);
    world.expected.clear();
    let mut rounds = 0;
    while entries(&world) > 0 {
        // Dead on arrival: something must change for a round to happen.
        world.batch(&[(MANY, Some("late"))]).unwrap();
        world.expected.clear();
        world.round().unwrap();
        rounds += 1;
        assert!(rounds <= 2, "{} records are left", entries(&world));
    }
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_records_keep_coming_and_ending_few_dead_ones_are_in_the_snapshot() {
    const NEW: u64 = 2_000;
    const LIVES: u64 = 5;
    let mut world = World::with_segments_of(1024 * 1024);
    for turn in 0..30 {
        let writes = (0..NEW).map(|subject| {
            let subject = (turn * NEW + subject).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1;
            let gc_after = START.plus(Duration::from_secs(turn + LIVES));
            Write { gc_after, ..write(subject, Revision::ABSENT, Some("comes")) }
        });
        world.runtime.block_on(world.store().cas(writes.collect(), LONG)).unwrap();
        world.round().unwrap();
        world.clock.advance(Duration::from_secs(1));
        let entries = entries(&world);
        assert!(entries <= NEW * LIVES * 3 / 2, "{entries} entries for {} that live", NEW * LIVES);
    }
    world.clock.advance(LONG);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_process_dies_while_dead_records_are_removed_nothing_else_is_missing() {
    let mut world = world_with_many();
    let alive = Write { gc_after: START.plus(LONG * 3), ..write(7, Revision(1), Some("alive")) };
    world.runtime.block_on(world.store().cas(vec![alive], LONG)).unwrap();
    world.round().unwrap();
    world.clock.advance(LONG);
    world.expected = Contents::from([(7, "alive".to_owned())]);
    let copies = Arc::new(Mutex::new(Vec::new()));
    let (taken, dir) = (copies.clone(), world.dir());
    world.disk.on_step(move |step| taken.lock().unwrap().push((step, copy_of(&dir))));
    tidy(&world);
    // One more change, which only the journal has.
    let late = Write { gc_after: START.plus(LONG * 3), ..write(9, Revision::ABSENT, Some("late")) };
    world.runtime.block_on(world.store().cas(vec![late], LONG)).unwrap();
    world.disk.on_step(|_| {});
    let copies = std::mem::take(&mut *copies.lock().unwrap());
    let steps: Vec<Step> = copies.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Step::Tidied, Step::TidiedAndSynced]);
    for (step, copy) in &copies {
        assert_eq!(world.contents_after_crash(copy).unwrap(), world.expected, "after {step:?}");
    }
    world.expected.insert(9, "late".to_owned());
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_disk_fails_while_dead_records_are_removed_the_next_attempt_goes_on() {
    let mut world = world_with_many();
    world.clock.advance(LONG);
    world.expected.clear();
    world.disk.fail(super::faulty::Operation::SyncFile, rustix::io::Errno::IO);
    let snapshot = &world.store().snapshot;
    assert!(snapshot.tidy(world.clock.now()).is_err());
    world.disk.heal();
    // The database was opened again: it has to be proved whole first, which a round does.
    world.put(MANY, "one more");
    world.expected.clear();
    world.round().unwrap();
    while entries(&world) > 0 {
        tidy(&world);
    }
    let synced = world.disk.take_events();
    assert!(synced.contains(&Event::Reached(Step::CoveredAndSynced)));
    world.crash_and_open();
    world.assert_as_expected();
}

/// All of them in the snapshot, and all end after [`LONG`].
fn world_with_many() -> World {
    let mut world = World::with_segments_of(4 * 1024 * 1024);
    let subjects: Vec<(u64, Option<&str>)> = (0..MANY).map(|subject| (subject, Some("ends"))).collect();
    for changes in subjects.chunks(5_000) {
        world.batch(changes).unwrap();
    }
    world.round().unwrap();
    assert_eq!(entries(&world), MANY);
    world
}

/// What an idle store does every ten seconds.
fn tidy(world: &World) {
    world.store().snapshot.tidy(world.clock.now()).unwrap();
}

fn may_expire(world: &World) -> bool {
    world.store().snapshot.may_expire_for_test(world.clock.now())
}

fn entries(world: &World) -> u64 {
    world.store().snapshot.account().unwrap().entries
}
