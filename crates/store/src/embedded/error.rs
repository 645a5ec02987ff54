//! Why a data directory was not opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::snapshot::SnapshotError;
use crate::StoreError;

/// Why the store did not open. Each message says what happened, where, and what to do. In no case
/// does the store begin empty over data that it cannot read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory open.
    #[error(
        "the data directory {} is in use by another process; stop that one, or give this one a data directory of \
         its own",
        directory.display()
    )]
    InUse { directory: PathBuf },
    /// The file system refused something.
    #[error("cannot {action} {}: {}{}", path.display(), in_words(&source.to_string()), advice(&source.to_string()))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The directory has data, but not the file that says how it is stored.
    #[error(
        "{} is missing, but there is data beside it; put the file back, or restore the whole directory from a backup",
        path.display()
    )]
    FormatMissing { path: PathBuf },
    /// The file that says how data is stored is damaged.
    #[error(
        "{} is damaged ({detail}); put the file back, or restore the whole directory from a backup",
        path.display()
    )]
    FormatDamaged { path: PathBuf, detail: String },
    /// The data was written by a program of a newer version.
    #[error(
        "{} says that the data has format {found}, written by onceward {program}, and this program, onceward {}, reads \
         formats up to {known}; install onceward {program} or a later version, see \"Downgrade\" in \
         docs/operate/deploy.md",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    FormatNewer { path: PathBuf, found: u32, program: String, known: u32 },
    /// The data was written with another server key.
    #[error(
        "the server key is not the one that the data in {} was written with, so none of its codes could be checked; \
         put the right key back, or give this key a data directory of its own",
        directory.display()
    )]
    WrongKey { directory: PathBuf },
    /// The directory was to be filled from an export, and is not complete.
    #[error(
        "an import into {} is going on or was interrupted, so what is in it is not complete; run `onceward import` \
         again, or remove everything in it but server.key",
        directory.display()
    )]
    ImportInterrupted { directory: PathBuf },
    /// An import would have to go into a directory with something in it.
    #[error(
        "{} is not empty; an import needs a directory of its own: name one that is new or empty (server.key may be in \
         it), or move what is in this one away",
        directory.display()
    )]
    NotEmpty { directory: PathBuf },
    /// A part of the journal is gone, or the snapshot went back to an older state.
    #[error(
        "{} is missing, and with it changes that were acknowledged: it was removed, or the snapshot beside it is older \
         than it should be; put right what was changed, or restore the whole directory from a backup",
        path.display()
    )]
    SegmentMissing { path: PathBuf },
    /// The journal is gone.
    #[error(
        "{} is missing, and with it changes that were acknowledged; put it back, or restore the whole directory from a \
         backup (docs/operate/data-directory.md says what can be done without one)",
        path.display()
    )]
    JournalMissing { path: PathBuf },
    /// The journal is damaged.
    #[error(
        "{} is damaged at byte {offset}: {detail}; restore the data directory from a backup \
         (docs/operate/data-directory.md says what can be done without one)",
        path.display()
    )]
    JournalDamaged {
        path: PathBuf,
        /// Where in it, in bytes from its beginning.
        offset: u64,
        detail: String,
    },
    /// The system refused to read or write the snapshot, which may be undamaged.
    #[error("the snapshot in {} cannot be opened: {detail}{}", path.display(), advice(detail))]
    SnapshotRefused { path: PathBuf, detail: String },
    /// A snapshot is only ever read from a copy, for which there was no room.
    #[error(
        "there is no room for a copy of the snapshot, which is needed to read it and takes {bytes} bytes: {}; free {bytes} \
         bytes there, or name a directory with as much room with --scratch (or set the environment variable TMPDIR to it), \
         and try again",
        refused.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect::<Vec<_>>().join(", ")
    )]
    NoRoom {
        /// The size of the copy.
        bytes: u64,
        /// Each place that was tried, and what the system said.
        refused: Vec<(PathBuf, String)>,
    },
    /// The snapshot, or a part of it, is damaged or gone.
    #[error(
        "a part of the snapshot, {}, is damaged or missing: {detail}; restore the data directory from a backup \
         (docs/operate/data-directory.md says what can be done without one)",
        path.display()
    )]
    SnapshotDamaged { path: PathBuf, detail: String },
}

impl OpenError {
    /// For `map_err`: the attempted action, and its path.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For a snapshot that was not opened.
    pub(super) fn snapshot(directory: &Path, error: SnapshotError) -> Self {
        match error {
            SnapshotError::Damaged { path, detail } => Self::SnapshotDamaged { path, detail },
            SnapshotError::Failed(detail) => Self::SnapshotRefused { path: directory.to_owned(), detail },
            SnapshotError::NoRoom { bytes, refused } => Self::NoRoom { bytes, refused },
        }
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// An error of the system in its own words, without the form that Rust and sled give it.
pub(super) fn in_words(text: &str) -> String {
    let plain = text.rsplit_once(" (os error ").filter(|(_, number)| number.ends_with(')'));
    let text = plain.map_or(text, |(words, _)| words);
    let words = text.split_once("Os { code: ").and_then(|(before, form)| {
        let (_, message) = form.split_once("message: \"")?;
        let (message, after) = message.split_once("\" }")?;
        Some(format!("{before}{message}{after}"))
    });
    words.unwrap_or_else(|| text.to_owned())
}

/// Words of the system's errors with the advice for each.
const REFUSALS: [(&str, &str); 6] = [
    ("No space left", "; free space on its file system and start again"),
    ("quota exceeded", "; raise the quota of the server's user or free space, and start again"),
    (
        "Permission denied",
        "; let the user that the server runs as own, read and write it (chown -R, chmod -R u+rwX) and start again",
    ),
    (
        "Read-only file system",
        "; mount it writable, name it in ReadWritePaths of the unit, or choose another data directory",
    ),
    ("Too many open files", "; raise the limit of open files (ulimit -n) and start again"),
    (
        "Input/output error",
        "; the disk does not work, its errors are in the system's log (dmesg); replace it and start again",
    ),
];

/// The remedy for an error of the system, as a continuation of its message; empty if there is no simple one.
pub fn advice(said: &str) -> &'static str {
    REFUSALS.iter().find(|(words, _)| said.contains(words)).map_or("", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_is_said_in_words() {
        let full = io::Error::from_raw_os_error(28);
        let words = "cannot write a.seg: No space left on device";
        assert_eq!(in_words(&format!("cannot write a.seg: {full}")), words);
        assert_eq!(in_words(&format!("cannot write a.seg: {full:?}")), words);
        for unchanged in ["", "the segment is already in use", "odd (os error", "Os { code: 28"] {
            assert_eq!(in_words(unchanged), unchanged);
        }
    }
}
