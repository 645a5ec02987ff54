//! What must be on the disk before what. A test cannot cut the power, and the files look the same
//! whether they were synced or not; so the order of what was asked of the disk is compared.

use super::faulty::{Event, Operation};
use super::*;
use crate::store::embedded::disk::Step;

#[test]
fn when_a_killed_process_left_segments_they_are_synced_before_anything_follows_them() {
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
fn when_replayed_segments_cannot_be_synced_the_start_is_refused() {
    let mut world = World::new();
    world.put(1, "one");
    let copy = world.copy();
    world.disk.fail(Operation::SyncFile, rustix::io::Errno::IO);
    let disk = Arc::new(world.disk.clone());
    let refused = EmbeddedStore::open_on(&world.options(&copy.path().join("data")), disk).unwrap_err();
    assert!(matches!(refused, OpenError::Io { action: "sync", .. }), "{refused}");
}

#[test]
fn when_a_killed_process_left_segments_that_the_snapshot_covers_it_is_synced_before_they_go() {
    let mut world = World::new();
    world.put(1, "one");
    let (covered, dir) = (Arc::new(Mutex::new(None)), world.dir());
    let taken = covered.clone();
    world.disk.on_step(move |step| {
        if step == Step::CoveredAndSynced {
            *taken.lock().unwrap() = Some(copy_of(&dir));
        }
    });
    world.round().unwrap();
    world.disk.on_step(|_| {});
    let copy = covered.lock().unwrap().take().unwrap();
    let disk = FaultyDisk::default();
    let options = world.options(&copy.path().join("data"));
    let store = EmbeddedStore::open_on(&options, Arc::new(disk.clone())).unwrap();
    let events = disk.take_events();
    let synced = position(&events, |event| *event == Event::Did(Operation::SyncFile, "db".into()));
    let removed = position(&events, |event| matches!(event, Event::Did(Operation::Remove, _)));
    assert!(synced < removed, "{events:?}");
    assert_eq!(world.contents_of(&store), world.expected);
}

fn position(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().position(wanted).unwrap_or_else(|| panic!("it is not among {events:?}"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
