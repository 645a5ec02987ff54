//! One thing that is wrong with a data directory, and what to do about it.

use std::path::{Path, PathBuf};

use super::super::error::OpenError;

/// What to do about a damaged snapshot or segment.
pub(super) const RESTORE: &str =
    "restore the data directory from a backup, or see \"When a start is refused\" in docs/data-directory.md";

/// What to do about a file that could be put back.
const PUT_BACK: &str = "put it back, or restore the whole directory from a backup; see \"When a start is refused\" in \
                        docs/data-directory.md";

/// What to do when the journal does not go on where the snapshot ends.
pub(super) const TELL_APART: &str = "restore the whole directory from a backup, and move no later segments away: \"When a \
                                     start is refused\" in docs/data-directory.md says how to tell the two apart";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which file or directory.
    pub path: PathBuf,
    /// Where in it, in bytes from its beginning.
    pub at: Option<u64>,
    /// What.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

impl Finding {
    pub(super) fn new(path: &Path, what: impl Into<String>, advice: &'static str) -> Self {
        Self { path: path.to_owned(), at: None, what: what.into(), advice }
    }
}

impl OpenError {
    /// What is damaged or lost, if that is why the directory was not opened; `None` when it may be well, or that is
    /// not known.
    pub fn damage(&self) -> Option<Finding> {
        Some(match self {
            Self::FormatMissing { path } => {
                Finding::new(path, "it is missing, but there is data beside it", PUT_BACK)
            }
            Self::FormatDamaged { path, detail } => {
                Finding::new(path, format!("it is damaged ({detail})"), PUT_BACK)
            }
            Self::JournalMissing { path } => {
                Finding::new(path, "it is missing, and with it changes that were acknowledged", PUT_BACK)
            }
            Self::SegmentMissing { path } => Finding::new(path, OLDER, TELL_APART),
            Self::JournalDamaged { path, offset, detail } => {
                Finding { at: Some(*offset), ..Finding::new(path, detail.as_str(), RESTORE) }
            }
            Self::SnapshotDamaged { path, detail } => {
                Finding::new(path, format!("it cannot be used: {detail}"), RESTORE)
            }
            _ => return None,
        })
    }
}

/// What is wrong when the segment that is to follow the snapshot is not there.
pub(super) const OLDER: &str = "it is missing, and with it changes that were acknowledged: it was removed, or the \
                                snapshot beside it is older than it should be";
