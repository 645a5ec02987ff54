//! The file operations that durability rests on. Tests can make each of them fail, and can look at the directory between
//! any two of them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::StoreError;

/// A change of the data directory, or a step of a checkpoint, at which tests can make sled fail, hang or panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    Create,
    /// These bytes at this offset.
    Write(&'a [u8], u64),
    Sync,
    Cut,
    Remove,
    RemoveDir,
    SyncFile,
    SyncDir,
    /// From this path.
    Rename(&'a Path),
    Step(&'static str),
}

/// Called before an operation, in whose place it may fail, and again after it (`true`) if it succeeded.
pub(super) type Faults = Arc<dyn Fn(Operation<'_>, &Path, bool) -> io::Result<()> + Send + Sync>;

/// The machine's file system, with the faults of a test.
#[derive(Clone, Default)]
pub(super) struct Disk(pub(super) Option<Faults>);

impl Disk {
    /// Does `change`, which the error names as "cannot `action` `path`".
    pub(super) fn run<T>(
        &self,
        operation: Operation<'_>,
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
        self.run(Operation::Rename(from), "name", to, || fs::rename(from, to))
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
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
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
