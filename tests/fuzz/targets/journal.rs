//! The journal as a start reads it: frames and segments.

use std::cell::RefCell;
use std::path::Path;

use onceward::store::StoreError;
use onceward::store::reading::{self, JournalReading};
use tempfile::TempDir;

use super::support::journal_writer::{FrameSpec, Journal, Segments, fixed_up, header, newest};

/// One frame: unchanged, and with a corrected checksum.
pub fn frames(input: &[u8]) {
    for bytes in [input.to_vec(), fixed_up(input)] {
        let Some((keys, taken)) = reading::frame(&bytes) else { continue };
        // A record takes at least 27 bytes: the number of records depends on the bytes, and not on a field.
        let count = keys.len();
        assert!(taken <= bytes.len() && count * 27 + 33 <= taken, "{count} keys in {taken} bytes");
        let (_, again) = reading::frame(&bytes[..taken]).expect("the same frame");
        assert_eq!(again, taken, "it needs nothing behind it");
        assert!(reading::frame(&bytes[..taken - 1]).is_none(), "a frame that was cut");
    }
}

/// A folder with segments: arbitrary bytes as the only one, also after a valid header; and an independently written
/// journal with the input's damage.
pub fn journal(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    match first % 4 {
        0 => drop(read(&vec![(1, rest.to_vec())], 0, 0)),
        1 => drop(read(&vec![(1, [header(1, 1).as_slice(), rest].concat())], 0, 0)),
        // The largest sequence number.
        2 => {
            let last = FrameSpec { sequence: u64::MAX, ..FrameSpec::default() }.encoded();
            let bytes = [header(9, u64::MAX).as_slice(), &last, rest].concat();
            drop(read(&vec![(9, bytes)], 8, u64::MAX - 1));
        }
        _ => damaged(rest),
    }
}

/// A journal that the input describes, with one damage, which the reader must notice if possible.
fn damaged(input: &[u8]) {
    let (damage, description) = input.split_at(input.len().min(8));
    let journal = Journal::described(description);
    let whole = read(&journal.segments(), 0, 0).unwrap_or_else(|error| panic!("{error}"));
    let frames = journal.frames();
    assert_eq!((whole.last_sequence, whole.summary.torn.as_ref()), (frames.len() as u64, None), "all of it");
    assert_eq!(whole.latest, newest(frames));
    let Ok(damage) = <[u8; 8]>::try_from(damage) else { return };
    let Some((segments, hit)) = journal.damaged_by(damage) else { return };
    match read(&segments, 0, 0) {
        // Damage with nothing whole after it may be the end of an unacknowledged write. The reader notices any other.
        Ok(found) => {
            let count = frames.len();
            let (first, last) = hit.unwrap_or((count, count));
            assert!(last + 1 >= count, "frames {first} to {last} of {count} were passed over");
            assert_eq!(found.last_sequence, first as u64, "whole frames are kept");
            assert_eq!(found.latest, newest(&frames[..first]));
        }
        Err(StoreError::Damaged(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

/// Reads what follows the segment and the sequence number that a snapshot covers.
fn read(segments: &Segments, segment: u64, sequence: u64) -> Result<JournalReading, StoreError> {
    thread_local! {
        static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
        put(folder.path(), segments);
        let found = reading::journal(folder.path(), segment, sequence);
        if let Err(error) = &found {
            assert!(!error.to_string().is_empty());
        }
        found
    })
}

fn put(folder: &Path, segments: &Segments) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        std::fs::remove_file(entry.expect("a file").path()).expect("removed");
    }
    for (number, bytes) in segments {
        std::fs::write(folder.join(format!("{number:010}.seg")), bytes).expect("written");
    }
}
