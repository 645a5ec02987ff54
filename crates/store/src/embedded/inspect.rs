//! Reads a data directory that no server uses. Changes nothing in it, except for a temporary copy of the snapshot.
//!
//! The directory is not locked, so that a server can start meanwhile, for example after a crash. The result is then
//! discarded.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use onceward_core::domain::Timestamp;

use super::database::Sled;
use super::directory::{Directory, DirectoryState, FormatFile};
use super::error::OpenError;
use super::live::{Files, LiveRecords};
use super::open::{Copies, StoreSettings};
use super::replay::{self, JournalSummary, OnDamage};
use super::snapshot::{OpenCopy, Snapshot};
use crate::{CopiedRecord, RecordCounts, Slots};

/// A data directory that no server uses.
pub struct ReadOnly {
    directory: Directory,
    file: FormatFile,
    files: Files,
    /// The files as they were when no server used them.
    before: FileStates,
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnly").field("root", &self.directory.root).finish_non_exhaustive()
    }
}

impl ReadOnly {
    /// Opens `dir`, which must be a data directory. The copy of the snapshot that is read goes there, or to `scratch` if
    /// there is no room (`None` means the directory that the environment variable `TMPDIR` names).
    ///
    /// # Errors
    /// [`OpenError::InUse`] while a server uses it; others when it is none, or one of a newer program.
    pub fn open(dir: &Path, scratch: Option<&Path>) -> Result<Self, OpenError> {
        let directory = Directory::existing(dir);
        let file = directory.peek()?;
        directory.is_free()?;
        let before = files_of(&directory)?;
        let (scratch, deadline) = (scratch.map(Path::to_owned), StoreSettings::default().deadline);
        let copies = Copies::of(&directory, scratch, Arc::new(Sled), deadline)?;
        let files = Files { copies, journal: directory.journal.clone(), loading: Arc::default() };
        Ok(Self { directory, file, files, before })
    }

    /// The fingerprint of the server key of the data, in hex digits.
    pub fn key_fingerprint(&self) -> &str {
        &self.file.key
    }

    /// Returns `true` if the directory was created and never used.
    ///
    /// # Errors
    /// [`OpenError::ImportInterrupted`].
    pub fn is_new(&self) -> Result<bool, OpenError> {
        match self.file.state {
            DirectoryState::Creating => Ok(true),
            DirectoryState::Importing => {
                Err(OpenError::ImportInterrupted { directory: self.directory.root.clone() })
            }
            DirectoryState::Complete => Ok(false),
        }
    }

    /// Finds the records that are alive at the newest time in the directory, as a start would.
    ///
    /// # Errors
    /// [`OpenError`], if a start would be refused.
    pub fn records(self) -> Result<OfflineRecords, OpenError> {
        let found =
            self.files.copies.open_newest(&self.directory).and_then(|copy| self.find(Some(copy), &mut Err));
        self.undisturbed()?;
        Ok(OfflineRecords { found: found?, directory: self })
    }

    /// Verifies the journal after the snapshot that a start would use. Of the snapshot only the manifest is read. Returns
    /// why the newest snapshot cannot be used, if a start would use an older one.
    ///
    /// # Errors
    /// [`OpenError`], as a start would be refused.
    pub fn verify_journal(&self) -> Result<Option<String>, OpenError> {
        let Directory { snapshot, journal, .. } = &self.directory;
        let load = |segment| Snapshot::load(snapshot, segment);
        let verified = self.files.copies.newest_usable(&self.directory, load).and_then(|(used, unusable)| {
            let covered = Some(used.manifest.covered);
            replay::read(journal, covered, None, &mut |_, _| Ok(()), &mut Err)?;
            Ok(unusable.map(|error| error.to_string()))
        });
        self.undisturbed()?;
        verified
    }

    fn find(&self, copy: Option<OpenCopy>, on_damage: OnDamage<'_>) -> Result<LiveRecords, OpenError> {
        LiveRecords::find(self.files.clone(), copy, Slots::all(), None, on_damage)
    }

    /// Fails if a server has used the directory since it was opened here. Every starting server makes new segments.
    fn undisturbed(&self) -> Result<(), OpenError> {
        self.directory.is_free()?;
        if files_of(&self.directory)?.keys().eq(self.before.keys()) {
            return Ok(());
        }
        Err(OpenError::InUse { directory: self.directory.root.clone() })
    }
}

/// The live records of a data directory that no server uses.
pub struct OfflineRecords {
    directory: ReadOnly,
    found: LiveRecords,
}

