//! Everything that is wrong with a data directory, and what is in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::{Disk, RealDisk};
use super::super::error::OpenError;
use super::super::replay::{self, Replayed};
use super::super::snapshot::{self, Snapshot};
use super::finding::{Finding, RESTORE};
use super::journal::Look;
use super::{ReadOnly, State};
use crate::{Counts, Entry, Kind};
use onceward_core::domain::Timestamp;

/// What is in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The format it has.
    pub format: u32,
    /// Whether it was made and never used.
    pub is_new: bool,
    /// Whether the journal was looked at: not if it is gone.
    pub journal_read: bool,
    /// Journal segments that a start reads; all that are there if it is not known which the snapshot covers.
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
    /// What looks like the remains of a write that nobody was told of: where they begin, and how many bytes they take.
    /// No damage, as far as can be told: the next start cuts them off.
    pub torn: Option<(PathBuf, u64, u64)>,
    /// Records in the snapshot; `None` if it cannot be opened.
    pub snapshot_records: Option<u64>,
    /// Records that matter, of the snapshot and the journal together. `None` if they
    /// were not counted, because a start would be refused.
    pub alive: Option<Counts>,
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
        judge: &dyn Fn(&Entry) -> Result<(), String>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Examined, OpenError> {
        let examined = self.look(judge, found);
        // A server that writes meanwhile looks like damage.
        self.undisturbed()?;
        examined
    }

    fn look(
        &self,
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
                let what = "an import into it was interrupted";
                found(Finding::new(&directory.root, what, "run `onceward import` again"));
                return Ok(examined);
            }
        };
        if examined.is_new {
            examined.alive = Some(Counts::default());
            return Ok(examined);
        }
        examined.journal_bytes = size_of(&directory.journal)?;
        examined.snapshot_bytes = size_of(&directory.snapshot)?;
        let snapshot = self.snapshot(&mut examined, judge, &mut found)?;
        let covered = snapshot.as_ref().map(Snapshot::covered);
        // Without the snapshot too: what the journal says may be all that is left.
        match Look::new(&mut examined, judge, &mut found, covered).at(&directory.journal) {
            Ok(()) => examined.journal_read = true,
            Err(error) => found(error.damage().ok_or(error)?),
        }
        let (Some(snapshot), Some(covered)) = (snapshot, covered) else { return Ok(examined) };
        // And as a start does it, which has the last word.
        match replay::replay(&directory.journal, covered, |_| {}) {
            Ok(replayed) if !wrong.get() => {
                let counted = count(&snapshot, &replayed, &mut examined);
                counted.map_err(|error| OpenError::snapshot(&directory.snapshot, error))?;
            }
            Err(error) if !wrong.get() => found(error.damage().ok_or(error)?),
            _ => {}
        }
        Ok(examined)
    }

    /// Looks at every layer, and at every entry of those that are whole up to it.
    fn snapshot(
        &self,
        examined: &mut Examined,
        judge: &dyn Fn(&Entry) -> Result<(), String>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Option<Snapshot>, OpenError> {
        let mut records = 0;
        let mut see = |path: &Path, entry: &snapshot::Entry| {
            let record = entry.put.clone()?;
            records += 1;
            let entry = Entry { key: entry.key, gc_after: entry.gc_after, record };
            judge(&entry).err().map(|what| Finding::new(path, what, RESTORE))
        };
        let mut wrong = Vec::new();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let opened =
            Snapshot::examine(&self.directory.snapshot, &disk, Timestamp::EPOCH, &mut |path, entry| {
                wrong.extend(see(path, entry));
            });
        wrong.into_iter().for_each(&mut *found);
        match opened {
            Ok(snapshot) => {
                examined.snapshot_records = Some(records);
                Ok(Some(snapshot))
            }
            Err(errors) => {
                for error in errors {
                    let error = OpenError::snapshot(&self.directory.snapshot, error);
                    found(error.damage().ok_or(error)?);
                }
                Ok(None)
            }
        }
    }
}

/// Counts what a start would find at the newest time of the directory.
fn count(
    snapshot: &Snapshot,
    replayed: &Replayed,
    examined: &mut Examined,
) -> Result<(), snapshot::SnapshotError> {
    let (mut alive, mut entries) = (Counts::default(), snapshot.with(&replayed.changes)?);
    while let Some(entry) = entries.next_entry()? {
        match entry.alive_at(replayed.last_time) {
            Some(record) => {
                alive.add(entry.key.kind);
                let version = record.first().copied().unwrap_or_default();
                *examined.versions.entry((entry.key.kind, version)).or_default() += 1;
            }
            None => examined.ended += u64::from(entry.put.is_some()),
        }
    }
    examined.alive = Some(alive);
    Ok(())
}

/// What the files below `path` take on the disk, in bytes; nothing if it is not there.
fn size_of(path: &Path) -> Result<u64, OpenError> {
    let failed = || OpenError::io("look at", path);
    let mut size = 0;
    if !path.exists() {
        return Ok(size);
    }
    for entry in fs::read_dir(path).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let metadata = entry.metadata().map_err(failed())?;
        // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
        size += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(size)
}
