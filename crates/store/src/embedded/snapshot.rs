//! A snapshot: a sealed sled database in a directory of its own, and a manifest that says what is in it.
//!
//! ```text
//! snapshot/0000000041/MANIFEST     counts, what it covers, length and checksum of each file
//! snapshot/0000000041/db/..        the database; never opened in place
//! snapshot/0000000058-1.new/..     being written, and
//! snapshot/0000000058-1.copy/..    a copy that is opened and read: both worthless after a crash
//! ```

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;

use super::chunk;
use super::database::{Database, SledBackend};
use super::disk::Disk;
use super::replay::Covered;
use super::segment::{self, LAST_NUMBER};

pub(super) const MANIFEST: &str = "MANIFEST";
const DATABASE: &str = "db";
const NEW: &str = "new";
const COPY: &str = "copy";

/// Copies are written, and databases synced, in pieces of this many bytes.
pub(super) const SYNC_BYTES: usize = 256 * 1024;

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SnapshotError {
    /// The content differs from what was written.
    #[error("{}: {detail}", path.display())]
    Damaged { path: PathBuf, detail: String },
    /// The system refused something; the snapshot may be undamaged.
    #[error("{0}")]
    Failed(String),
    /// No directory has room for the copy, which takes `bytes` bytes. `refused` has each directory with the reason.
    #[error("no room for a copy of {bytes} bytes")]
    NoRoom { bytes: u64, refused: Vec<(PathBuf, String)> },
}

/// For `map_err`: the attempted action with a file of the snapshot.
pub(super) fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let what = format!("cannot {what} {}", path.display());
    move |error| format!("{what}: {error}")
}

/// The layout of the manifest that is written. [`Manifest::decode`] has a branch for each one from 1 on.
const VERSION: u64 = 1;

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Manifest {
    pub(super) covered: Covered,
    /// The decision time up to which it is.
    pub(super) time: Timestamp,
    pub(super) records: u64,
    pub(super) chunks: u64,
    /// The CRC-32C of the checksums of all chunks.
    checksum: u32,
    files: Vec<FileSum>,
}

/// A file of a snapshot's database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileSum {
    /// Within the database's directory.
    name: String,
    bytes: u64,
    checksum: u32,
}

impl Manifest {
    /// Of a snapshot without a record.
    pub(super) fn empty(covered: Covered, time: Timestamp) -> Self {
        Self { covered, time, ..Self::default() }
    }

    /// The size of the database's files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn without_files(&self) -> Self {
        Self { files: Vec::new(), ..self.clone() }
    }

    pub(super) fn encode(&self) -> String {
        let Covered { segment, sequence } = self.covered;
        let mut text = format!(
            "onceward snapshot\nversion = {VERSION}\nsegment = {segment}\nsequence = {sequence}\ntime = {}\nrecords = {}\nchunks = {}\n\
             chunk checksum = {:08x}\n",
            self.time.as_millis(),
            self.records,
            self.chunks,
            self.checksum
        );
        for FileSum { name, bytes, checksum } in &self.files {
            let _ = writeln!(text, "file = {checksum:08x} {bytes} {name}");
        }
        let _ = writeln!(text, "checksum = {:08x}", crc32c::crc32c(text.as_bytes()));
        text
    }

    /// `None` for anything but what [`Manifest::encode`] makes.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?;
        let mut number = |name: &str| -> Option<u64> {
            lines.next()?.strip_prefix(name)?.strip_prefix(" = ")?.parse().ok()
        };
        if number("version")? != VERSION {
            return None;
        }
        let covered = Covered { segment: number("segment")?, sequence: number("sequence")? };
        let time = Timestamp::from_millis(number("time")?);
        let (records, chunks) = (number("records")?, number("chunks")?);
        let checksum = u32::from_str_radix(lines.next()?.strip_prefix("chunk checksum = ")?, 16).ok()?;
        let file = |line: &str| -> Option<FileSum> {
            let mut fields = line.strip_prefix("file = ")?.splitn(3, ' ');
            let checksum = u32::from_str_radix(fields.next()?, 16).ok()?;
            let bytes = fields.next()?.parse().ok()?;
            let name = fields.next()?.to_owned();
            // Neither out of the directory nor into one that sled does not make.
            let parts: Vec<&str> = name.split('/').collect();
            let is_plain = parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
            (parts.len() <= 2 && is_plain).then_some(FileSum { name, bytes, checksum })
        };
        let files = lines.map_while(file).collect();
        let manifest = Self { covered, time, records, chunks, checksum, files };
        let counts_on = covered.segment.max(covered.sequence) < LAST_NUMBER;
        (counts_on && manifest.encode() == text).then_some(manifest)
    }
}

impl Manifest {
    /// Counts a chunk of the database.
    pub(super) fn add_chunk(&mut self, records: u32, checksum: u32) {
        self.chunks += 1;
        self.records += u64::from(records);
        self.checksum = crc32c::crc32c_append(self.checksum, &checksum.to_be_bytes());
    }

