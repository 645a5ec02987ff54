//! The layers of the snapshot: what is damaged or missing is noticed, and how they are merged.

use super::faulty::Operation;
use super::*;
use crate::embedded::changes::Changes;
use crate::embedded::snapshot::{Snapshot, SnapshotError};

#[test]
fn when_any_byte_of_a_layer_is_another_one_the_start_is_refused_and_names_the_file() {
    let world = world_with_layers();
    let copy = world.copy();
    for path in layers(&copy.path().join("data")) {
        let right = fs::read(&path).unwrap();
        // Every byte near the ends, and some in between.
        let between = right.len() / 200 + 1;
        let places = (0..right.len()).filter(|at| at % between == 0 || *at < 120 || at + 60 > right.len());
        for at in places {
            let mut flipped = right.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, flipped).unwrap();
            assert_damaged(&copy, &path, &format!("byte {at}"));
        }
        fs::write(&path, right).unwrap();
    }
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn when_a_layer_is_cut_or_longer_the_start_is_refused() {
    let world = world_with_layers();
    let copy = world.copy();
    for path in layers(&copy.path().join("data")) {
        let right = fs::read(&path).unwrap();
        for length in (0..right.len()).step_by(right.len() / 100 + 1) {
            fs::write(&path, &right[..length]).unwrap();
            assert_damaged(&copy, &path, &format!("cut at {length}"));
        }
        for more in [vec![0], vec![0; 4096], right.clone()] {
            fs::write(&path, [right.clone(), more].concat()).unwrap();
            assert_damaged(&copy, &path, "longer");
        }
        fs::write(&path, right).unwrap();
    }
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn when_a_layer_is_missing_or_has_anothers_name_the_start_is_refused() {
    let world = world_with_layers();
    let copy = world.copy();
    let all = layers(&copy.path().join("data"));
    assert!(all.len() > 2, "{all:?}");
    for (index, path) in all.iter().enumerate() {
        let aside = copy.path().join("aside");
        fs::rename(path, &aside).unwrap();
        let refused = world.contents_after_crash(&copy);
        let newest_is_missing = index + 1 == all.len();
        match refused {
            // Then the journal does not go on behind what is left.
            Err(OpenError::SegmentMissing { .. }) => assert!(newest_is_missing),
            Err(OpenError::SnapshotDamaged { .. }) => assert!(!newest_is_missing),
            other => panic!("{other:?}"),
        }
        for other in all.iter().filter(|other| *other != path) {
            fs::copy(other, path).unwrap();
            assert_damaged(&copy, path, "the content of another one");
        }
        fs::rename(&aside, path).unwrap();
    }
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn when_two_blocks_of_a_layer_change_places_the_start_is_refused() {
    let mut world = World::with_segments_of(1024 * 1024);
    let text = "x".repeat(1000);
    world.batch(&(0..200).map(|subject| (subject, Some(text.as_str()))).collect::<Vec<_>>()).unwrap();
    world.round().unwrap();
    let copy = world.copy();
    let path = layers(&copy.path().join("data")).remove(0);
    let right = fs::read(&path).unwrap();
    let starts: Vec<usize> =
        right.windows(4).enumerate().filter(|(_, four)| *four == b"owB1").map(|(at, _)| at).collect();
    let end = right.len() - 24;
    let [first, second, third, ..] = starts[..] else { panic!("{starts:?}") };
    assert!(third < end);
    let changed = [&right[..first], &right[second..third], &right[first..second], &right[third..]].concat();
    fs::write(&path, changed).unwrap();
    assert_damaged(&copy, &path, "two blocks");
    // Nor is one missing.
    fs::write(&path, [&right[..first], &right[second..]].concat()).unwrap();
    assert_damaged(&copy, &path, "a block less");
}

#[test]
fn what_is_left_of_a_layer_that_was_not_finished_goes_with_the_next_start_and_other_files_stay() {
    let world = world_with_layers();
    let copy = world.copy();
    let dir = copy.path().join("data/snapshot");
    let [unfinished, foreign] = [dir.join("0000000003-0000000009.new"), dir.join("notes.new")];
    fs::write(&unfinished, "half").unwrap();
    fs::write(&foreign, "somebody's").unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
    assert!(!unfinished.exists() && foreign.exists());
}

#[test]
fn sizes_of_layers_double_and_a_store_that_is_closed_writes_only_what_is_new() {
    let mut world = World::with_segments_of(4 * 1024 * 1024);
    let text = "x".repeat(100);
    let mut most = 0;
    for turn in 0..60 {
        let changes: Vec<(u64, Option<&str>)> =
            (turn * 200..(turn + 1) * 200).map(|subject| (subject, Some(text.as_str()))).collect();
        world.batch(&changes).unwrap();
        world.round().unwrap();
        most = most.max(layers(&world.dir()).len());
    }
    assert!((3..=7).contains(&most), "{most} layers for sixty rounds");
    let largest = layers(&world.dir()).remove(0);
    let before = fs::metadata(&largest).unwrap().modified().unwrap();
    world.put(1, "a little change");
    world.close().unwrap();
    let after = fs::metadata(&largest).expect("the largest layer is as it was").modified().unwrap();
    assert_eq!(after, before);
    world.open();
    world.assert_as_expected();
}

#[test]
fn when_there_is_no_room_to_merge_all_layers_rounds_go_on_with_those_for_which_there_is() {
    let mut world = World::with_segments_of(4 * 1024 * 1024);
    let text = "more".repeat(20);
    let lasting =
        |subject| Write { gc_after: START.plus(LONG * 100), ..write(subject, Revision::ABSENT, Some(&text)) };
    let commit = |world: &mut World, subjects: std::ops::Range<u64>| {
        let writes: Vec<Write> = subjects.map(lasting).collect();
        world.expected.extend(writes.iter().map(|write| (write.key.subject.0, text.clone())));
        world.runtime.block_on(world.store().cas(writes, LONG)).unwrap();
        world.round().unwrap();
    };
    // One of many has ended long ago, so that everything would be written anew if there were room.
    world.put(1_000_000, "ends");
    commit(&mut world, 0..1_000);
    world.clock.advance(LONG * 4);
    world.expected.remove(&1_000_000);
    let largest = layers(&world.dir()).remove(0);
    let bytes = fs::metadata(&largest).unwrap().len();
    world.disk.room_for_layers_of(bytes / 2);
    let mut most = 0;
    for turn in 1_000..1_200 {
        commit(&mut world, turn * 2..turn * 2 + 2);
        let there = layers(&world.dir());
        assert!(there.contains(&largest));
        most = most.max(there.len());
        world.clock.advance(Duration::from_secs(7));
    }
    assert!(most <= 20, "{most} layers");
    world.assert_as_expected();
    world.disk.heal();
    world.clock.advance(Duration::from_secs(61));
    commit(&mut world, 5_000..5_001);
    assert!(!largest.exists(), "with room again everything is written anew");
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_block_claims_more_than_any_can_have_nothing_is_read_of_it() {
    let mut world = World::new();
    world.put(1, "one");
    world.round().unwrap();
    let copy = world.copy();
    let path = layers(&copy.path().join("data")).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let block = bytes.windows(4).position(|four| four == b"owB1").unwrap();
    bytes[block + 8..block + 12].copy_from_slice(&(u32::MAX - 100).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    // So that there would be as much to read, though it takes no space.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5 << 30).unwrap();
    let before = peak();
    assert_damaged(&copy, &path, "a block that claims too much");
    assert!(peak() - before < 64 * 1024, "KiB were taken: {}", peak() - before);
}

/// The most memory that this process has had, in KiB (`VmHWM` of proc(5)).
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn when_there_are_many_layers_they_become_one() {
    let mut world = World::with_segments_of(4 * 1024 * 1024);
    let mut most = 0;
    for turn in 0..80_u64 {
        // Each time it is opened and closed a layer comes, and none is taken in.
        let changes: Vec<(u64, Option<&str>)> =
            (turn * 10..turn * 10 + 20).map(|subject| (subject, Some("more than a small layer"))).collect();
        world.batch(&changes).unwrap();
        world.close().unwrap();
        world.open();
        most = most.max(layers(&world.dir()).len());
    }
    assert_eq!(most, 64);
    assert!(layers(&world.dir()).len() < 30);
    world.assert_as_expected();
}

#[test]
fn when_a_name_could_not_be_synced_nothing_goes_and_the_round_is_not_done_twice() {
    let mut world = world_with_layers();
    world.put(1, "more");
    let before = (layers(&world.dir()), segments(&world.dir()));
    world.disk.fail_snapshot(Operation::SyncDir, rustix::io::Errno::IO);
    for _ in 0..3 {
        assert!(world.round().is_err());
        let kept = |paths: &[PathBuf]| paths.iter().all(|path| path.exists());
        assert!(kept(&before.0) && kept(&before.1), "something went before the name was on the disk");
    }
    let created = world.disk.count_snapshot(Operation::Create);
    world.disk.heal();
    world.round().unwrap();
    assert_eq!(world.disk.count_snapshot(Operation::Create), created);
    assert_eq!(layers(&world.dir()).len(), before.0.len() + 1);
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn when_a_rename_fails_and_is_done_all_the_same_starts_find_everything() {
    let mut world = world_with_layers();
    world.disk.rename_although_failing();
    let text = "more".repeat(100);
    for turn in 0..9_u64 {
        let many: Vec<(u64, Option<&str>)> = (0..30 * turn + 5)
            .map(|subject| (subject * 3, (turn % 3 != 1).then_some(text.as_str())))
            .collect();
        world.batch(&many).unwrap();
        world.disk.fail_snapshot_once(Operation::Rename, rustix::io::Errno::IO);
        let _ = world.round();
        let found = world.contents_after_crash(&world.copy()).unwrap();
        assert!(found == world.expected, "turn {turn}");
        world.clock.advance(Duration::from_secs(61));
    }
    world.disk.heal();
    world.round().unwrap();
    world.crash_and_open();
    world.assert_as_expected();
}

#[test]
fn what_is_read_while_layers_are_merged_is_all_there() {
    let mut world = world_with_layers();
    let nothing = Changes::default();
    let mut merged = world.store().snapshot.with(&nothing).unwrap();
    let before = world.contents();
    let mut read = Contents::new();
    for turn in 0..20 {
        let entry = merged.next_entry().unwrap().unwrap();
        read.extend(entry.put.map(|record| (entry.key.subject.0, text_of(&record))));
        world.put(1_000 + turn, "while somebody reads");
        world.round().unwrap();
    }
    while let Some(entry) = merged.next_entry().unwrap() {
        read.extend(entry.put.map(|record| (entry.key.subject.0, text_of(&record))));
    }
    assert_eq!(read, before);
    world.assert_as_expected();
}

#[test]
fn the_newest_of_several_layers_answers_for_a_key() {
    let mut world = world_with_layers();
    let keys: Vec<Key> = (0..3_000).map(key).collect();
    for opened_again in [false, true] {
        let found = world.runtime.block_on(world.store().load(&keys, LONG)).unwrap();
        for (subject, found) in (0_u64..).zip(found) {
            let text = found.map(|(_, record)| text_of(&record));
            assert_eq!(text.as_ref(), world.expected.get(&subject), "{subject}, {opened_again}");
        }
        world.crash_and_open();
    }
}

fn text_of(record: &[u8]) -> String {
    String::from_utf8(record.to_vec()).unwrap()
}

/// Several layers, with records, newer records and removals; nothing in the journal.
fn world_with_layers() -> World {
    let mut world = World::with_segments_of(4 * 1024 * 1024);
    for (turn, records) in [(1_u64, 2_600_u64), (2, 1_000), (3, 300)] {
        let text = format!("{turn:030}");
        let changes: Vec<(u64, Option<&str>)> =
            (0..records).map(|nth| (nth * turn, (nth % 7 != 3).then_some(text.as_str()))).collect();
        world.batch(&changes).unwrap();
        world.round().unwrap();
    }
    assert_eq!(layers(&world.dir()).len(), 3);
    world
}

fn assert_damaged(copy: &TempDir, path: &Path, what: &str) {
    let disk: Arc<dyn super::super::disk::Disk> = Arc::new(super::super::disk::RealDisk);
    match Snapshot::open(&copy.path().join("data/snapshot"), &disk, START, &mut |_, _| {}) {
        Err(SnapshotError::Damaged { path: named, .. }) => assert_eq!(named, path, "{what}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} of {} was not noticed", path.display()),
    }
}
