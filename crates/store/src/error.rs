//! The one error of the store: its variants say which travel where.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A store refused or lost an operation. Each message about a directory says what happened, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    // Answers to a commit, and to a restore or a close.
    /// No part of the batch was or will be applied.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Some or all of the batch may have been applied, or may yet be.
    #[error("the store did not say whether it applied the batch: {0}")]
    Unknown(String),
    /// The store was closed, or its thread has ended. No part of this or a later batch will be applied.
    #[error("the store is closed")]
    Closed,

    // Refuse to open a data directory, in no case to begin empty over data that cannot be read.
    #[error(
        "the data directory {} is in use by another process, or by another handle in this one; stop that one, or use \
         another directory",
        directory.display()
    )]
    InUse { directory: PathBuf },
    #[error(
        "the server key is not the one that the data in {} was written with, so none of its codes could be checked; \
         put the right key back, or give this key a data directory of its own",
        directory.display()
    )]
    WrongKey { directory: PathBuf },
    /// An import would have to go into a directory with something in it.
    #[error(
        "{} is not empty; an import needs a directory of its own: name one that is new or empty (server.key may be in \
         it), or move what is in this one away",
        directory.display()
    )]
    NotEmpty { directory: PathBuf },
    #[error(
        "{} says that the data has format {found}, written by onceward {program}, and this program, onceward {}, reads \
         formats up to {known}; install onceward {program} or a later version, see \"Downgrade\" in \
         docs/operate/deploy.md",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    FormatNewer { path: PathBuf, found: u32, program: String, known: u32 },
    /// A part of the data is damaged or gone: `at` this byte of a file, if that is known.
    #[error(
        "{} {what}; restore the data directory from a backup, or see \"When a start is refused\" in \
         docs/operate/data-directory.md",
        path.display()
    )]
    Damaged { path: PathBuf, at: Option<u64>, what: String },

    // Of a record, as it is decoded.
    /// What only a newer version knows.
    #[error(
        "{0}: a newer version of onceward wrote it; install that version or a later one; see \"Downgrade\" in \
         docs/operate/deploy.md"
    )]
    RecordNewer(String),
    /// Records of a kind, such as `numbers`, and what is wrong with one of them.
    #[error(
        "a record of {0} cannot be decoded: {1}; restore the data directory from a backup; see \"When a start is \
         refused\" in docs/operate/data-directory.md"
    )]
    Record(&'static str, String),

    // Everywhere.
    /// The system refused something.
    #[error("{}{}", self.reason(), advice(reason))]
    Io { action: String, path: PathBuf, kind: io::ErrorKind, reason: String },
}

impl StoreError {
    /// For `map_err`: the attempted action, and its path.
    pub(crate) fn io(action: impl Into<String>, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let (action, path) = (action.into(), path.into());
        move |error| {
            let (kind, reason) = (error.kind(), in_words(&error));
            Self::Io { action, path, kind, reason }
        }
    }

    /// `what` is said about the file or directory, such as "is missing".
    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), at: None, what: what.into() }
    }

    pub(crate) fn damaged_at(path: &Path, at: usize, what: &str) -> Self {
        let what = format!("is damaged at byte {at}: {what}");
        Self::Damaged { path: path.to_owned(), at: Some(at as u64), what }
    }

    pub(crate) fn snapshot_damaged(path: &Path, detail: &str) -> Self {
        Self::damaged(path, format!("cannot be used: {detail}"))
    }

    /// The bytes are no record of the kind with this plural name.
    pub fn record(plural: &'static str, why: impl fmt::Display) -> Self {
        Self::Record(plural, why.to_string())
    }

    /// The text without advice, for a server that goes on.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unavailable(reason) | Self::Unknown(reason) => reason.clone(),
            Self::Io { action, path, reason, .. } => format!("cannot {action} {}: {reason}", path.display()),
            other => other.to_string(),
        }
    }

    /// Whether a file or a directory is missing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { kind: io::ErrorKind::NotFound, .. })
    }

    pub(crate) fn lacks_space(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { kind: StorageFull | QuotaExceeded, .. })
    }
}

/// An error of the system in its own words.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or_else(|| text.clone(), |(words, _)| words.to_owned())
}

/// Words of the system's errors with the advice for each.
const REFUSALS: [(&str, &str); 6] = [
    ("No space left", "; free space on its file system and start again"),
    ("quota exceeded", "; raise the quota of the server's user or free space, and start again"),
    (
        "Permission denied",
        "; let the server's user own and write it (chown -R, chmod -R u+rwX), and start again",
    ),
    ("Read-only file system", "; mount it writable, name it in the unit's ReadWritePaths, or use another"),
    ("Too many open files", "; raise the limit of open files (ulimit -n) and start again"),
    ("Input/output error", "; the disk fails: see the system's log (dmesg), replace it and start again"),
];

/// The remedy for an error of the system, as a continuation of its message; empty if there is no simple one.
pub fn advice(said: &str) -> &'static str {
    REFUSALS.iter().find(|(words, _)| said.contains(words)).map_or("", |(_, advice)| advice)
}