impl OfflineRecords {
    /// The newest time in the directory: the records are those that are alive then.
    pub fn at(&self) -> Timestamp {
        self.found.newest_time()
    }

    /// Visits each record once. An error of the visitor ends the reading.
    ///
    /// # Errors
    /// The visitor's, and [`OpenError`] if a record cannot be read or a server has begun to use the directory: then what
    /// was visited means nothing.
    pub fn each<E: From<OpenError>>(
        self,
        visit: &mut dyn FnMut(CopiedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { directory, found } = self;
        let read = found.each(Timestamp::EPOCH, &mut |_, key, expires, record| {
            visit(CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) })
        });
        directory.undisturbed()?;
        read
    }
}

/// The contents of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The format it has.
    pub format: u32,
    /// The segments that a start reads; all existing segments if it is unknown which ones the snapshot covers. `None`
    /// if the journal is missing.
    pub journal: Option<JournalSummary>,
    /// Records in the snapshot; `None` if it cannot be read.
    pub snapshot_records: Option<u64>,
    /// Records that are alive, of the snapshot and the journal together. `None` if they
    /// were not counted, because a start would be refused.
    pub alive: Option<RecordCounts>,
    /// The number of these by kind and version of their encoding.
    pub versions: BTreeMap<(u8, u8), u64>,
    /// Bytes that the journal takes on the disk.
    pub journal_bytes: u64,
    /// Bytes that the snapshots take on the disk.
    pub snapshot_bytes: u64,
}

/// Says what is wrong with a record.
pub type CheckRecord<'a> = &'a dyn Fn(&CopiedRecord) -> Result<(), String>;

impl ReadOnly {
    /// Examines what a start would read. `check_record` returns the defect of one record; `found` receives each defect. A
    /// start is refused if there is any. Records are examined if the files have no defect.
    ///
    /// # Errors
    /// If the directory cannot be read, or a server has begun to use it meanwhile: then the defects mean nothing.
    pub fn examine(
        &self,
        check_record: CheckRecord<'_>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Examined, OpenError> {
        let examined = self.examine_files(check_record, found);
        // A server that writes meanwhile looks like damage.
        self.undisturbed()?;
        examined
    }

    fn examine_files(
        &self,
        check_record: CheckRecord<'_>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Examined, OpenError> {
        let mut examined = Examined { format: self.file.format, ..Examined::default() };
        let directory = &self.directory;
        match self.file.state {
            DirectoryState::Creating => {
                examined.alive = Some(RecordCounts::default());
                return Ok(examined);
            }
            DirectoryState::Importing => {
                let what = "an import into it was interrupted";
                found(Finding::new(&directory.root, what, "run `onceward import` again"));
                return Ok(examined);
            }
            DirectoryState::Complete => {}
        }
        examined.journal_bytes = size_of(&self.before, &directory.journal);
        examined.snapshot_bytes = size_of(&self.before, &directory.snapshot);
        let mut defects = 0_u64;
        let mut report = |error: OpenError| {
            defects += 1;
            found(match &error {
                OpenError::Io { path, source, .. } if path.starts_with(&directory.journal) => {
                    Finding::new(path, format!("it cannot be read: {source}"), RESTORE)
                }
                _ => error.damage().ok_or(error)?,
            });
            Ok(())
        };
        let copy = match self.files.copies.open_newest(directory) {
            Ok(copy) => Some(copy),
            Err(error) => report(error).map(|()| None)?,
        };
        examined.snapshot_records = copy.as_ref().map(|copy| copy.snapshot.manifest.records);
        // Without the snapshot too, because the journal may have all remaining data.
        let records = match self.find(copy, &mut report) {
            Ok(records) => records,
            Err(error) => return report(error).map(|()| examined),
        };
        examined.journal = Some(records.replayed.summary.clone());
        if defects == 0 {
            Self::examine_records(records, check_record, found, &mut examined)?;
        }
        Ok(examined)
    }

