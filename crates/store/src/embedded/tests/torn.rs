//! Cut or damaged journals: the start restores exactly what was acknowledged, or is refused.

use std::os::unix::fs::FileExt as _;

use rustix::fs::{FallocateFlags, fallocate};

use super::*;
use crate::embedded::disk::CheckpointStep;
use crate::embedded::frame;
use crate::embedded::frame::RecordRef;
use crate::embedded::replay::{self, Covered, MOST_ZEROS, Place, read_written_part};
use crate::embedded::segment::HEADER_BYTES;

const RESERVED: u64 = 16 * 1024 * 1024;

/// The bytes where a write was torn.
#[derive(Debug, Clone, Copy)]
enum Tail {
    Nothing,
    Zeros,
    Garbage,
}

#[test]
fn a_journal_cut_at_any_byte_keeps_whole_commits() {
    let history = History::of_six_commits();
    let copy = history.copy();
    for tail in [Tail::Nothing, Tail::Zeros, Tail::Garbage] {
        for cut in 0..=history.ends[6] {
            let segment = cut_at(&history.segment, cut, tail);
            fs::write(&segments(&copy.path().join("data"))[0], &segment).unwrap();
            let found = replayed(&copy).unwrap();
            assert_eq!(found, *history.state_in(&segment), "cut at {cut}, then {tail:?}");
        }
    }
}

#[test]
fn writes_before_and_after_a_torn_end_both_last() {
    let history = History::of_six_commits();
    for tail in [Tail::Nothing, Tail::Zeros, Tail::Garbage] {
        let cut = history.ends[5] + 7;
        let copy = history.with_segment(&cut_at(&history.segment, cut, tail));
        let dir = copy.path().join("data");
        let mut expected = history.states[5].clone();
        for number in 100..103 {
            let store = EmbeddedStore::open(&history.world.options(&dir)).unwrap();
            commit(&store, vec![write(number, Some("later"))]);
            expected.insert(number, "later".into());
            let crashed = copy_of(&dir);
            let found = history.world.contents_after_crash(&crashed);
            assert_eq!(found.unwrap(), expected, "{tail:?}");
            drop(store);
            wait_until_free(&dir);
        }
    }
}

#[test]
fn a_flipped_bit_refuses_the_start_or_loses_nothing() {
    let history = History::of_six_commits();
    let (end, last) = (history.ends[6], history.ends[5]);
    let copy = history.copy();
    for bit in 0..end * 8 {
        let mut flipped = history.segment.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&segments(&copy.path().join("data"))[0], &flipped).unwrap();
        match replayed(&copy) {
            // Only in the last commit, damage looks like a torn write.
            Ok(found) => {
                assert!(bit / 8 >= last, "bit {bit} flipped and was not noticed");
                assert_eq!(found, history.states[5], "bit {bit}");
            }
            Err(StoreError::Damaged(Damage { at: Some(offset), .. })) => {
                assert!(bit / 8 < last);
                assert!(offset <= bit as u64 / 8, "bit {bit} reported at {offset}");
            }
            Err(other) => panic!("bit {bit}: {other}"),
        }
    }
}

#[test]
fn a_frame_that_ends_with_zeros_in_a_hole_of_the_file_is_whole() {
    const PAGE: usize = 4096;
    // The last frame ends four bytes after a page, with the length of a removal, which is zero.
    let mut world = World::new();
    world.put(3, "three");
    let filler = "x".repeat(PAGE - 179);
    world.batch(&[(2, Some(&filler)), (3, None)]).unwrap();
    let copy = world.copy();
    let path = segments(&copy.path().join("data"))[0].clone();
    let bytes = fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(last < PAGE && bytes.len() > 2 * PAGE, "the test needs another length: {last}");
    // The file shows no write after the first page.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes[..PAGE]).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes.len() as u64).unwrap();
    assert_eq!(world.contents_after_crash(&copy).unwrap(), world.expected);
}

#[test]
fn after_an_orderly_end_damage_of_the_last_commit_is_found_too() {
    let mut history = History::of_six_commits();
    // The last checkpoint fails: the commits stay in the journal.
    let fault = (CheckpointStep::Written, StepFault::Fail);
    history.world.disk.fail_step(Some(fault));
    let closed = history.world.close().unwrap_err();
    assert!(closed.to_string().contains("is in the journal"), "{closed}");
    let dir = history.world.dir();
    let segment = fs::read(&segments(&dir)[0]).unwrap();
    assert_eq!(history.world.contents_after_crash(&copy_of(&dir)).unwrap(), history.states[6]);
    let copy = copy_of(&dir);
    for at in history.ends[5]..history.ends[6] {
        let mut flipped = segment.clone();
        flipped[at] ^= 0x10;
        fs::write(&segments(&copy.path().join("data"))[0], flipped).unwrap();
        let found = replayed(&copy);
        assert!(is_journal_damaged(&found), "byte {at}: {found:?}");
    }
}

