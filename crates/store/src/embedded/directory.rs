//! The data directory: its paths, its lock and the file `FORMAT`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base16ct::lower::encode_string;

use super::disk::{Disk, create_durably, create_private};
use super::journal::{self, Segment};
use super::manifest::Manifest;
use super::snapshot::{self, Snapshot};
use crate::StoreError;
use crate::error::NO_FORMAT;

/// The format of data directories and exports. From the first release on it rises with each change of what is in them: a
/// layout of the journal or the manifest, a line of an export, a kind of record or the layout of one. Therefore a program
/// that finds a higher format refuses before it changes a byte.
pub const FORMAT: u32 = 1;

const FIRST_LINE: &str = "onceward data directory";

/// Waits of 10 ms until a lock counts as held by another process.
const LOCK_WAITS: u32 = 200;

/// Maximum length read of `FORMAT`, in bytes.
const LONGEST_FORMAT_FILE: u64 = 4096;

/// The paths within one data directory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) root: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) snapshot: PathBuf,
    pub(super) format: PathBuf,
}

/// Keeps other processes from the directory.
#[derive(Debug)]
pub(super) struct Lock {
    // Dropped first: a process that finds the file free finds the directory free.
    _root: File,
    _named: Option<File>,
}

impl Directory {
    /// Creates the directory if it is missing, readable by its owner only.
    pub(super) fn at(root: &Path) -> Result<Self, StoreError> {
        // The reader of a message does not know where the process was started.
        let root = &std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        create_durably(root).map_err(StoreError::io("create the data directory", root))?;
        let directory = Self::existing(root);
        directory.warn_of_other_users();
        Ok(directory)
    }

    /// The paths within a directory that may or may not be there. Touches nothing.
    pub(super) fn existing(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let [journal, snapshot, format] = ["journal", "snapshot", "FORMAT"].map(|name| root.join(name));
        Self { root, journal, snapshot, format }
    }

    /// Makes the file that processes lock. Only a process that writes to the directory needs it.
    pub(super) fn make_lock_file(&self) -> Result<(), StoreError> {
        let path = self.root.join("lock");
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        made.map(drop).map_err(StoreError::io("open", &path))
    }

