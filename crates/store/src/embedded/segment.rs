//! One segment of the journal: a file with a header, frames, and reserved space after them.
//!
//! The header is written together with the first frame, in one write that one sync makes durable. Until then the file
//! contains no data.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::frame::{HEADER_BYTES, Header};
use crate::StoreError;

/// The file of segment `number` in the journal's directory.
pub(super) fn path(journal: &Path, number: u64) -> PathBuf {
    journal.join(format!("{number:010}.seg"))
}

/// The number that a file of the journal's directory is named after, if it is a segment's name.
pub(super) fn number_in(file_name: &str) -> Option<u64> {
    file_name.strip_suffix(".seg").and_then(parse_number)
}

/// A number as the names of segments and snapshots have it.
pub(super) fn parse_number(digits: &str) -> Option<u64> {
    // `parse` also reads a sign and further zeros, but `path` gives each number one name only.
    let number = digits.parse().ok()?;
    (format!("{number:010}") == digits).then_some(number)
}

/// Zeros written at once: room for some hundred commits, in one write that takes about as long as one commit.
const WRITTEN_AHEAD: usize = 256 * 1024;

/// A segment that is being written, or is ready to be.
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
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
        let path = path(journal, number);
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
    pub(super) fn is_unused(&self) -> bool {
        self.end == 0
    }

    /// Whether `bytes` more fit. An unused segment accepts any size, because a batch larger than a segment needs a
    /// place.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.is_unused() || u64::try_from(bytes).is_ok_and(|bytes| self.end + bytes <= self.capacity)
    }

    pub(super) fn is_half_full(&self) -> bool {
        self.end > self.capacity / 2
    }

    /// The header, if the frame with this sequence is the first one.
    pub(super) fn header_due(&self, sequence: u64) -> Option<[u8; HEADER_BYTES]> {
        self.is_unused().then(|| Header { number: self.number, first_sequence: sequence }.encode())
    }

    /// Appends `frame` (after the bytes from [`Segment::header_due`]) and returns when it is on the disk. After an error,
    /// [`Segment::cut_back`] must succeed before any other call.
    pub(super) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_at(frame, self.end)?;
        let end = self.end + frame.len() as u64;
        // The frame's own sync also covers the zeros: a later frame overwrites them, and its sync need not convert
        // reserved space first.
        self.write_ahead(end)?;
        self.file.sync()?;
        // A failed append leaves the end where it was: `cut_back` truncates the file there.
        self.end = end;
        Ok(())
    }

    /// If a frame ends after the zeros that are written already, writes more after it.
    fn write_ahead(&mut self, end: u64) -> io::Result<()> {
        if end > self.written_to {
            let left = usize::try_from(self.capacity.saturating_sub(end)).unwrap_or(usize::MAX);
            let zeros = vec![0; WRITTEN_AHEAD.min(left)];
            self.file.write_at(&zeros, end)?;
            self.written_to = end + zeros.len() as u64;
        }
        Ok(())
    }

    /// Truncates the file after its last whole frame. When this succeeds after a failed append, no part of that append
    /// can reappear.
    pub(super) fn cut_back(&mut self) -> io::Result<()> {
        self.file.cut(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_name_is_no_segment() {
        assert_eq!(number_in("0000000012.seg"), Some(12));
        assert_eq!(number_in("12345678901.seg"), Some(12_345_678_901));
        for name in
            ["12.seg", "0000000012.seg.old", "0000000012", "+000000012.seg", ".seg", "00000000012.seg"]
        {
            assert_eq!(number_in(name), None, "{name}");
        }
    }
}
