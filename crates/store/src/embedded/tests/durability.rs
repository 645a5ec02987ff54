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

#[test]
fn the_space_of_the_next_segment_is_left_to_the_checkpoint() {
    let world = World::with_one_record();
    world.disk.take_events();
    world.checkpoint().unwrap();
    let events = events_until("Create 0000000003.seg", &world.disk);
    assert_in_order(&events, &["Remove 0000000001.seg", "Create 0000000003.seg"]);
}

#[test]
fn a_checkpoint_of_a_grown_journal_needs_one_new_segment() {
    let real = OpenOptions::new("", [7; 16], Arc::new(ManualClock::starting_at(START)));
    let mut world = World::with_sizes(real.segment_bytes / 1024, real.checkpoint_bytes / 1024);
    let text = "x".repeat(500);
    for _ in 0..=real.checkpoint_bytes / 1024 / 500 {
        world.put(1, &text);
    }
    let events = events_until("Remove 0000000001.seg", &world.disk);
    let until = position(&events, "Remove 0000000001.seg");
    assert!(!events[..until].contains(&"Create 0000000003.seg".to_owned()), "{events:?}");
}

#[test]
fn the_segment_is_synced_after_the_write_and_before_the_answer() {
    let mut world = World::with_segments_of(4096);
    world.disk.take_events();
    let text = "x".repeat(1000);
    for number in 0..10 {
        world.put(number, &text);
        let mut events = world.disk.take_events();
        events.retain(|event| {
            event.contains(".seg") && (event.starts_with("Write ") || event.starts_with("Sync "))
        });
        let synced = events.pop().unwrap();
        let segment = synced.strip_prefix("Sync ").expect("the sync comes last");
        assert!(!events.is_empty(), "nothing was written");
        assert!(events.iter().all(|event| *event == format!("Write {segment}")), "{events:?}, {synced}");
    }
}

fn events_until(last: &str, disk: &FaultyDisk) -> Vec<String> {
    let mut events = Vec::new();
    for _ in 0..HANGS_AFTER.as_millis() {
        events.extend(disk.take_events());
        if events.iter().any(|event| event == last) {
            return events;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("no {last} in {events:?}")
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
