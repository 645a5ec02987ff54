//! The round that a start carries out itself, and others before it is known what time it is.

use rustix::io::Errno;

use super::faulty::Operation;
use super::*;
use onceward_core::clock::{Clock, EngineClock};

#[test]
fn when_the_round_of_a_start_fails_the_start_goes_on_with_what_the_journal_has() {
    use Operation::{Create, Rename, Sync, Write};
    for operation in [Create, Write, Sync, Rename] {
        let mut world = after_crashes();
        world.abandon();
        world.disk.fail_snapshot(operation, Errno::NOSPC);
        let log = log::log_of(|| world.open());
        assert!(log.contains("a snapshot round failed and will be repeated"), "{operation:?}: {log}");
        world.assert_as_expected();
        world.remove(1);
        world.put(100, "while rounds fail");
        world.assert_as_expected();
        assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
        world.disk.heal();
        world.round().unwrap();
        world.assert_as_expected();
        assert_eq!(world.store().health(), Ok(()));
        assert!(segments(&world.dir()).len() <= 2);
        world.crash_and_open();
        world.assert_as_expected();
    }
}

#[test]
fn until_it_is_settled_what_time_it_is_no_round_removes_what_a_clock_says_has_ended() {
    let mut world = after_crashes();
    world.abandon();
    // Every record has ended by it.
    world.clock.advance(LONG * 2);
    let clock = Arc::new(EngineClock::over(world.clock.clone()));
    clock.settled_at(START);
    let open = |world: &mut World| {
        let mut options = world.options(&world.dir());
        options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        world.store = Some(EmbeddedStore::open_on(&options, Arc::new(world.disk.clone())).unwrap());
    };
    open(&mut world);
    assert_eq!(entries(&world), 4, "the start's own round");
    world.put(100, "one more");
    world.round().unwrap();
    assert_eq!(entries(&world), 5);
    world.put(100, "again");
    world.close().unwrap();
    open(&mut world);
    assert_eq!(entries(&world), 5, "and the round of a close");
    world.clock.set(START);
    world.abandon();
    world.open();
    world.assert_as_expected();
    world.abandon();
    world.clock.advance(LONG * 2);
    clock.settle();
    open(&mut world);
    world.put(101, "one more");
    world.round().unwrap();
    assert_eq!(entries(&world), 0);
}

#[test]
fn what_was_written_before_it_was_settled_leaves_the_snapshot_when_it_has_ended() {
    let mut world = after_crashes();
    world.abandon();
    let clock = Arc::new(EngineClock::over(world.clock.clone()));
    // Nothing is known of the time that the directory has.
    clock.settled_at(Timestamp::EPOCH);
    let mut options = world.options(&world.dir());
    options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let store = EmbeddedStore::open_on(&options, Arc::new(world.disk.clone())).unwrap();
    assert_eq!(store.snapshot.entries(), 4, "the start's own round");
    clock.settle();
    world.clock.advance(LONG * 2);
    store.snapshot.tidy(clock.settled(), &mut || true).unwrap();
    assert_eq!(store.snapshot.entries(), 0);
    world.runtime.block_on(store.close()).unwrap();
}

/// With so many segments left that the next start carries out a round.
fn after_crashes() -> World {
    let mut world = World::new();
    for subject in 0..3 {
        world.put(subject, "left by a crash");
        world.crash_and_open();
    }
    world.put(3, "left by a crash");
    world
}
