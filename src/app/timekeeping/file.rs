//! The file `clock` of the data directory: how far time had come when it was last written.
//!
//! Two slots of a page each, written in turns and in place, so that a write that is torn leaves the
//! other slot, nothing grows, and a full disk does not matter. A slot is
//! ```text
//! "owclock1" 8 | number of the write 8 | time 8 | boot 16 | time since that boot 8 | checksum 4
//! ```
//! and zeros. Integers are little-endian, times in milliseconds (the first since 1970), the checksum is
//! the CRC-32C of what is before it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{BootId, LATEST};
use crate::domain::Timestamp;

const MAGIC: [u8; 8] = *b"owclock1";

/// As large as the largest sector of a disk, so that writing one slot leaves the other alone.
const SLOT_BYTES: usize = 4096;

/// Bytes of a slot before its checksum.
const CHECKED_BYTES: usize = 48;

/// How far time had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The time that decisions were made with.
    pub(super) time: Timestamp,
    /// Which boot of the machine that was, and how long after it.
    pub(super) boot: Option<(BootId, Duration)>,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// This.
    Mark(Mark),
    /// There is none, or nothing was ever written to it.
    Nothing,
    /// Neither slot can be read, for this reason.
    Damaged(String),
}

/// The file, while its server runs.
#[derive(Debug)]
pub(super) struct ClockFile {
    path: PathBuf,
    written: u64,
}

impl ClockFile {
    /// Reads the file in this data directory.
    pub(super) fn read(data_dir: &Path) -> (Self, Found) {
        // Messages are read by somebody who does not know where the process was started.
        let path = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).join("clock");
        let mut bytes = Vec::with_capacity(2 * SLOT_BYTES);
        let read =
            File::open(&path).and_then(|file| file.take(2 * SLOT_BYTES as u64).read_to_end(&mut bytes));
        let trouble = read.err().filter(|error| error.kind() != ErrorKind::NotFound);
        let newest = bytes.chunks(SLOT_BYTES).filter_map(decode).max_by_key(|(written, _)| *written);
        let found = match (newest, trouble) {
            (Some((_, mark)), _) => Found::Mark(mark),
            (None, Some(error)) => Found::Damaged(error.to_string()),
            (None, None) if bytes.iter().all(|byte| *byte == 0) => Found::Nothing,
            (None, None) => Found::Damaged("what is in it is not what was written".to_owned()),
        };
        (Self { path, written: newest.map_or(0, |(written, _)| written) }, found)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes how far time has come, and returns when that is on the disk. After an error the slot that
    /// was written before is still there.
    pub(super) fn write(&mut self, mark: Mark) -> io::Result<()> {
        // A file that was removed meanwhile is made anew: its handle would keep what nobody can find.
        let (file, is_new) = match open().open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (open().create_new(true).mode(0o600).open(&self.path)?, true)
            }
            opened => (opened?, false),
        };
        let next = self.written.wrapping_add(1);
        let slot = usize::from(next % 2 == 1);
        file.write_all_at(&encode(next, mark), (slot * SLOT_BYTES) as u64)?;
        file.sync_data()?;
        if is_new && let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.written = next;
        Ok(())
    }
}

fn open() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

fn encode(written: u64, mark: Mark) -> [u8; SLOT_BYTES] {
    let (boot, up) = mark.boot.map_or(([0; 16], Duration::ZERO), |(boot, up)| (boot.to_bytes(), up));
    let up = u64::try_from(up.as_millis()).unwrap_or(u64::MAX);
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&written.to_le_bytes());
    slot[16..24].copy_from_slice(&mark.time.as_millis().to_le_bytes());
    slot[24..40].copy_from_slice(&boot);
    slot[40..CHECKED_BYTES].copy_from_slice(&up.to_le_bytes());
    let checksum = crc32c::crc32c(&slot[..CHECKED_BYTES]).to_le_bytes();
    slot[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&checksum);
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Mark)> {
    let (checked, rest) = slot.split_at_checked(CHECKED_BYTES)?;
    let checksum = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
    if !checked.starts_with(&MAGIC) || crc32c::crc32c(checked) != checksum {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(*checked.get(at..)?.first_chunk()?));
    let time = Timestamp::from_millis(number(16)?);
    let boot = BootId::from_bytes(*checked.get(24..)?.first_chunk()?);
    let up = Duration::from_millis(number(40)?);
    // No later than what is ever written: a later time would stop everything that waits for one.
    (time <= LATEST).then_some((number(8)?, Mark { time, boot: boot.map(|boot| (boot, up)) }))
}

#[cfg(test)]
mod tests;
