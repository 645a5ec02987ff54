//! A snapshot: sealed sled databases in a directory, and a manifest that says what is in them.
//!
//! ```text
//! snapshot/0000000041/MANIFEST     counts, what it covers, length and checksum of each file
//! snapshot/0000000041/0/..         a database; never opened in place
//! snapshot/0000000058-1.new/..     being written, and
//! snapshot/0000000058-1.copy/..    a copy that is opened and read: both worthless after a crash
//! ```
//! The store does not trust sled: it writes a database once, proves it on a copy, and from then on opens only copies. sled
//! caches everything that it reads until a database is closed; therefore a snapshot has several of them. They have chunks
//! of records under consecutive numbers:
//! ```text
//! chunk: checksum 4 | records, as in RecordRef
//! ```
//! The checksum is the CRC-32C of the chunk's number and everything behind it. Integers are big-endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use onceward_core::domain::Timestamp;
use serde::{Deserialize, Serialize};
use sled::{Config, Db, IVec, Mode};

use super::directory::{Disk, create_file, create_private, names};
use super::journal::{Covered, parse_number};
use crate::StoreError;
use crate::record::RecordRef;

const MANIFEST: &str = "MANIFEST";
const NEW: &str = "new";
const COPY: &str = "copy";

/// The layout of the manifest.
const VERSION: u32 = 1;

/// Copies are written, and databases synced, in pieces of this many bytes.
pub(super) const SYNC_BYTES: usize = 256 * 1024;

/// Cached pages of an open database, in bytes.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    pub(super) covered: Covered,
    /// The decision time up to which it is.
    pub(super) time: Timestamp,
    pub(super) databases: u64,
    chunks: u64,
    pub(super) records: u64,
    /// The length and the CRC-32C of each file within the snapshot's directory.
    pub(super) files: BTreeMap<String, (u64, u32)>,
}

impl Manifest {
    /// Of a snapshot without a record.
    pub(super) fn empty(covered: Covered, time: Timestamp) -> Self {
        Self { version: VERSION, covered, time, ..Self::default() }
    }

    /// The size of the databases' files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|(bytes, _)| bytes).sum()
    }

    /// The key of the next chunk, which has these records, and its value.
    pub(super) fn next_chunk(&mut self, records: &[u8]) -> ([u8; 8], Vec<u8>) {
        let key = self.chunks.to_be_bytes();
        self.chunks += 1;
        (key, [&checksum_of(&key, records), records].concat())
    }
}

fn checksum_of(key: &[u8], content: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(key), content).to_be_bytes()
}

/// The directory of the snapshot that covers the journal up to this segment.
pub(super) fn sealed_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:010}"))
}

/// Where the attempt to make it writes, and the copy that proves it.
pub(super) fn attempt_paths(directory: &Path, segment: u64, attempt: u64) -> [PathBuf; 2] {
    [NEW, COPY].map(|ending| directory.join(format!("{segment:010}-{attempt}.{ending}")))
}

/// The last segments that sealed snapshots cover, after which they are named, in order.
pub(super) fn sealed(directory: &Path) -> Result<Vec<u64>, StoreError> {
    Ok(names(directory)?.iter().filter_map(|name| parse_number(name)).collect())
}

/// Removes what interrupted checkpoints and copies left, but for copies that are being read. What cannot be removed stays
/// until the next start.
pub(super) fn remove_leftovers(disk: &Disk, directory: &Path) -> Result<(), StoreError> {
    for name in names(directory)? {
        let path = directory.join(name);
        let is_leftover = path.extension().is_some_and(|ending| ending == NEW || ending == COPY);
        if !is_leftover || File::open(&path).is_ok_and(|copy| copy.try_lock().is_err()) {
            continue;
        }
        if let Err(error) = disk.remove_dir(&path) {
            tracing::warn!(%error, "leftover of a checkpoint or a reader not removed");
        }
    }
    Ok(())
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        // sled writes an error of the system in the form of Rust's programs.
        let reason = match error {
            sled::Error::Io(error) => error.kind().to_string(),
            other => other.to_string(),
        };
        Self::Unavailable(format!("the database of a snapshot: {reason}"))
    }
}

