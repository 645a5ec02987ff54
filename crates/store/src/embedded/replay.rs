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
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::error::OpenError;
use super::frame::{self, Frame, FrameKind, RECORD_OVERHEAD, RecordRef};
use super::segment::{self, HEADER_BYTES, Header};
use crate::LONGEST_RECORD;

/// The most zeros that a frame can end with: those of its last record, whose length may also be zero.
pub(super) const MOST_ZEROS: u64 = (RECORD_OVERHEAD + LONGEST_RECORD) as u64;

/// The part of the journal that a snapshot replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Covered {
    /// The last segment of the journal whose records it has.
    pub(super) segment: u64,
    /// The last sequence in it.
    pub(super) sequence: u64,
}

/// Where a record is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The snapshot or the segment that has it.
    pub(super) path: &'a Path,
    /// In a segment, the byte at which its frame begins, and the sequence of the frame.
    pub(super) frame: Option<(usize, u64)>,
}

/// Receives the records of a journal. An error ends the reading.
pub(super) type VisitRecord<'a> = &'a mut dyn FnMut(Place<'_>, RecordRef<'_>) -> Result<(), OpenError>;

/// Receives damage and missing files. An error ends the reading; else the reader continues as well as possible.
pub(super) type OnDamage<'a> = &'a mut dyn FnMut(OpenError) -> Result<(), OpenError>;

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
pub(super) fn read(
    journal: &Path,
    covered: Option<Covered>,
    until: Option<u64>,
    visit: VisitRecord<'_>,
    on_damage: OnDamage<'_>,
) -> Result<Replayed, OpenError> {
    let mut numbers = numbers(journal)?;
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
        (reader.on_damage)(OpenError::SegmentMissing { path: segment::path(journal, next) })?;
    }
    let mut bytes = Vec::new();
    for number in numbers {
        if number > next {
            (reader.on_damage)(OpenError::SegmentMissing { path: segment::path(journal, next) })?;
        }
        next = number + 1;
        let path = segment::path(journal, number);
        bytes.clear();
        match File::open(&path).and_then(|mut file| read_written_part(&mut file, &mut bytes)) {
            Ok(()) => reader.segment(&path, number, &bytes)?,
            Err(error) => (reader.on_damage)(OpenError::io("read", &path)(error))?,
        }
        if reader.is_done() {
            break;
        }
    }
    if let Some((path, left)) = reader.unused.filter(|(_, left)| *left > 0) {
        reader.replayed.summary.torn.get_or_insert((path, 0, left));
    }
    Ok(reader.replayed)
}

/// The numbers of the segments in `journal`, in order.
pub(super) fn numbers(journal: &Path) -> Result<Vec<u64>, OpenError> {
    let failed = || OpenError::io("read", journal);
    let mut numbers = Vec::new();
    let entries = fs::read_dir(journal).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OpenError::JournalMissing { path: journal.to_owned() },
        _ => failed()(source),
    })?;
    for entry in entries {
        let name = entry.map_err(failed())?.file_name();
        numbers.extend(name.to_str().and_then(segment::number_in));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

struct SegmentReplay<'a> {
    replayed: Replayed,
    /// The sequence that comes next; `None` before the first if that is not known.
    expected: Option<u64>,
    until: Option<u64>,
    /// Path and length of a segment whose content is invalid. This is damage if a later segment was used.
    unused: Option<(PathBuf, u64)>,
    visit: VisitRecord<'a>,
    on_damage: OnDamage<'a>,
}

impl SegmentReplay<'_> {
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.replayed.last_sequence >= until)
    }

    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Result<(), OpenError> {
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
    fn without_header(&mut self, path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
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

    fn nothing_torn_before(&mut self) -> Result<(), OpenError> {
        if let Some((path, at, _)) = self.replayed.summary.torn.take() {
            let detail = "a frame cannot be read, and a later segment goes on behind it";
            self.damaged(&path, at, detail.into())?;
        }
        if let Some((path, _)) = self.unused.take() {
            self.damaged(&path, 0, "its header cannot be read, and a later segment was used".into())?;
        }
        Ok(())
    }

    fn frames(&mut self, path: &Path, bytes: &[u8], mut at: usize) -> Result<(), OpenError> {
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

    fn frame(&mut self, path: &Path, at: usize, frame: &Frame<'_>) -> Result<(), OpenError> {
        if let Some(records) = frame.records() {
            self.replayed.summary.records += records.len() as u64;
            let place = Place { path, frame: Some((at, frame.sequence)) };
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

    fn damaged(&mut self, path: &Path, offset: u64, detail: String) -> Result<(), OpenError> {
        (self.on_damage)(OpenError::JournalDamaged { path: path.to_owned(), offset, detail })
    }
}

/// The number of bytes up to the last that is not zero.
fn without_zeros_behind(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Reads a file up to the end of its last written part. Zeros fill most of a segment, because its space is reserved:
/// they take no memory, and where the file system tells holes from data they are not read.
///
/// Written zeros may look like reserved space, because some file systems and sparse copies store them as holes.
/// Therefore the result has up to as many zeros after the last other byte as a frame can end with.
pub(super) fn read_written_part(file: &mut File, into: &mut Vec<u8>) -> io::Result<()> {
    const CHUNK_BYTES: usize = 256 * 1024;
    let end = end_of_data(file)?.saturating_add(MOST_ZEROS);
    file.rewind()?;
    let mut rest = file.take(end);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut zeros = 0;
    while rest.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? > 0 {
        let used = chunk.len() - chunk.iter().rev().take_while(|byte| **byte == 0).count();
        if used > 0 {
            into.resize(into.len() + zeros, 0);
            into.extend_from_slice(&chunk[..used]);
            zeros = 0;
        }
        zeros += chunk.len() - used;
        chunk.clear();
    }
    into.resize(into.len() + zeros.min(RECORD_OVERHEAD + LONGEST_RECORD), 0);
    Ok(())
}

/// The end of the last data; the whole length if the file system does not distinguish data from holes.
fn end_of_data(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = 0;
    while end < length {
        let data = match seek(file, SeekFrom::Data(end)) {
            Ok(data) => data,
            // No data follows.
            Err(Errno::NXIO) => return Ok(end),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(length),
            Err(error) => return Err(error.into()),
        };
        // The end of the file counts as a hole; therefore there is always one.
        end = seek(file, SeekFrom::Hole(data))?;
    }
    Ok(length)
}
