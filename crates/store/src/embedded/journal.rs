//! The journal of its only writer: a sequence of segments, each a file with frames and reserved space after them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};
use onceward_core::domain::Timestamp;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::directory::{Disk, Operation, create_file, names};
use crate::record::{RECORD_HEAD, RecordRef};
use crate::{LONGEST_RECORD, StoreError, Write};

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
        let frame = encode_frame(sequence, time, writes);
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
        disk.run(Operation::Write, "write to", &self.path, write)
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
        disk.run(Operation::Cut, "cut back", &self.path, || self.file.set_len(self.end))?;
        disk.run(Operation::Sync, "cut back", &self.path, || self.file.sync_all())
    }
}

// The bytes of the journal. A frame is everything that one write and one sync made durable together:
//
// ```text
// magic 4 | checksum 4 | body length 4 | sequence 8 | time 8 | body
// ```
// Integers are big-endian. The checksum is the CRC-32C of everything behind it. A body is [records](Write), one
// after the other, or empty: then there was an attempt to write, or it says what time it is. Sequences are consecutive
// over all segments: they prove that no frame is missing.

const MAGIC: [u8; 4] = *b"owj1";

/// Bytes of a frame before its body.
pub(super) const FRAME_HEAD: usize = 28;

/// Where the bytes that the checksum covers begin.
const CHECKED_FROM: usize = 8;

/// The most bytes of one batch. A frame has one of each shard at most.
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024 * 1024;

/// A whole, undamaged frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) body: &'a [u8],
}

/// A frame with these records.
pub(super) fn encode_frame(sequence: u64, time: Timestamp, writes: &[Write]) -> Vec<u8> {
    let body: usize = writes.iter().map(Write::encoded_bytes).sum();
    let mut frame = Vec::with_capacity(FRAME_HEAD + body);
    frame.put_slice(&MAGIC);
    frame.put_u32(0);
    // A longer one becomes one that no frame can have, which the reader refuses.
    frame.put_u32(u32::try_from(body).unwrap_or(u32::MAX));
    frame.put_u64(sequence);
    frame.put_u64(time.as_millis());
    for write in writes {
        write.encode(&mut frame);
    }
    let checksum = crc32c::crc32c(&frame[CHECKED_FROM..]);
    frame[4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The frame that begins at the first of `bytes`, if there is a whole and undamaged one.
pub(super) fn decode_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let checksum = rest.try_get_u32().ok()?;
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let sequence = rest.try_get_u64().ok()?;
    let time = Timestamp::from_millis(rest.try_get_u64().ok()?);
    let body = rest.get(..length)?;
    let is_whole = crc32c::crc32c(&bytes[CHECKED_FROM..FRAME_HEAD + length]) == checksum;
    is_whole.then_some(Frame { sequence, time, body })
}

/// The offset and the sequence of the first whole frame at or after `from` with a sequence of at least `sequence`. It
/// distinguishes damage from a torn end, which no whole frame follows.
pub(super) fn find_frame(bytes: &[u8], from: usize, sequence: u64) -> Option<(usize, u64)> {
    // The length of a broken frame cannot be trusted: the next one may begin at any byte.
    (from..bytes.len()).find_map(|at| {
        let frame = decode_frame(&bytes[at..]).filter(|frame| frame.sequence >= sequence)?;
        Some((at, frame.sequence))
    })
}

// Reading the journal back: exactly what was acknowledged, or an error.
//
// Only one frame is on its way to the disk at a time; therefore only the very last can be torn: only reserved space,
// or the remains of an unacknowledged write, may follow the last whole frame. A whole frame after a broken one, a gap
// in the sequences, or a broken end of a segment that a later one continues is damage, and ends the reading.

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
pub(super) fn segment_numbers(journal: &Path) -> Result<Vec<u64>, StoreError> {
    let number = |name: &String| parse_number(name.strip_suffix(".seg")?);
    let mut numbers: Vec<_> = names(journal)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens the segments in `journal` after the covered ones, in order.
pub(super) fn open_segments(journal: &Path, covered: Covered) -> Result<Vec<OpenSegment>, StoreError> {
    if !journal.exists() {
        return Err(StoreError::damaged(journal, "is missing, and with it changes that were acknowledged"));
    }
    let missing = |number| {
        let what = "is missing, and with it changes that were acknowledged: it was removed, or the snapshot beside it is \
                    older than it should be";
        StoreError::damaged(&segment_path(journal, number), what)
    };
    // A checkpoint that could not remove every covered segment leaves some behind.
    let numbers = segment_numbers(journal)?.into_iter().filter(|number| *number > covered.segment);
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
pub(super) fn read_segments<E: From<StoreError>>(
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
            let frame = decode_frame(&bytes[at..]).filter(|frame| frame.sequence == next);
            // A segment that begins with an older frame is a copy of another one.
            let least = if at == 0 { 0 } else { next };
            let later = if frame.is_none() { find_frame(&bytes, at, least) } else { None };
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
                let has_content = bytes[at..].iter().any(|byte| *byte != 0);
                broken = broken.or(has_content.then_some((path, at)));
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
            at += FRAME_HEAD + frame.body.len();
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
