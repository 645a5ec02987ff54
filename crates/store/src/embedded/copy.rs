//! Copying the whole store as of one moment, beside the answers.
//!
//! The moment is the beginning of a snapshot round: what was written before it is in the snapshot or
//! among the round's changes, and nothing else is in either. So the thread that carries out rounds makes
//! the copy first and the round after; meanwhile nothing changes the snapshot, and the journal goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::changes::Changes;
use super::snapshot::{Snapshot, SnapshotError};
use crate::copy::{Copied, CopyProgress, Counts, encode_end, encode_entry};
use onceward_core::domain::Timestamp;

/// The copy's name for the instant before it is removed.
pub(super) const FILE_NAME: &str = "copy.tmp";

/// How many records are copied between two looks at whether anybody still wants them.
const RECORDS_PER_LOOK: u64 = 256;

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Somebody wants a copy.
#[derive(Debug)]
pub(super) struct CopyRequest {
    /// Told how far it is; stops it.
    pub(super) progress: Arc<CopyProgress>,
    /// Receives the copy, or why there is none.
    pub(super) reply: oneshot::Sender<Result<Copied, String>>,
}

impl CopyRequest {
    /// There is no copy, and this is why.
    pub(super) fn refuse(self, reason: &str) {
        let _ = self.reply.send(Err(reason.to_owned()));
    }

    /// Makes the copy, in a file of the directory `root`, and hands it over. `changes` are what was written
    /// since `snapshot`; what no longer matters at `now` is left out.
    pub(super) fn carry_out(self, root: &Path, snapshot: &Snapshot, changes: &Changes, now: Timestamp) {
        let cancelled = || self.progress.is_cancelled() || self.reply.is_closed();
        let copied = nameless(&root.join(FILE_NAME))
            .map_err(|error| failed(&error))
            .and_then(|file| copy_into(file, snapshot, changes, now, &self.progress, cancelled));
        let _ = self.reply.send(copied.map_err(|error| error.to_string()));
    }
}

/// Writes every record that matters at `now` into `file`, in the order of keys.
pub(super) fn copy_into(
    file: File,
    snapshot: &Snapshot,
    changes: &Changes,
    now: Timestamp,
    progress: &CopyProgress,
    cancelled: impl Fn() -> bool,
) -> Result<Copied, SnapshotError> {
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, file);
    let (mut counts, mut buffer) = (Counts::default(), Vec::new());
    if cancelled() {
        return Err(stopped());
    }
    let mut entries = snapshot.with(changes)?;
    while let Some(entry) = entries.next_entry()? {
        let Some(record) = entry.alive_at(now) else { continue };
        buffer.clear();
        encode_entry(&mut buffer, &entry.key, entry.gc_after, record);
        to.write_all(&buffer).map_err(|error| failed(&error))?;
        counts.add(entry.key.kind);
        if counts.total().is_multiple_of(RECORDS_PER_LOOK) {
            progress.set_records(counts.total());
            if cancelled() {
                return Err(stopped());
            }
        }
    }
    buffer.clear();
    encode_end(&mut buffer, counts.total());
    let finish = || {
        to.write_all(&buffer)?;
        let mut file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    };
    let file = finish().map_err(|error: io::Error| failed(&error))?;
    progress.set_records(counts.total());
    Ok(Copied { file, counts, at: now })
}

/// A file that only this process can reach, and that is gone with it; named `path` for an instant.
pub(super) fn nameless(path: &Path) -> io::Result<File> {
    // What a process left that was killed in that instant.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn stopped() -> SnapshotError {
    let why =
        "the copy was stopped: the journal filled up meanwhile, or the server is stopping; try again later";
    SnapshotError::Failed(why.into())
}

fn failed(error: &io::Error) -> SnapshotError {
    SnapshotError::Failed(format!("the copy cannot be written into the data directory: {error}"))
}