    /// Locks the directory for this process, until the lock is dropped or the process ends.
    pub(super) fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.root.join("lock");
        let named = match File::open(&path).map_err(StoreError::io("open", &path)) {
            // A copy of a directory may lack it.
            Err(error) if error.is_not_found() => None,
            file => Some(self.locked(file?, &path)?),
        };
        // An operator may take the file for a leftover and remove it under a server, but not the directory.
        let root = File::open(&self.root).map_err(StoreError::io("open", &self.root))?;
        Ok(Lock { _root: self.locked(root, &self.root)?, _named: named })
    }

    fn locked(&self, file: File, path: &Path) -> Result<File, StoreError> {
        let mut waits = 0;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                // A command may be reading the directory.
                Err(TryLockError::WouldBlock) if waits < LOCK_WAITS => {
                    waits += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse { directory: self.root.clone() });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
            }
        }
    }

    /// Whether there is more than what an interrupted first start leaves: an empty segment and an empty snapshot.
    fn has_data(&self) -> Result<bool, StoreError> {
        let written = |(name, bytes): &(String, u64)| {
            *bytes > 0 || journal::segment_number(name).is_some_and(|number| number > 1)
        };
        let of_journal =
            |(name, _): &(String, u64)| journal::parse_number(name).is_some_and(|covered| covered > 0);
        Ok(files(&self.journal)?.iter().any(written) || files(&self.snapshot)?.iter().any(of_journal))
    }

    /// The fingerprint of the server key of the data, in hex digits, from `FORMAT`; `None` if the directory was never used.
    pub(super) fn key(&self) -> Result<Option<String>, StoreError> {
        match self.read_format() {
            Err(error) if error.is_not_found() && self.has_data()? => {
                let what = "is missing, but there is data beside it";
                Err(StoreError::damaged(&self.format, None, what, NO_FORMAT))
            }
            Err(error) if error.is_not_found() => Ok(None),
            read => read.map(Some),
        }
    }

    fn read_format(&self) -> Result<String, StoreError> {
        let (path, mut text) = (&self.format, Vec::new());
        let read = File::open(path).and_then(|file| file.take(LONGEST_FORMAT_FILE).read_to_end(&mut text));
        read.map_err(StoreError::io("read", path))?;
        let text = String::from_utf8_lossy(&text);
        let damaged = |detail: &str| StoreError::format_damaged(path, detail);
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(damaged("its first line is not \"onceward data directory\""));
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(" = ");
        let format = field("format").ok_or_else(|| damaged("its second line is not \"format = ...\""))?;
        let format = format.parse().map_err(|_| damaged("its format is not a number"))?;
        // Before anything that may be otherwise in a newer format.
        let program = field("program").ok_or_else(|| damaged("its third line is not \"program = ...\""))?;
        if format > FORMAT {
            let (path, program) = (path.clone(), program.to_owned());
            return Err(StoreError::FormatNewer { path, found: format, program, known: FORMAT });
        }
        let key = field("key").ok_or_else(|| damaged("its fourth line is not \"key = ...\""))?;
        if format == 0 || lines.next().is_some() || !text.ends_with('\n') {
            return Err(damaged("its format is 0, or it does not end after its fourth line"));
        }
        Ok(key.to_owned())
    }

    /// Writes `FORMAT`, whole or not at all: from then on the directory has data.
    pub(super) fn write_format(&self, key_fingerprint: [u8; 16], disk: &dyn Disk) -> Result<(), StoreError> {
        let (key, program) = (encode_string(&key_fingerprint), env!("CARGO_PKG_VERSION"));
        let text = format!("{FIRST_LINE}\nformat = {FORMAT}\nprogram = {program}\nkey = {key}\n");
        let temporary = self.root.join("FORMAT.new");
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            disk.sync_file(&temporary)?;
            fs::rename(&temporary, &self.format)?;
            disk.sync_dir(&self.root)
        };
        write().map_err(StoreError::io("write", &self.format))
    }

    /// Gives a directory that is being created an empty first segment and the first snapshot. They replace the remains of
    /// an interrupted attempt on the disk before `FORMAT` is written.
    pub(super) fn create_first_files(&self, manifest: Manifest, disk: &dyn Disk) -> Result<(), StoreError> {
        for path in [&self.journal, &self.snapshot] {
            let remains = "remove the remains of an interrupted start in";
            match fs::remove_dir_all(path).map_err(StoreError::io(remains, path)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => create_private(path).map_err(StoreError::io("create", path))?,
            }
        }
        disk.sync_dir(&self.root).map_err(StoreError::io("sync", &self.root))?;
        let (new, _) = snapshot::attempt_paths(&self.snapshot, 0, 0);
        create_private(&new).map_err(StoreError::io("create", &new))?;
        Snapshot::seal(disk, &self.snapshot, &new, manifest)?;
        // Every complete directory has a segment; therefore a journal without segments always means a loss.
        Segment::create(disk, &self.journal, 1, 0).map(drop)
    }

    fn warn_of_other_users(&self) {
        let Ok(metadata) = fs::metadata(&self.root) else { return };
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(
                directory = %self.root.display(),
                "data directory readable by other users; run chmod 700 on it"
            );
        }
    }
}

/// Names that an empty directory may contain: the server key, and files of the file system and of this program.
const NOT_DATA: [&str; 3] = ["server.key", "lock", "lost+found"];

/// Succeeds if an import into `dir` can begin: it does not exist, or contains a server key at most. Changes nothing.
///
/// # Errors
/// [`StoreError::NotEmpty`], and those of reading.
pub fn check_importable(dir: &Path) -> Result<(), StoreError> {
    let directory = Directory::existing(dir).root;
    let is_empty = files(&directory)?.iter().all(|(name, _)| NOT_DATA.contains(&name.as_str()));
    if is_empty { Ok(()) } else { Err(StoreError::NotEmpty { directory }) }
}

/// The fingerprint of the server key of the data in `dir`, in 32 hex digits. Can be read while a server runs.
///
/// # Errors
/// [`StoreError`] if `dir` is not a data directory.
pub fn key_fingerprint_in(dir: &Path) -> Result<String, StoreError> {
    Directory::existing(dir).read_format()
}

/// The names and lengths of a directory's entries; empty if the directory does not exist.
pub(super) fn files(directory: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let list = || {
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry?;
            let bytes = entry.metadata().map_or(0, |found| found.len());
            Ok((entry.file_name().to_string_lossy().into_owned(), bytes))
        };
        fs::read_dir(directory)?.map(entry).collect::<std::io::Result<Vec<_>>>()
    };
    match list().map_err(StoreError::io("read", directory)) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    }
}
