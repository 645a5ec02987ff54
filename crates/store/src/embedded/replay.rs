//! Reading the journal back: exactly what was acknowledged, or an error.
//!
//! Only one frame is on its way to the disk at a time; therefore only the very last can be torn: only reserved space,
//! or the remains of an unacknowledged write, may follow the last whole frame. A whole frame after a broken one, a gap
//! in the sequences, or a broken end of a segment that a later one continues is damage. The caller decides the effect of
//! damage: a start ends with it, an examination notes it and the reader continues as well as possible.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use onceward_core::domain::Timestamp;

use super::frame::{self, Frame, FrameKind, HEADER_BYTES, Header, RECORD_OVERHEAD, RecordRef};
use super::segment;
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

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The snapshot or the segment that has it.
    pub path: &'a Path,
    /// In a segment, the byte at which its frame begins, and the sequence of the frame.
    pub frame: Option<(u64, u64)>,
}

/// Receives the records of a journal. An error ends the reading.
pub(super) type VisitRecord<'a, E> = &'a mut dyn FnMut(Place<'_>, RecordRef<'_>) -> Result<(), E>;

/// Receives damage and missing files. An error ends the reading; else the reader continues as well as possible.
pub type OnDamage<'a> = &'a mut dyn FnMut(StoreError) -> Result<(), StoreError>;

/// Counts and times of the segments that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalSummary {
    /// Segments that were written to.
    pub segments: u64,
    pub frames: u64,
    /// Records and removals.
    pub records: u64,
    /// The oldest time in any frame.
    pub oldest: Option<Timestamp>,
    /// The newest time in any frame.
    pub newest: Option<Timestamp>,
    /// Whether the store was closed in order.
    pub closed: bool,
    /// The remains of a write that was probably never acknowledged: their start and their length in bytes. Probably no
    /// damage: the next start cuts them off.
    pub torn: Option<(PathBuf, u64, u64)>,
}

/// The result of a replay, without the records.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) summary: JournalSummary,
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

/// Reads the segments in `journal` after the `covered` ones; all segments for `None`. Stops after the frame with the
/// sequence `until`, because later frames may be half written.
pub(super) fn read<E: From<StoreError>>(
    journal: &Path,
    covered: Option<Covered>,
    until: Option<u64>,
    visit: VisitRecord<'_, E>,
    on_damage: OnDamage<'_>,
) -> Result<Replayed, E> {
    let mut numbers = numbers(journal)?;
    // A checkpoint that could not remove every covered segment leaves some behind.
    numbers.retain(|number| covered.is_none_or(|covered| *number > covered.segment));
    let start = covered.unwrap_or_default();
    let mut reader = SegmentReplay {
        replayed: Replayed {
            last_segment: start.segment,
            last_sequence: start.sequence,
            ..Replayed::default()
        },
        expected: covered.map(|covered| covered.sequence + 1),
        until,
        unused: None,
        visit,
        on_damage,
    };
    if reader.is_done() {
        return Ok(reader.replayed);
    }
    // Without a snapshot, the first existing segment is the first.
    let first = numbers.first().copied().unwrap_or(1);
    let mut next = covered.map_or(first, |covered| covered.segment + 1);
    if numbers.is_empty() {
        (reader.on_damage)(StoreError::segment_missing(&segment::path(journal, next)))?;
    }
    let mut bytes = Vec::new();
    for number in numbers {
        if number > next {
            (reader.on_damage)(StoreError::segment_missing(&segment::path(journal, next)))?;
        }
        next = number + 1;
        let path = segment::path(journal, number);
        bytes.clear();
        match File::open(&path).and_then(|mut file| read_written_part(&mut file, &mut bytes)) {
            Ok(()) => reader.segment(&path, number, &bytes)?,
            Err(error) => (reader.on_damage)(StoreError::io("read", &path)(error))?,
        }
        if reader.is_done() {
            break;
        }
    }
    // One write has the header and the first frame: what is left of it was never acknowledged.
    if let Some((path, left)) = reader.unused.filter(|(_, left)| *left > 0) {
        reader.replayed.summary.torn.get_or_insert((path, 0, left));
    }
    Ok(reader.replayed)
}