#[test]
fn a_damaged_end_of_an_older_segment_refuses_the_start() {
    let history = History::of_two_segments();
    let (last, end) = (history.ends[5], history.ends[6]);
    let copy = history.copy();
    let assert_refused = |segment: &[u8], what: &str| {
        fs::write(&segments(&copy.path().join("data"))[0], segment).unwrap();
        let found = replayed(&copy);
        assert!(is_journal_damaged(&found), "{what}: {found:?}");
    };
    for tail in [Tail::Nothing, Tail::Zeros, Tail::Garbage] {
        for cut in HEADER_BYTES..end {
            assert_refused(&cut_at(&history.segment, cut, tail), &format!("cut at {cut}, then {tail:?}"));
        }
    }
    for at in last..end + 40 {
        let mut flipped = history.segment.clone();
        flipped[at] ^= 0x10;
        assert_refused(&flipped, &format!("byte {at} flipped"));
    }
}

#[test]
fn missing_commits_before_a_torn_segment_refuse_the_start() {
    let history = History::of_two_segments();
    // The end of the first segment is clean, but in another place.
    let copy = history.with_segment(&cut_at(&history.segment, history.ends[5], Tail::Zeros));
    let second = segments(&copy.path().join("data"))[1].clone();
    let torn = cut_at(&fs::read(&second).unwrap(), HEADER_BYTES + 5, Tail::Zeros);
    fs::write(&second, torn).unwrap();
    let found = replayed(&copy);
    assert!(is_journal_damaged(&found), "{found:?}");
}

#[test]
fn the_rest_is_restored_after_an_operator_cuts_off_the_damage() {
    let history = History::of_two_segments();
    let dir = |copy: &TempDir| copy.path().join("data");
    let mut flipped = history.segment.clone();
    flipped[history.ends[3] + 10] ^= 0x10;
    let copy = history.with_segment(&flipped);
    let Damage { path, at, .. } = damage(history.world.contents_after_crash(&copy));
    let offset = at.unwrap();
    assert_eq!(offset, history.ends[3] as u64);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(offset).unwrap();
    segments(&dir(&copy))[1..].iter().for_each(|later| fs::remove_file(later).unwrap());
    assert_eq!(history.world.contents_after_crash(&copy).unwrap(), history.states[3]);

    // A damaged header, and a missing segment (an empty file in its place).
    for index in 0..2 {
        let copy = history.copy();
        let paths = segments(&dir(&copy));
        fs::write(&paths[index], "").unwrap();
        paths[index + 1..].iter().for_each(|later| fs::remove_file(later).unwrap());
        let kept = [&history.states[0], &history.states[6]][index];
        assert_eq!(history.world.contents_after_crash(&copy).unwrap(), *kept);
    }
}

#[test]
fn exchanged_segments_refuse_the_start() {
    let history = History::of_two_segments();
    let copy = history.with_segment(&history.segment);
    let paths = segments(&copy.path().join("data"));
    let second = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &history.segment).unwrap();
    fs::write(&paths[0], second).unwrap();
    let found = history.world.contents_after_crash(&copy);
    assert!(is_journal_damaged(&found), "{found:?}");
}

#[test]
fn a_missing_segment_refuses_the_start() {
    let history = History::of_two_segments();
    for index in 0..2 {
        let copy = copy_of(&history.world.dir());
        let path = segments(&copy.path().join("data"))[index].clone();
        fs::remove_file(&path).unwrap();
        let found = history.world.contents_after_crash(&copy);
        let Damage { path: named, at: None, .. } = damage(found) else { panic!("it is not missing") };
        assert_eq!(named, path);
    }
}

#[test]
fn what_was_written_into_reserved_space_is_read_whole() {
    let mut file = tempfile::tempfile().expect("a file");
    fallocate(&file, FallocateFlags::empty(), 0, RESERVED).expect("space");
    assert_eq!(written_part(&mut file), Vec::<u8>::new());
    let content: Vec<u8> = (1..=255).cycle().take(70_000).collect();
    file.write_all_at(&content, 0).expect("written");
    assert_eq!(written_part(&mut file), content);
    file.sync_data().expect("synced");
    assert_eq!(written_part(&mut file), content);
}

