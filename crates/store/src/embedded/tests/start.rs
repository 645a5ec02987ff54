//! Starts that must be refused, each with what to do, and starts that were interrupted.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::NewStore;

#[test]
fn when_a_directory_is_created_only_its_owner_can_look_into_it() {
    let world = World::new();
    for path in [world.dir(), world.dir().join("journal"), world.dir().join("snapshot")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", path.display());
    }
    let files = segments(&world.dir()).into_iter().chain(layers(&world.dir()));
    for path in files.chain([world.dir().join("FORMAT")]) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
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
fn when_format_is_of_another_version_or_damaged_the_start_is_refused() {
    let world = with_one_record();
    let copy = world.copy();
    let path = copy.path().join("data/FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    for other in [2, 4] {
        fs::write(&path, right.replace("format = 3", &format!("format = {other}"))).unwrap();
        let refused = world.contents_after_crash(&copy);
        let is_named =
            matches!(refused, Err(OpenError::FormatUnknown { found, known: 3, .. }) if found == other);
        assert!(is_named, "{refused:?}");
    }
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
        for older in ["state = creating", "state = importing"] {
            fs::write(&path, right.replace("state = complete", older)).unwrap();
            let found = world.contents_after_crash(&copy);
            assert!(matches!(found, Err(OpenError::FormatDamaged { .. })), "{older}: {found:?}");
            let filled = NewStore::begin(&copy.path().join("data"), [7; 16], START);
            assert!(matches!(filled, Err(OpenError::FormatDamaged { .. })), "{older}: {filled:?}");
        }
        fs::write(&path, right).unwrap();
        assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    }
}

#[test]
fn when_format_is_from_the_first_start_but_there_is_an_import_nothing_is_removed() {
    let world = World::new();
    let dir = world.home.path().join("imported");
    let mut store = NewStore::begin(&dir, [7; 16], START).unwrap();
    store.add(key(1), START.plus(LONG), Bytes::from_static(b"one")).unwrap();
    store.finish().unwrap();
    let path = dir.join("FORMAT");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("state = complete", "state = creating")).unwrap();
    let refused = EmbeddedStore::open(world.options(&dir)).unwrap_err();
    assert!(matches!(refused, OpenError::FormatDamaged { .. }), "{refused}");
    fs::write(&path, right).unwrap();
    let store = EmbeddedStore::open(world.options(&dir)).unwrap();
    assert_eq!(world.contents_of(&store), Contents::from([(1, "one".to_owned())]));
}

#[test]
fn when_the_lock_is_removed_under_a_server_there_is_no_second_one() {
    let mut world = World::new();
    fs::remove_file(world.dir().join("lock")).unwrap();
    for _ in 0..2 {
        let error = EmbeddedStore::open(world.options(&world.dir())).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    }
    let read = crate::ReadOnly::open(&world.dir()).unwrap_err();
    assert!(matches!(read, OpenError::InUse { .. }), "{read}");
    world.put(1, "the first one goes on");
    world.close().unwrap();
    world.open();
    world.assert_as_expected();
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
        let copy = world.copy();
        fs::remove_dir_all(copy.path().join("data/snapshot")).unwrap();
        let found = world.contents_after_crash(&copy);
        assert!(matches!(found, Err(OpenError::SnapshotDamaged { .. })), "{found:?}");
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
    let many: Vec<(u64, Option<&str>)> = (0..2_000).map(|subject| (subject, Some("record"))).collect();
    world.batch(&many).unwrap();
    world.close().unwrap();
    let mut options = world.options(&world.dir());
    options.clock = Arc::new(Hurrying(world.clock.clone()));
    let log = log::log_of(|| drop(EmbeddedStore::open(options).unwrap()));
    assert!(log.matches("reading the snapshot").count() >= 3, "{log}");
    assert!(log.contains("the data directory is open") && log.contains("in_snapshot=2000"), "{log}");
}

/// A clock that is half a second later whenever it is looked at.
struct Hurrying(Arc<ManualClock>);

impl onceward_core::clock::Clock for Hurrying {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_millis(500));
        self.0.now()
    }
}

fn with_one_record() -> World {
    let mut world = World::new();
    world.put(1, "one");
    world
}
