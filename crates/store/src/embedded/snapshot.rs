//! A snapshot: a sealed sled database in a directory of its own, and a manifest that says what is in it.
//!
//! ```text
//! snapshot/0000000041/MANIFEST     counts, what it covers, length and checksum of each file
//! snapshot/0000000041/db/..        the database; never opened in place
//! snapshot/0000000058-1.new/..     being written, and
//! snapshot/0000000058-1.copy/..    a copy that is opened and read: both worthless after a crash
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::database;
use super::disk::{CheckpointStep, Disk, create_private};
use super::journal;
use super::manifest::Manifest;
use crate::StoreError;

pub(super) const MANIFEST: &str = "MANIFEST";
const DATABASE: &str = "db";
const NEW: &str = "new";
const COPY: &str = "copy";

/// Copies are written, and databases synced, in pieces of this many bytes.
pub(super) const SYNC_BYTES: usize = 256 * 1024;

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
    pub(super) fn of(directory: &Path) -> Result<Self, StoreError> {
        let failed = || StoreError::io("read", directory);
        let mut listing = Self::default();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            match path.file_name().and_then(OsStr::to_str).and_then(journal::parse_number) {
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

/// Removes leftovers, but for copies that are being read. What cannot be removed stays until the next start.
pub(super) fn remove_leftovers(disk: &dyn Disk, listing: &Listing) {
    for path in &listing.leftovers {
        let remove = || {
            File::open(path)?.try_lock()?;
            disk.remove_dir(path)
        };
        if let Err(error) = remove()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::warn!(path = %path.display(), %error, "leftover of a checkpoint or a reader not removed");
        }
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
    pub(super) fn load(directory: &Path, segment: u64) -> Result<Self, StoreError> {
        let path = sealed_path(directory, segment);
        let file = path.join(MANIFEST);
        let damaged = |detail: &str| StoreError::snapshot_damaged(&file, detail);
        let text = fs::read(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing"),
            _ => StoreError::io("read", &file)(error),
        })?;
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
    ) -> Result<Self, StoreError> {
        let file = attempt.join(MANIFEST);
        let write = || {
            let mut to = disk.create(&file, 0)?;
            to.write_at(manifest.encode().as_bytes(), 0)?;
            to.sync()?;
            disk.sync_dir(attempt)?;
            disk.reached(CheckpointStep::ManifestSynced)
        };
        write().map_err(StoreError::io("write", &file))?;
        let path = sealed_path(directory, manifest.covered.segment);
        let name = || {
            if path.exists() {
                // An earlier attempt completed the rename, although the system reported an error. The journal still
                // has what it replaces.
                disk.remove_dir(&path)?;
                disk.sync_dir(directory)?;
            }
            disk.rename(attempt, &path)?;
            disk.reached(CheckpointStep::Named)?;
            disk.sync_dir(directory)?;
            disk.reached(CheckpointStep::Sealed)
        };
        name().map_err(StoreError::io("name", &path))?;
        Ok(Self { path, manifest })
    }

    /// Copies the database into a new directory in `place`, verifies each file on the way, and opens the copy.
    pub(super) fn open_copy(self: &Arc<Self>, place: &Path) -> Result<OpenCopy, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let directory = place.join(format!("onceward-{process}-{number}.{COPY}"));
        let mut copy = OpenCopy { snapshot: self.clone(), database: None, directory, lock: None };
        if self.manifest.files.is_empty() {
            return Ok(copy);
        }
        let lock = || {
            create_private(&copy.directory)?;
            let locked = File::open(&copy.directory)?;
            locked.lock().map(|()| locked)
        };
        copy.lock = Some(lock().map_err(StoreError::io("create", &copy.directory))?);
        let files = database_in(&copy.directory);
        let action = format!("write a copy of the snapshot, which takes {} bytes, to", self.manifest.bytes());
        for file in &self.manifest.files {
            let from = database_in(&self.path).join(&file.name);
            let to = files.join(&file.name);
            let (bytes, checksum) = copy_file(&from, &to, &action, &mut |_| Ok(()))?;
            if (bytes, checksum) != (file.bytes, file.checksum) {
                let detail = format!(
                    "it has {bytes} bytes with the checksum {checksum:08x}, and was written with {} and {:08x}",
                    file.bytes, file.checksum
                );
                return Err(StoreError::snapshot_damaged(&from, &detail));
            }
        }
        let opened = open_in_time(&copy.directory, OPENS_WITHIN, database::open);
        copy.database = Some(opened.map_err(|error| self.damaged(&error.reason()))?);
        Ok(copy)
    }

    fn damaged(&self, detail: &str) -> StoreError {
        StoreError::snapshot_damaged(&database_in(&self.path), detail)
    }
}

/// A copy of a snapshot's database that is open. Dropping it removes the copy.
pub(super) struct OpenCopy {
    pub(super) snapshot: Arc<Snapshot>,
    /// None for a snapshot without a database, which has no records.
    database: Option<sled::Db>,
    directory: PathBuf,
    /// Tells the copy from what a crash has left, for other processes too.
    lock: Option<File>,
}

impl OpenCopy {
    /// Gives every record to `visit`.
    pub(super) fn read<E: From<StoreError>>(&self, visit: database::VisitRecord<'_, E>) -> Result<(), E> {
        let Some(database) = &self.database else { return Ok(()) };
        let damaged = |detail: &str| self.snapshot.damaged(detail);
        database::read(database, &self.snapshot.manifest, damaged, visit)
    }
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        // sled panics if it cannot sync what it closes.
        let database = self.database.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
        // If it fails the next start removes it.
        let _ = fs::remove_dir_all(&self.directory);
        drop(self.lock.take());
    }
}

/// The time limit for sled to open a copy.
const OPENS_WITHIN: Duration = Duration::from_secs(120);

/// Opens the database of a copy on a thread that is abandoned when the time is over.
fn open_in_time(
    directory: &Path,
    within: Duration,
    open: fn(&Path) -> Result<sled::Db, StoreError>,
) -> Result<sled::Db, StoreError> {
    let (to, opened) = mpsc::sync_channel(0);
    let directory = directory.to_owned();
    let run = move || {
        if to.send(open(&database_in(&directory))).is_err() {
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

/// Copies a file, in pieces, into directories that are made if they are not there; answers its length and its
/// checksum. `piece` is called with the target after each piece, and `action` names the writing in an error.
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
    let create = || {
        to.parent().map_or(Ok(()), create_private)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)
    };
    let mut target = create().map_err(StoreError::io(action, to))?;
    let (mut bytes, mut checksum) = (0, 0);
    let mut buffer = vec![0; SYNC_BYTES];
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok((bytes, checksum)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::io("read", from)(error)),
        };
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
        bytes += read as u64;
        target.write_all(&buffer[..read]).map_err(StoreError::io(action, to))?;
        piece(&target)?;
    }
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
}
