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
//! chunk: checksum 4 | number of records 4 | records, as in RecordRef
//! ```
//! The checksum is the CRC-32C of the chunk's number and everything behind it. Integers are big-endian.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;
use serde::{Deserialize, Serialize};
use sled::{Config, Db, IVec, Mode};

use super::disk::{Disk, create_file, create_private, entries};
use super::replay::{Covered, parse_number};
use crate::{RecordRef, StoreError};

const MANIFEST: &str = "MANIFEST";
const NEW: &str = "new";
const COPY: &str = "copy";

/// The layout of the manifest.
const VERSION: u32 = 1;

/// Copies are written, and databases synced, in pieces of this many bytes.
pub(super) const SYNC_BYTES: usize = 256 * 1024;

/// Cached pages of an open database, in bytes.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A chunk is closed before it gets longer. A leaf of sled has up to 16 entries, and becomes a file of its own above
/// 128 KiB.
const CHUNK_BYTES: usize = 7 * 1024;

const CHUNK_HEAD: usize = 8;

/// The time limit for sled to open a copy.
const OPENS_WITHIN: Duration = Duration::from_secs(120);

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    pub(super) covered: Covered,
    /// The decision time up to which it is.
    pub(super) time: Timestamp,
    pub(super) records: u64,
    pub(super) databases: u64,
    chunks: u64,
    /// The CRC-32C of the checksums of all chunks.
    checksum: u32,
    pub(super) files: Vec<FileSum>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSum {
    /// Within the snapshot's directory.
    pub(super) name: String,
    bytes: u64,
    checksum: u32,
}

impl Manifest {
    /// Of a snapshot without a record.
    pub(super) fn empty(covered: Covered, time: Timestamp) -> Self {
        Self { version: VERSION, covered, time, ..Self::default() }
    }

    /// The size of the databases' files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Counts a chunk.
    fn add(&mut self, checksum: [u8; 4], records: u32) {
        self.chunks += 1;
        self.records += u64::from(records);
        self.checksum = crc32c::crc32c_append(self.checksum, &checksum);
    }
}

/// The checksum of a chunk that has `content` behind it.
fn checksum_of(number: u64, content: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_be_bytes()), content).to_be_bytes()
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
    Ok(entries(directory)?.iter().filter_map(|(name, _)| parse_number(name)).collect())
}

/// Removes what interrupted checkpoints and copies left, but for copies that are being read. What cannot be removed stays
/// until the next start.
pub(super) fn remove_leftovers(disk: &Disk, directory: &Path) -> Result<(), StoreError> {
    for (name, _) in entries(directory)? {
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
        Self::Checkpoint(format!("the database of a snapshot: {reason}"))
    }
}

fn config(directory: &Path) -> Config {
    let config = Config::new().cache_capacity(CACHE_BYTES).flush_every_ms(None);
    config.mode(Mode::HighThroughput).path(directory)
}

/// Puts records together to chunks, and chunks into new databases.
pub(super) struct ChunkWriter<'a> {
    pub(super) directory: &'a Path,
    /// A database that has so many bytes is the last but one.
    pub(super) database_bytes: usize,
    /// A database that is being written stays here after an error: sled may hang when it is closed.
    pub(super) database: &'a mut Option<Db>,
    pub(super) in_database: usize,
    /// Without its head.
    pub(super) chunk: Vec<u8>,
    pub(super) in_chunk: u32,
    pub(super) manifest: Manifest,
}

