//! The journal of its only writer: a sequence of segments, each a file with a header, frames, and reserved space after
//! them.
//!
//! The header is written together with the first frame, in one write that one sync makes durable. Until then the file
//! contains no data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onceward_core::domain::Timestamp;

use super::disk::{Disk, DiskFile};
use super::frame::{self, FRAME_OVERHEAD, FrameKind, HEADER_BYTES, Header};
use crate::{StoreError, Write};

/// The file of segment `number` in the journal's directory.
pub(super) fn segment_path(journal: &Path, number: u64) -> PathBuf {
    journal.join(format!("{number:010}.seg"))
}

/// The number that a file of the journal's directory is named after, if it is a segment's name.
pub(super) fn segment_number(file_name: &str) -> Option<u64> {
    file_name.strip_suffix(".seg").and_then(parse_number)
}

/// A number as the names of segments and snapshots have it.
pub(super) fn parse_number(digits: &str) -> Option<u64> {
    // `parse` also reads a sign and further zeros, but a path gives each number one name only.
    let number = digits.parse().ok()?;
    (format!("{number:010}") == digits).then_some(number)
}

/// A buffer larger than this is given back after the frame that needed it.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Zeros written at once: room for some hundred commits, in one write that takes about as long as one commit.
const WRITTEN_AHEAD: usize = 256 * 1024;

/// The segments that are being written.
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_bytes: u64,
    /// Takes frames. `None` while the disk refuses the first one.
    active: Option<Segment>,
    /// Reserved in advance: a full disk cannot take it away, and a start notices if the one before it is gone.
    spare: Option<Segment>,
    /// The number of the segment that is, or was last, being filled.
    newest: u64,
    next_sequence: u64,
    last_time: Timestamp,
    buffer: Vec<u8>,
}

impl Journal {
    /// Goes on behind the last segment and the last sequence, in a new segment: see [`Journal::begin_segment`].
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        segment_bytes: u64,
        (newest, last_sequence): (u64, u64),
        last_time: Timestamp,
    ) -> Self {
        let next_sequence = last_sequence + 1;
        Self {
            disk,
            directory,
            segment_bytes,
            active: None,
            spare: None,
            newest,
            next_sequence,
            last_time,
            buffer: Vec::new(),
        }
    }

    /// The sequence of the last frame.
    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// The time of the last frame.
    pub(super) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Whether it has a segment.
    pub(super) const fn is_ready(&self) -> bool {
        self.active.is_some()
    }

    /// Goes on in a new segment and returns the number of the last one with frames. A disk that is too full for a new one
    /// leaves the journal the room that it has.
    pub(super) fn begin_segment(&mut self) -> Result<u64, StoreError> {
        // An attempt that is repeated without new frames needs no segment of its own: each one would cost its reserved
        // space.
        if !self.active.as_ref().is_some_and(Segment::is_unused) {
            self.reserve()?;
            if let Some(mut full) = std::mem::replace(&mut self.active, self.spare.take()) {
                // If it fails the segment's removal frees the reserved space.
                let _ = full.cut_back();
            }
            self.newest += 1;
        }
        Ok(self.newest - 1)
    }

    /// Reserves the segment after the newest.
    pub(super) fn reserve(&mut self) -> Result<(), StoreError> {
        if self.spare.is_none() {
            let next = Segment::create(&*self.disk, &self.directory, self.newest + 1, self.segment_bytes)?;
            self.spare = Some(next);
        }
        Ok(())
    }

    /// Makes `writes`, which have `bytes` bytes, durable as one frame, in one write and one sync. Returns the length of
    /// the frame.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if a part of the frame may be, or come, on the disk; else nothing of it is there.
    pub(super) fn append<'a>(
        &mut self,
        kind: FrameKind,
        now: Timestamp,
        writes: impl Iterator<Item = &'a Write>,
        bytes: usize,
    ) -> Result<usize, StoreError> {
        if !self.active.as_ref().is_some_and(|segment| segment.fits(HEADER_BYTES + FRAME_OVERHEAD + bytes)) {
            self.begin_segment().map_err(|error| StoreError::Unavailable(error.reason()))?;
            // The one that was begun has room.
            let _ = self.reserve();
        }
        let Some(segment) = &mut self.active else {
            return Err(StoreError::Unavailable("no segment is ready".into()));
        };
        let time = self.last_time.max(now);
        self.buffer.clear();
        if segment.is_unused() {
            let header = Header { number: segment.number, first_sequence: self.next_sequence };
            self.buffer.extend_from_slice(&header.encode());
        }
        frame::encode(&mut self.buffer, kind, self.next_sequence, time, writes);
        let (appended, written) = (segment.append(&self.buffer), self.buffer.len());
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        appended?;
        // A frame that was cut off leaves its sequence to the next one, because replay takes a gap for damage.
        self.next_sequence += 1;
        self.last_time = time;
        Ok(written)
    }

    /// Ends the journal with a [`FrameKind::Closed`] frame and frees the reserved space.
    pub(super) fn close(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.append(FrameKind::Closed, now, std::iter::empty(), 0)?;
        for segment in self.active.iter_mut().chain(&mut self.spare) {
            // If it fails the next start has more zeros to read.
            let _ = segment.cut_back();
        }
        Ok(())
    }
}

