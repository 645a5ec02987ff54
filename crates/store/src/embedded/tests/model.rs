//! Random histories of batches, checkpoints, crashes, restarts and disk faults, against a map.

use proptest::prelude::*;

use super::*;

/// A small number gives keys long histories.
const NUMBERS: u64 = 12;

#[derive(Debug, Clone)]
enum Action {
    /// One batch: the numbers, and the change of each.
    Batch(Vec<(u64, Option<String>)>),
    Checkpoint,
    CrashAndOpen,
    CloseAndOpen,
    /// A crash interrupts the next checkpoint after this many operations.
    CrashInCheckpoint(usize),
    Fail(Operation, bool),
    FailStep(&'static str, StepFault),
    Heal,
}

fn action() -> impl Strategy<Value = Action> {
    let change = (0..NUMBERS, prop::option::weighted(0.6, "[a-z]{0,200}"));
    prop_oneof![
        12 => prop::collection::vec(change, 1..20).prop_map(Action::Batch),
        3 => Just(Action::Checkpoint),
        2 => Just(Action::CrashAndOpen),
        1 => Just(Action::CloseAndOpen),
        2 => (0_usize..30).prop_map(Action::CrashInCheckpoint),
        2 => (operation(), any::<bool>()).prop_map(|(operation, full)| Action::Fail(operation, full)),
        1 => step_fault().prop_map(|(step, fault)| Action::FailStep(step, fault)),
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
        Operation::RemoveDir,
        Operation::SyncFile,
        Operation::SyncDir,
        Operation::Rename,
    ])
}

fn step_fault() -> impl Strategy<Value = (&'static str, StepFault)> {
    let step = prop::sample::select(vec!["Created", "Written", "Synced", "Copied", "Proved"]);
    (step, prop::sample::select(vec![StepFault::Fail, StepFault::Panic]))
}

proptest! {
    // 16 histories, or a sixteenth of PROPTEST_CASES: each syncs a real disk hundreds of times.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 16,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_always_has_exactly_what_was_acknowledged(
        actions in prop::collection::vec(action(), 1..50),
    ) {
        let mut model = Model { world: World::with_segments_of(2048), in_doubt: None };
        for action in &actions {
            model.take(action);
            model.world.assert_as_expected();
        }
        model.take(&Action::CloseAndOpen);
        model.world.assert_as_expected();
        model.take(&Action::CrashAndOpen);
        model.world.assert_as_expected();
    }
}

struct Model {
    world: World,
    /// The content if the batch with the answer "unknown" was applied; a restart decides.
    in_doubt: Option<Contents>,
}

impl Model {
    fn take(&mut self, action: &Action) {
        match action {
            Action::Batch(changes) => self.batch(changes),
            Action::Checkpoint => drop(self.world.checkpoint()),
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
            Action::CrashInCheckpoint(steps) => self.crash_in_checkpoint(*steps),
            Action::Fail(operation, full) => {
                self.world.disk.fail(*operation, if *full { Errno::NOSPC } else { Errno::IO });
            }
            Action::Heal => self.world.disk.heal(),
            Action::FailStep(step, fault) => self.world.disk.fail_step(step, *fault),
        }
    }

    fn batch(&mut self, changes: &[(u64, Option<String>)]) {
        let mut changes: Vec<(u64, Option<&str>)> =
            changes.iter().map(|(number, text)| (*number, text.as_deref())).collect();
        // One write for each key and batch, as owners do.
        changes.sort_unstable();
        changes.dedup_by_key(|(number, _)| *number);
        if let Err(StoreError::Unknown(_)) = self.world.batch(&changes) {
            let mut perhaps = self.world.expected.clone();
            apply(&mut perhaps, changes);
            self.in_doubt = Some(perhaps);
            // Only a new process helps.
            self.take(&Action::CrashAndOpen);
        }
    }

    fn crash_in_checkpoint(&mut self, operations: usize) {
        let copy = Arc::new(Mutex::new(None));
        let (taken, dir, mut left) = (copy.clone(), self.world.dir(), operations);
        self.world.disk.on_operation(move |_, _| {
            if left == 0 {
                taken.lock().get_or_insert_with(|| copy_of(&dir));
            }
            left = left.saturating_sub(1);
        });
        let _ = self.world.checkpoint();
        self.world.disk.on_operation(|_, _| {});
        let Some(crashed) = copy.lock().take() else { return };
        self.world.disk.heal();
        self.world.begin_with(&crashed);
        self.settle();
    }

    /// A restart ends the doubt.
    fn settle(&mut self) {
        let found = self.world.contents();
        if self.in_doubt.take().as_ref() == Some(&found) {
            self.world.expected = found;
        }
    }
}
