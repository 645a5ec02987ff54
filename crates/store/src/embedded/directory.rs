//! The data directory: how to open it, its paths, its lock and the file `FORMAT`.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base16ct::lower::encode_string;
use onceward_core::clock::EngineClock;
use onceward_core::domain::Timestamp;

use super::journal::{self, Covered, segment_path};
use super::snapshot::{self, Manifest};
use crate::StoreError;

/// The format of data directories and exports. From the first release on it rises with each change of what is in them: a
/// layout of the journal or the manifest, a line of an export, a kind of record or the layout of one. Therefore a program
/// that finds a higher format refuses before it changes a byte.
pub const FORMAT: u32 = 1;

/// Waits of 10 ms until a lock counts as held by another process.
const LOCK_WAITS: u32 = 200;

/// Maximum length read of `FORMAT`, in bytes.
const LONGEST_FORMAT_FILE: u64 = 4096;

/// Names that an empty directory may contain: the server key, and a file of the file system.
const NOT_DATA: [&str; 2] = ["server.key", "lost+found"];

/// The options for opening a store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The data directory. It is created if it is not there.
    pub dir: PathBuf,
    /// Identifies the server key. Data that was written with another key is not opened: its codes could not be checked.
    pub key_fingerprint: [u8; 16],
    /// The clock of decisions.
    pub clock: EngineClock,
    /// Imports into an empty directory ([`check_importable`]). No server starts on it before the store is closed
    /// in order.
    pub importing: bool,

    // Sizes and times that only tests change.
    /// Bytes reserved for one journal segment.
    pub segment_bytes: u64,
    /// A snapshot's database ends when it has so many bytes: a reader keeps one of them in memory.
    pub database_bytes: usize,
    /// A checkpoint begins when the journal has grown by so much, or by half the size of the last snapshot if that is
    /// more.
    pub checkpoint_bytes: u64,
    /// The pause after each 256 KiB of a snapshot, so that commits do not wait for it.
    pub pause: Duration,
    /// The interval at which the store looks at what may hang, is due, or works again.
    pub tick: Duration,
}

const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

impl OpenOptions {
    pub fn new(dir: impl Into<PathBuf>, key_fingerprint: [u8; 16], clock: EngineClock) -> Self {
        Self {
            dir: dir.into(),
            key_fingerprint,
            clock,
            importing: false,
            segment_bytes: SEGMENT_BYTES,
            database_bytes: 16 * 1024 * 1024,
            // A checkpoint closes the current segment. If it began only when a segment is full, it would close the next
            // one almost empty.
            checkpoint_bytes: SEGMENT_BYTES - 1024 * 1024,
            pause: Duration::from_millis(2),
            tick: Duration::from_secs(1),
        }
    }
}

/// The paths within one data directory.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) root: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) snapshot: PathBuf,
    format: PathBuf,
}

impl Directory {
    /// The paths within a directory that may or may not be there. Touches nothing.
    pub(super) fn at(root: &Path) -> Self {
        // The reader of a message does not know where the process was started.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let [journal, snapshot, format] = ["journal", "snapshot", "FORMAT"].map(|name| root.join(name));
        Self { root, journal, snapshot, format }
    }

    /// Locks the directory for this process, until the file is dropped or the process ends.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let root = File::open(&self.root).map_err(StoreError::io("open", &self.root))?;
        for _ in 0..LOCK_WAITS {
            match root.try_lock() {
                Ok(()) => return Ok(root),
                // A store of this process may be ending.
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &self.root)(error)),
            }
        }
        Err(StoreError::InUse { directory: self.root.clone() })
    }

    /// Whether there is more than what an interrupted first start leaves: an empty segment and an empty snapshot.
    fn has_data(&self) -> Result<bool, StoreError> {
        let is_empty =
            |number| fs::metadata(segment_path(&self.journal, number)).is_ok_and(|found| found.len() == 0);
        let numbers = journal::segment_numbers(&self.journal)?;
        let is_used = numbers.into_iter().any(|number| number > 1 || !is_empty(number));
        Ok(is_used || snapshot::sealed(&self.snapshot)?.iter().any(|covered| *covered > 0))
    }

    /// The fingerprint of the server key of the data, in hex digits, from `FORMAT`; `None` if the directory was never used.
    pub(super) fn key(&self) -> Result<Option<String>, StoreError> {
        match self.read_format() {
            Err(error) if error.is_not_found() && self.has_data()? => {
                let what = "is missing, but there is data beside it: after an import that did not end, remove \
                            everything in the directory but server.key, and import again";
                Err(StoreError::damaged(&self.format, what))
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
        let mut fields = text.lines().skip(1).map_while(|line| line.split_once(" = "));
        let mut field = |name| fields.next().filter(|(found, _)| *found == name).map(|(_, value)| value);
        let format = field("format").and_then(|format| format.parse::<u32>().ok());
        let (program, key) = (field("program").unwrap_or_default(), field("key").unwrap_or_default());
        match format {
            // Before anything that may be otherwise in a newer format.
            Some(found) if found > FORMAT => Err(StoreError::FormatNewer {
                path: path.clone(),
                found,
                program: program.to_owned(),
                known: FORMAT,
            }),
            Some(FORMAT) if text == format_text(program, key) => Ok(key.to_owned()),
            _ => Err(StoreError::damaged(path, "is damaged: it is not as a start writes it")),
        }
    }

    /// Writes `FORMAT`, whole or not at all: from then on the directory has data.
    pub(super) fn write_format(&self, key_fingerprint: [u8; 16], disk: &Disk) -> Result<(), StoreError> {
        let text = format_text(env!("CARGO_PKG_VERSION"), &encode_string(&key_fingerprint));
        let temporary = self.root.join("FORMAT.new");
        disk.write_file(&temporary, text.as_bytes())?;
        disk.rename(&temporary, &self.format)?;
        disk.sync_dir(&self.root)
    }

    /// Gives a directory that is being created an empty first segment and the first snapshot. They replace the remains of
    /// an interrupted attempt on the disk before `FORMAT` is written.
    pub(super) fn create_first_files(&self, now: Timestamp, disk: &Disk) -> Result<(), StoreError> {
        for path in [&self.journal, &self.snapshot] {
            let remains = "remove the remains of an interrupted start in";
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io(remains, path)(error));
                }
                _ => create_private(path).map_err(StoreError::io("create", path))?,
            }
        }
        disk.sync_dir(&self.root)?;
        let [new, _] = snapshot::attempt_paths(&self.snapshot, 0, 0);
        create_private(&new).map_err(StoreError::io("create", &new))?;
        Manifest::empty(Covered::default(), now).seal(disk, &self.snapshot, &new)?;
        // Every complete directory has a segment; therefore a journal without segments always means a loss.
        disk.write_file(&segment_path(&self.journal, 1), &[])?;
        disk.sync_dir(&self.journal)
    }
}

