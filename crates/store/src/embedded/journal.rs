//! The journal of its only writer: a sequence of segments, each a file with frames and reserved space after them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use onceward_core::domain::Timestamp;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::disk::{Disk, Operation, create_file};
use super::frame;
use super::replay::{Covered, segment_path};
use crate::{StoreError, Write};

/// Zeros written at once: room for some hundred commits, in one write that takes about as long as one commit.
const WRITTEN_AHEAD: usize = 256 * 1024;

/// The segments that are being written. It begins without one.
pub(super) struct Journal {
    pub(super) disk: Disk,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u64,
    /// Takes frames. `None` while the disk refuses the first one.
    pub(super) active: Option<Segment>,
    /// Reserved in advance: a full disk cannot take it away, and a start notices if the one before it is gone.
    pub(super) spare: Option<Segment>,
    /// The number of the segment that is, or was last, being filled, and the last frame.
    pub(super) last: Covered,
    /// The time of the last frame.
    pub(super) last_time: Timestamp,
}

impl Journal {
    /// Goes on in a new segment, and returns what was before it. A disk that is too full for a new one leaves the journal
    /// the room that it has.
    pub(super) fn begin_segment(&mut self) -> Result<Covered, StoreError> {
        // An attempt that is repeated without new frames needs no segment of its own: each one would cost its reserved
        // space.
        if self.active.as_ref().is_none_or(|segment| segment.end > 0) {
            self.reserve()?;
            if let Some(mut full) = std::mem::replace(&mut self.active, self.spare.take()) {
                // If it fails the segment's removal frees the reserved space.
                let _ = full.cut_back(&self.disk);
            }
            self.last.segment += 1;
        }
        Ok(Covered { segment: self.last.segment - 1, ..self.last })
    }

    /// Reserves the segment after the newest.
    pub(super) fn reserve(&mut self) -> Result<(), StoreError> {
        if self.spare.is_none() {
            let path = segment_path(&self.directory, self.last.segment + 1);
            self.spare = Some(Segment::create(&self.disk, path, self.segment_bytes)?);
            // Without its entry on the disk a power cut would take the file, and the frames that were acknowledged in
            // it.
            self.disk.sync_dir(&self.directory).inspect_err(|_| self.spare = None)?;
        }
        Ok(())
    }

    /// Makes `writes` durable as one frame, in one write and one sync. Returns the length of
    /// what it wrote.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if a part of the frame may be, or come, on the disk; else nothing of it is there.
    pub(super) fn append(&mut self, now: Timestamp, writes: &[Write]) -> Result<usize, StoreError> {
        let (sequence, time) = (self.last.sequence + 1, self.last_time.max(now));
        let frame = frame::encode(sequence, time, writes);
        if !self.active.as_ref().is_some_and(|segment| segment.fits(frame.len())) {
            self.begin_segment().map_err(|error| StoreError::Unavailable(error.reason()))?;
            // The one that was begun has room.
            let _ = self.reserve();
        }
        let Some(segment) = &mut self.active else {
            return Err(StoreError::Unavailable("no segment is ready".into()));
        };
        segment.append(&self.disk, &frame)?;
        // A frame that was cut off leaves its sequence to the next one, because replay takes a gap for damage.
        (self.last.sequence, self.last_time) = (sequence, time);
        Ok(frame.len())
    }

    /// Ends the journal with an empty frame, behind which damage of the one before is found, and frees the reserved
    /// space.
    pub(super) fn close(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.append(now, &[])?;
        for segment in self.active.iter_mut().chain(&mut self.spare) {
            // If it fails the next start has more zeros to read.
            let _ = segment.cut_back(&self.disk);
        }
        Ok(())
    }
}

/// A segment that is being written.
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    /// Maximum length in bytes.
    capacity: u64,
    /// The offset of the next frame.
    end: u64,
    /// The end of the written part, zeros included.
    written_to: u64,
}

impl Segment {
    /// An empty segment, whose space is reserved. What an interrupted first write left in the file goes.
    fn create(disk: &Disk, path: PathBuf, capacity: u64) -> Result<Self, StoreError> {
        let action = format!("reserve {capacity} bytes for the journal segment");
        let create = || {
            let file = create_file(&path)?;
            let reserved = fallocate(&file, FallocateFlags::empty(), 0, capacity);
            // A file system that cannot reserve space lets the file grow as it is written. The journal then notices a full
            // disk when it writes, and cuts back what did not fit.
            if !matches!(reserved, Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS)) {
                // Frees the partial reservation, otherwise a full disk would stay full.
                let _ = file.set_len(0);
                reserved?;
            }
            file.sync_all().map(|()| file)
        };
        let file = disk.run(Operation::Create, &action, &path, create)?;
        Ok(Self { path, file, capacity, end: 0, written_to: 0 })
    }

    /// Whether `bytes` more fit. An unused segment accepts any size, because a batch larger than a segment needs a
    /// place.
    fn fits(&self, bytes: usize) -> bool {
        self.end == 0 || self.end + bytes as u64 <= self.capacity
    }

    /// Appends `frame` and returns when it is on the disk. A write that the disk refused is taken back; after a failed
    /// sync the outcome is unknown.
    fn append(&mut self, disk: &Disk, frame: &[u8]) -> Result<(), StoreError> {
        let end = self.end + frame.len() as u64;
        // The frame's own sync also covers the zeros: a later frame overwrites them, and its sync need not convert
        // reserved space first.
        let written = self.write(disk, frame, self.end).and_then(|()| self.write_ahead(disk, end));
        if let Err(refused) = written.map_err(|error| error.reason()) {
            return Err(match self.cut_back(disk) {
                Ok(()) => StoreError::Unavailable(refused),
                Err(error) => StoreError::Unknown(format!("{refused}; and {}", error.reason())),
            });
        }
        let synced = disk.run(Operation::Sync, "sync", &self.path, || self.file.sync_data());
        synced.map_err(|error| StoreError::Unknown(error.reason()))?;
        self.end = end;
        Ok(())
    }

    fn write(&self, disk: &Disk, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        let write = || self.file.write_all_at(bytes, at);
        disk.run(Operation::Write(bytes, at), "write to", &self.path, write)
    }

    /// If a frame ends after the zeros that are written already, writes more after it.
    fn write_ahead(&mut self, disk: &Disk, end: u64) -> Result<(), StoreError> {
        if end > self.written_to {
            let left = usize::try_from(self.capacity.saturating_sub(end)).unwrap_or(usize::MAX);
            let zeros = vec![0; WRITTEN_AHEAD.min(left)];
            self.write(disk, &zeros, end)?;
            self.written_to = end + zeros.len() as u64;
        }
        Ok(())
    }

    /// Truncates the file after its last whole frame, with the reserved space. When this succeeds after a failed write,
    /// no part of that can reappear.
    fn cut_back(&mut self, disk: &Disk) -> Result<(), StoreError> {
        self.written_to = self.end;
        let cut = || self.file.set_len(self.end).and_then(|()| self.file.sync_all());
        disk.run(Operation::Cut, "cut back", &self.path, cut)
    }
}
