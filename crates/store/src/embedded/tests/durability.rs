//! The order in which files reach the disk. A test cannot cut the power, and files look the same whether they are
//! synced or not; therefore these tests compare the order of the requests to the disk.

use super::faulty::{Event, Operation};
use super::*;
use crate::embedded::disk::CheckpointStep;

#[test]
fn segments_of_a_killed_process_are_synced_before_anything_follows() {
    let mut world = World::new();
    world.put(1, "one");
    world.crash_and_open();
    world.put(2, "two");
    world.crash_and_open();
    let used: Vec<String> = segments(&world.dir())
        .iter()
        .filter(|path| fs::read(path).unwrap().starts_with(b"owjournl"))
        .map(|path| name_of(path))
        .collect();
    assert_eq!(used.len(), 2);
    world.disk.take_events();
    world.crash_and_open();
    world.put(3, "three");
    let events = world.disk.take_events();
    let next_segment = position(&events, |event| matches!(event, Event::Did(Operation::Create, _)));
    for name in used {
        let synced = position(&events, |event| *event == Event::Did(Operation::SyncFile, name.clone()));
        assert!(synced < next_segment, "{name}: {events:?}");
    }
    world.assert_as_expected();
}

#[test]
fn replayed_segments_that_cannot_be_synced_refuse_the_start() {
    let mut world = World::new();
    world.put(1, "one");
    let copy = world.copy();
    world.disk.fail(Operation::SyncFile, rustix::io::Errno::IO);
    let disk = Arc::new(world.disk.clone());
    let refused = EmbeddedStore::open_on(&world.options(&copy.path().join("data")), disk).unwrap_err();
    assert!(refused.to_string().starts_with("cannot sync "), "{refused}");
}

#[test]
fn a_snapshot_is_on_the_disk_before_its_name_and_that_before_removals() {
    let mut world = World::new();
    world.put(1, "one");
    world.disk.take_events();
    world.checkpoint().unwrap();
    let events = world.disk.take_events();
    let did = |operation, name: &str| {
        let wanted = Event::Did(operation, name.into());
        events.iter().rposition(|event| *event == wanted).unwrap_or_else(|| panic!("{name}: {events:?}"))
    };
    let step = |step| position(&events, |event| *event == Event::Reached(step));
    let named = did(Operation::Rename, "0000000001");
    let files = [did(Operation::SyncFile, "conf"), did(Operation::SyncFile, "db")];
    let directories = [did(Operation::SyncDir, "db"), did(Operation::SyncDir, "0000000001-1.new")];
    assert!(
        files
            .iter()
            .all(|synced| step(CheckpointStep::Written) < *synced && *synced < step(CheckpointStep::Synced))
    );
    assert!(directories.iter().all(|synced| *synced < named), "{events:?}");
    assert!(
        step(CheckpointStep::Synced) < step(CheckpointStep::Proved)
            && step(CheckpointStep::Proved) < did(Operation::Sync, "MANIFEST")
    );
    assert!(did(Operation::Sync, "MANIFEST") < directories[1] && directories[1] < named, "{events:?}");
    let name_synced = named
        + position(&events[named..], |event| *event == Event::Did(Operation::SyncDir, "snapshot".into()));
    let older_gone = did(Operation::RemoveDir, "0000000000");
    let segment_gone = did(Operation::Remove, "0000000001.seg");
    assert!(name_synced < older_gone && older_gone < segment_gone, "{events:?}");
    let older_synced = did(Operation::SyncDir, "snapshot");
    assert!(older_gone < older_synced && older_synced < segment_gone, "{events:?}");
    assert!(segment_gone < did(Operation::SyncDir, "journal"), "{events:?}");
}

fn collect_until(last: &Event, events: &mut Vec<Event>, disk: &FaultyDisk) {
    while !events.contains(last) {
        thread::yield_now();
        events.extend(disk.take_events());
    }
}

#[test]
fn the_space_of_the_next_segment_is_left_to_the_checkpoint() {
    let mut world = World::new();
    world.put(1, "one");
    world.disk.take_events();
    world.checkpoint().unwrap();
    let reserved = Event::Did(Operation::Create, "0000000003.seg".into());
    let mut events = Vec::new();
    collect_until(&reserved, &mut events, &world.disk);
    let removed = position(&events, |event| *event == Event::Reached(CheckpointStep::SegmentRemoved));
    assert!(removed < position(&events, |event| *event == reserved), "{events:?}");
}

#[test]
fn a_checkpoint_of_a_grown_journal_needs_one_new_segment() {
    let real = crate::StoreSettings::default();
    let mut world = World::with_sizes(real.segment_bytes / 1024, real.checkpoint_bytes / 1024);
    let (text, mut events) = ("x".repeat(500), Vec::new());
    for _ in 0..=real.checkpoint_bytes / 1024 / 500 {
        world.put(1, &text);
    }
    collect_until(&Event::Reached(CheckpointStep::SegmentRemoved), &mut events, &world.disk);
    let removed = position(&events, |event| *event == Event::Reached(CheckpointStep::SegmentRemoved));
    assert!(!events[..removed].contains(&Event::Did(Operation::Create, "0000000003.seg".into())));
}

#[test]
fn the_segment_is_synced_after_the_write_and_before_the_answer() {
    let mut world = World::with_segments_of(4096);
    world.disk.take_events();
    let text = "x".repeat(1000);
    for number in 0..10 {
        world.put(number, &text);
        let events = world.disk.take_events();
        let on_segments: Vec<&Event> = events
            .iter()
            .filter(|event| {
                matches!(event, Event::Did(Operation::Write | Operation::Sync, name) if name.contains(".seg"))
            })
            .collect();
        // A frame, and then the sync.
        let Some((Event::Did(Operation::Sync, synced), writes)) = on_segments.split_last() else {
            panic!("{events:?}")
        };
        assert!(!writes.is_empty(), "{events:?}");
        for event in writes {
            assert!(
                matches!(event, Event::Did(Operation::Write, written) if written == synced),
                "{events:?}"
            );
        }
    }
}

fn position(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().position(wanted).unwrap_or_else(|| panic!("it is not among {events:?}"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