impl ChunkWriter<'_> {
    /// Begins a database.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.manifest.databases += 1;
        *self.database = Some(config(&self.newest()).create_new(true).open()?);
        self.in_database = 0;
        Ok(())
    }

    /// The directory of the database.
    pub(super) fn newest(&self) -> PathBuf {
        self.directory.join((self.manifest.databases - 1).to_string())
    }

    /// Adds encoded records; answers how many bytes went into a database.
    pub(super) fn add(&mut self, mut records: &[u8]) -> Result<usize, StoreError> {
        let mut written = 0;
        while !records.is_empty() {
            let all = records;
            let whole = RecordRef::decode(&mut records);
            whole.ok_or_else(|| StoreError::Checkpoint("an owner gave a record that is cut".into()))?;
            let record = &all[..all.len() - records.len()];
            if CHUNK_HEAD + self.chunk.len() + record.len() > CHUNK_BYTES {
                written += self.write()?;
            }
            self.chunk.extend_from_slice(record);
            self.in_chunk += 1;
        }
        Ok(written)
    }

    fn write(&mut self) -> Result<usize, StoreError> {
        if self.in_chunk == 0 {
            return Ok(0);
        }
        if self.in_database >= self.database_bytes {
            self.close()?;
            self.begin()?;
        }
        let number = self.manifest.chunks;
        let content = [&self.in_chunk.to_be_bytes(), &*self.chunk].concat();
        let checksum = checksum_of(number, &content);
        self.manifest.add(checksum, self.in_chunk);
        let chunk = [&checksum, &*content].concat();
        let bytes = chunk.len();
        if let Some(database) = &*self.database {
            database.insert(number.to_be_bytes(), chunk)?;
        }
        self.in_database += bytes;
        self.chunk.clear();
        self.in_chunk = 0;
        Ok(bytes)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if let Some(database) = &*self.database {
            database.flush()?;
        }
        *self.database = None;
        Ok(())
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> Result<Manifest, StoreError> {
        self.write()?;
        self.close()?;
        Ok(self.manifest)
    }
}

/// Reads the databases of a manifest, one after the other.
pub(super) struct ChunkReader<'a> {
    manifest: &'a Manifest,
    found: Manifest,
    /// Makes the error.
    damaged: &'a dyn Fn(&str) -> StoreError,
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(manifest: &'a Manifest, damaged: &'a dyn Fn(&str) -> StoreError) -> Self {
        Self { manifest, found: Manifest::empty(manifest.covered, manifest.time), damaged }
    }

    /// Gives every record of the next database to `visit`, as long as each chunk is as it was written.
    pub(super) fn read<E: From<StoreError>>(
        &mut self,
        database: &Db,
        visit: &mut dyn FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (damaged, found) = (self.damaged, &mut self.found);
        let mut read_one = |entry: sled::Result<(IVec, IVec)>| {
            let (key, chunk) = entry.map_err(|error| damaged(&error.to_string()))?;
            let number = found.chunks;
            if key[..] != number.to_be_bytes() {
                return Err(damaged(&format!("chunk {number} is missing")).into());
            }
            let parts = chunk.split_first_chunk::<4>().and_then(|(checksum, content)| {
                let is_right = *checksum == checksum_of(number, content);
                Some((checksum, content.split_first_chunk::<4>().filter(|_| is_right)?))
            });
            let Some((checksum, (records, mut rest))) = parts else {
                return Err(damaged(&format!("chunk {number} is damaged")).into());
            };
            found.add(*checksum, u32::from_be_bytes(*records));
            while let Some(record) = RecordRef::decode(&mut rest) {
                visit(record)?;
            }
            Ok::<(), E>(())
        };
        let all = catch_unwind(AssertUnwindSafe(|| database.iter().try_for_each(&mut read_one)));
        all.map_err(|_| damaged("sled panicked when it was read"))?
    }

    /// Succeeds if this was all that the manifest says.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        let Self { manifest, found: Manifest { records, chunks, checksum, .. }, damaged } = self;
        if (records, chunks, checksum) == (manifest.records, manifest.chunks, manifest.checksum) {
            return Ok(());
        }
        Err(damaged(&format!("{records} of {} records are there", manifest.records)))
    }
}

/// A sealed snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    path: PathBuf,
    pub(super) manifest: Manifest,
}