    /// Counts what a start would find.
    fn examine_records(
        records: LiveRecords,
        check_record: CheckRecord<'_>,
        found: &mut dyn FnMut(Finding),
        examined: &mut Examined,
    ) -> Result<(), OpenError> {
        let (mut alive, mut is_damaged) = (RecordCounts::default(), false);
        let read: Result<(), OpenError> =
            records.each(Timestamp::EPOCH, &mut |place, key, expires, record| {
                let entry = CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) };
                if let Err(what) = check_record(&entry) {
                    is_damaged = true;
                    let (at, what) = match place.frame {
                        Some((at, sequence)) => (Some(at as u64), format!("in frame {sequence}, {what}")),
                        None => (None, what),
                    };
                    found(Finding { at, ..Finding::new(place.path, what, RESTORE) });
                }
                *alive.entry(key.kind).or_default() += 1;
                let version = entry.record.first().copied().unwrap_or_default();
                *examined.versions.entry((key.kind, version)).or_default() += 1;
                Ok(())
            });
        match read {
            Ok(()) => examined.alive = Some(alive).filter(|_| !is_damaged),
            Err(error) => {
                examined.snapshot_records = None;
                found(error.damage().ok_or(error)?);
            }
        }
        Ok(())
    }
}

/// The remedy for a damaged snapshot or segment.
const RESTORE: &str = "restore the data directory from a backup, or see \"When a start is refused\" in docs/operate/data-directory.md";

/// The remedy for a file that could be put back.
const PUT_BACK: &str = "put it back, or restore the whole directory from a backup; see \"When a start is refused\" in \
                        docs/operate/data-directory.md";

/// The remedy for data of a newer version.
const UPGRADE: &str =
    "install the version that wrote it or a later one; see \"Downgrade\" in docs/operate/deploy.md";

/// The remedy when the journal does not continue where the snapshot ends.
const TELL_APART: &str = "restore the whole directory from a backup, and move no later segments away: \"When a \
                          start is refused\" in docs/operate/data-directory.md says how to tell the two apart";

/// One thing that is wrong with a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which file or directory.
    pub path: PathBuf,
    /// Where in it, in bytes from its beginning.
    pub at: Option<u64>,
    pub what: String,
    /// The remedy.
    pub advice: &'static str,
}

impl Finding {
    fn new(path: &Path, what: impl Into<String>, advice: &'static str) -> Self {
        Self { path: path.to_owned(), at: None, what: what.into(), advice }
    }
}

impl OpenError {
    /// The damaged, lost or newer part, if it is why the directory was not opened; `None` when it may be well, or that is
    /// not known.
    pub fn damage(&self) -> Option<Finding> {
        Some(match self {
            Self::FormatNewer { path, found, program, known } => {
                let what = format!(
                    "the data has format {found}, written by onceward {program}, and this program reads formats up to \
                     {known}"
                );
                Finding::new(path, what, UPGRADE)
            }
            Self::FormatMissing { path } => {
                Finding::new(path, "it is missing, but there is data beside it", PUT_BACK)
            }
            Self::FormatDamaged { path, detail } => {
                Finding::new(path, format!("it is damaged ({detail})"), PUT_BACK)
            }
            Self::JournalMissing { path } => {
                Finding::new(path, "it is missing, and with it changes that were acknowledged", PUT_BACK)
            }
            Self::SegmentMissing { path } => {
                let what = "it is missing, and with it changes that were acknowledged: it was removed, or the snapshot \
                            beside it is older than it should be";
                Finding::new(path, what, TELL_APART)
            }
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

/// The disk usage of some files, in bytes.
fn size_of(files: &FileStates, directory: &Path) -> u64 {
    let within = files.iter().filter(|((path, ..), _)| path.starts_with(directory));
    // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
    within.map(|(_, blocks)| blocks * 512).sum()
}

/// The blocks of every file that holds data, by its path, its length, the number of its inode and when it was changed last.
/// Blocks are not compared: the file system may allocate them late.
type FileStates = BTreeMap<(PathBuf, u64, u64, i64, i64), u64>;

fn files_of(directory: &Directory) -> Result<FileStates, OpenError> {
    let mut files = FileStates::new();
    for path in [&directory.journal, &directory.snapshot] {
        add_files(path, &mut files).map_err(OpenError::io("look at", path))?;
    }
    Ok(files)
}

fn add_files(path: &Path, files: &mut FileStates) -> io::Result<()> {
    let found = match fs::metadata(path) {
        // The reader reports missing files.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    // Temporary copies of the snapshot are ignored.
    if found.is_dir() && path.extension().is_none() {
        for entry in fs::read_dir(path)? {
            add_files(&entry?.path(), files)?;
        }
    } else if !found.is_dir() {
        let times = (found.mtime(), found.mtime_nsec());
        files.insert((path.to_owned(), found.len(), found.ino(), times.0, times.1), found.blocks());
    }
    Ok(())
}
