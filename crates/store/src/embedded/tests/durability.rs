//! The order in which files reach the disk. Files look the same whether they are synced or not; therefore these tests
//! compare the order of the requests to the disk. `tests/it/power_loss` cuts the power.

use super::*;

#[test]
fn segments_of_a_killed_process_are_synced_before_anything_follows() {
    let mut world = World::with_one_record();
    world.crash_and_open();
    world.put(2, "two");
    world.crash_and_open();
    world.disk.take_events();
    world.crash_and_check();
    let events = world.disk.take_events();
    let created = events.iter().position(|event| event.starts_with("Create ")).unwrap();
    let synced: Vec<_> = events[..created].iter().filter(|event| event.starts_with("SyncFile ")).collect();
    assert_eq!(synced, ["SyncFile 0000000001.seg", "SyncFile 0000000002.seg"], "{events:?}");

    world.disk.fail(Operation::SyncFile, Errno::IO);
    let copy = copy_of(&world.dir());
    let refused = EmbeddedStore::open_on(&world.options(copy.path()), world.disk.disk()).err().unwrap();
    assert!(refused.to_string().starts_with("cannot sync "), "{refused}");
}

#[test]
fn a_commit_is_on_the_disk_before_its_answer() {
    let mut world = World::with_one_record();
    world.disk.take_events();
    world.put(2, "two");
    assert_eq!(world.disk.take_events(), ["Write 0000000001.seg", "Sync 0000000001.seg"]);
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
    let order = "Synced, Proved, SyncFile MANIFEST, SyncDir 0000000001-1.new, Rename 0000000001, SyncDir snapshot, \
                 RemoveDir 0000000000, SyncDir snapshot, Remove 0000000001.seg, SyncDir journal";
    assert_in_order(&events, &order.split(", ").collect::<Vec<_>>());
}

/// Fails unless each of these follows the one before it.
fn assert_in_order(events: &[String], order: &[&str]) {
    let mut rest = events.iter();
    for wanted in order {
        assert!(rest.any(|event| event == wanted), "{wanted} is not in its place in {events:?}");
    }
}