    /// Notes a file of the database.
    pub(super) fn add_file(&mut self, name: String, bytes: u64, checksum: u32) {
        self.files.push(FileSum { name, bytes, checksum });
    }
}

/// A sealed snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) path: PathBuf,
    pub(super) manifest: Manifest,
}

/// The contents of the snapshot directory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The last segments that sealed snapshots cover, after which they are named, in order.
    pub(super) sealed: Vec<u64>,
    /// Leftovers of interrupted checkpoints and copies.
    pub(super) leftovers: Vec<PathBuf>,
}

impl Listing {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            match path.file_name().and_then(OsStr::to_str).and_then(segment::parse_number) {
                Some(number) => listing.sealed.push(number),
                None if path.extension().is_some_and(|ending| ending == NEW || ending == COPY) => {
                    listing.leftovers.push(path);
                }
                None => {}
            }
        }
        listing.sealed.sort_unstable();
        Ok(listing)
    }
}

/// The path of the snapshot that covers the journal up to this segment.
pub(super) fn sealed_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:010}"))
}

/// Where the attempt to make it writes, and the copy that proves it.
pub(super) fn attempt_paths(directory: &Path, segment: u64, attempt: u64) -> (PathBuf, PathBuf) {
    let name = |ending| directory.join(format!("{segment:010}-{attempt}.{ending}"));
    (name(NEW), name(COPY))
}

/// The database in the directory of a snapshot.
pub(super) fn database_in(snapshot: &Path) -> PathBuf {
    snapshot.join(DATABASE)
}

impl Snapshot {
    /// Reads the manifest of a sealed snapshot.
    pub(super) fn load(directory: &Path, segment: u64) -> Result<Self, SnapshotError> {
        let path = sealed_path(directory, segment);
        let file = path.join(MANIFEST);
        let damaged = |detail: &str| SnapshotError::Damaged { path: file.clone(), detail: detail.into() };
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("it is missing")),
            Err(error) => return Err(SnapshotError::Failed(failed("read", &file)(error))),
        };
        let manifest = std::str::from_utf8(&text).ok().and_then(Manifest::decode);
        let manifest = manifest.ok_or_else(|| damaged("it is not a manifest, or not as it was written"))?;
        if manifest.covered.segment != segment {
            return Err(damaged("it is the manifest of another snapshot"));
        }
        Ok(Self { path, manifest })
    }

    /// Writes the manifest into the directory of an attempt, gives that its name, and returns when all is on the disk.
    pub(super) fn seal(
        disk: &dyn Disk,
        directory: &Path,
        attempt: &Path,
        manifest: Manifest,
    ) -> Result<Self, String> {
        use super::disk::CheckpointStep;
        let file = attempt.join(MANIFEST);
        let write = || {
            let mut to = disk.create(&file, 0)?;
            to.write_at(manifest.encode().as_bytes(), 0)?;
            to.sync()?;
            disk.sync_dir(attempt)
        };
        write().map_err(failed("write", &file))?;
        disk.reached(CheckpointStep::ManifestSynced);
        let path = sealed_path(directory, manifest.covered.segment);
        if path.exists() {
            // An earlier attempt completed the rename, although the system reported an error.
            disk.remove_dir(&path).map_err(failed("remove", &path))?;
            disk.sync_dir(directory).map_err(failed("sync", directory))?;
        }
        disk.rename(attempt, &path).map_err(failed("name", &path))?;
        disk.reached(CheckpointStep::Named);
        disk.sync_dir(directory).map_err(failed("sync", directory))?;
        disk.reached(CheckpointStep::Sealed);
        Ok(Self { path, manifest })
    }

    /// Copies the database to the first of these directories that has room, verifies each file on the way, and opens
    /// the copy. `places` are paths that do not exist yet.
    pub(super) fn open_copy(
        self: &Arc<Self>,
        backend: &Arc<dyn SledBackend>,
        places: &[PathBuf],
        deadline: Duration,
    ) -> Result<OpenCopy, SnapshotError> {
        let mut refused = Vec::new();
        for place in places {
            let copy = |database| OpenCopy { snapshot: self.clone(), database, directory: place.clone() };
            if self.manifest.files.is_empty() {
                return Ok(copy(None));
            }
            if let Err(error) = create_private(place) {
                refused.push((place.clone(), error.to_string()));
                continue;
            }
            let mut copy = copy(None);
            match self.copy_to(&database_in(place)) {
                Ok(()) => {}
                Err(CopyError::Write(error)) => {
                    refused.push((place.clone(), error.to_string()));
                    continue;
                }
                Err(CopyError::Snapshot(error)) => return Err(error),
            }
            let opened = open_in_time(backend, place, deadline);
            copy.database = Some(opened.map_err(|detail| self.damaged(detail))?);
            return Ok(copy);
        }
        Err(SnapshotError::NoRoom { bytes: self.manifest.bytes(), refused })
    }

    fn copy_to(&self, directory: &Path) -> Result<(), CopyError> {
        for file in &self.manifest.files {
            let from = database_in(&self.path).join(&file.name);
            let (bytes, checksum) = copy_file(&from, &directory.join(&file.name), &mut |_| Ok(()))?;
            if (bytes, checksum) != (file.bytes, file.checksum) {
                let detail = format!(
                    "it has {bytes} bytes with the checksum {checksum:08x}, and was written with {} and {:08x}",
                    file.bytes, file.checksum
                );
                return Err(CopyError::Snapshot(SnapshotError::Damaged { path: from, detail }));
            }
        }
        Ok(())
    }

    fn damaged(&self, detail: String) -> SnapshotError {
        SnapshotError::Damaged { path: database_in(&self.path), detail }
    }
}

