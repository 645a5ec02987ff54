//! The file operations that durability rests on, behind a trait, so that tests can make each of
//! them fail and can look at the directory between any two of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::segment;

/// The progress of a checkpoint. A crash between any two of these must lose nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckpointStep {
    /// The database has every record and is closed.
    Written,
    /// All of it is on the disk.
    Synced,
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

/// The file operations of the journal and the checkpoints.
pub(super) trait Disk: Send + Sync + 'static {
    /// An empty file with `bytes` reserved for it, whose reservation is on the disk (the
    /// entry in the directory is not, see [`Disk::sync_dir`]). A file that exists already is
    /// emptied first, unless it is a segment of the journal that was written to: that is an error.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns when the content of a file is on the disk, through whatever handle it was written.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Returns when the entries of a directory are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or a directory another name in its directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Called between the steps of a checkpoint.
    fn reached(&self, _step: CheckpointStep) {}
}

/// A file that is being written: a segment of the journal, or the manifest of a snapshot.
pub(super) trait DiskFile: Send {
    /// Writes all of `bytes` at `offset`. When it fails, any part of them may be in the file.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Writes all of `bytes` at `offset` and returns when they are on the disk. Nothing may have been written after
    /// `offset` but zeros. When it fails, any part of the bytes may be in the file.
    fn append(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)?;
        self.sync()
    }

    /// Fails if the file has no name any more. Writes to it would succeed, and be lost.
    fn check_name(&self) -> io::Result<()>;

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
            // Segment numbers only grow; therefore the file should not exist. If it does, it must not be overwritten.
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the segment is already in use"));
        }
        file.set_len(0)?;
        if bytes > 0 {
            reserve(&file, bytes)?;
        }
        file.sync_all()?;
        // A segment has reserved space, and is appended to; the manifest of a snapshot is not.
        let direct = if bytes > 0 { DirectFile::open(path) } else { None };
        Ok(Box::new(RealFile { file, direct }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
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

/// Whether an error says that there is no room.
pub(super) fn lacks_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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

/// The number of a file's names. Requests nothing else: if it requested the modification time too, Linux would record
/// an exact time at the next write, and ext4 would write it at each sync.
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

struct RealFile {
    file: File,
    /// `None` where the file system has no such writes.
    direct: Option<DirectFile>,
}

impl DiskFile for RealFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn append(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &mut self.direct {
            match direct.append(&self.file, bytes, offset) {
                // The file system refuses such a write, for example because it has larger blocks.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                appended => return appended,
            }
        }
        self.write_at(bytes, offset)?;
        self.sync()
    }

    fn check_name(&self) -> io::Result<()> {
        if links(&self.file)? == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed under the server"));
        }
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }
}

/// Bytes of a block, in the file and in memory. Devices ask for 512 or 4,096.
const BLOCK: usize = 4096;

/// A buffer larger than this is given back after the write that needed it.
const MAX_KEPT_BUFFER: usize = 1024 * 1024;

/// A file whose writes bypass the page cache and return when they are on the disk (`O_DIRECT`, `O_DSYNC`): a third less
/// processor time than a write and a sync. It writes whole blocks: the first one again with what it had, and zeros after
/// the end.
struct DirectFile {
    file: File,
    buffer: Vec<u8>,
    /// The last block that was written, and where its content ends in the file.
    last: Vec<u8>,
    end: u64,
}

impl DirectFile {
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> Option<Self> {
        use rustix::fs::OFlags;
        let flags = i32::try_from((OFlags::DIRECT | OFlags::DSYNC).bits()).ok()?;
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, buffer: Vec::new(), last: vec![0; BLOCK], end: 0 })
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_: &Path) -> Option<Self> {
        None
    }

    /// `through_cache` is the same file.
    fn append(&mut self, through_cache: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Self { file, buffer, last, end } = self;
        let begin = offset - offset % BLOCK as u64;
        let before = usize::try_from(offset - begin).map_err(io::Error::other)?;
        let used = before + bytes.len();
        let length = used.next_multiple_of(BLOCK);
        buffer.resize((length + BLOCK).max(buffer.len()), 0);
        let aligned = buffer.as_ptr().align_offset(BLOCK);
        let blocks = &mut buffer[aligned..aligned + length];
        if *end == offset {
            blocks[..before].copy_from_slice(&last[..before]);
        } else {
            through_cache.read_exact_at(&mut blocks[..before], begin)?;
        }
        blocks[before..used].copy_from_slice(bytes);
        blocks[used..].fill(0);
        file.write_all_at(blocks, begin)?;
        last.copy_from_slice(&blocks[length - BLOCK..]);
        *end = offset + bytes.len() as u64;
        if buffer.len() > MAX_KEPT_BUFFER {
            *buffer = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: u64 = 64 * 1024;

    fn opened(directory: &Path) -> RealFile {
        let path = directory.join("file");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(RESERVED).unwrap();
        RealFile { direct: DirectFile::open(&path), file }
    }

    fn expects(file: &RealFile, content: &[u8]) {
        let mut found = vec![1; content.len() + 100];
        file.file.read_exact_at(&mut found, 0).unwrap();
        assert!(found[..content.len()] == *content && found[content.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(file.file.metadata().unwrap().len(), RESERVED);
    }

    #[test]
    fn appends_of_any_length_are_in_the_file_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = opened(directory.path());
        let mut content = Vec::new();
        for (number, length) in [32, 1, 4063, 1, 4095, 4096, 9000, 3, 8192].into_iter().enumerate() {
            let bytes = vec![u8::try_from(number).unwrap() + 1; length];
            file.append(&bytes, content.len() as u64).unwrap();
            content.extend(bytes);
            expects(&file, &content);
        }
    }

    #[test]
    fn an_append_keeps_what_was_written_through_the_cache_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = opened(directory.path());
        file.append(&[1; 100], 0).unwrap();
        file.write_at(&[2; 5000], 100).unwrap();
        file.append(&[3; 10], 5100).unwrap();
        expects(&file, &[vec![1; 100], vec![2; 5000], vec![3; 10]].concat());
    }

    #[test]
    fn a_file_system_that_refuses_direct_writes_gets_a_write_and_a_sync() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = opened(directory.path());
        file.direct = None;
        file.append(&[1; 10], 0).unwrap();
        expects(&file, &[1; 10]);
    }
}
