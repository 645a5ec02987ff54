//! What must be on the disk before what. A test cannot cut the power, and the files look the same
//! whether they were synced or not; so the order of what was asked of the disk is compared.

use super::faulty::{Event, Operation};
use super::*;
use crate::embedded::disk::Step;

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
        if step == Step::NamedAndSynced {
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
    let layer = name_of(layers(&copy.path().join("data")).last().unwrap());
    let synced = position(&events, |event| *event == Event::Did(Operation::SyncFile, layer.clone()));
    let named = position(&events, |event| *event == Event::Did(Operation::SyncDir, "snapshot".into()));
    let removed = position(&events, |event| matches!(event, Event::Did(Operation::Remove, _)));
    assert!(synced < named && named < removed, "{events:?}");
    assert_eq!(world.contents_of(&store), world.expected);
}

#[test]
fn a_layer_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_anything_goes() {
    let mut world = World::new();
    world.put(1, "one");
    world.disk.take_events();
    world.round().unwrap();
    let events = world.disk.take_events();
    let did = |operation, name: &str| {
        let wanted = Event::Did(operation, name.into());
        position(&events, |event| *event == wanted)
    };
    let (new, layer) = ("0000000000-0000000001.new", "0000000000-0000000001.layer");
    let last_write = events.iter().rposition(|event| *event == Event::Did(Operation::Write, new.into()));
    assert!(last_write.unwrap() < did(Operation::Sync, new), "{events:?}");
    let named = did(Operation::Rename, layer);
    assert!(did(Operation::Sync, new) < named, "{events:?}");
    let name_synced = did(Operation::SyncDir, "snapshot");
    assert!(named < name_synced, "{events:?}");
    let removed = position(&events, |event| matches!(event, Event::Did(Operation::Remove, _)));
    assert!(name_synced < removed, "{events:?}");
    assert!(events[removed..].contains(&Event::Did(Operation::SyncDir, "journal".into())), "{events:?}");
}

#[test]
fn when_a_directory_is_made_each_state_is_on_the_disk_before_what_comes_next() {
    let home = TempDir::new().unwrap();
    let root = home.path().join("data");
    let world = World::new();
    let disk = FaultyDisk::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, dir) = (seen.clone(), root.clone());
    disk.on_operation(move |operation, path| {
        let state = |file: &str| {
            let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
            text.lines().last().unwrap_or_default().to_owned()
        };
        let what = match operation {
            Operation::SyncFile if path.ends_with("FORMAT.new") => state("FORMAT.new") + " written",
            Operation::SyncDir if path == dir => state("FORMAT") + " named",
            Operation::SyncDir if path.ends_with("snapshot") => "snapshot".to_owned(),
            Operation::SyncDir if path.ends_with("journal") => "journal".to_owned(),
            Operation::Sync if path.extension() == Some("seg".as_ref()) => "change set".to_owned(),
            _ => return,
        };
        let mut seen = log.lock().unwrap();
        if seen.last() != Some(&what) {
            seen.push(what);
        }
    });
    let store = EmbeddedStore::open_on(&world.options(&root), Arc::new(disk.clone())).unwrap();
    let put = vec![write(1, Revision::ABSENT, Some("one"))];
    world.runtime.block_on(store.cas(put, LONG)).unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "state = creating written",
            "state = creating named",
            "snapshot",
            "journal",
            "state = complete written",
            "state = complete named",
            // Here it is opened as at every start.
            "snapshot",
            "journal",
            "change set",
        ]
    );
}

#[test]
fn when_a_change_set_is_answered_the_segment_was_synced_after_the_write() {
    let mut world = World::with_segments_of(4096);
    world.disk.take_events();
    let text = "x".repeat(1000);
    for subject in 0..10 {
        world.put(subject, &text);
        let events = world.disk.take_events();
        let on_segments: Vec<&Event> = events
            .iter()
            .filter(|event| {
                matches!(event, Event::Did(Operation::Write | Operation::Sync, name) if name.contains(".seg"))
            })
            .collect();
        // A frame, perhaps zeros behind it, and then the sync.
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
