//! The journal of its only writer: the current segment, the reserved segment after it, and the reaction to a refusing
//! disk.

use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;

use onceward_core::domain::Timestamp;

use super::frame::{self, FrameKind};
use super::segment::Segment;
use super::snapshot::failed;
use crate::Write;

/// A buffer larger than this is given back after the frame that needed it.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// State of the journal for the next frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AppendState {
    /// The journal has room for the frame.
    Ready,
    /// The segment is full: [`Journal::switch`] to the next.
    Full,
    /// The journal waits for the next segment, which is being reserved.
    Waiting,
    /// The journal cannot write, for this reason.
    Refused(String),
}

/// A frame that is not durable.
#[derive(Debug)]
pub(super) struct AppendError {
    /// Whether it is certain that no part of the frame is, or will be, on the disk.
    pub(super) rolled_back: bool,
    /// The cause.
    pub(super) reason: String,
}

/// The position at which an opened journal continues.
pub(super) struct Start {
    /// The segment to fill; `None` if the disk has no room for one.
    pub(super) active: Option<Segment>,
    /// The one behind it.
    pub(super) spare: Option<Segment>,
    /// The last segment that was used before.
    pub(super) last_segment: u64,
    /// The sequence of the next frame.
    pub(super) next_sequence: u64,
    /// The time of the last one.
    pub(super) last_time: Timestamp,
}

/// The segments that are being written.
pub(super) struct Journal {
    active: Active,
    /// The number of the segment that is, or was last, being filled.
    newest: u64,
    /// Reserved in advance: switching to it costs nothing, and a full disk cannot take it away.
    spare: Option<Segment>,
    /// Requests the spare with this number from the thread that reserves segments.
    prepare: Sender<u64>,
    preparing: bool,
    next_sequence: u64,
    last_time: Timestamp,
    buffer: Vec<u8>,
}

enum Active {
    /// Takes frames.
    Ready(Segment),
    /// A write failed. Its remainder must be cut off before the next write.
    Unclean(Segment),
    /// The last segment is closed, and the next one is not reserved yet.
    None,
}

impl Journal {
    pub(super) fn new(start: Start, prepare: Sender<u64>) -> Self {
        Self {
            newest: start.active.as_ref().map_or(start.last_segment, |segment| segment.number),
            active: start.active.map_or(Active::None, Active::Ready),
            spare: start.spare,
            prepare,
            preparing: false,
            next_sequence: start.next_sequence,
            last_time: start.last_time,
            buffer: Vec::new(),
        }
    }

    /// The sequence of the last frame.
    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Whether frames were written to the newest segment.
    pub(super) fn newest_is_used(&self) -> bool {
        !matches!(&self.active, Active::Ready(segment) if segment.is_unused())
    }

    /// Makes room for a frame of `bytes` without waiting. After a failed write, cuts off its remainder first.
    pub(super) fn append_state(&mut self, bytes: usize) -> AppendState {
        if let Err(reason) = self.clean() {
            return AppendState::Refused(reason);
        }
        if matches!(self.active, Active::None) && !self.switch() {
            return self.no_segment_yet();
        }
        match &self.active {
            Active::Ready(segment) if segment.fits(bytes) => AppendState::Ready,
            _ => AppendState::Full,
        }
    }

    /// The state when no reserved segment is available.
    pub(super) fn no_segment_yet(&self) -> AppendState {
        if self.preparing {
            return AppendState::Waiting;
        }
        AppendState::Refused("the thread that reserves journal segments has ended; restart the server".into())
    }

    fn clean(&mut self) -> Result<(), String> {
        if let Active::Unclean(segment) = &mut self.active {
            let cut = segment.cut_back();
            cut.map_err(failed("take back a failed write to", &segment.path))?;
            self.active = Active::None;
        }
        Ok(())
    }

    /// Continues in the reserved segment and requests the next one. Returns `false` if none was reserved. Must not be
    /// called before the remainder of a failed write is cut off.
    pub(super) fn switch(&mut self) -> bool {
        let switched = self.use_spare();
        self.ask_for_spare();
        switched
    }

