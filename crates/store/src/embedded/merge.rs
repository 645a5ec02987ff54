//! Every live record, once: those of the snapshot and of the journal after it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use onceward_core::domain::Timestamp;

use super::error::OpenError;
use super::frame::{Frame, RecordRef};
use super::replay::{self, Sink, Strict};
use super::snapshot::OpenCopy;
use crate::Key;
use crate::copy::{Copied, CopyProgress, RecordCounts, encode_end, encode_entry};

/// Records between two updates of the progress.
const RECORDS_PER_LOOK: u64 = 256;

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// The state to read.
pub(super) struct Merge<'a> {
    pub(super) copy: &'a OpenCopy,
    pub(super) journal: &'a Path,
    /// The last sequence; `None` for all of the journal.
    pub(super) until: Option<u64>,
    /// Records that have expired by then are left out.
    pub(super) now: Timestamp,
}

/// Receives a record. An error ends the reading.
pub(super) type VisitAlive<'a> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> io::Result<()>;

/// Why not every record was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    #[error(transparent)]
    Read(#[from] OpenError),
    /// The visitor's answer.
    #[error("the copy cannot be written: {0}")]
    Visit(io::Error),
}

impl Merge<'_> {
    /// Visits every record that is alive. Keeps the keys of the journal in memory, not the records.
    pub(super) fn each(&self, visit: VisitAlive<'_>) -> Result<(), MergeError> {
        let (covered, mut latest, mut place) = (self.copy.snapshot.manifest.covered, HashMap::new(), 0_u64);
        let mut note = Strict(|record: RecordRef<'_>| {
            place += 1;
            latest.insert(record.key, place);
        });
        replay::read(self.journal, Some(covered), self.until, &mut note)?;
        let mut refused = None;
        let read = self.copy.read(&mut |key, expires, record| {
            if self.now >= expires || latest.contains_key(&key) {
                return Ok(());
            }
            visit(key, expires, record).map_err(|error| {
                let why = error.to_string();
                refused = Some(error);
                why
            })
        });
        if let Some(error) = refused {
            return Err(MergeError::Visit(error));
        }
        read.map_err(|error| OpenError::snapshot(&self.copy.snapshot.path, error))?;
        let mut rest = LatestRecords { latest, place: 0, now: self.now, visit, refused: None };
        let read = replay::read(self.journal, Some(covered), self.until, &mut rest);
        match rest.refused {
            Some(error) => Err(MergeError::Visit(error)),
            None => Ok(read.map(drop)?),
        }
    }
}

/// Visits the latest record of each key of the journal.
struct LatestRecords<'a> {
    /// Which of the records, counted from the first, is the latest.
    latest: HashMap<Key, u64>,
    place: u64,
    now: Timestamp,
    visit: VisitAlive<'a>,
    refused: Option<io::Error>,
}

impl Sink for LatestRecords<'_> {
    fn record(
        &mut self,
        path: &Path,
        _: usize,
        _: &Frame<'_>,
        record: RecordRef<'_>,
    ) -> Result<(), OpenError> {
        self.place += 1;
        let is_latest = self.latest.get(&record.key) == Some(&self.place);
        let Some(put) = record.put.filter(|_| is_latest && self.now < record.expires) else { return Ok(()) };
        (self.visit)(record.key, record.expires, put).map_err(|error| {
            let kind = error.kind();
            self.refused = Some(error);
            OpenError::io("copy", path)(kind.into())
        })
    }
}

/// Writes every record that is alive into a file of `directory` that has no name.
pub(super) fn into_file(
    merge: &Merge<'_>,
    directory: &Path,
    progress: &CopyProgress,
) -> Result<Copied, MergeError> {
    let file = nameless(directory).map_err(MergeError::Visit)?;
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, file);
    let (mut counts, mut total, mut buffer) = (RecordCounts::default(), 0_u64, Vec::new());
    merge.each(&mut |key, expires, record| {
        buffer.clear();
        encode_entry(&mut buffer, key, expires, record);
        to.write_all(&buffer)?;
        counts.add(key.kind);
        total += 1;
        if total.is_multiple_of(RECORDS_PER_LOOK) {
            progress.set_records(total);
        }
        if progress.is_cancelled() { Err(io::Error::other("it was cancelled")) } else { Ok(()) }
    })?;
    buffer.clear();
    encode_end(&mut buffer, total);
    let finish = || {
        to.write_all(&buffer)?;
        let mut file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    };
    let file = finish().map_err(MergeError::Visit)?;
    progress.set_records(total);
    Ok(Copied { file, counts, at: merge.now })
}

/// A file of `directory` that only this process can reach: it has a name for an instant and is unlinked then. Other
/// users may have files in the directory.
fn nameless(directory: &Path) -> io::Result<File> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = FILES.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("copy-{}-{count}.tmp", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            // Left by a process that was killed in that instant.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                fs::remove_file(path)?;
                return Ok(file);
            }
        }
    }
}
