//! Reading the journal back: exactly what was acknowledged, or an error.
//!
//! Only one frame is on its way to the disk at a time; therefore only the very last can be torn: only reserved space,
//! or the remains of an unacknowledged write, may follow the last whole frame. A whole frame after a broken one, a gap
//! in the sequences, or a broken end of a segment that a later one continues is damage, and ends the reading.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use onceward_core::domain::Timestamp;

use super::frame::{self, Frame, FrameKind, HEADER_BYTES, Header, RECORD_OVERHEAD, RecordRef};
use super::journal;
use crate::error::{PUT_BACK, RESTORE};
use crate::{LONGEST_RECORD, StoreError};

/// The most zeros that a frame can end with: those of its last record, whose length may also be zero.
pub(super) const MOST_ZEROS: usize = RECORD_OVERHEAD + LONGEST_RECORD;

/// The part of the journal that a snapshot replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Covered {
    /// The last segment of the journal whose records it has.
    pub(super) segment: u64,
    /// The last sequence in it.
    pub(super) sequence: u64,
}

/// Receives the records of a journal. An error ends the reading.
pub(super) type VisitRecord<'a, E> = &'a mut dyn FnMut(RecordRef<'_>) -> Result<(), E>;

/// A segment that is being read. It can be read although a checkpoint has removed it.
pub(super) struct OpenSegment {
    number: u64,
    path: PathBuf,
    file: File,
}

/// The result of a replay, without the records.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Segments that were written to.
    pub(super) segments: u64,
    /// Records and removals.
    pub(super) records: u64,
    /// The newest time in any frame.
    pub(super) newest: Option<Timestamp>,
    /// Whether the store was closed in order.
    pub(super) closed: bool,
    /// Where the remains of a write begin that was probably never acknowledged. The next start cuts them off.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// The last segment that was written to, or that the snapshot covers.
    pub(super) last_segment: u64,
    /// The last sequence in it.
    pub(super) last_sequence: u64,
    /// The number of bytes written to the segments.
    pub(super) bytes: u64,
    /// The last segment that was written to, and where its last frame ends.
    pub(super) end: Option<(PathBuf, u64)>,
    /// The segments that a process has written to. Their bytes may be in the system's cache only.
    pub(super) used: Vec<PathBuf>,
}

/// Opens the segments in `journal` after the covered ones, in order.
pub(super) fn open(journal: &Path, covered: Covered) -> Result<Vec<OpenSegment>, StoreError> {
    // A checkpoint that could not remove every covered segment leaves some behind.
    let numbers = numbers(journal)?.into_iter().filter(|number| *number > covered.segment);
    let open = |number| {
        let path = journal::segment_path(journal, number);
        let file = File::open(&path).map_err(StoreError::io("read", &path))?;
        Ok(OpenSegment { number, path, file })
    };
    let segments: Vec<OpenSegment> = numbers.map(open).collect::<Result<_, StoreError>>()?;
    // Each has to follow the one before.
    let missing = (covered.segment + 1..).zip(&segments).find(|(next, found)| found.number != *next);
    let missing =
        missing.map(|(next, _)| next).or_else(|| segments.is_empty().then_some(covered.segment + 1));
    missing
        .map_or(Ok(segments), |next| Err(StoreError::segment_missing(&journal::segment_path(journal, next))))
}

/// Reads segments. Stops after the frame with the sequence `until`, because later frames may be half written.
pub(super) fn read<E: From<StoreError>>(
    segments: &[OpenSegment],
    covered: Covered,
    until: Option<u64>,
    visit: VisitRecord<'_, E>,
) -> Result<Replayed, E> {
    let mut reader = SegmentReplay {
        replayed: Replayed {
            last_segment: covered.segment,
            last_sequence: covered.sequence,
            ..Replayed::default()
        },
        until,
        unused: None,
        visit,
    };
    let mut bytes = Vec::new();
    for OpenSegment { number, path, file } in segments {
        if reader.is_done() {
            return Ok(reader.replayed);
        }
        bytes.clear();
        read_written_part(file, &mut bytes).map_err(StoreError::io("read", path))?;
        reader.segment(path, *number, &bytes)?;
    }
    // One write has the header and the first frame: what is left of it was never acknowledged.
    if let Some((path, _)) = reader.unused.filter(|(_, left)| *left > 0) {
        reader.replayed.torn.get_or_insert((path, 0));
    }
    Ok(reader.replayed)
}

