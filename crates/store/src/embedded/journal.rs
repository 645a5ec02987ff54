//! The journal of its only writer: the current segment, the reserved segment after it, and the reaction to a refusing
//! disk.

use std::path::PathBuf;
use std::sync::Arc;

use onceward_core::domain::Timestamp;

use super::disk::Disk;
use super::frame::{self, FRAME_OVERHEAD, FrameKind, HEADER_BYTES};
use super::replay::Replayed;
use super::segment::Segment;
use crate::{StoreError, Write};

/// A buffer larger than this is given back after the frame that needed it.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// The segments that are being written.
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_bytes: u64,
    /// Takes frames. `None` if no segment could be reserved, or a write to the last one failed.
    active: Option<Segment>,
    /// A write to it failed. Its remainder must be cut off before the next write.
    unclean: Option<Segment>,
    /// Reserved in advance: a full disk cannot take it away.
    spare: Option<Segment>,
    /// The number of the segment that is, or was last, being filled.
    newest: u64,
    next_sequence: u64,
    last_time: Timestamp,
    buffer: Vec<u8>,
}

impl Journal {
    /// Goes on behind what was replayed, in a new segment: see [`Journal::advance`].
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        segment_bytes: u64,
        replayed: &Replayed,
        last_time: Timestamp,
    ) -> Self {
        let (newest, next_sequence) = (replayed.last_segment, replayed.last_sequence + 1);
        let (active, unclean, spare, buffer) = (None, None, None, Vec::new());
        Self {
            disk,
            directory,
            segment_bytes,
            active,
            unclean,
            spare,
            newest,
            next_sequence,
            last_time,
            buffer,
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

    /// Goes on in the next segment. The disk may refuse one that was not reserved in advance; then no frame is taken
    /// until it succeeds, also not a small one that the last segment had room for.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        self.active = None;
        self.reserve()?;
        self.active = self.spare.take();
        self.newest += 1;
        Ok(())
    }

    /// Reserves the segment after the newest.
    pub(super) fn reserve(&mut self) -> Result<(), StoreError> {
        if self.spare.is_none() {
            let next = Segment::create(&*self.disk, &self.directory, self.newest + 1, self.segment_bytes)?;
            self.spare = Some(next);
        }
        Ok(())
    }

    pub(super) const fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Whether it has a segment.
    pub(super) const fn is_ready(&self) -> bool {
        self.active.is_some()
    }

    /// Whether the journal will soon continue in the next segment.
    pub(super) fn is_half_full(&self) -> bool {
        self.active.as_ref().is_none_or(Segment::is_half_full)
    }

    /// Closes the segments with frames and returns the number of the last of them. The journal goes on behind them.
    pub(super) fn begin_segment(&mut self) -> Result<u64, StoreError> {
        self.clean()?;
        // An attempt that is repeated without new frames needs no segment of its own: each one would cost its reserved
        // space.
        if !self.active.as_ref().is_some_and(Segment::is_unused) {
            // A disk that is too full for it leaves the journal the room that it has.
            self.reserve()?;
            if let Some(closed) = &mut self.active {
                // The checkpoint may need the reserved space. If it fails, the segment's removal frees it.
                let _ = closed.cut_back();
            }
            self.advance()?;
        }
        Ok(self.newest - 1)
    }

    /// Makes `writes`, which have `bytes` bytes, durable as one frame, in one write and one sync. Returns the length of
    /// the frame.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] if a part of the frame may be, or come, on the disk.
    pub(super) fn append<'a>(
        &mut self,
        kind: FrameKind,
        now: Timestamp,
        writes: impl Iterator<Item = &'a Write>,
        bytes: usize,
    ) -> Result<usize, StoreError> {
        let room = self.make_room(HEADER_BYTES + FRAME_OVERHEAD + bytes);
        // Nothing of this frame is written yet: even a failed cut of an earlier one leaves no doubt about it.
        room.map_err(|error| StoreError::Unavailable(error.reason()))?;
        let Some(segment) = &mut self.active else {
            return Err(StoreError::Unavailable("no segment is ready".into()));
        };
        let time = self.last_time.max(now);
        self.buffer.clear();
        if let Some(header) = segment.header_due(self.next_sequence) {
            self.buffer.extend_from_slice(&header);
        }
        frame::encode(&mut self.buffer, kind, self.next_sequence, time, writes);
        let appended = segment.append(&self.buffer).map_err(StoreError::io("write to", &segment.path));
        let written = self.buffer.len();
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        if let Err(error) = appended {
            // The page cache of a file whose sync failed cannot be trusted: the next frame goes into another file.
            self.unclean = self.active.take();
            let is_undone = self.clean().is_ok();
            let reason = error.reason();
            return Err(if is_undone {
                StoreError::Unavailable(reason)
            } else {
                StoreError::Unknown(reason)
            });
        }
        // A frame that was cut off leaves its sequence to the next one, because replay takes a gap for damage.
        self.next_sequence += 1;
        self.last_time = time;
        Ok(written)
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        // Replay takes a torn end that a later segment follows for damage, and refuses the start.
        self.clean()?;
        if self.active.as_ref().is_some_and(|segment| segment.fits(bytes)) { Ok(()) } else { self.advance() }
    }

    /// Cuts off what a failed write left, after which no part of it can reappear.
    fn clean(&mut self) -> Result<(), StoreError> {
        if let Some(segment) = &mut self.unclean {
            let cut = segment.cut_back();
            cut.map_err(StoreError::io("take back a failed write to", &segment.path))?;
            self.unclean = None;
        }
        Ok(())
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