impl Snapshot {
    /// Reads the manifest of a sealed snapshot.
    pub(super) fn load(directory: &Path, segment: u64) -> Result<Self, StoreError> {
        let path = sealed_path(directory, segment);
        let file = path.join(MANIFEST);
        let damaged = |detail: &str| StoreError::snapshot_damaged(&file, detail);
        let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing"),
            io::ErrorKind::InvalidData => damaged("it is not a manifest"),
            _ => StoreError::io("read", &file)(error),
        })?;
        let content = text.split_once('\n').filter(|(content, sum)| **sum == checksum_line(content));
        let manifest = content.and_then(|(content, _)| serde_json::from_str::<Manifest>(content).ok());
        let manifest = manifest.ok_or_else(|| damaged("it is not a manifest, or not as it was written"))?;
        // Not out of the directory.
        let is_within = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        let is_plain = manifest.files.iter().all(|file| is_within(Path::new(&file.name)));
        if manifest.covered.segment != segment || manifest.version != VERSION || !is_plain {
            return Err(damaged("it is the manifest of another snapshot"));
        }
        Ok(Self { path, manifest })
    }

    /// Writes the manifest into the directory of an attempt, gives that its name, and returns when all is on the disk.
    pub(super) fn seal(
        disk: &Disk,
        directory: &Path,
        attempt: &Path,
        manifest: Manifest,
    ) -> Result<Self, StoreError> {
        let content =
            serde_json::to_string(&manifest).map_err(|error| StoreError::Checkpoint(error.to_string()))?;
        let text = format!("{content}\n{}", checksum_line(&content));
        disk.write_file(&attempt.join(MANIFEST), text.as_bytes())?;
        disk.sync_dir(attempt)?;
        let path = sealed_path(directory, manifest.covered.segment);
        if path.exists() {
            // An earlier attempt completed the rename, although the system reported an error. The journal still has what
            // it replaces.
            disk.remove_dir(&path)?;
            disk.sync_dir(directory)?;
        }
        disk.rename(attempt, &path)?;
        disk.sync_dir(directory)?;
        Ok(Self { path, manifest })
    }

    /// Copies the files into a new directory in `place`, and verifies each on the way.
    pub(super) fn copy(self: &Arc<Self>, place: &Path) -> Result<SnapshotCopy, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let directory = place.join(format!("onceward-{process}-{number}.{COPY}"));
        let lock = || {
            create_private(&directory)?;
            let locked = File::open(&directory)?;
            locked.lock().map(|()| locked)
        };
        let lock = lock().map_err(StoreError::io("create", &directory))?;
        let copy = SnapshotCopy { snapshot: self.clone(), directory, _lock: lock };
        let action = format!("write a copy of the snapshot, which takes {} bytes, to", self.manifest.bytes());
        for file in &self.manifest.files {
            let from = self.path.join(&file.name);
            let found = copy_file(&from, &copy.directory, &file.name, &action, &mut |_| Ok(()))?;
            if found != *file {
                let detail = format!(
                    "it has {} bytes with the checksum {:08x}, and was written with {} and {:08x}",
                    found.bytes, found.checksum, file.bytes, file.checksum
                );
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
    pub(super) snapshot: Arc<Snapshot>,
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
        let Snapshot { path, manifest } = &*self.snapshot;
        let damaged = |detail: &str| StoreError::snapshot_damaged(path, detail);
        let mut reader = ChunkReader::new(manifest, &damaged);
        for number in 0..manifest.databases {
            let directory = self.directory.join(number.to_string());
            let database = open(&directory).map_err(|error| damaged(&error.reason()))?;
            let read = reader.read(&database, visit);
            // sled panics if it cannot sync what it closes.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
            read?;
        }
        Ok(reader.finish()?)
    }
}