/// The numbers of the segments in `journal`, in order.
pub(super) fn numbers(journal: &Path) -> Result<Vec<u64>, StoreError> {
    let list = || -> io::Result<Vec<u64>> {
        let number = |entry: io::Result<fs::DirEntry>| match entry {
            Ok(entry) => entry.file_name().to_str().and_then(segment::number_in).map(Ok),
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
    /// The sequence that comes next; `None` before the first if that is not known.
    expected: Option<u64>,
    until: Option<u64>,
    /// Path and length of a segment whose content is invalid. This is damage if a later segment was used.
    unused: Option<(PathBuf, u64)>,
    visit: VisitRecord<'a, E>,
    on_damage: OnDamage<'a>,
}

impl<E: From<StoreError>> SegmentReplay<'_, E> {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.replayed.last_sequence >= until)
    }

    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Result<(), E> {
        let Some(header) = Header::decode(bytes) else { return self.without_header(path, bytes) };
        self.nothing_torn_before()?;
        if header.number != number {
            let detail = format!("it is segment {} under the name of another", header.number);
            self.damaged(path, 0, detail)?;
        }
        let expected = *self.expected.get_or_insert(header.first_sequence);
        if header.first_sequence != expected {
            let found = header.first_sequence;
            let detail = format!("it begins with frame {found}, but {expected} is the next");
            self.damaged(path, 0, detail)?;
            self.expected = Some(found);
        }
        self.replayed.last_segment = number;
        self.replayed.used.push(path.to_owned());
        self.replayed.summary.segments += 1;
        self.frames(path, bytes, HEADER_BYTES)
    }

    /// A segment is written to beginning with its header; therefore this one never was; or the header is damaged.
    fn without_header(&mut self, path: &Path, bytes: &[u8]) -> Result<(), E> {
        let Some((offset, frame)) = frame::find(bytes, 0, 0) else {
            // An empty file is what remains of a first write that failed and was taken back.
            if self.unused.is_none() && !bytes.is_empty() {
                self.unused = Some((path.to_owned(), without_zeros_behind(bytes)));
            }
            return Ok(());
        };
        let detail = format!("its header cannot be read, but there is a frame at byte {offset}");
        self.damaged(path, 0, detail)?;
        self.expected.get_or_insert(frame.sequence);
        self.frames(path, bytes, offset)
    }

    fn nothing_torn_before(&mut self) -> Result<(), E> {
        if let Some((path, at, _)) = self.replayed.summary.torn.take() {
            let detail = "a frame cannot be read, and a later segment goes on behind it";
            self.damaged(&path, at, detail.into())?;
        }
        if let Some((path, _)) = self.unused.take() {
            self.damaged(&path, 0, "its header cannot be read, and a later segment was used".into())?;
        }
        Ok(())
    }

    fn frames(&mut self, path: &Path, bytes: &[u8], mut at: usize) -> Result<(), E> {
        loop {
            let expected = self.expected.unwrap_or_default();
            match frame::decode(&bytes[at..]).filter(|frame| frame.sequence == expected) {
                Some(frame) => {
                    self.frame(path, at, &frame)?;
                    at += frame.bytes;
                    if self.is_done() {
                        break;
                    }
                }
                None => match frame::find(bytes, at, expected) {
                    Some((offset, frame)) => {
                        let found = frame.sequence;
                        let detail = format!(
                            "frame {expected} cannot be read, but frame {found} is there at byte {offset}"
                        );
                        self.damaged(path, at as u64, detail)?;
                        self.expected = Some(found);
                        at = offset;
                    }
                    None => break,
                },
            }
        }
        self.replayed.bytes += at as u64;
        self.replayed.end = Some((path.to_owned(), at as u64));
        let left = if self.is_done() { 0 } else { without_zeros_behind(&bytes[at..]) };
        if left > 0 {
            self.replayed.summary.torn = Some((path.to_owned(), at as u64, left));
        }
        Ok(())
    }

    fn frame(&mut self, path: &Path, at: usize, frame: &Frame<'_>) -> Result<(), E> {
        if let Some(records) = frame.records() {
            self.replayed.summary.records += records.len() as u64;
            let place = Place { path, frame: Some((at as u64, frame.sequence)) };
            records.into_iter().try_for_each(|record| (self.visit)(place, record))?;
        } else {
            let detail = format!("frame {} has records that this program cannot read", frame.sequence);
            self.damaged(path, at as u64, detail)?;
        }
        self.replayed.last_sequence = frame.sequence;
        let summary = &mut self.replayed.summary;
        summary.frames += 1;
        summary.oldest = Some(summary.oldest.map_or(frame.time, |oldest| oldest.min(frame.time)));
        summary.newest = summary.newest.max(Some(frame.time));
        summary.closed = frame.kind == FrameKind::Closed;
        self.expected = Some(frame.sequence + 1);
        Ok(())
    }

    fn damaged(&mut self, path: &Path, offset: u64, detail: String) -> Result<(), E> {
        Ok((self.on_damage)(StoreError::damaged(path, Some(offset), detail, RESTORE))?)
    }
}

/// The number of bytes up to the last that is not zero.
fn without_zeros_behind(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Reads a file up to the end of its last written part. Zeros fill most of a segment, because its space is reserved: they
/// take no memory, except for as many as a frame can end with.
pub(super) fn read_written_part(file: &mut File, into: &mut Vec<u8>) -> io::Result<()> {
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
