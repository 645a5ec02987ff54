//! Cut or damaged journals: the start restores exactly what was acknowledged, or is refused.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::embedded::journal::{self, Covered, FRAME_HEAD, MOST_ZEROS, read_written_part};
use crate::record::RecordRef;

/// The bytes where a write was torn.
#[derive(Debug, Clone, Copy)]
enum Tail {
    Nothing,
    Zeros,
    Garbage,
}

const TAILS: [Tail; 3] = [Tail::Nothing, Tail::Zeros, Tail::Garbage];

#[test]
fn a_journal_cut_at_any_byte_keeps_whole_commits() {
    let history = History::of_six_commits();
    let copy = history.copy();
    for tail in TAILS {
        for cut in 0..=history.ends[6] {
            let segment = cut_at(&history.segment, cut, tail);
            write_first(&copy, &segment);
            let found = replayed(&copy).unwrap();
            assert_eq!(found, *history.state_in(&segment), "cut at {cut}, then {tail:?}");
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
        write_first(&copy, &flipped);
        match replayed(&copy) {
            // Only in the last commit, damage looks like a torn write.
            Ok(found) => {
                assert!(bit / 8 >= last, "bit {bit} flipped and was not noticed");
                assert_eq!(found, history.states[5], "bit {bit}");
            }
            Err(StoreError::Damaged { at: Some(offset), .. }) => {
                assert!(bit / 8 < last);
                assert!(offset <= bit as u64 / 8, "bit {bit} reported at {offset}");
            }
            Err(other) => panic!("bit {bit}: {other}"),
        }
    }
}

#[test]
fn after_an_orderly_end_damage_of_the_last_commit_is_found_too() {
    let mut history = History::of_six_commits();
    // The last checkpoint fails: the commits stay in the journal.
    history.world.disk.fail(Operation::Step("Written"), Errno::IO);
    let closed = history.world.close().unwrap_err();
    assert!(closed.to_string().contains("is in the journal"), "{closed}");
    history.world.assert_crash_safe("closed");
    let copy = history.copy();
    history.segment = fs::read(&segments(copy.path())[0]).unwrap();
    for at in history.ends[5]..history.ends[6] {
        write_first(&copy, &history.flipped(at));
        is_refused(&copy, &format!("byte {at}"));
    }
}

#[test]
fn a_damaged_end_of_an_older_segment_refuses_the_start() {
    let history = History::of_two_segments();
    let (last, end) = (history.ends[5], history.ends[6]);
    let copy = history.copy();
    for tail in TAILS {
        for cut in 0..end {
            write_first(&copy, &cut_at(&history.segment, cut, tail));
            is_refused(&copy, &format!("cut at {cut}, then {tail:?}"));
        }
    }
    for at in last..end + 40 {
        write_first(&copy, &history.flipped(at));
        is_refused(&copy, &format!("byte {at} flipped"));
    }
    write_first(&copy, &history.segment);
    fs::write(&segments(copy.path())[1], &history.segment).unwrap();
    is_refused(&copy, "an older segment in the place of the newest");
}

#[test]
fn the_rest_is_restored_after_an_operator_cuts_off_the_damage() {
    let history = History::of_two_segments();
    let copy = history.copy();
    write_first(&copy, &history.flipped(history.ends[3] + 10));
    let (text, at) = damage(history.world.contents_after_crash(&copy));
    let paths = segments(copy.path());
    assert!(text.contains(paths[0].to_str().unwrap()), "{text}");
    assert_eq!(at, Some(history.ends[3] as u64));
    fs::OpenOptions::new().write(true).open(&paths[0]).unwrap().set_len(at.unwrap()).unwrap();
    // A file with another name is no segment.
    paths[1..].iter().for_each(|later| fs::rename(later, later.with_extension("old")).unwrap());
    assert_eq!(history.world.contents_after_crash(&copy).unwrap(), history.states[3]);

    // A damaged first commit, and a missing segment (an empty file in its place).
    for index in 0..2 {
        let copy = history.copy();
        let paths = segments(copy.path());
        fs::write(&paths[index], "").unwrap();
        paths[index + 1..].iter().for_each(|later| fs::remove_file(later).unwrap());
        let kept = [&history.states[0], &history.states[6]][index];
        assert_eq!(history.world.contents_after_crash(&copy).unwrap(), *kept);
    }
}

#[test]
fn zeros_that_fill_a_segment_take_no_memory() {
    let file = tempfile::tempfile().expect("a file");
    file.write_all_at(&vec![0; 8 * 1024 * 1024], 0).expect("written");
    file.write_all_at(b"data", 3 * 1024 * 1024).expect("written");
    let mut bytes = Vec::new();
    read_written_part(&file, &mut bytes).expect("read");
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
        let mut world = World::with_sizes(4096, 1024 * 1024);
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
        let mut ends = vec![0];
        while let Some(frame) = journal::decode_frame(&segment[ends[ends.len() - 1]..]) {
            ends.push(ends[ends.len() - 1] + FRAME_HEAD + frame.body.len());
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

    /// The first segment with a flipped bit in this byte.
    fn flipped(&self, at: usize) -> Vec<u8> {
        let mut flipped = self.segment.clone();
        flipped[at] ^= 0x10;
        flipped
    }

    /// The contents after the commits that `segment` has unchanged.
    fn state_in(&self, segment: &[u8]) -> &Contents {
        let whole = |end: &&usize| segment.get(..**end) == Some(&self.segment[..**end]);
        &self.states[self.ends.iter().filter(whole).count().saturating_sub(1)]
    }
}

/// Replaces the first segment of a copy.
fn write_first(copy: &TempDir, segment: &[u8]) {
    fs::write(&segments(copy.path())[0], segment).unwrap();
}

/// Fails unless the journal is refused as damaged in one place.
fn is_refused(copy: &TempDir, what: &str) {
    let found = replayed(copy);
    assert!(matches!(found, Err(StoreError::Damaged { at: Some(_), .. })), "{what}: {found:?}");
}

/// Replays the journal of a copy, without a checkpoint.
fn replayed(copy: &TempDir) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    let mut see = |record: RecordRef<'_>| {
        let text = record.put.map(|put| str::from_utf8(put).unwrap());
        apply(&mut contents, &[(number(record.key), text)]);
        Ok::<_, StoreError>(())
    };
    let journal = journal::open_segments(&copy.path().join("journal"), Covered::default())?;
    journal::read_segments(&journal, Covered::default(), None, &mut see)?;
    Ok(contents)
}

fn cut_at(segment: &[u8], cut: usize, tail: Tail) -> Vec<u8> {
    let mut bytes = segment[..cut].to_vec();
    match tail {
        Tail::Nothing => return bytes,
        Tail::Zeros => {}
        // Long enough to reach into later commits, with the start of one.
        Tail::Garbage => bytes.extend(b"\xFFowj1".iter().cycle().take(150)),
    }
    bytes.resize(segment.len(), 0);
    bytes
}
