//! Everything that is wrong with a data directory, and what is in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::copy::merge;
use super::super::error::OpenError;
use super::super::{replay, stored};
use super::journal::Look;
use super::scratch::Scratch;
use super::{ReadOnly, Snapshot, State};
use crate::domain::Timestamp;
use crate::store::{Counts, Entry, Kind};

/// What to do about a damaged snapshot.
const SNAPSHOT_ADVICE: &str =
    "restore the data directory from a backup, or see \"When a start is refused\" in docs/data-directory.md";

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

/// What is in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The format it has.
    pub format: u32,
    /// Whether it was made and never used.
    pub is_new: bool,
    /// Journal segments that a start reads.
    pub segments: u64,
    /// Change sets in them.
    pub change_sets: u64,
    /// Records and removals in these.
    pub journal_records: u64,
    /// When the oldest of these was written.
    pub oldest: Option<Timestamp>,
    /// When the newest was.
    pub newest: Option<Timestamp>,
    /// Whether the last server that used it ended in order.
    pub closed_in_order: bool,
    /// The remains of a write that nobody was told of: where they begin, and how many bytes they take. No
    /// damage: the next start cuts them off.
    pub torn: Option<(PathBuf, u64, u64)>,
    /// Records in the snapshot.
    pub snapshot_records: u64,
    /// Records that matter, of the snapshot and the journal together. Not counted if a start would be refused.
    pub alive: Counts,
    /// Records that do not matter any more and are not removed yet.
    pub ended: u64,
    /// How many of those that matter have which version of their encoding.
    pub versions: BTreeMap<(Kind, u8), u64>,
    /// Bytes that the journal takes on the disk.
    pub journal_bytes: u64,
    /// Bytes that the snapshot takes on the disk.
    pub snapshot_bytes: u64,
}

impl ReadOnly {
    /// Looks at every record. `judge` says what is wrong with one; `found` is told each thing that is wrong.
    /// A start would be refused if it is told anything.
    ///
    /// # Errors
    /// When the directory could not be looked at, or a server began to use it meanwhile: then what was found
    /// means nothing.
    pub fn examine(
        &self,
        now: Timestamp,
        judge: &dyn Fn(&Entry) -> Result<(), String>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Examined, OpenError> {
        let examined = self.look(now, judge, found);
        // A server that writes meanwhile looks like damage.
        self.undisturbed()?;
        examined
    }

    fn look(
        &self,
        now: Timestamp,
        judge: &dyn Fn(&Entry) -> Result<(), String>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Examined, OpenError> {
        let mut examined = Examined { format: self.format, ..Examined::default() };
        let (wrong, directory) = (Cell::new(false), &self.directory);
        let mut found = |finding| {
            wrong.set(true);
            found(finding);
        };
        examined.is_new = match self.state {
            State::Creating => true,
            State::Complete => false,
            State::Importing => {
                let (path, what) = (self.path(), "an import into it was interrupted".to_owned());
                found(Finding { path, at: None, what, advice: "run `onceward import` again" });
                return Ok(examined);
            }
        };
        if examined.is_new {
            return Ok(examined);
        }
        examined.journal_bytes = size_of(&directory.journal)?;
        examined.snapshot_bytes = size_of(&directory.snapshot)?;
        let scratch = Scratch::beside(directory)?;
        let snapshot = match scratch.snapshot(directory) {
            Ok(snapshot) => snapshot,
            Err(error @ OpenError::SnapshotDamaged { .. }) => {
                found(finding(&directory.snapshot, error.to_string()));
                return Ok(examined);
            }
            Err(error) => return Err(error),
        };
        snapshot_entries(&snapshot, directory, &mut examined, judge, &mut found);
        let account = match snapshot.account() {
            Ok(account) => account,
            Err(error) => {
                found(finding(&directory.snapshot, error.to_string()));
                return Ok(examined);
            }
        };
        Look::new(&mut examined, judge, &mut found, &account)
            .at(&directory.journal, account.covered_segment)?;
        // And as a start does it, which has the last word.
        match replay::replay(&directory.journal, &account, |_| {}) {
            Ok(replayed) if !wrong.get() => {
                let counted = merge(&snapshot, &replayed.changes, |key, gc_after, record| {
                    if now >= gc_after {
                        examined.ended += 1;
                    } else {
                        examined.alive.add(key.kind);
                        let version = record.first().copied().unwrap_or_default();
                        *examined.versions.entry((key.kind, version)).or_default() += 1;
                    }
                    Ok(())
                });
                if let Err(error) = counted {
                    found(finding(&directory.snapshot, error.to_string()));
                }
            }
            Err(error) if !wrong.get() => found(finding(&directory.journal, error.to_string())),
            _ => {}
        }
        snapshot.close();
        Ok(examined)
    }
}

fn snapshot_entries(
    snapshot: &Snapshot,
    directory: &super::Directory,
    examined: &mut Examined,
    judge: &dyn Fn(&Entry) -> Result<(), String>,
    found: &mut dyn FnMut(Finding),
) {
    let walked =
        snapshot.raw(&mut |key, value| {
            examined.snapshot_records += 1;
            let entry =
                stored::read_key(key).zip(stored::split_value(value)).map(|(key, (_, gc_after, record))| {
                    Entry { key, gc_after, record: Bytes::copy_from_slice(record) }
                });
            let judged = match &entry {
                Some(entry) => judge(entry),
                None => {
                    Err("there is an entry that is no record, or of a kind that this program does not know"
                        .into())
                }
            };
            if let Err(what) = judged {
                found(finding(&directory.snapshot, what));
            }
        });
    match walked {
        Ok((is, says)) if is != says => {
            let what = format!(
                "it says that it contains {} records, and {} were found, or other ones",
                says.entries, is.entries
            );
            found(finding(&directory.snapshot, what));
        }
        Ok(_) => {}
        Err(error) => found(finding(&directory.snapshot, format!("it cannot be read to its end: {error}"))),
    }
}

fn finding(path: &Path, what: String) -> Finding {
    Finding { path: path.to_owned(), at: None, what, advice: SNAPSHOT_ADVICE }
}

/// What the files below `path` take on the disk, in bytes.
fn size_of(path: &Path) -> Result<u64, OpenError> {
    let failed = || OpenError::io("look at", path);
    let mut size = 0;
    for entry in fs::read_dir(path).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let metadata = entry.metadata().map_err(failed())?;
        // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
        size += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(size)
}
