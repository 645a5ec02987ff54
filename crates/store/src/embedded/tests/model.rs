//! Random histories of batches, rounds, crashes, restarts and disk faults, against a map.

use proptest::prelude::*;
use rustix::io::Errno;

use super::faulty::Operation;
use super::*;

/// Few, so that histories of a key are long.
const SUBJECTS: u64 = 12;

#[derive(Debug, Clone)]
enum Action {
    /// One batch: which subjects, and what with each.
    Batch(Vec<(u64, Option<String>)>),
    Round,
    CrashAndOpen,
    CloseAndOpen,
    /// The next round is interrupted by a crash after so many of its steps.
    CrashInRound(usize),
    Fail(Operation, bool),
    Heal,
}

fn action() -> impl Strategy<Value = Action> {
    let change = (0..SUBJECTS, prop::option::weighted(0.6, "[a-z]{0,200}"));
    prop_oneof![
        12 => prop::collection::vec(change, 1..20).prop_map(Action::Batch),
        3 => Just(Action::Round),
        2 => Just(Action::CrashAndOpen),
        1 => Just(Action::CloseAndOpen),
        2 => (0_usize..8).prop_map(Action::CrashInRound),
        2 => (operation(), any::<bool>()).prop_map(|(operation, full)| Action::Fail(operation, full)),
        2 => Just(Action::Heal),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(vec![
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Cut,
        Operation::Remove,
        Operation::SyncFile,
        Operation::SyncDir,
        Operation::Rename,
    ])
}

proptest! {
    // 16 histories, or a sixteenth of PROPTEST_CASES: each syncs a real disk hundreds of times.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 16,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_the_store_has_exactly_what_was_acknowledged(
        actions in prop::collection::vec(action(), 1..50),
    ) {
        let mut model = Model { world: World::with_segments_of(2048), in_doubt: None };
        for action in &actions {
            model.take(action);
            model.check();
        }
        model.take(&Action::CloseAndOpen);
        model.check();
        model.take(&Action::CrashAndOpen);
        model.check();
    }
}

struct Model {
    world: World,
    /// What there is if the batch was applied whose answer was "unknown"; a restart decides.
    in_doubt: Option<Contents>,
}

impl Model {
    fn take(&mut self, action: &Action) {
        match action {
            Action::Batch(changes) => self.batch(changes),
            Action::Round => drop(self.world.round()),
            Action::CrashAndOpen => {
                self.world.disk.heal();
                self.world.crash_and_open();
                self.settle();
            }
            Action::CloseAndOpen => {
                self.world.disk.heal();
                self.world.close().unwrap();
                self.world.open();
                self.settle();
            }
            Action::CrashInRound(steps) => self.crash_in_round(*steps),
            Action::Fail(operation, full) => {
                self.world.disk.fail(*operation, if *full { Errno::NOSPC } else { Errno::IO });
            }
            Action::Heal => self.world.disk.heal(),
        }
    }

    fn batch(&mut self, changes: &[(u64, Option<String>)]) {
        let mut changes: Vec<(u64, Option<&str>)> =
            changes.iter().map(|(subject, text)| (*subject, text.as_deref())).collect();
        // One write per key and batch, as the shards do it.
        changes.sort_unstable();
        changes.dedup_by_key(|(subject, _)| *subject);
        if let Err(StoreError::Unknown(_)) = self.world.batch(&changes) {
            let mut perhaps = self.world.expected.clone();
            for (subject, text) in changes {
                perhaps.remove(&subject);
                perhaps.extend(text.map(|text| (subject, text.to_owned())));
            }
            self.in_doubt = Some(perhaps);
        } else if self.world.store().health().is_ok() {
            // Writing goes on only behind what was taken back.
            self.in_doubt = None;
        }
    }

    fn crash_in_round(&mut self, steps: usize) {
        let copy = Arc::new(Mutex::new(None));
        let (taken, dir, mut left) = (copy.clone(), self.world.dir(), steps);
        self.world.disk.on_step(move |_| {
            if left == 0 {
                taken.lock().unwrap().get_or_insert_with(|| copy_of(&dir));
            }
            left = left.saturating_sub(1);
        });
        let _ = self.world.round();
        self.world.disk.on_step(|_| {});
        let Some(crashed) = copy.lock().unwrap().take() else { return };
        self.world.disk.heal();
        self.world.abandon();
        fs::remove_dir_all(self.world.dir()).unwrap();
        fs::rename(crashed.path().join("data"), self.world.dir()).unwrap();
        self.world.open();
        self.settle();
    }

    /// After a restart there is no doubt any more. Whoever loads learns the revisions, too.
    fn settle(&mut self) {
        let found = self.world.contents();
        if self.in_doubt.take().as_ref() == Some(&found) {
            self.world.expected = found;
        }
        let keys: Vec<Key> = self.world.expected.keys().copied().map(key).collect();
        let loaded = self.world.runtime.block_on(self.world.store().load(&keys, LONG)).unwrap();
        self.world.revisions = keys
            .iter()
            .zip(loaded)
            .map(|(key, found)| (key.subject.0, found.expect("an expected record is missing").0))
            .collect();
    }

    fn check(&self) {
        self.world.assert_as_expected();
    }
}