fn config(directory: &Path) -> Config {
    let config = Config::new().cache_capacity(CACHE_BYTES).flush_every_ms(None);
    config.mode(Mode::HighThroughput).path(directory)
}

/// Makes a database that is not there yet.
pub(super) fn create(directory: &Path) -> Result<Db, StoreError> {
    Ok(config(directory).create_new(true).open()?)
}

/// Opens copies of the databases of a manifest, one after the other, and gives every record to `visit`. An error, made by
/// `damaged`, if anything is not as it was written.
pub(super) fn read<E: From<StoreError>>(
    copy: &Path,
    manifest: &Manifest,
    damaged: &dyn Fn(&str) -> StoreError,
    visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut chunks, mut records) = (0_u64, 0);
    for number in 0..manifest.databases {
        let mut read_one = |entry: sled::Result<(IVec, IVec)>| {
            let (key, chunk) = entry.map_err(|error| damaged(&error.to_string()))?;
            if key[..] != chunks.to_be_bytes() {
                return Err(damaged(&format!("chunk {chunks} is missing")).into());
            }
            let (checksum, mut rest) = chunk.split_at_checked(4).unwrap_or_default();
            if checksum != checksum_of(&key, rest) {
                return Err(damaged(&format!("chunk {chunks} is damaged")).into());
            }
            chunks += 1;
            while let Some(record) = RecordRef::decode(&mut rest) {
                records += 1;
                visit(record)?;
            }
            Ok::<(), E>(())
        };
        let mut database = None;
        let read = catch_unwind(AssertUnwindSafe(|| {
            let opened = config(&copy.join(number.to_string())).open();
            let opened = opened.map_err(|error| damaged(&StoreError::from(error).reason()))?;
            database.insert(opened).iter().try_for_each(&mut read_one)
        }));
        // sled also panics if it cannot sync what it closes.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        read.map_err(|_| damaged("sled panicked when it was read"))??;
    }
    if (chunks, records) != (manifest.chunks, manifest.records) {
        return Err(damaged(&format!("{records} of {} records are there", manifest.records)).into());
    }
    Ok(())
}

impl Manifest {
    /// Reads the manifest of a sealed snapshot.
    pub(super) fn load(directory: &Path, segment: u64) -> Result<Self, StoreError> {
        let file = sealed_path(directory, segment).join(MANIFEST);
        let damaged = |detail: &str| StoreError::snapshot_damaged(&file, detail);
        let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing"),
            io::ErrorKind::InvalidData => damaged("it is not a manifest"),
            _ => StoreError::io("read", &file)(error),
        })?;
        let content = text.split_once('\n').filter(|(content, sum)| **sum == checksum_line(content));
        let manifest = content.and_then(|(content, _)| serde_json::from_str::<Self>(content).ok());
        let manifest = manifest.ok_or_else(|| damaged("it is not a manifest, or not as it was written"))?;
        if manifest.covered.segment != segment || manifest.version != VERSION {
            return Err(damaged("it is the manifest of another snapshot"));
        }
        Ok(manifest)
    }

    /// Writes the manifest into the directory of an attempt, gives that its name, and returns when all is on the disk.
    pub(super) fn seal(&self, disk: &Disk, directory: &Path, attempt: &Path) -> Result<(), StoreError> {
        let content =
            serde_json::to_string(self).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let text = format!("{content}\n{}", checksum_line(&content));
        disk.write_file(&attempt.join(MANIFEST), text.as_bytes())?;
        disk.sync_dir(attempt)?;
        let path = sealed_path(directory, self.covered.segment);
        if path.exists() {
            // An earlier attempt got its name, which could not be synced. The journal still has what it replaces.
            disk.remove_dir(&path)?;
            disk.sync_dir(directory)?;
        }
        disk.rename(attempt, &path)?;
        disk.sync_dir(directory)
    }

    /// Copies the files into a new directory, and verifies each on the way.
    pub(super) fn copy(self, snapshots: &Path) -> Result<SnapshotCopy, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let directory = snapshots.join(format!("onceward-{process}-{number}.{COPY}"));
        let lock = || {
            create_private(&directory)?;
            let locked = File::open(&directory)?;
            locked.lock().map(|()| locked)
        };
        let lock = lock().map_err(StoreError::io("create", &directory))?;
        let sealed = sealed_path(snapshots, self.covered.segment);
        let copy = SnapshotCopy { manifest: self, sealed, directory, _lock: lock };
        let action = format!("write a copy of the snapshot, which takes {} bytes, to", copy.manifest.bytes());
        for (name, written) in &copy.manifest.files {
            let from = copy.sealed.join(name);
            let found = copy_file(&from, &copy.directory.join(name), &action, &mut |_| Ok(()))?;
            if found != *written {
                let detail =
                    format!("it has {found:?} as length and checksum, and was written with {written:?}");
                return Err(StoreError::snapshot_damaged(&from, &detail));
            }
        }
        Ok(copy)
    }
}

