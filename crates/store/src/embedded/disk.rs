//! The file operations that durability rests on, behind a trait, so that tests can make each of
//! them fail and can look at the directory between any two of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::segment;

/// How far a snapshot round has come, or what is done without one. A crash between any two of these must lose nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A copy is about to be made, before the round itself.
    Copying,
    /// A layer has been written, under another name.
    Written,
    /// It is on the disk.
    WrittenAndSynced,
    /// It has its name.
    Named,
    /// That is on the disk as well.
    NamedAndSynced,
    /// A layer that the new one replaces was removed.
    LayerRemoved,
    /// One journal segment that is no longer needed was removed.
    SegmentRemoved,
    /// The round is over.
    Ended,
}

/// What the journal and the snapshot rounds ask of the file system.
pub(super) trait Disk: Send + Sync + 'static {
    /// An empty file with `bytes` reserved for it, whose reservation is on the disk (the
    /// entry in the directory is not, see [`Disk::sync_dir`]). A file that is there already is
    /// emptied first, unless it is a segment of the journal that was written to: that is an error.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the content of a file that somebody else wrote is on the disk.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Returns when the entries of a directory are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in its directory. What had that name before is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Called between the steps of a snapshot round.
    fn reached(&self, _step: Step) {}
}

/// A file that is being written: a segment of the journal, or a layer of the snapshot.
pub(super) trait DiskFile: Send {
    /// Writes all of `bytes` at `offset`. When it fails, any part of them may be in the file.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written is on the disk, where it can be found again: not when the file was removed.
    fn sync(&mut self) -> io::Result<()>;

    /// Shortens the file to `length`; returns when that is on the disk.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Debug, Default)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut head = [0; segment::HEADER_BYTES];
        if file.read_exact(&mut head).is_ok() && segment::Header::decode(&head).is_some() {
            // Numbers only grow, so this cannot be; if it is, not one byte of it may be lost.
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the segment is already in use"));
        }
        file.set_len(0)?;
        if bytes > 0 {
            reserve(&file, bytes)?;
        }
        file.sync_all()?;
        Ok(Box::new(RealFile(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // A file system that cannot reserve space lets the file grow as it is written. The journal
        // then notices a full disk when it writes, and cuts back what did not fit.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => {
            // What was reserved so far goes back, or a full disk would stay full.
            let _ = file.set_len(0);
            Err(errno.into())
        }
    }
}

/// How many names a file has. Nothing else is asked for: whoever asks for the time of the last change as well makes
/// Linux note that time exactly at the next write, and ext4 write it down at each sync.
#[cfg(target_os = "linux")]
fn links(file: &File) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::NLINK);
    if let Some(found) = found.ok().filter(|found| found.stx_mask & StatxFlags::NLINK.bits() != 0) {
        return Ok(found.stx_nlink.into());
    }
    // Not every kernel, container and file system has an answer to this question; all have to the old one.
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?))
}

#[cfg(not(target_os = "linux"))]
fn links(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(file.metadata()?.nlink())
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()?;
        // Into a file that was removed one can write for ever, and nobody will find it.
        if links(&self.0)? == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed under the server"));
        }
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_all()
    }
}