/// A segment that is being written.
pub(super) struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Maximum length in bytes.
    capacity: u64,
    /// The offset of the next frame. 0 until the header is written.
    end: u64,
    /// The end of the written part, zeros included.
    written_to: u64,
}

impl Segment {
    /// An empty segment, reserved, with its entry in the directory on the disk.
    pub(super) fn create(
        disk: &dyn Disk,
        journal: &Path,
        number: u64,
        capacity: u64,
    ) -> Result<Self, StoreError> {
        let path = segment_path(journal, number);
        let create = || {
            let file = disk.create(&path, capacity)?;
            // Without its entry on the disk a power cut would take the file, and the frames that were acknowledged in
            // it.
            disk.sync_dir(journal)?;
            Ok(file)
        };
        let action = format!("reserve a journal segment of {capacity} bytes in");
        let file = create().map_err(StoreError::io(action, journal))?;
        Ok(Self { number, path, file, capacity, end: 0, written_to: 0 })
    }

    /// Whether nothing was written to it yet.
    fn is_unused(&self) -> bool {
        self.end == 0
    }

    /// Whether `bytes` more fit. An unused segment accepts any size, because a batch larger than a segment needs a
    /// place.
    fn fits(&self, bytes: usize) -> bool {
        self.is_unused() || self.end + bytes as u64 <= self.capacity
    }

    /// Appends `frame` and returns when it is on the disk. A write that the disk refused is taken back; after a failed
    /// sync the outcome is unknown.
    fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        let end = self.end + frame.len() as u64;
        // The frame's own sync also covers the zeros: a later frame overwrites them, and its sync need not convert
        // reserved space first.
        let written = self.file.write_at(frame, self.end).and_then(|()| self.write_ahead(end));
        if let Err(error) = written {
            let refused = StoreError::io("write to", &self.path)(error).reason();
            return Err(match self.cut_back() {
                Ok(()) => StoreError::Unavailable(refused),
                Err(error) => StoreError::Unknown(format!("{refused}; and taking it back failed: {error}")),
            });
        }
        let unknown = |error| StoreError::Unknown(StoreError::io("sync", &self.path)(error).reason());
        self.file.sync().map_err(unknown)?;
        self.end = end;
        Ok(())
    }

    /// If a frame ends after the zeros that are written already, writes more after it.
    fn write_ahead(&mut self, end: u64) -> std::io::Result<()> {
        if end > self.written_to {
            let left = usize::try_from(self.capacity.saturating_sub(end)).unwrap_or(usize::MAX);
            let zeros = vec![0; WRITTEN_AHEAD.min(left)];
            self.file.write_at(&zeros, end)?;
            self.written_to = end + zeros.len() as u64;
        }
        Ok(())
    }

    /// Truncates the file after its last whole frame, with the reserved space. When this succeeds after a failed write,
    /// no part of that can reappear.
    fn cut_back(&mut self) -> std::io::Result<()> {
        self.written_to = self.end;
        self.file.cut(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_name_is_no_segment() {
        assert_eq!(segment_number("0000000012.seg"), Some(12));
        assert_eq!(segment_number("12345678901.seg"), Some(12_345_678_901));
        for name in
            ["12.seg", "0000000012.seg.old", "0000000012", "+000000012.seg", ".seg", "00000000012.seg"]
        {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