    fn use_spare(&mut self) -> bool {
        let Some(spare) = self.spare.take() else { return false };
        self.newest = spare.number;
        self.active = Active::Ready(spare);
        true
    }

    /// Whether the journal will soon continue in the next segment.
    pub(super) fn is_half_full(&self) -> bool {
        !matches!(&self.active, Active::Ready(segment) if !segment.is_half_full())
    }

    pub(super) const fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Requests the segment after the newest one, unless it is reserved or requested already.
    pub(super) fn ask_for_spare(&mut self) {
        if self.spare.is_none() && !self.preparing {
            self.preparing = self.prepare.send(self.newest + 1).is_ok();
        }
    }

    /// Whether a segment has been requested and has not arrived.
    pub(super) fn is_preparing(&self) -> bool {
        self.preparing
    }

    /// Accepts the requested segment.
    pub(super) fn prepared(&mut self, segment: io::Result<Segment>) -> io::Result<()> {
        self.preparing = false;
        self.spare = Some(segment?);
        Ok(())
    }

    /// The time of the last frame.
    pub(super) fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Closes the segments with frames and returns the last of them. `None` if no reserved segment is available. Does
    /// not request the next one, whose space the checkpoint may need.
    pub(super) fn begin_segment(&mut self) -> Option<u64> {
        self.clean().ok()?;
        if self.newest_is_used() && !self.use_spare() {
            return None;
        }
        Some(self.newest - 1)
    }

    /// Makes `writes` durable as one frame, in one write and one sync. Returns the length of the frame in bytes.
    /// The state must be [`AppendState::Ready`].
    pub(super) fn append<'a>(
        &mut self,
        kind: FrameKind,
        now: Timestamp,
        writes: impl Iterator<Item = &'a Write>,
    ) -> Result<usize, AppendError> {
        let Active::Ready(segment) = &mut self.active else {
            return Err(AppendError { rolled_back: true, reason: "no segment is ready".into() });
        };
        let sequence = self.next_sequence;
        let time = self.last_time.max(now);
        self.buffer.clear();
        if let Some(header) = segment.header_due(sequence) {
            self.buffer.extend_from_slice(&header);
        }
        frame::encode(&mut self.buffer, kind, sequence, time, writes);
        let appended = segment.append(&self.buffer, now);
        let bytes = self.buffer.len();
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        match appended {
            Ok(()) => {
                self.next_sequence += 1;
                self.last_time = time;
                Ok(bytes)
            }
            Err(error) => Err(self.roll_back(error)),
        }
    }

    /// Ends the journal with a [`FrameKind::Closed`] frame and frees the reserved space. The state must be
    /// [`AppendState::Ready`].
    pub(super) fn close(&mut self, now: Timestamp) -> Result<(), AppendError> {
        self.append(FrameKind::Closed, now, std::iter::empty())?;
        let active = match &mut self.active {
            Active::Ready(segment) => Some(segment),
            Active::Unclean(_) | Active::None => None,
        };
        for segment in active.into_iter().chain(&mut self.spare) {
            // If it fails the next start has more zeros to read.
            let _ = segment.cut_back();
        }
        Ok(())
    }

    /// Truncates the segment after its last whole frame. After a failed sync the page cache cannot be trusted.
    fn roll_back(&mut self, error: io::Error) -> AppendError {
        let mut reason = String::new();
        if let Active::Ready(segment) = std::mem::replace(&mut self.active, Active::None) {
            reason = failed("write to", &segment.path)(error);
            self.active = Active::Unclean(segment);
        }
        AppendError { rolled_back: self.clean().is_ok(), reason }
    }
}

/// The health report about a segment that could not be reserved.
pub(super) fn not_reserved(bytes: u64, journal: &Path, error: &io::Error) -> String {
    format!("cannot reserve a journal segment of {bytes} bytes in {}: {error}", journal.display())
}
