//! The one error of the store: its variants say which travel where.

use std::io;
use std::path::{Path, PathBuf};

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
        "the data directory {} is in use by another process; stop that one, or give this one a data directory of \
         its own",
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
    /// A part of the data is damaged or gone.
    #[error("{0}")]
    Damaged(Damage),

    // Everywhere.
    /// The system refused something.
    #[error("{}{}", self.reason(), advice(reason))]
    Io { action: String, path: PathBuf, kind: io::ErrorKind, reason: String },
}

/// What is wrong with a file or a directory of the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {}; {advice}", path.display(), self.what())]
pub struct Damage {
    pub path: PathBuf,
    /// Where in the file, in bytes from its beginning.
    pub at: Option<u64>,
    /// What was found there; else what is said about the file, such as "is missing".
    pub what: String,
    pub advice: &'static str,
}

/// The remedy for a damaged snapshot or segment.
pub const RESTORE: &str = "restore the data directory from a backup, or see \"When a start is refused\" in docs/operate/data-directory.md";

/// The remedy for `FORMAT` when there is data.
pub(crate) const NO_FORMAT: &str = "after an import that did not end, remove everything in the directory but server.key, and \
                         import again; else put the file back, or restore the whole directory from a backup; see \"When \
                         a start is refused\" in docs/operate/data-directory.md";

/// The remedy for a file that could be put back.
pub(crate) const PUT_BACK: &str = "put the file back, or restore the whole directory from a backup; see \"When a start is \
                        refused\" in docs/operate/data-directory.md";

/// The remedy when the journal does not continue where the snapshot ends.
const TELL_APART: &str = "restore the whole directory from a backup, and move no later segments away: \"When a \
                          start is refused\" in docs/operate/data-directory.md says how to tell the two apart";

impl Damage {
    fn what(&self) -> String {
        self.at.map_or_else(|| self.what.clone(), |at| format!("is damaged at byte {at}: {}", self.what))
    }
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

    pub(crate) fn damaged(
        path: &Path,
        at: Option<u64>,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::Damaged(Damage { path: path.to_owned(), at, what: what.into(), advice })
    }

    pub(crate) fn format_damaged(path: &Path) -> Self {
        Self::damaged(path, None, "is damaged: it is not as a start writes it", PUT_BACK)
    }

    /// A part of the journal is gone, or the snapshot went back to an older state.
    pub(crate) fn segment_missing(path: &Path) -> Self {
        let what = "is missing, and with it changes that were acknowledged: it was removed, or the snapshot beside it \
                    is older than it should be";
        Self::damaged(path, None, what, TELL_APART)
    }

    pub(crate) fn snapshot_damaged(path: &Path, detail: &str) -> Self {
        Self::damaged(path, None, format!("cannot be used: {detail}"), RESTORE)
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
