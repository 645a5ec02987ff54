//! Starts that must be refused, each with what to do, and starts that were interrupted.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn when_a_directory_is_created_only_its_owner_can_look_into_it() {
    let world = World::new();
    for path in [world.dir(), world.dir().join("journal"), world.dir().join("snapshot")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", path.display());
    }
    for path in segments(&world.dir()).into_iter().chain([world.dir().join("FORMAT")]) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn when_sled_creates_files_only_their_owner_can_read_them_after_the_next_round() {
    let mut world = World::new();
    world.put(1, "one");
    world.round().unwrap();
    // Not those that sled may be creating at this moment.
    for (name, expected) in [("db", 0o600), ("conf", 0o600), ("blobs", 0o700)] {
        let path = world.dir().join("snapshot").join(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{}", path.display());
    }
    world.close().unwrap();
    let db = world.dir().join("snapshot/db");
    fs::set_permissions(&db, fs::Permissions::from_mode(0o644)).unwrap();
    world.open();
    world.put(1, "one again");
    world.round().unwrap();
    assert_eq!(fs::metadata(&db).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn when_another_process_uses_the_directory_the_start_is_refused() {
    let mut world = World::new();
    let error = EmbeddedStore::open(world.options(&world.dir())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(world.dir().to_str().unwrap()), "{error}");
    world.put(1, "the first one goes on");
    world.assert_as_expected();
}

#[test]
fn when_the_server_key_is_another_one_the_start_is_refused() {
    let mut world = World::new();
    world.put(1, "one");
    let copy = world.copy();
    let mut options = world.options(&copy.path().join("data"));
    options.key_fingerprint = [8; 16];
    let error = EmbeddedStore::open(options).unwrap_err();
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected, "the right key still opens it");
}

#[test]
fn when_format_is_missing_beside_data_the_start_is_refused() {
    let world = with_one_record();
    for also_missing in ["", "journal", "snapshot"] {
        let copy = world.copy();
        let dir = copy.path().join("data");
        fs::remove_file(dir.join("FORMAT")).unwrap();
        if !also_missing.is_empty() {
            fs::remove_dir_all(dir.join(also_missing)).unwrap();
        }
        let found = world.contents_after_crash(&copy);
        assert!(matches!(found, Err(OpenError::FormatMissing { .. })), "{found:?}");
    }
}

#[test]
fn when_a_directory_is_of_the_first_version_it_is_read_and_from_then_on_of_this_one() {
    let world = with_one_record();
    let copy = world.copy();
    let path = copy.path().join("data/FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("format = 2", "format = 1")).unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
}

#[test]
fn when_format_is_of_another_version_or_damaged_the_start_is_refused() {
    let world = with_one_record();
    let copy = world.copy();
    let path = copy.path().join("data/FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("format = 2", "format = 3")).unwrap();
    let found = world.contents_after_crash(&copy);
    assert!(matches!(found, Err(OpenError::FormatUnknown { found: 3, known: 2, .. })), "{found:?}");
    for length in 0..right.len() - 1 {
        fs::write(&path, &right[..length]).unwrap();
        let found = world.contents_after_crash(&copy);
        let refused = matches!(found, Err(OpenError::FormatDamaged { .. } | OpenError::WrongKey { .. }));
        assert!(refused, "cut at {length}: {found:?}");
    }
    for at in 0..right.len() - 1 {
        let mut flipped = right.clone().into_bytes();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert!(world.contents_after_crash(&copy).is_err(), "byte {at}");
    }
    fs::write(&path, &right).unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn when_a_first_start_was_interrupted_the_next_one_begins_again() {
    let world = World::new();
    let complete = fs::read_to_string(world.dir().join("FORMAT")).unwrap();
    for removed in [&[][..], &["journal"], &["snapshot"], &["journal", "snapshot"]] {
        let copy = world.copy();
        let dir = copy.path().join("data");
        fs::write(dir.join("FORMAT"), complete.replace("state = complete", "state = creating")).unwrap();
        for segment in segments(&dir) {
            fs::remove_file(segment).unwrap();
        }
        fs::write(dir.join("journal/0000000001.seg"), "").unwrap();
        for name in removed {
            fs::remove_dir_all(dir.join(name)).unwrap();
        }
        let store = EmbeddedStore::open(world.options(&dir)).unwrap();
        let put = vec![write(1, Revision::ABSENT, Some("one"))];
        world.runtime.block_on(store.cas(put, LONG)).unwrap();
        world.runtime.block_on(store.close()).unwrap();
        assert_eq!(world.contents_after_crash(&copy).unwrap().len(), 1);
    }
}

#[test]
fn when_format_is_from_the_first_start_but_there_is_data_nothing_is_removed() {
    let mut world = with_one_record();
    for closed in [false, true] {
        if closed {
            world.close().unwrap();
        }
        let copy = world.copy();
        let path = copy.path().join("data/FORMAT");
        let right = fs::read_to_string(&path).unwrap();
        fs::write(&path, right.replace("state = complete", "state = creating")).unwrap();
        let found = world.contents_after_crash(&copy);
        assert!(matches!(found, Err(OpenError::FormatDamaged { .. })), "{found:?}");
        fs::write(&path, right).unwrap();
        assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    }
}

#[test]
fn when_the_journal_or_the_snapshot_is_gone_the_start_is_refused() {
    let mut world = with_one_record();
    for round in [false, true] {
        if round {
            world.round().unwrap();
            world.put(2, "two");
        }
        let copy = world.copy();
        fs::remove_dir_all(copy.path().join("data/journal")).unwrap();
        assert!(world.contents_after_crash(&copy).is_err());
        let copy = world.copy();
        for path in segments(&copy.path().join("data")) {
            fs::remove_file(path).unwrap();
        }
        let found = world.contents_after_crash(&copy);
        assert!(matches!(found, Err(OpenError::SegmentMissing { .. })), "{found:?}");
        for name in ["snapshot", "snapshot/db"] {
            let copy = world.copy();
            let path = copy.path().join("data").join(name);
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            let found = world.contents_after_crash(&copy);
            assert!(matches!(found, Err(OpenError::SnapshotDamaged { .. })), "{name}: {found:?}");
        }
    }
}

#[test]
fn when_the_snapshot_is_replaced_by_an_older_one_the_start_is_refused() {
    let mut world = with_one_record();
    world.round().unwrap();
    let older = world.copy();
    world.put(2, "two");
    world.round().unwrap();
    let copy = world.copy();
    let dir = copy.path().join("data/snapshot");
    fs::remove_dir_all(&dir).unwrap();
    copy_into(&older.path().join("data/snapshot"), &dir);
    let found = world.contents_after_crash(&copy);
    assert!(matches!(found, Err(OpenError::SegmentMissing { .. })), "{found:?}");
}

#[test]
fn when_records_are_missing_from_the_snapshot_it_is_not_read_as_if_they_had_never_been() {
    let mut world = World::new();
    world.batch(&[(1, Some("one")), (2, Some("two")), (3, Some("three"))]).unwrap();
    world.close().unwrap();
    let db = sled::open(world.dir().join("snapshot")).unwrap();
    let key = db.iter().keys().nth(2).unwrap().unwrap();
    let record = db.remove(key.clone()).unwrap().unwrap();
    db.flush().unwrap();
    drop(db);
    let copy = world.copy();
    assert_damaged(&world, &copy);
    // The same number of records, but one of them an older one.
    let db = sled::open(world.dir().join("snapshot")).unwrap();
    let mut older = record.to_vec();
    older[7] ^= 1;
    db.insert(key, older).unwrap();
    db.flush().unwrap();
    drop(db);
    assert_damaged(&world, &world.copy());
}

#[test]
fn when_a_byte_of_the_snapshots_files_flips_nothing_is_missing_or_it_is_noticed() {
    let mut world = World::new();
    for subject in 0..300 {
        world.batch(&[(subject, Some("record")), (subject / 3, Some("rewritten"))]).unwrap();
        if subject % 50 == 0 {
            world.round().unwrap();
        }
    }
    world.close().unwrap();
    let original = copy_of(&world.dir());
    for entry in fs::read_dir(world.dir().join("snapshot")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let right = fs::read(&path).unwrap();
        let used = right.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for at in (0..used).step_by((used / 25).max(1)) {
            let copy = copy_of(&original.path().join("data"));
            let mut flipped = right.clone();
            flipped[at] ^= 0x10;
            fs::write(copy.path().join("data/snapshot").join(path.file_name().unwrap()), flipped).unwrap();
            match EmbeddedStore::open(world.options(&copy.path().join("data"))) {
                // The second, when sled took what was behind the byte for a torn end.
                Err(OpenError::SnapshotDamaged { .. } | OpenError::SegmentMissing { .. }) => {}
                Err(other) => panic!("{other}"),
                Ok(store) => {
                    if let Ok(found) = world.try_contents_of(&store) {
                        assert_eq!(found, world.expected, "byte {at} of {}", path.display());
                    }
                }
            }
        }
    }
}

#[test]
fn when_the_system_refuses_the_error_names_the_path() {
    let world = World::new();
    let file = world.home.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = EmbeddedStore::open(world.options(&file.join("data"))).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains("a file/data"), "{error}");
}

#[test]
fn when_the_disk_is_full_or_access_is_denied_the_refusal_says_what_to_do() {
    use rustix::io::Errno;
    let advices = [(Errno::NOSPC, "free space"), (Errno::ACCESS, "chown"), (Errno::ROFS, "writable")];
    for (errno, advice) in advices {
        let world = with_one_record();
        let open_copy = |copy: &TempDir, operation| {
            let disk = FaultyDisk::default();
            disk.fail(operation, errno);
            EmbeddedStore::open_on(&world.options(&copy.path().join("data")), Arc::new(disk)).unwrap_err()
        };
        let copy = world.copy();
        let refused = open_copy(&copy, faulty::Operation::Create).to_string();
        assert!(refused.contains(advice), "{refused}");
        // A first start.
        let refused = open_copy(&TempDir::new().unwrap(), faulty::Operation::SyncDir).to_string();
        assert!(refused.contains(advice), "{refused}");
        assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    }
}

#[test]
fn when_the_data_directory_is_relative_messages_name_all_of_its_path() {
    let world = World::new();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(world.dir().strip_prefix("/").unwrap());
    let error = EmbeddedStore::open(world.options(&relative)).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("directory {}", here.display())), "{error}");
}

#[test]
fn when_reading_the_snapshot_takes_long_the_log_says_how_far_it_is_and_how_much_there_was() {
    let mut world = World::new();
    let many: Vec<(u64, Option<&str>)> = (0..600).map(|subject| (subject, Some("record"))).collect();
    world.batch(&many).unwrap();
    world.close().unwrap();
    world.open();
    let clock = world.clock.clone();
    let visit = Box::new(move |_: Key, _: Revision, _: &[u8]| clock.advance(Duration::from_millis(10)));
    let log = log::log_of(|| world.store().reader().scan(Kind::Number, visit).unwrap());
    assert_eq!(log.matches("reading the snapshot").count(), 2, "{log}");
    assert!(log.contains("the snapshot was read") && log.contains("records=600"), "{log}");
}

fn with_one_record() -> World {
    let mut world = World::new();
    world.put(1, "one");
    world
}

/// The start, or the load that is part of every start, must fail.
fn assert_damaged(world: &World, copy: &TempDir) {
    let store = EmbeddedStore::open(world.options(&copy.path().join("data"))).unwrap();
    let found = world.try_contents_of(&store);
    let Err(StoreError::Unavailable(reason)) = found else { panic!("{found:?}") };
    assert!(reason.contains("snapshot"), "{reason}");
}