/// A copy of a snapshot's database that is open. Dropping it removes the copy.
pub(super) struct OpenCopy {
    pub(super) snapshot: Arc<Snapshot>,
    /// None for a snapshot without a database, which has no records.
    database: Option<Box<dyn Database>>,
    directory: PathBuf,
}

impl OpenCopy {
    /// Gives every record to `visit`.
    pub(super) fn read(&self, visit: chunk::VisitRecord<'_>) -> Result<(), SnapshotError> {
        let Some(database) = &self.database else { return Ok(()) };
        chunk::read(&**database, &self.snapshot.manifest, visit)
            .map_err(|detail| self.snapshot.damaged(detail))
    }
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        drop(self.database.take());
        // If it fails the next start removes it.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Makes a directory for a copy. It must not exist: in a shared scratch directory another user may have made it, or a
/// link to elsewhere.
fn create_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(directory).map_err(|error| {
        match (error.kind(), directory.parent()) {
            (io::ErrorKind::NotFound, Some(parent)) => {
                io::Error::new(error.kind(), format!("there is no directory {}", parent.display()))
            }
            _ => error,
        }
    })
}

/// A new path for a copy in the directory of snapshots, and one in the scratch directory, where copies of this data
/// directory have names with this prefix.
pub(super) fn copy_places(directory: &Path, scratch: Option<&Path>, prefix: &str) -> Vec<PathBuf> {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    let name = format!("{}-{}.{COPY}", std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
    let elsewhere = scratch.map(|scratch| scratch.join(format!("{prefix}{name}")));
    [directory.join(name)].into_iter().chain(elsewhere).collect()
}

/// Opens the database of a copy on a thread that is abandoned after `deadline`.
fn open_in_time(
    backend: &Arc<dyn SledBackend>,
    directory: &Path,
    deadline: Duration,
) -> Result<Box<dyn Database>, String> {
    let (to, opened) = mpsc::sync_channel(0);
    let (backend, directory) = (backend.clone(), directory.to_owned());
    let open = move || {
        if to.send(backend.open(&database_in(&directory))).is_err() {
            // The time limit has passed. Removes the files that sled created.
            let _ = fs::remove_dir_all(&directory);
        }
    };
    thread::Builder::new().name("snapshot-open".into()).spawn(open).map_err(|error| error.to_string())?;
    match opened.recv_timeout(deadline) {
        Ok(opened) => opened,
        Err(RecvTimeoutError::Timeout) => Err(format!("sled did not open it within {deadline:?}")),
        Err(RecvTimeoutError::Disconnected) => Err("sled panicked when it opened it".into()),
    }
}

/// Why a file was not copied.
pub(super) enum CopyError {
    /// The source cannot be read, or is not what it was.
    Snapshot(SnapshotError),
    /// The target cannot be written.
    Write(io::Error),
}

/// Copies a file, in pieces, into directories that are made if they are not there; answers its length and its
/// checksum. `piece` is called with the target after each piece.
pub(super) fn copy_file(
    from: &Path,
    to: &Path,
    piece: &mut dyn FnMut(&File) -> io::Result<()>,
) -> Result<(u64, u32), CopyError> {
    let mut source = File::open(from).map_err(|error| {
        CopyError::Snapshot(match error.kind() {
            io::ErrorKind::NotFound => {
                SnapshotError::Damaged { path: from.to_owned(), detail: "it is missing".into() }
            }
            _ => SnapshotError::Failed(failed("read", from)(error)),
        })
    })?;
    let mut target = create(to).map_err(CopyError::Write)?;
    let (mut bytes, mut checksum) = (0, 0);
    let mut buffer = vec![0; SYNC_BYTES];
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok((bytes, checksum)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(CopyError::Snapshot(SnapshotError::Failed(failed("read", from)(error))));
            }
        };
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
        bytes += read as u64;
        target.write_all(&buffer[..read]).and_then(|()| piece(&target)).map_err(CopyError::Write)?;
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        super::directory::create_private(directory)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The files of a database and the directories they are in, the deepest first; names are within it.
pub(super) fn database_files(directory: &Path) -> io::Result<(Vec<String>, Vec<PathBuf>)> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            for inner in fs::read_dir(entry.path())? {
                files.push(format!("{name}/{}", inner?.file_name().to_string_lossy()));
            }
            directories.push(entry.path());
        } else {
            files.push(name);
        }
    }
    files.sort_unstable();
    directories.push(directory.to_owned());
    Ok((files, directories))
}
