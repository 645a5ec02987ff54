//! sled fails, hangs, panics and loses entries: the store seals no such attempt, the journal has everything, and the
//! next attempt uses new directories.

use super::*;
use crate::embedded::database::Database;
use crate::embedded::disk::CheckpointStep;

/// Until the snapshot is sealed.
const STEPS: [CheckpointStep; 5] = [
    CheckpointStep::Created,
    CheckpointStep::Written,
    CheckpointStep::Synced,
    CheckpointStep::Copied,
    CheckpointStep::Proved,
];

impl World {
    /// A store that takes a second without progress for a hang, and looks often.
    fn impatient() -> Self {
        let mut world = Self::new();
        world.close().unwrap();
        let mut options = world.options(&world.dir());
        options.settings.deadline = Duration::from_secs(1);
        options.settings.retry_every = Duration::from_millis(5);
        options.settings.time_every = Duration::from_millis(30);
        world.open_with(&options).unwrap();
        world
    }

    /// Waits for a checkpoint in which nothing goes on any more.
    fn checkpoint_that_hangs(&self) -> Result<(), StoreError> {
        let ended = self.store().checkpoint();
        self.runtime.block_on(async {
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    ended = &mut ended => return ended,
                    () = tokio::time::sleep(Duration::from_millis(5)) => self.clock.advance(Duration::from_millis(100)),
                }
            }
        })
    }

    /// Asks for checkpoints until one succeeds. Attempts that were given up may still be ending.
    fn checkpoint_at_last(&self) {
        let succeeds = || {
            self.checkpoint().is_ok() || {
                thread::sleep(Duration::from_millis(20));
                false
            }
        };
        assert!(std::iter::repeat_with(succeeds).take(1_000).any(|succeeded| succeeded));
    }
}

#[test]
fn a_failed_attempt_of_sled_is_discarded_and_loses_nothing() {
    for step in STEPS {
        for fault in [StepFault::Fail, StepFault::Panic] {
            let what = format!("{step:?} {fault:?}");
            let mut world = World::new();
            let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
            world.batch(&many).unwrap();
            world.disk.fail_step(Some((step, fault)));
            for turn in 0..3 {
                assert_eq!(world.store().health(), Ok(()), "{what}");
                assert!(world.checkpoint().is_err(), "{what}");
                assert_eq!(snapshots(&world.dir()), ["0000000000"], "{what}");
                world.put(turn, "goes on");
            }
            let trouble = world.store().health().unwrap_err();
            assert!(trouble.contains("the last 3 checkpoints have failed"), "{what}: {trouble}");
            assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected, "{what}");
            world.disk.fail_step(None);
            world.put(7, "after");
            world.checkpoint().unwrap();
            assert_eq!(world.store().health(), Ok(()), "{what}");
            world.crash_and_open();
            world.assert_as_expected();
            assert_eq!(snapshots(&world.dir()).len(), 1, "{what}");
        }
    }
}

#[test]
fn an_attempt_that_hangs_is_given_up_and_loses_nothing() {
    for step in STEPS {
        let mut world = World::impatient();
        world.put(1, "one");
        world.disk.fail_step(Some((step, StepFault::Hang)));
        let error = world.checkpoint_that_hangs().unwrap_err().to_string();
        assert!(error.contains("did anything for 1s"), "{step:?}: {error}");
        world.put(2, "goes on");
        assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected, "{step:?}");
        world.disk.fail_step(None);
        world.disk.release();
        world.checkpoint_at_last();
        assert_eq!(world.store().health(), Ok(()), "{step:?}");
        world.crash_and_open();
        world.assert_as_expected();
    }
}

#[test]
fn the_third_attempt_that_hangs_fails_the_store() {
    let mut world = World::impatient();
    world.put(1, "one");
    world.disk.fail_step(Some((CheckpointStep::Written, StepFault::Hang)));
    for _ in 0..2 {
        assert!(world.checkpoint_that_hangs().is_err());
        world.put(2, "goes on");
    }
    assert!(world.checkpoint_that_hangs().is_err());
    let reason = world.runtime.block_on(world.store().failed());
    assert!(reason.contains("3 times in a row"), "{reason}");
    assert_unavailable(&world.batch(&[(3, Some("refused"))]));
    assert!(world.store().health().unwrap_err().contains(&reason));
    assert_eq!(world.contents_after_crash(&world.copy()).unwrap(), world.expected);
    world.disk.release();
}

#[test]
fn an_entry_that_sled_loses_is_missed() {
    let mut world = World::new();
    let many: Vec<(u64, Option<&str>)> = (0..500).map(|number| (number, Some("text"))).collect();
    world.batch(&many).unwrap();
    let new = world.dir().join("snapshot/0000000001-1.new/db");
    world.disk.on_step(move |step| {
        if step == CheckpointStep::Written {
            Database::open(&new).unwrap().remove([0; 8]);
        }
    });
    let error = world.checkpoint().unwrap_err().to_string();
    assert!(error.contains("sled lost records: chunk 0 is missing"), "{error}");
    assert_eq!(snapshots(&world.dir()), ["0000000000"]);
    world.disk.on_step(|_| {});
    world.checkpoint().unwrap();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn a_restore_from_a_damaged_snapshot_fails() {
    let mut world = World::new();
    world.put(1, "one");
    world.checkpoint().unwrap();
    let database = world.dir().join("snapshot/0000000001/db/db");
    let right = fs::read(&database).unwrap();
    fs::write(&database, "damaged").unwrap();
    let refused = damage(world.try_contents_of(world.store()));
    assert_eq!(refused.path, database);
    fs::write(&database, right).unwrap();
    world.assert_as_expected();
}
