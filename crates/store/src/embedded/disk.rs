//! The file operations that durability rests on, behind a trait, so that tests can make each of
//! them fail and can look at the directory between any two of them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::frame::{HEADER_BYTES, Header};

/// The progress of a checkpoint. A crash between any two of these must lose nothing. At each of them tests can make sled
/// fail, hang or panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckpointStep {
    /// A new database is open.
    Created,
    /// The database has every record, and is flushed and closed.
    Written,
    /// All of it is on the disk.
    Synced,
    /// A copy is open, before it is read.
    Copied,
    /// A copy of it was opened and read.
    Proved,
    /// The manifest is on the disk.
    ManifestSynced,
    /// The snapshot has its name.
    Named,
    /// The name is on the disk as well.
    Sealed,
    /// The older snapshot was removed.
    SnapshotRemoved,
    /// One journal segment that is no longer needed was removed.
    SegmentRemoved,
}

/// The file operations of the journal and the checkpoints: those of the machine's file system, unless a test makes them fail.
pub(super) trait Disk: Send + Sync + 'static {
    /// An empty file with `bytes` reserved for it, whose reservation is on the disk (the
    /// entry in the directory is not, see [`Disk::sync_dir`]). A file that exists already is
    /// emptied first, unless it is a segment of the journal that was written to: that is an error.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut head = [0; HEADER_BYTES];
        if file.read_exact(&mut head).is_ok() && Header::decode(&head).is_some() {
            // Segment numbers only grow; therefore the file should not exist. If it does, it must not be overwritten.
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the segment is already in use"));
        }
        file.set_len(0)?;
        if bytes > 0 {
            reserve(&file, bytes)?;
        }
        file.sync_all()?;
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Removes a directory with everything in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    /// Returns when the content of a file is on the disk, through whatever handle it was written.
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    /// Returns when the entries of a directory are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Gives a file or a directory another name in its directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Called between the steps of a checkpoint.
    fn reached(&self, _step: CheckpointStep) -> io::Result<()> {
        Ok(())
    }
}

/// The machine's file system.
#[derive(Debug, Default)]
pub(super) struct RealDisk;

impl Disk for RealDisk {}

/// A file that is being written: a segment of the journal, or the manifest of a snapshot.
pub(super) trait DiskFile: Send {
    /// Writes all of `bytes` at `offset`. When it fails, any part of them may be in the file.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Shortens the file to `length`; returns when that is on the disk.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // A file system that cannot reserve space lets the file grow as it is written. The journal
        // then notices a full disk when it writes, and cuts back what did not fit.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => {
            // Frees the partial reservation, otherwise a full disk would stay full.
            let _ = file.set_len(0);
            Err(errno.into())
        }
    }
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