fn format_text(program: &str, key: &str) -> String {
    format!("onceward data directory\nformat = {FORMAT}\nprogram = {program}\nkey = {key}\n")
}

/// Succeeds if an import into `dir` can begin: it does not exist, or contains a server key at most. Changes nothing.
///
/// # Errors
/// [`StoreError::NotEmpty`], and those of reading.
pub fn check_importable(dir: &Path) -> Result<(), StoreError> {
    let directory = Directory::at(dir).root;
    let is_empty = names(&directory)?.iter().all(|name| NOT_DATA.contains(&name.as_str()));
    if is_empty { Ok(()) } else { Err(StoreError::NotEmpty { directory }) }
}

/// The fingerprint of the server key of the data in `dir`, in 32 hex digits. Can be read while a server runs.
///
/// # Errors
/// [`StoreError`] if `dir` is not a data directory.
pub fn key_fingerprint_in(dir: &Path) -> Result<String, StoreError> {
    Directory::at(dir).read_format()
}

// The file operations that durability rests on. Tests can make each of them fail, and can look at the directory between
// any two of them.

/// A change of the data directory, or a step of a checkpoint, at which tests can make sled fail, hang or panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Write,
    Sync,
    Cut,
    Remove,
    RemoveDir,
    SyncFile,
    SyncDir,
    Rename,
    Step(&'static str),
}

/// Called before an operation, and again (`true`) after it succeeded. An error of either call is the operation's.
pub(super) type Faults = Arc<dyn Fn(Operation, &Path, bool) -> io::Result<()> + Send + Sync>;

/// The machine's file system, with the faults of a test.
#[derive(Clone, Default)]
pub(super) struct Disk(pub(super) Option<Faults>);

impl Disk {
    /// Does `change`, which the error names as "cannot `action` `path`".
    pub(super) fn run<T>(
        &self,
        operation: Operation,
        action: &str,
        path: &Path,
        change: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        let run = || {
            let Some(faults) = &self.0 else { return change() };
            faults(operation, path, false)?;
            let done = change()?;
            faults(operation, path, true).map(|()| done)
        };
        run().map_err(StoreError::io(action, path))
    }

    /// Writes a file, whole, and returns when it is on the disk.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.run(Operation::Create, "write", path, || create_file(path)?.write_all(bytes))?;
        self.sync_file(path)
    }

    /// Removes a directory with everything in it.
    pub(super) fn remove_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::RemoveDir, "remove", path, || fs::remove_dir_all(path))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.run(Operation::Rename, "name", to, || fs::rename(from, to))
    }

    /// Returns when the content of a file is on the disk, through whatever handle it was written.
    pub(super) fn sync_file(&self, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::SyncFile, "sync", path, || File::open(path)?.sync_data())
    }

    /// Returns when the entries of a directory are on the disk.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.run(Operation::SyncDir, "sync", path, || File::open(path)?.sync_all())
    }
}

/// An empty file that only its owner can read.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Creates the directory and its missing parents, and syncs their entries: a synced file is lost with an unsynced
/// directory.
pub fn create_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    create_private(&path)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Creates a directory and its missing parents with mode 0700.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The names in a directory, in order; none if it is missing.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let listed =
        fs::read_dir(directory).and_then(|entries| entries.map(name).collect::<io::Result<Vec<_>>>());
    let mut names = match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(StoreError::io("read", directory))?,
    };
    names.sort_unstable();
    Ok(names)
}