impl Drop for SnapshotCopy {
    fn drop(&mut self) {
        // If it fails the next start removes it.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Opens the database of a copy.
pub(super) fn open(directory: &Path) -> Result<Db, StoreError> {
    open_in_time(directory, OPENS_WITHIN, |directory| Ok(config(directory).open()?))
}

/// Opens it on a thread that is abandoned when the time is over.
fn open_in_time(
    directory: &Path,
    within: Duration,
    open: fn(&Path) -> Result<Db, StoreError>,
) -> Result<Db, StoreError> {
    let (to, opened) = mpsc::sync_channel(0);
    let directory = directory.to_owned();
    let run = move || {
        if to.send(open(&directory)).is_err() {
            // The time limit has passed. Removes the files that sled created.
            let _ = fs::remove_dir_all(&directory);
        }
    };
    let failed = |why: String| Err(StoreError::Checkpoint(why));
    if let Err(error) = thread::Builder::new().name("snapshot-open".into()).spawn(run) {
        return failed(format!("cannot start a thread: {error}"));
    }
    match opened.recv_timeout(within) {
        Ok(opened) => opened,
        Err(RecvTimeoutError::Timeout) => failed(format!("sled did not open it within {within:?}")),
        Err(RecvTimeoutError::Disconnected) => failed("sled panicked when it opened it".into()),
    }
}

/// Copies a file, in pieces, into directories that are made if they are not there. `piece` is called with the target after
/// each piece, and `action` names the writing in an error.
pub(super) fn copy_file(
    from: &Path,
    into: &Path,
    name: &str,
    action: &str,
    piece: &mut dyn FnMut(&File) -> Result<(), StoreError>,
) -> Result<FileSum, StoreError> {
    let to = into.join(name);
    let mut source = File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::snapshot_damaged(from, "it is missing"),
        _ => StoreError::io("read", from)(error),
    })?;
    let create = || to.parent().map_or(Ok(()), create_private).and_then(|()| create_file(&to));
    let mut target = create().map_err(StoreError::io(action, &to))?;
    let mut sum = FileSum { name: name.to_owned(), bytes: 0, checksum: 0 };
    let mut buffer = Vec::with_capacity(SYNC_BYTES);
    loop {
        buffer.clear();
        let read = (&mut source).take(SYNC_BYTES as u64).read_to_end(&mut buffer);
        if read.map_err(StoreError::io("read", from))? == 0 {
            return Ok(sum);
        }
        sum.checksum = crc32c::crc32c_append(sum.checksum, &buffer);
        sum.bytes += buffer.len() as u64;
        target.write_all(&buffer).map_err(StoreError::io(action, &to))?;
        piece(&target)?;
    }
}

/// The files below a directory and the directories they are in, the deepest first, itself last.
pub(super) fn files_below(directory: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), StoreError> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for path in entries(directory)?.into_iter().map(|(name, _)| directory.join(name)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_sled_does_not_open_in_time_or_panics_about_is_an_error() {
        let home = tempfile::tempdir().expect("a directory");
        let open = |within, open| open_in_time(home.path(), within, open).map(drop);
        let hangs: fn(&Path) -> _ = |_| {
            loop {
                thread::park();
            }
        };
        let error = open(Duration::from_millis(50), hangs).expect_err("too late").to_string();
        assert!(error.contains("did not open it within 50ms"), "{error}");
        let error = open(OPENS_WITHIN, |_| panic!("on request")).expect_err("a panic").to_string();
        assert!(error.contains("sled panicked"), "{error}");
    }

    #[test]
    fn a_manifest_names_no_file_outside_its_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let reads = |name: &str| {
            let file = FileSum { name: name.to_owned(), bytes: 1, checksum: 1 };
            let mut manifest = Manifest::empty(Covered::default(), Timestamp::EPOCH);
            manifest.files.push(file);
            let attempt = home.path().join("attempt");
            create_private(&attempt).expect("a directory");
            Snapshot::seal(&Disk::default(), home.path(), &attempt, manifest.clone()).expect("sealed");
            Snapshot::load(home.path(), 0).is_ok_and(|loaded| loaded.manifest == manifest)
        };
        assert!(["0/db", "1/blobs/1"].into_iter().all(reads));
        for elsewhere in ["..", "../db", "./db", "/db", "0/../../db"] {
            assert!(!reads(elsewhere), "{elsewhere}");
        }
    }
}
