//! Filling a new data directory at once, without the journal: an import.
//!
//! Until the last step the file `FORMAT` marks the directory as importing, and no server starts on it. An interrupted
//! import begins again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;

use super::checkpoint::{Attempt, Checkpoint, CheckpointControl, Collector, OwnerMessage, StartedAttempt};
use super::database::Sled;
use super::directory::{Directory, DirectoryState, Lock, files};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::replay::Covered;
use super::snapshot;
use crate::owner::{Pushed, SLICE_RECORDS};
use crate::{Key, RecordStream, Slots};

/// Names that an empty directory may contain: the server key, and files of the file system and of this program.
const NOT_DATA: [&str; 4] = ["server.key", "lock", "lost+found", "FORMAT.new"];

/// Wait before a refused slice is pushed again.
const TURN: Duration = Duration::from_millis(1);

/// A data directory that is being filled. No server starts on it before [`NewStore::finish`].
pub struct NewStore {
    directory: Directory,
    key_fingerprint: [u8; 16],
    disk: Arc<dyn Disk>,
    records: Vec<(Key, Vec<u8>, Timestamp)>,
    stream: RecordStream,
    import: ImportThread,
    _lock: Lock,
}

/// The writing thread. Its drop waits for the result: the thread must not write to a directory that another import has
/// cleared.
struct ImportThread(StartedAttempt);

impl Drop for ImportThread {
    fn drop(&mut self) {
        let _ = self.0.result.recv();
    }
}

impl std::fmt::Debug for NewStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewStore").finish_non_exhaustive()
    }
}

/// Succeeds if `dir` can be filled: it does not exist, contains a server key at most, or is the remainder of an
/// interrupted import or first start. Changes nothing.
///
/// # Errors
/// [`OpenError::NotEmpty`], and those of reading.
pub fn check_new(dir: &Path) -> Result<(), OpenError> {
    let directory = Directory::existing(dir);
    match directory.peek().map(|file| file.state) {
        Ok(DirectoryState::Creating | DirectoryState::Importing) => Ok(()),
        Ok(DirectoryState::Complete) => Err(OpenError::NotEmpty { directory: directory.root }),
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let is_data = |(name, _): &(String, u64)| !NOT_DATA.contains(&name.as_str());
            if files(&directory.root)?.iter().any(is_data) {
                return Err(OpenError::NotEmpty { directory: directory.root });
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl NewStore {
    /// Creates or locks the directory and marks it as importing. Removes the remainder of an interrupted import. `time`
    /// is the newest decision time of the records.
    ///
    /// # Errors
    /// [`OpenError`], when there is something in it, or the disk refuses.
    pub fn begin(dir: &Path, key_fingerprint: [u8; 16], time: Timestamp) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        check_new(dir)?;
        let directory = Directory::at(dir)?;
        let lock = directory.lock()?;
        // Another import may have been faster.
        check_new(dir)?;
        directory.write_state(DirectoryState::Importing, key_fingerprint, &*disk)?;
        directory.clear(&*disk)?;
        let control = Arc::new(CheckpointControl::default());
        let (to, parts) = mpsc::channel::<OwnerMessage>();
        let (new, copy) = snapshot::attempt_paths(&directory.snapshot, 0, 0);
        let attempt = Attempt {
            backend: Arc::new(Sled),
            disk: disk.clone(),
            new,
            copy,
            pause: Duration::ZERO,
            control: control.clone(),
        };
        let covered = Covered::default();
        let checkpoint = Checkpoint { covered, time, parts, control: control.clone() };
        // No time limit: the import may wait for a person or a network.
        let started = attempt
            .start("import", checkpoint, Duration::MAX)
            .map_err(OpenError::io("start a thread for", &directory.root))?;
        let stream = RecordStream::new(Arc::new(Collector { to, control }));
        Ok(Self {
            directory,
            key_fingerprint,
            disk,
            records: Vec::new(),
            stream,
            import: ImportThread(started),
            _lock: lock,
        })
    }

    /// Adds one record. The caller gives each key once.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses.
    pub fn add(&mut self, key: Key, expires: Timestamp, record: &[u8]) -> Result<(), OpenError> {
        self.records.push((key, record.to_vec(), expires));
        if self.records.len() < SLICE_RECORDS { Ok(()) } else { self.push() }
    }

    fn push(&mut self) -> Result<(), OpenError> {
        loop {
            match self.stream.push(&self.records) {
                Pushed::Accepted => break,
                Pushed::Busy if !self.import.0.thread.is_finished() => thread::sleep(TURN),
                Pushed::Busy | Pushed::Aborted => {
                    let detail = "the records cannot be written; the log or the next attempt says why";
                    return Err(OpenError::not_created(&self.directory.snapshot, detail));
                }
            }
        }
        self.records.clear();
        Ok(())
    }

    /// Makes every record durable and marks the directory as complete.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses; the directory is then not usable.
    pub fn finish(mut self) -> Result<(), OpenError> {
        let pushed = self.push();
        let Self { directory, key_fingerprint, disk, stream, import, .. } = self;
        if pushed.is_ok() {
            stream.finish(Slots::all());
        } else {
            drop(stream);
        }
        let not_created = |detail: String| OpenError::not_created(&directory.snapshot, detail);
        let manifest =
            import.0.result.recv().unwrap_or_else(|_| Err("sled panicked".into())).map_err(not_created)?;
        directory.seal(key_fingerprint, manifest, &*disk)
    }
}