/// The numbers of the segments in `journal`, in order.
pub(super) fn numbers(journal: &Path) -> Result<Vec<u64>, StoreError> {
    let list = || -> io::Result<Vec<u64>> {
        let number = |entry: io::Result<fs::DirEntry>| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(journal::segment_number).map(Ok),
            Err(error) => Some(Err(error)),
        };
        fs::read_dir(journal)?.filter_map(number).collect()
    };
    let mut numbers = list().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let what = "is missing, and with it changes that were acknowledged";
            StoreError::damaged(journal, None, what, PUT_BACK)
        }
        _ => StoreError::io("read", journal)(error),
    })?;
    numbers.sort_unstable();
    Ok(numbers)
}

struct SegmentReplay<'a, E> {
    replayed: Replayed,
    until: Option<u64>,
    /// Path and length of a segment whose content is invalid. This is damage if a later segment was used.
    unused: Option<(PathBuf, u64)>,
    visit: VisitRecord<'a, E>,
}

impl<E: From<StoreError>> SegmentReplay<'_, E> {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.replayed.last_sequence >= until)
    }

    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Result<(), E> {
        let Some(header) = Header::decode(bytes) else { return self.without_header(path, bytes) };
        if let Some((path, at)) = self.replayed.torn.take() {
            return damaged(&path, at, "a frame cannot be read, and a later segment goes on behind it");
        }
        if let Some((path, _)) = self.unused.take() {
            return damaged(&path, 0, "its header cannot be read, and a later segment was used");
        }
        if header.number != number {
            return damaged(path, 0, format!("it is segment {} under the name of another", header.number));
        }
        let (found, expected) = (header.first_sequence, self.replayed.last_sequence + 1);
        if found != expected {
            return damaged(path, 0, format!("it begins with frame {found}, but {expected} is the next"));
        }
        self.replayed.last_segment = number;
        self.replayed.used.push(path.to_owned());
        self.replayed.segments += 1;
        self.frames(path, bytes)
    }

    /// A segment is written to beginning with its header; therefore this one never was; or the header is damaged.
    fn without_header(&mut self, path: &Path, bytes: &[u8]) -> Result<(), E> {
        if let Some((offset, _)) = frame::find(bytes, 0, 0) {
            let detail = format!("its header cannot be read, but there is a frame at byte {offset}");
            return damaged(path, 0, detail);
        }
        // An empty file is what remains of a first write that failed and was taken back.
        if self.unused.is_none() && !bytes.is_empty() {
            self.unused = Some((path.to_owned(), without_zeros_behind(bytes)));
        }
        Ok(())
    }

    fn frames(&mut self, path: &Path, bytes: &[u8]) -> Result<(), E> {
        let mut at = HEADER_BYTES;
        while !self.is_done() {
            let expected = self.replayed.last_sequence + 1;
            let Some(frame) = frame::decode(&bytes[at..]).filter(|frame| frame.sequence == expected) else {
                if let Some((offset, Frame { sequence: found, .. })) = frame::find(bytes, at, expected) {
                    let detail = format!(
                        "frame {expected} cannot be read, but frame {found} is there at byte {offset}"
                    );
                    return damaged(path, at as u64, detail);
                }
                break;
            };
            self.frame(path, at, &frame)?;
            at += frame.bytes;
        }
        self.replayed.bytes += at as u64;
        self.replayed.end = Some((path.to_owned(), at as u64));
        if !self.is_done() && without_zeros_behind(&bytes[at..]) > 0 {
            self.replayed.torn = Some((path.to_owned(), at as u64));
        }
        Ok(())
    }

    fn frame(&mut self, path: &Path, at: usize, frame: &Frame<'_>) -> Result<(), E> {
        let Some(records) = frame.records() else {
            let detail = format!("frame {} has records that this program cannot read", frame.sequence);
            return damaged(path, at as u64, detail);
        };
        self.replayed.records += records.len() as u64;
        records.into_iter().try_for_each(|record| (self.visit)(record))?;
        self.replayed.last_sequence = frame.sequence;
        self.replayed.newest = self.replayed.newest.max(Some(frame.time));
        self.replayed.closed = frame.kind == FrameKind::Closed;
        Ok(())
    }
}

fn damaged<E: From<StoreError>>(path: &Path, at: u64, detail: impl Into<String>) -> Result<(), E> {
    Err(StoreError::damaged(path, Some(at), detail, RESTORE).into())
}

/// The number of bytes up to the last that is not zero.
fn without_zeros_behind(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
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