fn checksum_line(content: &str) -> String {
    format!("{:08x}\n", crc32c::crc32c(content.as_bytes()))
}

/// A copy of a snapshot. Dropping it removes the copy.
pub(super) struct SnapshotCopy {
    pub(super) manifest: Manifest,
    /// What it is a copy of.
    sealed: PathBuf,
    directory: PathBuf,
    /// Tells the copy from what a crash has left, for other processes too.
    _lock: File,
}

impl SnapshotCopy {
    /// Gives every record to `visit`.
    pub(super) fn read<E: From<StoreError>>(
        &self,
        visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |detail: &str| StoreError::snapshot_damaged(&self.sealed, detail);
        read(&self.directory, &self.manifest, &damaged, visit)
    }
}

impl Drop for SnapshotCopy {
    fn drop(&mut self) {
        // If it fails the next start removes it.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Copies a file into a directory that is made if it is not there; returns its length and its checksum. `piece` is
/// called with it after each piece, and `action` names the writing in an error.
pub(super) fn copy_file(
    from: &Path,
    to: &Path,
    action: &str,
    piece: &mut dyn FnMut(&File) -> Result<(), StoreError>,
) -> Result<(u64, u32), StoreError> {
    let mut source = File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::snapshot_damaged(from, "it is missing"),
        _ => StoreError::io("read", from)(error),
    })?;
    let create = || to.parent().map_or(Ok(()), create_private).and_then(|()| create_file(to));
    let mut target = create().map_err(StoreError::io(action, to))?;
    let (mut bytes, mut checksum) = (0, 0);
    let mut buffer = Vec::with_capacity(SYNC_BYTES);
    loop {
        buffer.clear();
        let read = (&mut source).take(SYNC_BYTES as u64).read_to_end(&mut buffer);
        if read.map_err(StoreError::io("read", from))? == 0 {
            return Ok((bytes, checksum));
        }
        checksum = crc32c::crc32c_append(checksum, &buffer);
        bytes += buffer.len() as u64;
        target.write_all(&buffer).map_err(StoreError::io(action, to))?;
        piece(&target)?;
    }
}

/// The files below a directory and the directories they are in, the deepest first, itself last.
pub(super) fn files_below(directory: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StoreError> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for path in names(directory)?.into_iter().map(|name| directory.join(name)) {
        if path.is_dir() {
            let (below, further) = files_below(&path)?;
            files.extend(below);
            directories.extend(further);
        } else {
            files.push(path);
        }
    }
    directories.push(directory.to_owned());
    Ok((files, directories))
}
