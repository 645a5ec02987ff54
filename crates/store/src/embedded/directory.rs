//! The data directory: its paths, its lock and the file `FORMAT`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base16ct::lower::encode_string;

use super::disk::Disk;
use super::error::OpenError;
use super::segment::{self, Segment};
use super::snapshot::{self, Listing, Manifest, Snapshot};

/// The format that this program writes and reads. 1 to 3 had the snapshot in another form, in no version that was
/// released.
pub(super) const FORMAT: u32 = 4;

const FIRST_LINE: &str = "onceward data directory";

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
    _named: File,
}

/// The state of a data directory, as `FORMAT` records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectoryState {
    /// The directory is empty, or a first start was interrupted. It was never used.
    Creating,
    /// An import is filling it, or was interrupted.
    Importing,
    /// It holds data.
    Complete,
}

impl DirectoryState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Importing => "importing",
            Self::Complete => "complete",
        }
    }
}

impl Directory {
    /// Creates the directory if it is missing, readable by its owner only.
    pub(super) fn at(root: &Path) -> Result<Self, OpenError> {
        // The reader of a message does not know where the process was started.
        let root = &std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        create_durably(root).map_err(OpenError::io("create the data directory", root))?;
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

    /// Locks the directory for this process, until the lock is dropped or the process ends.
    pub(super) fn lock(&self) -> Result<Lock, OpenError> {
        let path = self.root.join("lock");
        let named = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let named = named.map_err(OpenError::io("open", &path))?;
        self.take(&named, &path)?;
        // An operator may take the file for a leftover and remove it under a server, but not the directory.
        let root = File::open(&self.root).map_err(OpenError::io("open", &self.root))?;
        self.take(&root, &self.root)?;
        Ok(Lock { _root: root, _named: named })
    }

    fn take(&self, file: &File, path: &Path) -> Result<(), OpenError> {
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: self.root.clone() }),
            Err(TryLockError::Error(source)) => {
                Err(OpenError::Io { action: "lock", path: path.to_owned(), source })
            }
        }
    }

    /// Makes sure that no server uses it at this moment. A server may begin to use it at any time.
    pub(super) fn is_free(&self) -> Result<(), OpenError> {
        for path in [&self.root.join("lock"), &self.root] {
            match File::open(path) {
                // A copy of a directory that lacks the file is not in use.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => self.take(&file.map_err(OpenError::io("open", path))?, path)?,
            }
        }
        Ok(())
    }

    /// Reads `FORMAT` and checks that the data was written with this key.
    pub(super) fn state(&self, key_fingerprint: [u8; 16]) -> Result<DirectoryState, OpenError> {
        let text = match self.read_format() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let holds_data = !files(&self.journal)?.is_empty() || !files(&self.snapshot)?.is_empty();
                let path = self.format.clone();
                return if holds_data {
                    Err(OpenError::FormatMissing { path })
                } else {
                    Ok(DirectoryState::Creating)
                };
            }
            Err(error) => return Err(OpenError::io("read", &self.format)(error)),
        };
        let (state, written_with) = self.parse(&text)?;
        self.check_state_is_plausible(state)?;
        // While it is being created nothing in it was ever used; therefore neither was a key.
        if state == DirectoryState::Complete && written_with != encode_string(&key_fingerprint) {
            return Err(OpenError::WrongKey { directory: self.root.clone() });
        }
        Ok(state)
    }

    /// Refuses a `FORMAT` that contradicts the data: with an old copy, a start or an import would remove all data.
    fn check_state_is_plausible(&self, state: DirectoryState) -> Result<(), OpenError> {
        let (says, used) = match state {
            DirectoryState::Complete => return Ok(()),
            DirectoryState::Creating => ("it is still being made", self.has_records()? || self.was_used()?),
            // An import may have been interrupted after its last record.
            DirectoryState::Importing => ("an import into it goes on", self.was_used()?),
        };
        if !used {
            return Ok(());
        }
        let detail = format!("it says that {says}, but the directory is in use");
        Err(OpenError::FormatDamaged { path: self.format.clone(), detail })
    }

    /// Whether the journal has more in it than the empty segment that the making of a directory leaves, or there is a
    /// snapshot of a journal.
    fn was_used(&self) -> Result<bool, OpenError> {
        let written = |(name, bytes): &(String, u64)| {
            *bytes > 0 || segment::number_in(name).is_some_and(|number| number > 1)
        };
        let of_a_journal = self.sealed()?.last().is_some_and(|covered| *covered > 0);
        Ok(of_a_journal || files(&self.journal)?.iter().any(written))
    }

    /// Whether there is a snapshot with a database: not the one that the making of a directory leaves.
    fn has_records(&self) -> Result<bool, OpenError> {
        let has_database =
            |covered: &u64| snapshot::database_in(&snapshot::sealed_path(&self.snapshot, *covered)).exists();
        Ok(self.sealed()?.iter().any(has_database))
    }

    fn sealed(&self) -> Result<Vec<u64>, OpenError> {
        match Listing::of(&self.snapshot) {
            Ok(listing) => Ok(listing.sealed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(OpenError::io("read", &self.snapshot)(error)),
        }
    }

    /// Reads `FORMAT` without a check of the key.
    pub(super) fn peek(&self) -> Result<DirectoryState, OpenError> {
        let text = self.read_format().map_err(OpenError::io("read", &self.format))?;
        let (state, _) = self.parse(&text)?;
        self.check_state_is_plausible(state)?;
        Ok(state)
    }

    /// The fingerprint of the server key of the data, in hex digits.
    pub(super) fn key_fingerprint(&self) -> Result<String, OpenError> {
        let text = self.read_format().map_err(OpenError::io("read", &self.format))?;
        self.parse(&text).map(|(_, fingerprint)| fingerprint.to_owned())
    }

    fn read_format(&self) -> io::Result<String> {
        let mut text = Vec::new();
        File::open(&self.format)?.take(LONGEST_FORMAT_FILE).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn parse<'a>(&self, text: &'a str) -> Result<(DirectoryState, &'a str), OpenError> {
        let damaged =
            |detail: &str| OpenError::FormatDamaged { path: self.format.clone(), detail: detail.into() };
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(damaged("its first line is not \"onceward data directory\""));
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(" = ");
        let format = field("format").ok_or_else(|| damaged("its second line is not \"format = ...\""))?;
        let found: u32 = format.parse().map_err(|_| damaged("its format is not a number"))?;
        if found != FORMAT {
            return Err(OpenError::FormatUnknown { path: self.format.clone(), found, known: FORMAT });
        }
        let key = field("key").ok_or_else(|| damaged("its third line is not \"key = ...\""))?;
        let state = field("state").ok_or_else(|| damaged("its fourth line is not \"state = ...\""))?;
        if lines.next().is_some() {
            return Err(damaged("it goes on after its fourth line"));
        }
        match [DirectoryState::Creating, DirectoryState::Importing, DirectoryState::Complete]
            .into_iter()
            .find(|known| known.as_str() == state)
        {
            Some(state) => Ok((state, key)),
            None => Err(damaged("its state is neither \"creating\" nor \"importing\" nor \"complete\"")),
        }
    }

    /// Replaces `FORMAT` atomically.
    pub(super) fn write_state(
        &self,
        state: DirectoryState,
        key_fingerprint: [u8; 16],
        disk: &dyn Disk,
    ) -> Result<(), OpenError> {
        let key = encode_string(&key_fingerprint);
        let text = format!("{FIRST_LINE}\nformat = {FORMAT}\nkey = {key}\nstate = {}\n", state.as_str());
        let temporary = self.root.join("FORMAT.new");
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            disk.sync_file(&temporary)?;
            fs::rename(&temporary, &self.format)?;
            disk.sync_dir(&self.root)
        };
        write().map_err(OpenError::io("write", &self.format))
    }

    /// Creates empty directories for the journal and the snapshot of a directory that is being created. They replace
    /// the remains of an interrupted attempt on the disk before `FORMAT` can say that they are complete.
    pub(super) fn clear(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        for path in [&self.journal, &self.snapshot] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(
                        OpenError::io("remove what was interrupted before it was complete in", path)(error),
                    );
                }
                _ => create_private(path).map_err(OpenError::io("create", path))?,
            }
        }
        disk.sync_dir(&self.root).map_err(OpenError::io("sync", &self.root))
    }

    /// Seals the first snapshot from the directory of attempt 0, and marks the data as complete.
    pub(super) fn seal(&self, key: [u8; 16], manifest: Manifest, disk: &dyn Disk) -> Result<(), OpenError> {
        let not_created = |detail: String| OpenError::not_created(&self.snapshot, detail);
        let (new, _) = snapshot::attempt_paths(&self.snapshot, 0, 0);
        create_private(&new).map_err(|error| not_created(error.to_string()))?;
        Snapshot::seal(disk, &self.snapshot, &new, manifest).map_err(not_created)?;
        // Creates an empty first segment. Therefore a journal without segments always means a loss.
        Segment::create(disk, &self.journal, 1, 0)
            .map_err(OpenError::io("create the first segment in", &self.journal))?;
        self.write_state(DirectoryState::Complete, key, disk)
    }

    fn warn_of_other_users(&self) {
        let Ok(metadata) = fs::metadata(&self.root) else { return };
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(
                directory = %self.root.display(),
                "data directory readable by other users; run chmod 700 on it"
            );
        }
        let user = rustix::process::geteuid().as_raw();
        if metadata.uid() != user {
            tracing::warn!(
                directory = %self.root.display(),
                owner = metadata.uid(),
                user,
                "data directory owned by another user; a server of that user cannot open what this one writes"
            );
        }
    }
}

/// The fingerprint of the server key of the data in `dir`, in 32 hex digits. Can be read while a server runs.
///
/// # Errors
/// [`OpenError`] if `dir` is not a data directory.
pub fn key_fingerprint_in(dir: &Path) -> Result<String, OpenError> {
    Directory::existing(dir).key_fingerprint()
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

/// The names and lengths of a directory's entries; empty if the directory does not exist.
pub(super) fn files(directory: &Path) -> Result<Vec<(String, u64)>, OpenError> {
    let failed = || OpenError::io("read", directory);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed())?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed())?;
        let bytes = entry.metadata().map_err(failed())?.len();
        files.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    Ok(files)
}
