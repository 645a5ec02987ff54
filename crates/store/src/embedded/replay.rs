//! Reading the journal back: exactly what was acknowledged, or an error.
//!
//! Only one frame is on its way to the disk at a time; therefore only the very last can be torn: only reserved space,
//! or the remains of an unacknowledged write, may follow the last whole frame. A whole frame after a broken one, a gap
//! in the sequences, or a broken end of a segment that a later one continues is damage, and ends the reading.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use onceward_core::domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::names;
use super::frame;
use crate::record::{RECORD_HEAD, RecordRef};
use crate::{LONGEST_RECORD, StoreError};

/// The most zeros that a frame can end with: those of its last record, whose length may also be zero.
pub(super) const MOST_ZEROS: usize = RECORD_HEAD + LONGEST_RECORD;

/// A place in the journal: the part up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Covered {
    /// The last segment.
    pub(super) segment: u64,
    /// The last sequence in it.
    pub(super) sequence: u64,
}

/// A segment that is being read: its number, path and file. It can be read although a checkpoint has removed it.
pub(super) type OpenSegment = (u64, PathBuf, File);

/// The result of a replay, without the records.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The last segment that was written to, or that the snapshot covers, and the last sequence in it.
    pub(super) last: Covered,
    /// Records and removals.
    pub(super) records: u64,
    /// The newest time in any frame.
    pub(super) newest: Timestamp,
    /// The number of bytes written to the segments.
    pub(super) bytes: u64,
    /// The segments that a process has written to. Their bytes may be in the system's cache only.
    pub(super) used: Vec<PathBuf>,
    /// Where the last frame of the last of them ends.
    pub(super) end: u64,
    /// Where the remains of a write begin that was probably never acknowledged. The next start cuts them off.
    pub(super) torn: Option<(PathBuf, u64)>,
}

/// The file of segment `number` in the journal's directory.
pub(super) fn segment_path(journal: &Path, number: u64) -> PathBuf {
    journal.join(format!("{number:010}.seg"))
}

/// A number as the names of segments and snapshots have it.
pub(super) fn parse_number(digits: &str) -> Option<u64> {
    // `parse` also reads a sign and further zeros, but a path gives each number one name only.
    let number = digits.parse().ok()?;
    (format!("{number:010}") == digits).then_some(number)
}

/// The numbers of the segments in `journal`, in order.
pub(super) fn numbers(journal: &Path) -> Result<Vec<u64>, StoreError> {
    let number = |name: &String| parse_number(name.strip_suffix(".seg")?);
    let mut numbers: Vec<_> = names(journal)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens the segments in `journal` after the covered ones, in order.
pub(super) fn open(journal: &Path, covered: Covered) -> Result<Vec<OpenSegment>, StoreError> {
    if !journal.exists() {
        return Err(StoreError::damaged(journal, "is missing, and with it changes that were acknowledged"));
    }
    let missing = |number| {
        let what = "is missing, and with it changes that were acknowledged: it was removed, or the snapshot beside it is \
                    older than it should be";
        StoreError::damaged(&segment_path(journal, number), what)
    };
    // A checkpoint that could not remove every covered segment leaves some behind.
    let numbers = numbers(journal)?.into_iter().filter(|number| *number > covered.segment);
    let open = |(next, number)| {
        // Each has to follow the one before.
        if number != next {
            return Err(missing(next));
        }
        let path = segment_path(journal, number);
        let file = File::open(&path).map_err(StoreError::io("read", &path))?;
        Ok((number, path, file))
    };
    let segments: Vec<_> = (covered.segment + 1..).zip(numbers).map(open).collect::<Result<_, _>>()?;
    if segments.is_empty() {
        return Err(missing(covered.segment + 1));
    }
    Ok(segments)
}

/// Reads segments. Stops after the frame with the sequence `until`, because later frames may be half written. An error of
/// the visitor ends the reading.
pub(super) fn read<E: From<StoreError>>(
    segments: &[OpenSegment],
    covered: Covered,
    until: Option<u64>,
    visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
) -> Result<Replayed, E> {
    let mut replayed = Replayed { last: covered, ..Replayed::default() };
    let is_done = |replayed: &Replayed| until.is_some_and(|until| replayed.last.sequence >= until);
    // The place that no frame may follow.
    let mut broken: Option<(&Path, usize)> = None;
    let mut bytes = Vec::new();
    for (number, path, file) in segments {
        if is_done(&replayed) {
            break;
        }
        bytes.clear();
        read_written_part(file, &mut bytes).map_err(StoreError::io("read", path))?;
        let mut at = 0;
        while !is_done(&replayed) {
            let next = replayed.last.sequence + 1;
            let frame = frame::decode(&bytes[at..]).filter(|frame| frame.sequence == next);
            // A segment that begins with an older frame is a copy of another one.
            let least = if at == 0 { 0 } else { next };
            let later = if frame.is_none() { frame::find(&bytes, at, least) } else { None };
            if let Some((path, at)) = broken.filter(|_| frame.is_some() || later.is_some()) {
                let what = "it cannot be read on from there, and a later segment was used";
                return Err(StoreError::damaged_at(path, at, what).into());
            }
            if let Some((offset, found)) = later {
                let what =
                    format!("frame {next} cannot be read, but frame {found} is there at byte {offset}");
                return Err(StoreError::damaged_at(path, at, &what).into());
            }
            let Some(frame) = frame else {
                broken = broken.or_else(|| has_content(&bytes[at..]).then_some((path, at)));
                break;
            };
            let mut rest = frame.body;
            while !rest.is_empty() {
                let Some(record) = RecordRef::decode(&mut rest) else {
                    let what = format!("frame {next} has records that this program cannot read");
                    return Err(StoreError::damaged_at(path, at, &what).into());
                };
                replayed.records += 1;
                visit(record)?;
            }
            replayed.last = Covered { segment: *number, sequence: next };
            replayed.newest = replayed.newest.max(frame.time);
            at += frame::FRAME_HEAD + frame.body.len();
        }
        if at > 0 {
            replayed.used.push(path.clone());
            replayed.bytes += at as u64;
            replayed.end = at as u64;
        }
    }
    replayed.torn = broken.map(|(path, at)| (path.to_owned(), at as u64));
    Ok(replayed)
}

fn has_content(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// Reads a file up to the end of its last written part. Zeros fill most of a segment, because its space is reserved: they
/// take no memory, except for as many as a frame can end with.
pub(super) fn read_written_part(mut file: &File, into: &mut Vec<u8>) -> io::Result<()> {
    const CHUNK_BYTES: usize = 256 * 1024;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut zeros = 0;
    file.rewind()?;
    while file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? > 0 {
        let used = chunk.len() - chunk.iter().rev().take_while(|byte| **byte == 0).count();
        if used > 0 {
            into.resize(into.len() + zeros, 0);
            into.extend_from_slice(&chunk[..used]);
            zeros = 0;
        }
        zeros += chunk.len() - used;
        chunk.clear();
    }
    into.resize(into.len() + zeros.min(MOST_ZEROS), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_name_is_no_segment() {
        let home = tempfile::tempdir().expect("a directory");
        for name in
            ["0000000012.seg", "12345678901.seg", "12.seg", "0000000012.seg.old", "0000000012", ".seg"]
        {
            std::fs::write(home.path().join(name), "x").expect("a file");
        }
        assert_eq!(numbers(home.path()), Ok(vec![12, 12_345_678_901]));
        assert_eq!(parse_number("+000000012"), None);
        assert_eq!(parse_number("00000000012"), None);
    }
}
