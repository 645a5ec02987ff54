//! sled fails, hangs, panics and loses entries: the store seals no such attempt, the journal has everything, and the
//! next attempt uses new directories.

use super::*;

const FAULTS: [SledFault; 10] = [
    SledFault::FailCreate,
    SledFault::FailInsert,
    SledFault::LoseEntry,
    SledFault::FailFlush,
    SledFault::PanicInFlush,
    SledFault::HangInFlush,
    SledFault::FailOpen,
    SledFault::PanicInOpen,
    SledFault::HangInOpen,
    SledFault::FailRead,
];

/// Even on a busy machine sled is silent for so long only if it hangs.
const PATIENT: Duration = Duration::from_secs(120);
/// A test can wait for this one.
const IMPATIENT: Duration = Duration::from_millis(500);

/// A store that treats sled as hanging after `deadline`.
fn world_with(deadline: Duration) -> World {
    let mut world = World::new();
    world.close().unwrap();
    let mut options = world.options(&world.dir());
    options.settings.deadline = deadline;
    world.open_with(&options).unwrap();
    world
}

#[test]
fn a_failed_attempt_of_sled_is_discarded_and_loses_nothing() {
    for fault in FAULTS {
        let hangs = matches!(fault, SledFault::HangInFlush | SledFault::HangInOpen);
        let mut world = world_with(if hangs { IMPATIENT } else { PATIENT });
        let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
        world.batch(&many).unwrap();
        world.sled.set(Some(fault));
        for turn in 0..3 {
            assert_eq!(world.store().health(), Ok(()), "{fault:?}");
            assert!(world.checkpoint().is_err(), "{fault:?}");
            let mut left = snapshots(&world.dir());
            // A slow attempt may write its directory again after it was given up.
            left.retain(|name| !hangs || !name.contains(".new"));
            assert_eq!(left, ["0000000000"], "{fault:?}");
            world.put(turn, "goes on");
        }
        let trouble = world.store().health().unwrap_err();
        assert!(trouble.contains("the last 3 checkpoints have failed"), "{fault:?}: {trouble}");
        assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected, "{fault:?}");
        world.sled.set(None);
        world.sled.release();
        world.put(7, "after");
        // Abandoned attempts continue, and must not affect the next one. Beside other work even a good attempt may take
        // longer than this store waits.
        let succeeds = || {
            world.checkpoint().is_ok() || {
                thread::sleep(Duration::from_millis(20));
                false
            }
        };
        assert!(std::iter::repeat_with(succeeds).take(1_000).any(|succeeded| succeeded), "{fault:?}");
        assert_eq!(world.store().health(), Ok(()), "{fault:?}");
        world.crash_and_open();
        world.assert_as_expected();
        assert_eq!(snapshots(&world.dir()).len(), 1, "{fault:?}");
    }
}

#[test]
fn attempts_that_hang_are_bounded() {
    let mut world = world_with(IMPATIENT);
    world.put(1, "one");
    world.sled.set(Some(SledFault::HangInFlush));
    let errors = std::iter::repeat_with(|| world.checkpoint().unwrap_err().to_string());
    // On a busy machine an attempt may time out before it hangs.
    let given_up = errors.take(100).take_while(|error| error.contains("sled did nothing for 500ms")).count();
    let error = world.checkpoint().unwrap_err().to_string();
    assert!(error.contains("3 earlier attempts hang in sled; restart the server"), "{given_up}: {error}");
    assert!(given_up >= 3, "{given_up}");
    world.sled.release();
}

#[test]
fn a_failed_database_that_hangs_on_close_holds_up_no_later_checkpoint() {
    let mut world = World::new();
    world.put(1, "one");
    world.sled.set(Some(SledFault::FailFlushAndHangInDrop));
    for _ in 0..3 {
        let error = world.checkpoint().unwrap_err().to_string();
        assert!(error.contains("no flush on request"), "{error}");
    }
    world.sled.set(None);
    world.sled.release();
    // Their threads end now. A thread that only ends late does not count as one that hangs.
    world.checkpoint().unwrap();
    assert_eq!(world.store().health(), Ok(()));
}

#[test]
fn a_start_whose_copy_cannot_be_opened_is_refused_and_changes_nothing() {
    use SledFault::{FailOpen, HangInOpen, PanicInOpen};
    let mut world = World::new();
    world.put(1, "one");
    world.checkpoint().unwrap();
    world.put(2, "two");
    for fault in [FailOpen, PanicInOpen, HangInOpen] {
        let copy = world.copy();
        let dir = copy.path().join("data");
        let (before, sled) = (snapshots(&dir), FaultySled::default());
        sled.set(Some(fault));
        let mut options = world.options(&dir);
        options.settings.deadline = Duration::from_millis(100);
        let disk = Arc::new(world.disk.clone());
        let refused = EmbeddedStore::open_on(&options, disk, Arc::new(sled.clone())).unwrap_err();
        let OpenError::SnapshotDamaged { path, .. } = &refused else { panic!("{fault:?}: {refused}") };
        assert!(path.starts_with(dir.join("snapshot").join(&before[0])), "{fault:?}: {refused}");
        assert_eq!(snapshots(&dir), before, "{fault:?}");
        assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected, "{fault:?}");
        sled.release();
    }
}

#[test]
fn a_restore_from_an_unreadable_copy_fails() {
    let mut world = World::new();
    let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
    world.batch(&many).unwrap();
    world.checkpoint().unwrap();
    world.sled.set(Some(SledFault::FailRead));
    let refused = world.try_contents_of(world.store()).unwrap_err().to_string();
    assert!(refused.contains("no reading on request"), "{refused}");
    world.sled.set(None);
    world.assert_as_expected();
}
