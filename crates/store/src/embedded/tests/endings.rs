//! Many records that end: they leave the snapshot, with rounds and without.

use super::faulty::Operation;
use super::*;
use crate::embedded::disk::Step;
use onceward_core::clock::Clock as _;

const MANY: u64 = 20_000;

#[test]
fn when_nothing_changes_any_more_records_that_end_still_leave_the_snapshot() {
    let mut world = world_with_many();
    world.clock.advance(LONG);
    // To a sixteenth of their life, and a second, ends are the same.
    world.clock.advance(LONG / 8);
    world.expected.clear();
    tidy(&world);
    assert_eq!(entries(&world), 0);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn an_idle_store_looks_for_dead_records_by_itself() {
    let mut world = world_with_many();
    world.abandon();
    world.clock.advance(LONG * 2);
    let mut options = world.options(&world.dir());
    options.round_every = Duration::from_millis(1);
    let store = EmbeddedStore::open(options).unwrap();
    world.until("dead records stay in an idle store", || store.snapshot.entries() == 0);
    assert_eq!(world.contents_of(&store), Contents::new());
    world.runtime.block_on(store.close()).unwrap();
}

#[test]
fn when_no_record_has_ended_an_idle_store_reads_and_writes_nothing() {
    let world = world_with_many();
    world.disk.take_events();
    world.clock.advance(LONG / 2);
    tidy(&world);
    assert_eq!(world.disk.take_events(), []);
    assert_eq!(entries(&world), MANY);
}

#[test]
fn when_few_have_ended_they_leave_after_a_quarter_of_an_hour() {
    let mut world = world_with_many();
    let sooner = START.plus(Duration::from_secs(1));
    let write = Write { gc_after: sooner, ..write(MANY + 1, Revision::ABSENT, Some("sooner")) };
    let lasting = Write { gc_after: START.plus(LONG * 100), ..super::write(0, Revision(1), Some("lasts")) };
    world.runtime.block_on(world.store().cas(vec![write, lasting], LONG)).unwrap();
    world.expected.insert(0, "lasts".to_owned());
    world.round().unwrap();
    world.clock.advance(Duration::from_secs(60));
    tidy(&world);
    // The one that was written again is there twice.
    assert_eq!(entries(&world), MANY + 2, "for one of many the rest is not written again");
    world.clock.advance(Duration::from_secs(15 * 60));
    tidy(&world);
    world.expected.retain(|_, text| text == "lasts");
    assert_eq!(entries(&world), 1);
    world.assert_as_expected();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_one_record_changes_now_and_then_all_that_have_ended_leave_the_snapshot() {
    let mut world = world_with_many();
    world.clock.advance(LONG * 2);
    // Dead on arrival: something must change for a round to happen.
    world.batch(&[(MANY, Some("late"))]).unwrap();
    world.expected.clear();
    world.round().unwrap();
    assert_eq!(entries(&world), 0);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_records_keep_coming_and_ending_few_dead_ones_are_in_the_snapshot() {
    const NEW: u64 = 400;
    const LIVES: u64 = 20;
    let mut world = World::with_segments_of(1024 * 1024);
    for turn in 0..80 {
        let writes = (0..NEW).map(|subject| {
            let subject = (turn * NEW + subject).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1;
            let gc_after = START.plus(Duration::from_secs(turn + LIVES));
            Write { gc_after, ..write(subject, Revision::ABSENT, Some("comes")) }
        });
        world.runtime.block_on(world.store().cas(writes.collect(), LONG)).unwrap();
        world.round().unwrap();
        world.clock.advance(Duration::from_secs(1));
        let entries = entries(&world);
        // A quarter, and what ends within the two seconds that ends are not told apart.
        assert!(entries <= NEW * LIVES * 3 / 2, "{entries} entries for {} that live", NEW * LIVES);
    }
    world.clock.advance(LONG);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_process_dies_between_any_two_steps_of_tidying_nothing_is_missing() {
    let mut world = world_with_many();
    let alive = Write { gc_after: START.plus(LONG * 3), ..write(7, Revision(1), Some("alive")) };
    world.runtime.block_on(world.store().cas(vec![alive], LONG)).unwrap();
    world.round().unwrap();
    assert_eq!(layers(&world.dir()).len(), 2);
    world.clock.advance(LONG * 2);
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
    let removed = [Step::LayerRemoved; 2];
    let before = [Step::Written, Step::WrittenAndSynced, Step::Named, Step::NamedAndSynced];
    assert_eq!(steps, [&before[..], &removed[..]].concat());
    for (step, copy) in &copies {
        assert_eq!(world.contents_after_crash(copy).unwrap(), world.expected, "after {step:?}");
    }
    world.expected.insert(9, "late".to_owned());
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_the_disk_fails_while_dead_records_are_removed_the_next_attempt_goes_on() {
    use Operation::{Create, Remove, Rename, Sync, SyncDir, Write};
    for operation in [Create, Write, Sync, Rename, SyncDir, Remove] {
        let mut world = world_with_many();
        let late = (MANY, Some("late"));
        world.batch(&[late]).unwrap();
        world.round().unwrap();
        world.clock.advance(LONG * 2);
        world.expected.clear();
        world.disk.fail_snapshot(operation, rustix::io::Errno::IO);
        let now = world.clock.now();
        assert!(world.store().snapshot.tidy(now, &mut || true).is_err(), "{operation:?}");
        assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected, "{operation:?}");
        world.disk.heal();
        tidy(&world);
        world.put(MANY, "one more");
        world.expected.clear();
        world.round().unwrap();
        assert_eq!(entries(&world), 0);
        assert_eq!(layers(&world.dir()).len(), 1, "{operation:?}");
        world.crash_and_open();
        world.assert_as_expected();
    }
}

#[test]
fn when_a_write_waits_tidying_gives_up_and_leaves_nothing_behind() {
    let mut world = world_with_many();
    let lasting = |subject| Write {
        gc_after: START.plus(LONG * 9),
        ..write(subject, Revision::ABSENT, Some("a record that lasts"))
    };
    let records: Vec<Write> = (MANY..MANY + 5_000).map(lasting).collect();
    world.expected =
        records.iter().map(|write| (write.key.subject.0, "a record that lasts".into())).collect();
    world.runtime.block_on(world.store().cas(records, LONG)).unwrap();
    world.round().unwrap();
    world.clock.advance(LONG * 2);
    let before = layers(&world.dir());
    world.store().snapshot.tidy(world.clock.now(), &mut || false).unwrap();
    assert_eq!(layers(&world.dir()), before);
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
    world.store().snapshot.tidy(world.clock.now(), &mut || true).unwrap();
}
