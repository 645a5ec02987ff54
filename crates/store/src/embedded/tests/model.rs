//! Random histories of batches, checkpoints, crashes, restarts and disk faults, against a map.

use proptest::prelude::*;

use super::sled_trouble::STEPS;
use super::*;

#[derive(Debug, Clone)]
enum Action {
    /// One batch: the numbers, and the change of each.
    Batch(Vec<(u64, Option<String>)>),
    Checkpoint,
    CrashAndOpen,
    CloseAndOpen,
    /// The operation fails from now on, a write behind so many bytes.
    Fail(Operation, Errno, usize),
    Heal,
}

fn action() -> impl Strategy<Value = Action> {
    // A small number gives keys long histories.
    let changes = prop::collection::btree_map(0..12_u64, prop::option::weighted(0.6, "[a-z]{0,200}"), 1..8);
    let errno = prop::sample::select(vec![Errno::NOSPC, Errno::IO]);
    let fault = (operation(), errno, 0..500_usize);
    prop_oneof![
        12 => changes.prop_map(|changes| Action::Batch(changes.into_iter().collect())),
        3 => Just(Action::Checkpoint),
        3 => Just(Action::CrashAndOpen),
        1 => Just(Action::CloseAndOpen),
        3 => fault.prop_map(|(operation, errno, written)| Action::Fail(operation, errno, written)),
        2 => Just(Action::Heal),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::{Create, Cut, Remove, RemoveDir, Rename, Step, Sync, SyncDir, SyncFile, Write};
    let files = [Create, Write, Sync, Cut, Remove, RemoveDir, SyncFile, SyncDir, Rename];
    prop::sample::select([&files[..], &STEPS.map(Step)].concat())
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
        let mut world = World::with_sizes(2048, 1024 * 1024);
        for action in actions.iter().chain(&[Action::CloseAndOpen, Action::CrashAndOpen]) {
            take(&mut world, action);
            world.assert_as_expected();
        }
    }
}

fn take(world: &mut World, action: &Action) {
    match action {
        Action::Batch(changes) => {
            if let Err(StoreError::Unknown(_)) = world.batch(changes) {
                // A restart decides, and only a new process helps.
                let mut perhaps = world.expected.clone();
                apply(&mut perhaps, changes);
                take(world, &Action::CrashAndOpen);
                if read(&world.dir(), START) == perhaps {
                    world.expected = perhaps;
                }
            }
        }
        Action::Checkpoint => drop(world.checkpoint()),
        Action::CrashAndOpen => {
            world.disk.heal();
            world.crash_and_open();
        }
        Action::CloseAndOpen => {
            world.disk.heal();
            world.close().unwrap();
            world.open();
        }
        Action::Fail(operation, errno, written) => {
            world.disk.script().written_before_failing = *written;
            world.disk.fail(*operation, *errno);
        }
        Action::Heal => world.disk.heal(),
    }
}