#[test]
fn the_reader_reads_the_zeros_of_a_hole_that_a_frame_can_end_with() {
    let mut file = tempfile::tempfile().expect("a file");
    file.set_len(RESERVED).expect("a length");
    file.write_all_at(b"the front of a frame", 4076).expect("written");
    let mut bytes = Vec::new();
    read_written_part(&mut file, &mut bytes).expect("read");
    assert!(bytes.len() >= 4096 + MOST_ZEROS, "{} bytes", bytes.len());
    assert!(bytes[4096..].iter().all(|byte| *byte == 0));
    file.set_len(5000).expect("a length");
    bytes.clear();
    read_written_part(&mut file, &mut bytes).expect("read");
    assert_eq!(bytes.len(), 5000);
}

#[test]
fn zeros_that_fill_a_segment_take_no_memory() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all_at(&vec![0; 8 * 1024 * 1024], 0).expect("written");
    file.write_all_at(b"data", 3 * 1024 * 1024).expect("written");
    let mut bytes = Vec::new();
    read_written_part(&mut file, &mut bytes).expect("read");
    assert_eq!(bytes.len(), 3 * 1024 * 1024 + 4 + MOST_ZEROS);
}

/// A store after some commits, and its content after each of them.
struct History {
    world: World,
    /// The first segment.
    segment: Vec<u8>,
    /// The ends of its commits; the first entry is the start of the first.
    ends: Vec<usize>,
    /// The contents before the first commit and after each.
    states: Vec<Contents>,
}

impl History {
    fn of_six_commits() -> Self {
        let mut world = World::with_segments_of(4096);
        let mut states = vec![Contents::new()];
        let commits: [&[(u64, Option<&str>)]; 6] = [
            &[(1, Some("one")), (2, Some("two"))],
            &[(1, Some("one again"))],
            &[(3, Some("three")), (2, None)],
            &[(4, Some(""))],
            &[(3, None), (1, Some("one, a third time")), (5, Some("five"))],
            &[(5, Some("five again")), (6, Some("six"))],
        ];
        for commit in commits {
            world.batch(commit).unwrap();
            states.push(world.expected.clone());
        }
        let segment = fs::read(&segments(&world.dir())[0]).unwrap();
        let mut ends = vec![HEADER_BYTES];
        while let Some(frame) = frame::decode(&segment[ends[ends.len() - 1]..]) {
            ends.push(ends[ends.len() - 1] + frame.bytes);
        }
        assert_eq!(ends.len(), states.len());
        Self { world, segment, ends, states }
    }

    /// The same, with more commits in a second segment after a crash and a start.
    fn of_two_segments() -> Self {
        let mut history = Self::of_six_commits();
        history.world.crash_and_open();
        history.world.put(7, "seven");
        history.states.push(history.world.expected.clone());
        history
    }

    fn copy(&self) -> TempDir {
        copy_of(&self.world.dir())
    }

    /// The contents after the commits that `segment` has unchanged.
    fn state_in(&self, segment: &[u8]) -> &Contents {
        let whole = |end: &&usize| segment.get(..**end) == Some(&self.segment[..**end]);
        &self.states[self.ends.iter().filter(whole).count().saturating_sub(1)]
    }

    /// A copy of the data directory with another first segment.
    fn with_segment(&self, segment: &[u8]) -> TempDir {
        let copy = copy_of(&self.world.dir());
        fs::write(&segments(&copy.path().join("data"))[0], segment).unwrap();
        copy
    }
}

fn is_journal_damaged(found: &Result<Contents, StoreError>) -> bool {
    matches!(found, Err(StoreError::Damaged(Damage { at: Some(_), .. })))
}

/// Replays the journal of a copy, without a checkpoint.
fn replayed(copy: &TempDir) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    let mut see = |_: Place<'_>, record: RecordRef<'_>| {
        match record.put {
            Some(put) => drop(contents.insert(number(record.key), String::from_utf8(put.to_vec()).unwrap())),
            None => drop(contents.remove(&number(record.key))),
        }
        Ok::<_, StoreError>(())
    };
    replay::read(&copy.path().join("data/journal"), Some(Covered::default()), None, &mut see, &mut Err)?;
    Ok(contents)
}

fn cut_at(segment: &[u8], cut: usize, tail: Tail) -> Vec<u8> {
    let mut bytes = segment[..cut].to_vec();
    match tail {
        Tail::Nothing => return bytes,
        Tail::Zeros => {}
        // Long enough to reach into later commits, with the start of one.
        Tail::Garbage => bytes.extend(b"\xFFowF2".iter().cycle().take(150)),
    }
    bytes.resize(segment.len(), 0);
    bytes
}

/// A file system may report reserved space as data; then reading it returns zeros.
fn written_part(file: &mut fs::File) -> Vec<u8> {
    let mut bytes = Vec::new();
    read_written_part(file, &mut bytes).expect("read");
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
