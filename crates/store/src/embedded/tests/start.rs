//! Starts that must be refused, each with a remedy, and starts on a full disk.

use super::*;
use crate::embedded::FORMAT;

#[test]
fn a_missing_part_refuses_the_start() {
    let mut world = World::with_one_record();
    for checkpoint in [false, true] {
        if checkpoint {
            world.checkpoint().unwrap();
            world.put(2, "two");
        }
        let without_format = "FORMAT is missing, but there is data beside it";
        let missing = [
            (&["FORMAT", "journal"][..], without_format),
            (&["FORMAT"], without_format),
            (&["FORMAT", "snapshot"], without_format),
            (&["journal"], "journal is missing, and with it changes that were acknowledged"),
            (&["snapshot"], "snapshot cannot be used: "),
        ];
        // Before the first checkpoint nothing is left without the journal.
        for (names, says) in missing.into_iter().skip(usize::from(!checkpoint)) {
            let copy = copy_of(&world.dir());
            for path in names.iter().map(|name| copy.path().join(name)) {
                let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                removed.unwrap();
            }
            is_refused(world.contents_after_crash(&copy), says);
        }
        let copy = copy_of(&world.dir());
        for path in segments(copy.path()) {
            fs::remove_file(path).unwrap();
        }
        is_refused(world.contents_after_crash(&copy), "the snapshot beside it is older than it should be");
    }
}

#[test]
fn a_damaged_or_newer_format_refuses_the_start() {
    let world = World::with_one_record();
    let copy = copy_of(&world.dir());
    let path = copy.path().join("FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    let of_format = |format: u32| right.replace(&format!("= {FORMAT}\n"), &format!("= {format}\n"));
    let newer = of_format(FORMAT + 1).replace("program = ", "program = 9.1.") + "more = 1\n";
    fs::write(&path, newer).unwrap();
    let refused = world.contents_after_crash(&copy).unwrap_err();
    assert!(matches!(refused, StoreError::FormatNewer { .. }), "{refused:?}");
    assert!(refused.to_string().contains("install onceward 9.1."), "{refused}");
    for text in [of_format(0), format!("{right}\n"), format!("{right}more = 1\n")] {
        fs::write(&path, text).unwrap();
        is_refused(world.contents_after_crash(&copy), "FORMAT is damaged: ");
    }
}

#[test]
fn a_full_disk_after_a_crash_is_opened_and_written_to_once_it_has_space() {
    let mut world = World::with_one_record();
    for has_room_for_one_segment in [false, true] {
        world.abandon();
        if has_room_for_one_segment {
            let full = world.disk.clone();
            world.disk.then(move |operation, _| {
                if operation == Operation::Create {
                    full.fail(Operation::Create, Errno::NOSPC);
                }
            });
        } else {
            world.disk.fail(Operation::Create, Errno::NOSPC);
        }
        world.open();
        world.assert_as_expected();
        if has_room_for_one_segment {
            world.put(2, "two");
            assert_eq!(world.store().health(), Ok(()));
        } else {
            assert_unavailable(&world.batch(&[(2, Some("lost"))]));
            let trouble = world.store().health().unwrap_err();
            assert!(trouble.contains("bytes for the journal segment"), "{trouble}");
        }
        world.disk.heal();
        world.put(3, "after");
        assert_eq!(world.store().health(), Ok(()));
        world.crash_and_check();
        world.checkpoint().unwrap();
    }
}

#[test]
fn instead_of_a_damaged_snapshot_an_older_one_needs_all_later_segments() {
    let mut world = World::with_one_record();
    world.checkpoint().unwrap();
    world.put(2, "two");
    let (crash, dir) = (Arc::new(Mutex::new(None)), world.dir());
    let taken = crash.clone();
    world.disk.then(move |operation, _| {
        if operation == Operation::Rename {
            *taken.lock() = Some(copy_of(&dir));
        }
    });
    world.checkpoint().unwrap();
    let crash = crash.lock().take().unwrap();
    let newest = crash.path().join("snapshot").join(&snapshots(crash.path())[1]);
    fs::write(newest.join("MANIFEST"), "damaged").unwrap();
    is_refused(world.contents_after_crash(&crash), newest.join("MANIFEST").to_str().unwrap());
    fs::remove_dir_all(newest).unwrap();
    assert_eq!(world.contents_after_crash(&copy_of(crash.path())).unwrap(), world.expected);
    fs::remove_file(&segments(crash.path())[0]).unwrap();
    is_refused(world.contents_after_crash(&crash), "the snapshot beside it is older than it should be");
}

fn is_refused(refused: Result<Contents, StoreError>, says: &str) {
    let (text, _) = damage(refused);
    assert!(text.contains(says), "{says}: {text}");
}
