//! Starts that must be refused, each with a remedy, and interrupted starts.

use super::*;
use crate::embedded::FORMAT;

#[test]
fn data_without_format_refuses_the_start() {
    let world = World::with_one_record();
    for checkpoint in [false, true] {
        if checkpoint {
            world.checkpoint().unwrap();
        }
        // Before the first checkpoint nothing is left without the journal.
        for also_missing in ["", "snapshot", "journal"].into_iter().take(2 + usize::from(checkpoint)) {
            let copy = world.copy();
            let dir = copy.path();
            fs::remove_file(dir.join("FORMAT")).unwrap();
            if !also_missing.is_empty() {
                fs::remove_dir_all(dir.join(also_missing)).unwrap();
            }
            is_refused(world.contents_after_crash(&copy), "FORMAT is missing, but there is data beside it");
        }
    }
}

#[test]
fn a_damaged_or_newer_format_refuses_the_start() {
    let world = World::with_one_record();
    let copy = world.copy();
    let path = copy.path().join("FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    let (own, next) = (format!("format = {FORMAT}"), format!("format = {}", FORMAT + 1));
    let newer = right.replace(&own, &next).replace("program = ", "program = 9.1.") + "more = 1\n";
    fs::write(&path, newer).unwrap();
    let refused = world.contents_after_crash(&copy).unwrap_err();
    let is_newer =
        matches!(refused, StoreError::FormatNewer { found, known: FORMAT, .. } if found == FORMAT + 1);
    assert!(is_newer, "{refused:?}");
    assert!(refused.to_string().contains("install onceward 9.1."), "{refused}");
    fs::write(&path, right.replace(&own, "format = 0")).unwrap();
    is_refused(world.contents_after_crash(&copy), "FORMAT is damaged: ");
    for more in ["\n", "x", "more = 1\n", "\0"] {
        fs::write(&path, format!("{right}{more}")).unwrap();
        is_refused(world.contents_after_crash(&copy), "FORMAT is damaged: ");
    }
    fs::write(&path, &right).unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn an_interrupted_first_start_begins_again() {
    let world = World::new();
    for removed in [&[][..], &["journal"], &["snapshot"], &["journal", "snapshot"]] {
        let copy = world.copy();
        let dir = copy.path();
        fs::remove_file(dir.join("FORMAT")).unwrap();
        for segment in segments(dir) {
            fs::remove_file(segment).unwrap();
        }
        fs::write(dir.join("journal/0000000001.seg"), "").unwrap();
        for name in removed {
            fs::remove_dir_all(dir.join(name)).unwrap();
        }
        let store = EmbeddedStore::open(&world.options(dir)).unwrap();
        commit(&store, vec![write(1, Some("one"))]);
        world.runtime.block_on(store.close()).unwrap();
        assert_eq!(world.contents_after_crash(&copy).unwrap().len(), 1);
    }
}

#[test]
fn a_directory_admits_no_second_server() {
    let mut world = World::new();
    let error = EmbeddedStore::open(&world.options(&world.dir())).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(world.dir().to_str().unwrap()), "{error}");
    world.put(1, "the first one goes on");
    world.close().unwrap();
    world.open();
    world.assert_as_expected();
}

#[test]
fn a_missing_journal_or_snapshot_refuses_the_start() {
    let mut world = World::with_one_record();
    for checkpoint in [false, true] {
        if checkpoint {
            world.checkpoint().unwrap();
            world.put(2, "two");
        }
        let copy = world.copy();
        fs::remove_dir_all(copy.path().join("journal")).unwrap();
        assert!(world.contents_after_crash(&copy).is_err());
        let copy = world.copy();
        for path in segments(copy.path()) {
            fs::remove_file(path).unwrap();
        }
        is_refused(world.contents_after_crash(&copy), "the snapshot beside it is older than it should be");
        let copy = world.copy();
        fs::remove_dir_all(copy.path().join("snapshot")).unwrap();
        is_refused(world.contents_after_crash(&copy), "snapshot cannot be used: ");
    }
}

#[test]
fn a_full_disk_after_a_crash_is_opened_and_written_to_once_it_has_space() {
    let mut world = World::with_one_record();
    for reserved in [0, 1] {
        world.abandon();
        if reserved == 0 {
            world.disk.fail(Operation::Create, Errno::NOSPC);
        } else {
            // The disk has room for one more segment.
            let (full, mut was_created) = (world.disk.clone(), false);
            world.disk.on_operation(move |operation, _| {
                if operation == Operation::Create && !std::mem::replace(&mut was_created, true) {
                    full.fail(Operation::Create, Errno::NOSPC);
                }
            });
        }
        world.open();
        world.assert_as_expected();
        if reserved == 0 {
            assert_unavailable(&world.batch(&[(2, Some("lost"))]));
            let trouble = world.store().health().unwrap_err();
            assert!(trouble.contains("bytes for the journal segment"), "{trouble}");
        } else {
            world.put(2, "two");
            assert_eq!(world.store().health(), Ok(()));
        }
        world.disk.heal();
        world.put(3, &format!("after {reserved}"));
        assert_eq!(world.store().health(), Ok(()));
        world.crash_and_check();
        world.checkpoint().unwrap();
    }
}

#[test]
fn in_the_place_of_a_damaged_snapshot_an_older_one_needs_all_later_segments() {
    let mut world = World::with_one_record();
    world.checkpoint().unwrap();
    world.put(2, "two");
    let (crash, dir) = (Arc::new(Mutex::new(None)), world.dir());
    let taken = crash.clone();
    world.disk.on_operation(move |operation, _| {
        if operation == Operation::Rename {
            *taken.lock() = Some(copy_of(&dir));
        }
    });
    world.checkpoint().unwrap();
    let crash = crash.lock().take().unwrap();
    let newest = crash.path().join("snapshot").join(&snapshots(crash.path())[1]);
    fs::write(newest.join("MANIFEST"), "damaged").unwrap();
    assert_eq!(damage(world.contents_after_crash(&crash)).path, newest.join("MANIFEST"));
    fs::remove_dir_all(newest).unwrap();
    assert_eq!(world.contents_after_crash(&copy_of(crash.path())).unwrap(), world.expected);
    fs::remove_file(&segments(crash.path())[0]).unwrap();
    is_refused(world.contents_after_crash(&crash), "the snapshot beside it is older than it should be");
}

fn is_refused<T: std::fmt::Debug>(refused: Result<T, StoreError>, says: &str) {
    let Damage { path, what, .. } = damage(refused);
    let text = format!("{} {what}", path.display());
    assert!(text.contains(says), "{says}: {text}");
}
