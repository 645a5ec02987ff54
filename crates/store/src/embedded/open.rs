//! Opening a data directory: lock, format, snapshot, journal, thread. In this order, so that
//! nothing is touched before it is certain that it is ours and that all of it can be read.

use std::fs::{self, OpenOptions as FileOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::Builder;
use std::time::Duration;

use base16ct::lower::encode_string;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::directory::{Directory, DirectoryState, FormatFile, Lock, check_importable};
use super::disk::{Disk, RealDisk};
use super::health::{Health, Part};
use super::journal::Journal;
use super::live::{Files, LiveRecords, Loading};
use super::manifest::Manifest;
use super::options::{OpenOptions, StoreSettings};
use super::replay::{Covered, OnDamage, Replayed};
use super::snapshot::Listing;
use super::store::EmbeddedStore;
use super::writer::{Grown, Writer, WriterDeps};
use crate::StoreError;

/// A data directory under this process's lock. A start, an export and a check open and read it in the same way.
pub struct DataDirectory {
    directory: Directory,
    /// `None` if nothing was ever written into it.
    file: Option<FormatFile>,
    files: Files,
    lock: Lock,
}

impl std::fmt::Debug for DataDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataDirectory").field("root", &self.directory.root).finish_non_exhaustive()
    }
}

impl DataDirectory {
    /// Opens a directory that exists. Changes nothing in it, except for a temporary copy of the snapshot.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process uses it; others when it is none, or one of a newer program.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let data = Self::locked(Directory::existing(dir), Arc::default(), StoreSettings::default().deadline)?;
        if data.file.is_none() {
            return Err(StoreError::io("read", &data.directory.format)(io::ErrorKind::NotFound.into()));
        }
        Ok(data)
    }

    fn locked(directory: Directory, loading: Arc<Loading>, deadline: Duration) -> Result<Self, StoreError> {
        let lock = directory.lock()?;
        let file = directory.format()?;
        let (journal, snapshot) = (directory.journal.clone(), directory.snapshot.clone());
        let files = Files { journal, snapshot, deadline, loading, in_use: Arc::default() };
        Ok(Self { directory, file, files, lock })
    }

    /// The fingerprint of the server key of the data, in hex digits, and its format; `None` if the directory was never
    /// used.
    ///
    /// # Errors
    /// [`StoreError::ImportInterrupted`].
    pub fn key_and_format(&self) -> Result<Option<(&str, u32)>, StoreError> {
        let Some(FormatFile { format, key, state }) = &self.file else { return Ok(None) };
        match state {
            DirectoryState::Creating => Ok(None),
            DirectoryState::Importing => {
                Err(StoreError::ImportInterrupted { directory: self.directory.root.clone() })
            }
            DirectoryState::Complete => Ok(Some((key, *format))),
        }
    }

    /// Finds the records that a start would find. After damage that `on_damage` ignores, reads on as well as possible.
    ///
    /// # Errors
    /// Why a start would be refused.
    pub fn find(&self, on_damage: OnDamage<'_>) -> Result<LiveRecords, StoreError> {
        self.files.find(on_damage)
    }
}

impl EmbeddedStore {
    /// Opens the data directory, or creates it. Copies the snapshot and reads the whole journal; therefore this blocks
    /// for as long as that takes: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`], which says what to do. The store never begins empty over data it cannot
    /// read.
    pub fn open(options: &OpenOptions) -> Result<Self, StoreError> {
        Self::open_on(options, Arc::new(RealDisk))
    }

    /// The same with a disk that tests can make fail.
    pub(super) fn open_on(options: &OpenOptions, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let (began, settings) = (options.clock.now(), &options.settings);
        if options.importing {
            check_importable(&options.dir)?;
        }
        let directory = Directory::at(&options.dir)?;
        directory.make_lock_file()?;
        let mut data = DataDirectory::locked(directory, options.loading.clone(), settings.deadline)?;
        if options.importing {
            // Another import may have been faster.
            check_importable(&options.dir)?;
            data.file = None;
        }
        let is_new = match data.key_and_format()? {
            // While it was being created nothing in it was ever used; therefore neither was a key.
            Some((key, _)) if key != encode_string(&options.key_fingerprint) => {
                return Err(StoreError::WrongKey { directory: data.directory.root });
            }
            found => found.is_none(),
        };
        if is_new {
            data.create(options, &*disk)?;
        }
        // First of all, because a full disk may need the room. The reader reports missing files.
        for path in Listing::of(&data.directory.snapshot).unwrap_or_default().leftovers {
            fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
        }
        let found = data.find(&mut Err)?;
        if let Some(reason) = found.unusable_snapshot() {
            tracing::warn!(reason, "newest snapshot unusable, using the older snapshot and the journal");
        }
        let now = options.clock.now();
        tracing::info!(
            in_snapshot = found.snapshot_records().unwrap_or_default(),
            records = found.journal().records,
            segments = found.journal().segments,
            closed_in_order = found.journal().closed,
            milliseconds = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX),
            "data directory opened"
        );
        tidy(&data.directory, &found.replayed, &*disk)?;
        data.start(options, found, is_new, disk)
    }
}

