//! The round that a start carries out itself, and the time that a start finds.

use rustix::io::Errno;

use super::faulty::Operation;
use super::*;
use onceward_core::clock::Clock;

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
fn the_newest_time_survives_rounds_kills_and_stops() {
    let mut world = after_crashes();
    for hours in 1..4 {
        world.clock.advance(Duration::from_secs(3600) * hours);
        let newest = world.clock.now();
        world.put(1, "the newest");
        world.round().unwrap();
        world.clock.set(START);
        world.crash_and_open();
        assert_eq!(world.store().newest_time(), newest);
        world.close().unwrap();
        world.open();
        assert_eq!(world.store().newest_time(), newest);
        world.clock.set(newest);
    }
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
