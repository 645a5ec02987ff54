//! Where the records come from: the server that runs, or the directory when none does.

use std::io::{BufReader, Read};
use std::path::Path;

use super::progress::Progress;
use crate::control::{ControlError, CopyNews, ask_copy};
use crate::domain::Timestamp;
use crate::store::{CopyProgress, CopyReader, Counts, Finding, OpenError, ReadOnly, key_fingerprint_in};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Why there is nothing to read. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SourceError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("there is no data in {0} yet; name the server's data directory with --data-dir or --config")]
    NoData(String),
    #[error(
        "a server uses the data directory {0} but does not answer on its control socket: it is starting or stopping, \
         or its log says why it has none; try again, or stop it first"
    )]
    NoSocket(String),
    #[error(transparent)]
    Open(OpenError),
}

impl SourceError {
    /// What is damaged, if that is why there is nothing to read.
    pub(super) fn damage(&self) -> Option<Finding> {
        match self {
            Self::Open(error) => error.damage(),
            _ => None,
        }
    }
}

/// Every record as of one moment.
pub(in crate::cli) struct Source {
    pub(in crate::cli) records: CopyReader<BufReader<Box<dyn Read>>>,
    pub(super) counts: Counts,
    pub(super) key: String,
    pub(super) at: Timestamp,
    /// Whether a server runs.
    pub(super) served: bool,
}

impl Source {
    pub(super) fn open(data_dir: &Path, progress: &mut Progress) -> Result<Self, SourceError> {
        match Self::of_server(data_dir, progress) {
            Err(SourceError::Control(error)) if error.has_no_socket() => {
                Self::of_directory(data_dir, progress)
            }
            found => found,
        }
    }

    /// Of a server that runs.
    pub(super) fn of_server(data_dir: &Path, progress: &mut Progress) -> Result<Self, SourceError> {
        let (mut counts, mut at) = (Counts::default(), Timestamp::EPOCH);
        let stream = ask_copy(data_dir, |news| match news {
            CopyNews::Copied(records) => progress.at(records),
            CopyNews::Complete { records, at: reached } => {
                counts = records.into_iter().collect();
                // The server's time, by which all ends are to be read, and not the clock of this command.
                at = Timestamp::from_millis(reached);
            }
        })?;
        let key = key_fingerprint_in(data_dir).map_err(|error| explained(data_dir, error))?;
        Ok(Self { records: reader(Box::new(stream)), counts, key, at, served: true })
    }

    /// Of a directory that no server uses. Nothing in it changes.
    pub(in crate::cli) fn of_directory(
        data_dir: &Path,
        progress: &mut Progress,
    ) -> Result<Self, SourceError> {
        let directory = open(data_dir)?;
        if directory.is_new().map_err(SourceError::Open)? {
            return Err(SourceError::NoData(data_dir.display().to_string()));
        }
        progress.now("reading the data directory");
        let copied = directory.copy(Timestamp::EPOCH, &CopyProgress::default()).map_err(SourceError::Open)?;
        let key = directory.key_fingerprint().to_owned();
        let (records, counts) = (reader(Box::new(copied.file)), copied.counts);
        Ok(Self { records, counts, key, at: copied.at, served: false })
    }
}

/// A data directory that no server uses.
pub(super) fn open(data_dir: &Path) -> Result<ReadOnly, SourceError> {
    ReadOnly::open(data_dir).map_err(|error| explained(data_dir, error))
}

/// What it means that a directory cannot be opened.
fn explained(data_dir: &Path, error: OpenError) -> SourceError {
    let shown =
        || std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()).display().to_string();
    match error {
        OpenError::InUse { .. } => SourceError::NoSocket(shown()),
        OpenError::Io { ref path, ref source, .. }
            if source.kind() == std::io::ErrorKind::NotFound && !holds_data(data_dir, path) =>
        {
            SourceError::NoData(shown())
        }
        OpenError::Io { ref path, ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            SourceError::Open(OpenError::FormatMissing { path: path.clone() })
        }
        error => SourceError::Open(error),
    }
}

/// Whether there is something beside the file that is missing.
fn holds_data(data_dir: &Path, missing: &Path) -> bool {
    missing.ends_with("FORMAT") && ["journal", "snapshot"].iter().any(|name| data_dir.join(name).exists())
}

fn reader(from: Box<dyn Read>) -> CopyReader<BufReader<Box<dyn Read>>> {
    CopyReader::new(BufReader::with_capacity(BUFFER_BYTES, from))
}