/// Truncates the journal after the last whole frame. A killed process may have left frames in the page cache only.
/// Therefore this syncs all segments before the store appends to them or removes files.
fn tidy(directory: &Directory, replayed: &Replayed, disk: &dyn Disk) -> Result<(), StoreError> {
    if let Some((path, byte, _)) = &replayed.summary.torn {
        tracing::warn!(
            file = %path.display(),
            byte,
            "end of the journal truncated; it was torn, and never acknowledged, or damaged"
        );
    }
    if let Some((path, length)) = &replayed.end {
        // Cuts the reserved space too: no later write goes there, and a nearly full disk has no other space for the
        // next segments.
        let cut = || {
            let file = FileOptions::new().write(true).open(path)?;
            file.set_len(*length)?;
            file.sync_all()
        };
        cut().map_err(StoreError::io("cut off what is behind the end of", path))?;
    }
    for path in &replayed.used {
        disk.sync_file(path).map_err(StoreError::io("sync", path))?;
    }
    // The snapshot's files were synced before it got its name, which may not have been.
    disk.sync_dir(&directory.snapshot).map_err(StoreError::io("sync", &directory.snapshot))
}

impl DataDirectory {
    /// Creates a new data directory. Until the last step, or the end of the import, `FORMAT` says so, and an interrupted
    /// creation begins again. It has an empty snapshot from the beginning. Therefore a missing snapshot is always a lost
    /// one.
    fn create(&self, options: &OpenOptions, disk: &dyn Disk) -> Result<(), StoreError> {
        let write_state = |state| self.directory.write_state(state, options.key_fingerprint, disk);
        write_state(if options.importing { DirectoryState::Importing } else { DirectoryState::Creating })?;
        let nothing = Manifest::empty(Covered::default(), options.clock.now());
        self.directory.create_first_files(nothing, disk)?;
        if !options.importing {
            write_state(DirectoryState::Complete)?;
            tracing::info!(directory = %options.dir.display(), "data directory created");
        }
        Ok(())
    }

    /// Starts the journal's thread, which holds the lock.
    fn start(
        self,
        options: &OpenOptions,
        found: LiveRecords,
        is_new: bool,
        disk: Arc<dyn Disk>,
    ) -> Result<EmbeddedStore, StoreError> {
        let Self { directory, files, lock, .. } = self;
        let (health, mut settings) = (Arc::new(Health::new(options.clock.clone())), options.settings.clone());
        if options.importing {
            // No server waits for a checkpoint: the next start makes one.
            settings.checkpoint_bytes = u64::MAX;
        }
        let (replayed, newest_time) = (&found.replayed, found.newest_time());
        let mut journal =
            Journal::new(disk.clone(), files.journal.clone(), settings.segment_bytes, replayed, newest_time);
        if let Err(error) = journal.advance().and_then(|()| journal.reserve()) {
            if is_new || !error.lacks_space() {
                return Err(error);
            }
            // The store serves reads and refuses commits. The journal's thread tries again.
            let is_ready = journal.is_ready();
            let parts = [Some(Part::Reserve), (!is_ready).then_some(Part::Journal)];
            let refused = Err::<(), _>(error);
            parts.into_iter().flatten().for_each(|part| health.report(part, &refused));
        }
        let (to_writer, messages) = mpsc::channel();
        let deps = WriterDeps {
            settings,
            files: files.clone(),
            disk: disk.clone(),
            itself: to_writer.clone(),
            clock: options.clock.clone(),
            health: health.clone(),
        };
        let grown = Grown { bytes: replayed.bytes, records: replayed.summary.records };
        let missing = || StoreError::snapshot_damaged(&files.snapshot, "it is missing");
        let snapshot = found.snapshot().cloned().ok_or_else(missing)?;
        let writer = Writer::new(journal, snapshot, grown, deps);
        let (importing, key, health_of_thread) = (options.importing, options.key_fingerprint, health.clone());
        let root = directory.root.clone();
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| writer.run(messages)));
            let (replies, mut result) = ended.unwrap_or_else(|_| {
                health_of_thread.fail("the journal thread has ended");
                (Vec::new(), Ok(()))
            });
            if importing && result.is_ok() && !replies.is_empty() {
                result = directory.write_state(DirectoryState::Complete, key, &*disk);
            }
            drop(lock);
            for reply in replies {
                let _ = reply.send(result.clone());
            }
        };
        let thread = Builder::new().name("journal".into()).spawn(run);
        thread.map_err(StoreError::io("start a thread for", root))?;
        Ok(EmbeddedStore {
            writer: to_writer,
            files,
            clock: options.clock.clone(),
            health,
            newest_time,
            found_at_start: Mutex::new(Some(found)),
            closed: OnceCell::new(),
        })
    }
}
