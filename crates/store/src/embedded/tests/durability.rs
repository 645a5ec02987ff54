//! The order in which files reach the disk. Files look the same whether they are synced or not; therefore these tests
//! compare the order of the requests to the disk. `tests/it/power_loss` cuts the power.

use super::*;

#[test]
fn segments_of_a_killed_process_are_synced_before_anything_follows() {
    let mut world = World::with_one_record();
    world.crash_and_open();
    world.put(2, "two");
    world.crash_and_open();
    let used: Vec<String> = segments(&world.dir())
        .iter()
        .filter(|path| fs::read(path).unwrap().starts_with(b"owj1"))
        .map(|path| format!("SyncFile {}", name_of(path)))
        .collect();
    assert_eq!(used.len(), 2);
    world.disk.take_events();
    world.crash_and_open();
    world.put(3, "three");
    let events = world.disk.take_events();
    let created = events.iter().position(|event| event.starts_with("Create ")).unwrap();
    for synced in used {
        assert!(position(&events, &synced) < created, "{synced}: {events:?}");
    }
    world.assert_as_expected();
}

#[test]
fn replayed_segments_that_cannot_be_synced_refuse_the_start() {
    let world = World::with_one_record();
    let copy = world.copy();
    world.disk.fail(Operation::SyncFile, rustix::io::Errno::IO);
    let refused = EmbeddedStore::open_on(&world.options(copy.path()), world.disk.disk()).err().unwrap();
    assert!(refused.to_string().starts_with("cannot sync "), "{refused}");
}

#[test]
fn a_snapshot_is_on_the_disk_before_its_name_and_that_before_removals() {
    let world = World::with_one_record();
    world.disk.take_events();
    world.checkpoint().unwrap();
    let events = world.disk.take_events();
    for file in ["SyncFile conf", "SyncFile db"] {
        assert_in_order(&events, &["Written", file, "Synced"]);
    }
    assert_in_order(&events, &["SyncDir 0", "Rename 0000000001"]);
    assert_in_order(
        &events,
        &[
            "Synced",
            "Proved",
            "SyncFile MANIFEST",
            "SyncDir 0000000001-1.new",
            "Rename 0000000001",
            "SyncDir snapshot",
            "RemoveDir 0000000000",
            "SyncDir snapshot",
            "Remove 0000000001.seg",
            "SyncDir journal",
        ],
    );
}

/// Fails unless each of these follows the one before it.
fn assert_in_order(events: &[String], order: &[&str]) {
    let mut rest = events.iter();
    for wanted in order {
        assert!(rest.any(|event| event == wanted), "{wanted} is not in its place in {events:?}");
    }
}

fn position(events: &[String], wanted: &str) -> usize {
    events.iter().position(|event| event == wanted).unwrap_or_else(|| panic!("no {wanted} in {events:?}"))
}
