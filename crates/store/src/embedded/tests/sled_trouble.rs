//! sled fails, hangs, panics and loses entries, and the disk fails under a checkpoint: the store seals no such attempt,
//! the journal has everything, and the next attempt uses new directories.

use super::*;

/// Until the snapshot is sealed.
pub(super) const STEPS: [&str; 5] = ["Created", "Written", "Synced", "Copied", "Proved"];

impl World {
    /// Begins a checkpoint that hangs, and writes something more. Five minutes pass.
    fn with_a_hanging_checkpoint(mut self) -> Self {
        self.disk.hold(Some(Operation::Step("Written")));
        let ended =
            async { tokio::time::timeout(Duration::from_millis(50), self.store().checkpoint()).await };
        self.runtime.block_on(ended).unwrap_err();
        self.disk.wait_for(Operation::Step("Written"), 1);
        self.put(2, "goes on");
        self.clock.advance(Duration::from_secs(300));
        self
    }
}

#[test]
fn a_failed_attempt_loses_nothing_and_stops_no_writes() {
    use Operation::{Create, Remove, RemoveDir, Rename, Step, SyncDir, SyncFile};
    let before_it_has_its_name = [Create, Rename, SyncDir, SyncFile].into_iter().chain(STEPS.map(Step));
    let faults = before_it_has_its_name.map(|operation| (operation, "snapshot", true));
    let later = [(RemoveDir, "snapshot", false), (Remove, "journal", false), (SyncDir, "journal", false)];
    for (operation, part, keeps_older) in faults.chain(later) {
        for panics in [false, true] {
            // Only sled panics.
            if panics && !matches!(operation, Step(_)) {
                continue;
            }
            let what = format!("{operation:?} in {part}, panics: {panics}");
            let mut world = World::new();
            world.put_many();
            for turn in 0..3 {
                assert_eq!(world.store().health(), Ok(()), "{what}");
                if panics {
                    world.disk.then(move |reached, _| assert_ne!(reached, operation, "panics on request"));
                } else {
                    world.disk.script().faults.push((operation, part, Errno::IO));
                }
                assert!(world.checkpoint().is_err(), "{what}");
                assert!(!keeps_older || snapshots(&world.dir()) == ["0000000000"], "{what}");
                world.put(turn, "goes on");
                world.remove(turn + 10);
                world.disk.heal();
                world.assert_crash_safe(&what);
            }
            world.checkpoint().unwrap();
            assert_eq!((snapshots(&world.dir()).len(), segments(&world.dir()).len()), (1, 2), "{what}");
            world.crash_and_check();
        }
    }
}

#[test]
fn a_failed_attempt_is_repeated_after_a_wait() {
    let mut world = World::with_one_record();
    world.disk.fail(Operation::Step("Written"), Errno::IO);
    assert!(world.checkpoint().is_err());
    world.disk.heal();
    for waits in [30, 60].map(Duration::from_secs) {
        let time = world.store().sizes().map(|sizes| sizes.snapshot_time);
        assert_eq!(time, Some(START), "repeated at once");
        world.clock.advance(waits);
        // When the second is durable, the store has looked at the time.
        world.put(2, "goes on");
        world.put(3, "goes on");
    }
    let snapshot = || world.store().sizes().map(|sizes| sizes.snapshot_time);
    until(|| snapshot().filter(|time| *time > START));
}

#[test]
fn an_attempt_that_hangs_fails_the_store_once_the_journal_is_full() {
    let mut world = World::with_sizes(4096, 16 * 1024);
    world.put(1, "one");
    let mut world = world.with_a_hanging_checkpoint();
    let text = "x".repeat(1000);
    let taken = (0..1000).take_while(|number| world.batch(&[(*number, Some(&text))]).is_ok()).count();
    assert!(taken > 40, "{taken} batches were taken");
    let reason = world.runtime.block_on(world.store().failed());
    assert!(reason.contains("the journal is full"), "{reason}");
    assert_unavailable(&world.batch(&[(3, Some("refused"))]));
    assert!(world.store().health().unwrap_err().contains(&reason));
    world.assert_crash_safe(&reason);
}

#[test]
fn an_attempt_that_hangs_stops_no_close() {
    let mut world = World::with_one_record().with_a_hanging_checkpoint();
    let error = world.close().unwrap_err().to_string();
    assert!(error.contains("the snapshot is not up to date (it hangs)"), "{error}");
    world.open();
    world.assert_as_expected();
}

#[test]
fn an_entry_that_sled_loses_is_missed() {
    let mut world = World::new();
    world.put_many();
    let new = world.dir().join("snapshot/0000000001-1.new/0");
    world.disk.then(move |operation, _| {
        if operation == Operation::Step("Written") {
            // sled may still let go of its lock.
            let mut attempts = std::iter::repeat_with(|| sled::open(&new)).take(10_000);
            let database = attempts.find_map(Result::ok).unwrap();
            database.remove([0; 8]).unwrap().unwrap();
            database.flush().unwrap();
        }
    });
    let error = world.checkpoint().unwrap_err().to_string();
    assert!(error.contains("sled lost records: chunk 0 is missing"), "{error}");
    assert_eq!(snapshots(&world.dir()), ["0000000000"]);
    world.disk.heal();
    world.checkpoint().unwrap();
    world.crash_and_check();
}
