//! The snapshot written anew: crashes between any two steps, failures at each, and what it gains.

use super::faulty::{Event, Operation};
use super::*;
use crate::store::embedded::disk::Step;

const MIB: u64 = 1024 * 1024;

#[test]
fn when_the_process_dies_between_any_two_steps_of_a_rewrite_nothing_is_missing() {
    let mut world = world_with_records();
    let copies = Arc::new(Mutex::new(Vec::new()));
    let (taken, dir) = (copies.clone(), world.dir());
    world.disk.on_step(move |step| taken.lock().unwrap().push((step, copy_of(&dir))));
    assert_eq!(rewrite(&world), Ok(true));
    world.disk.on_step(|_| {});
    let copies = std::mem::take(&mut *copies.lock().unwrap());
    let steps: Vec<Step> = copies.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Step::Rewritten, Step::Aside, Step::Switched, Step::OldRemoved]);
    for (step, copy) in &copies {
        let data = copy.path().join("data");
        assert_eq!(data.join("snapshot").exists(), *step != Step::Aside);
        assert_eq!(world.contents_after_crash(copy).unwrap(), world.expected, "after {step:?}");
        assert!(nothing_beside(&data), "after {step:?}");
    }
    world.assert_as_expected();
    world.put(1, "goes on");
    world.round().unwrap();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_rewrite_is_cut_short_while_it_copies_the_start_removes_what_it_left() {
    let world = world_with_records();
    let (dir, mut copy) = (world.dir(), None);
    let mut goes_on = || {
        copy.get_or_insert_with(|| copy_of(&dir));
        true
    };
    assert_eq!(world.store().snapshot.rewrite(&mut goes_on), Ok(true));
    let copy = copy.unwrap();
    assert!(copy.path().join("data/snapshot.new").exists());
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    assert!(nothing_beside(&copy.path().join("data")));
}

#[test]
fn every_step_of_a_rewrite_is_on_the_disk_before_the_next() {
    let world = world_with_records();
    world.disk.take_events();
    assert_eq!(rewrite(&world), Ok(true));
    let events = world.disk.take_events();
    let at = |wanted: Event| events.iter().position(|event| *event == wanted).expect("it happened");
    let synced = |from: usize, to: usize, what: &Event| events[from..to].contains(what);
    let parent = Event::Did(Operation::SyncDir, "data".into());
    let (aside, switched) = (
        at(Event::Did(Operation::RenameDir, "snapshot.old".into())),
        at(Event::Did(Operation::RenameDir, "snapshot".into())),
    );
    assert!(synced(0, aside, &Event::Did(Operation::SyncFile, "db".into())), "{events:?}");
    assert!(synced(0, aside, &Event::Did(Operation::SyncDir, "snapshot.new".into())), "{events:?}");
    assert!(synced(0, aside, &parent), "{events:?}");
    assert!(synced(aside, switched, &parent), "{events:?}");
    assert!(synced(switched, at(Event::Reached(Step::Switched)), &parent), "{events:?}");
}

#[test]
fn when_a_step_of_a_rewrite_fails_the_store_goes_on_with_what_it_had() {
    for operation in [Operation::SyncFile, Operation::SyncDir, Operation::RenameDir] {
        let mut world = world_with_records();
        world.disk.fail(operation, rustix::io::Errno::IO);
        assert!(rewrite(&world).is_err(), "{operation:?}");
        world.disk.heal();
        goes_on_after(&mut world);
    }
}

#[test]
fn when_a_rewrite_fails_between_its_two_renames_the_old_snapshot_comes_back() {
    for (step, operation) in [
        (Step::Aside, Operation::RenameDir),
        (Step::Aside, Operation::SyncDir),
        (Step::Switched, Operation::SyncDir),
    ] {
        let mut world = world_with_records();
        let disk = world.disk.clone();
        let handle = std::sync::Mutex::new(Some(disk));
        world.disk.on_step(move |reached| {
            if reached == step
                && let Some(disk) = handle.lock().unwrap().take()
            {
                disk.fail(operation, rustix::io::Errno::IO);
            }
        });
        assert!(rewrite(&world).is_err(), "{operation:?} after {step:?}");
        let copy = world.copy();
        world.disk.on_step(|_| {});
        world.disk.heal();
        assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
        goes_on_after(&mut world);
    }
}

#[test]
fn while_somebody_reads_the_snapshot_is_not_replaced() {
    let mut world = world_with_records();
    let reader = world.store().snapshot.with(|database| Ok(database.sled.clone())).unwrap();
    assert!(rewrite(&world).is_err());
    assert_eq!(reader.iter().count() as u64, entries(&world) + 1);
    drop(reader);
    goes_on_after(&mut world);
    assert_eq!(rewrite(&world), Ok(true));
    goes_on_after(&mut world);
}

#[test]
fn when_the_store_is_to_be_closed_a_rewrite_gives_up() {
    let mut world = world_with_records();
    assert_eq!(world.store().snapshot.rewrite(&mut || false), Ok(false));
    assert!(nothing_beside(&world.dir()));
    goes_on_after(&mut world);
}

#[test]
fn after_a_flood_an_idle_store_gives_the_space_back() {
    const RECORDS: u64 = 20_000;
    let mut world = World::with_segments_of(16 * MIB);
    let text = "x".repeat(1_500);
    for from in (0..RECORDS).step_by(2_000) {
        let writes: Vec<(u64, Option<&str>)> =
            (from..from + 2_000).map(|subject| (subject, Some(text.as_str()))).collect();
        world.batch(&writes).unwrap();
    }
    world.round().unwrap();
    let flooded = size(&world);
    assert!(flooded > 36 * MIB, "the test needs more records: {flooded} bytes");

    world.clock.advance(LONG);
    world.expected.clear();
    world.abandon();
    let mut options = world.options(&world.dir());
    options.round_every = Duration::from_millis(1);
    let store = EmbeddedStore::open(options).unwrap();
    assert_eq!(world.contents_of(&store), Contents::new());
    world.until("the space is kept", || size(&world) <= 2 * MIB);
    world.runtime.block_on(store.close()).unwrap();
}

/// Records of all ages, in the snapshot and behind it.
fn world_with_records() -> World {
    let mut world = World::new();
    for turn in 0..3 {
        let text = format!("turn {turn}");
        let changes: Vec<(u64, Option<&str>)> =
            (0..900).map(|subject| (subject, ((subject + turn) % 4 != 0).then_some(text.as_str()))).collect();
        world.batch(&changes).unwrap();
        world.round().unwrap();
    }
    world.put(5, "only in the journal");
    world.remove(6);
    world
}

fn rewrite(world: &World) -> Result<bool, super::super::database::SnapshotError> {
    world.store().snapshot.rewrite(&mut || true)
}

fn goes_on_after(world: &mut World) {
    world.assert_as_expected();
    world.put(1, "goes on");
    world.round().unwrap();
    world.assert_as_expected();
    world.crash_and_open();
    world.assert_as_expected();
    assert!(nothing_beside(&world.dir()));
}

fn nothing_beside(data: &Path) -> bool {
    !data.join("snapshot.new").exists() && !data.join("snapshot.old").exists()
}

fn entries(world: &World) -> u64 {
    world.store().snapshot.account().unwrap().entries
}

fn size(world: &World) -> u64 {
    let files = fs::read_dir(world.dir().join("snapshot")).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
