//! Reading the journal back at start: exactly what was acknowledged, or an error.
//!
//! Only one frame is ever on its way to the disk, so only the very last can be torn: nothing but
//! reserved space, or what is left of a write that nobody was told of, may follow the last whole
//! frame. A whole frame behind a broken one, a gap in the sequences, or a broken end of a segment
//! that a later one continues is damage, and damage is an error.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::changes::Changes;
use super::error::OpenError;
use super::extent;
use super::frame::{self, FrameKind};
use super::segment::{self, HEADER_BYTES, Header};
use super::snapshot::Covered;
use crate::{Revision, Write};
use onceward_core::domain::Timestamp;

/// What the journal says.
#[derive(Debug)]
pub(super) struct Replayed {
    /// What was written since the snapshot.
    pub(super) changes: Changes,
    /// The last segment that was written to, or that the snapshot covers.
    pub(super) last_segment: u64,
    /// The last sequence in it.
    pub(super) last_sequence: u64,
    /// The newest time of any frame, those that the snapshot covers included.
    pub(super) last_time: Timestamp,
    /// How many records were read.
    pub(super) records: u64,
    /// How many segments they were in.
    pub(super) segments: u64,
    /// Whether the store was closed in order.
    pub(super) closed: bool,
    /// Where the last segment must be cut, because a write to it was torn.
    pub(super) torn: Option<(PathBuf, u64)>,
    /// The last segment that was written to, and where its last change set ends.
    pub(super) end: Option<(PathBuf, u64)>,
    /// The segments that were written to. What was read may be in the system's cache only.
    pub(super) used: Vec<PathBuf>,
    /// Segments that the snapshot covers and that can go.
    pub(super) obsolete: Vec<PathBuf>,
}

/// Reads the segments in `journal` behind what is `covered`. `progress` is told now and then
/// how many records there were so far.
pub(super) fn replay(
    journal: &Path,
    covered: Covered,
    progress: impl FnMut(u64),
) -> Result<Replayed, OpenError> {
    let numbers = numbers(journal)?;
    let (obsolete, numbers): (Vec<u64>, Vec<u64>) =
        numbers.into_iter().partition(|number| *number <= covered.segment);
    let newest = numbers.last().copied().unwrap_or(0).max(covered.segment + 1);
    let missing = (covered.segment + 1..=newest).find(|number| numbers.binary_search(number).is_err());
    if let Some(number) = missing {
        return Err(OpenError::SegmentMissing { path: segment::path(journal, number) });
    }
    let mut replay = Replay {
        replayed: Replayed {
            changes: Changes::default(),
            last_segment: covered.segment,
            last_sequence: covered.sequence,
            last_time: covered.time,
            records: 0,
            segments: 0,
            closed: false,
            torn: None,
            end: None,
            used: Vec::new(),
            obsolete: obsolete.into_iter().map(|number| segment::path(journal, number)).collect(),
        },
        unused: None,
        progress,
    };
    let mut bytes = Vec::new();
    for number in numbers {
        let path = segment::path(journal, number);
        bytes.clear();
        let read = File::open(&path).and_then(|mut file| extent::read_written_part(&mut file, &mut bytes));
        read.map_err(OpenError::io("read", &path))?;
        replay.segment(&path, number, &bytes)?;
    }
    Ok(replay.replayed)
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

struct Replay<P> {
    replayed: Replayed,
    /// A segment with something in it that is not worth anything, unless a later one was used.
    unused: Option<PathBuf>,
    progress: P,
}

impl<P: FnMut(u64)> Replay<P> {
    fn segment(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Result<(), OpenError> {
        let Some(header) = Header::decode(bytes) else {
            return self.without_header(path, bytes);
        };
        self.nothing_open_before()?;
        if header.number != number {
            let detail = format!("it is segment {} under the name of another", header.number);
            return Err(damaged(path, 0, detail));
        }
        let expected = self.replayed.last_sequence + 1;
        if header.first_sequence != expected {
            let found = header.first_sequence;
            let detail = format!("it begins with change set {found}, but {expected} is the next");
            return Err(damaged(path, 0, detail));
        }
        self.replayed.last_segment = number;
        self.replayed.used.push(path.to_owned());
        self.replayed.segments += 1;
        self.frames(path, bytes)
    }

    /// A segment is written to beginning with its header, so this one never was; or the header
    /// is damaged.
    fn without_header(&mut self, path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
        if let Some((offset, _)) = frame::find(bytes, 0, 0) {
            let detail = format!("its header cannot be read, but there is a change set at byte {offset}");
            return Err(damaged(path, 0, detail));
        }
        // An empty file is what remains of a first write that failed and was taken back.
        if self.unused.is_none() && !bytes.is_empty() {
            self.unused = Some(path.to_owned());
        }
        Ok(())
    }

    fn nothing_open_before(&self) -> Result<(), OpenError> {
        if let Some((path, offset)) = &self.replayed.torn {
            let detail = "a change set cannot be read, and a later segment goes on behind it".into();
            return Err(damaged(path, *offset, detail));
        }
        match &self.unused {
            Some(path) => {
                Err(damaged(path, 0, "its header cannot be read, and a later segment was used".into()))
            }
            None => Ok(()),
        }
    }

    fn frames(&mut self, path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
        let mut at = HEADER_BYTES;
        loop {
            let expected = self.replayed.last_sequence + 1;
            let next = frame::decode(&bytes[at..]).filter(|frame| frame.sequence == expected);
            let Some(frame) = next else { return self.end(path, bytes, at, expected) };
            self.apply(&frame).ok_or_else(|| {
                damaged(
                    path,
                    at as u64,
                    format!("change set {expected} has records that this program cannot read"),
                )
            })?;
            at += frame.bytes;
        }
    }

    fn apply(&mut self, frame: &frame::Frame<'_>) -> Option<()> {
        for record in frame.records()? {
            let put = record.put.map(Bytes::copy_from_slice);
            let (key, gc_after) = (record.key, record.gc_after);
            let write = Write { key, expect: Revision::ABSENT, put, gc_after };
            self.replayed.changes.apply(frame.sequence, write, true);
            self.replayed.records += 1;
        }
        self.replayed.last_sequence = frame.sequence;
        self.replayed.last_time = self.replayed.last_time.max(frame.time);
        self.replayed.closed = frame.kind == FrameKind::Closed;
        (self.progress)(self.replayed.records);
        Some(())
    }

    fn end(&mut self, path: &Path, bytes: &[u8], at: usize, expected: u64) -> Result<(), OpenError> {
        if let Some((offset, frame)) = frame::find(bytes, at, expected) {
            let detail = format!(
                "change set {expected} cannot be read, but change set {} is there at byte {offset}",
                frame.sequence
            );
            return Err(damaged(path, at as u64, detail));
        }
        self.replayed.end = Some((path.to_owned(), at as u64));
        if bytes[at..].iter().any(|byte| *byte != 0) {
            self.replayed.torn = Some((path.to_owned(), at as u64));
        }
        Ok(())
    }
}

fn damaged(path: &Path, offset: u64, detail: String) -> OpenError {
    OpenError::JournalDamaged { path: path.to_owned(), offset, detail }
}
