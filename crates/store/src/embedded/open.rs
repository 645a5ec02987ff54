//! Opening a data directory: lock, format, snapshot, journal, thread. In this order, so that
//! nothing is touched before it is certain that it is ours and that all of it can be read.

use std::fs::{File, OpenOptions as FileOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use base16ct::lower::encode_string;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::directory::{Directory, check_importable};
use super::disk::{Disk, Operation};
use super::health::{Health, Part};
use super::journal::Journal;
use super::live::LiveRecords;
use super::options::OpenOptions;
use super::replay::Replayed;
use super::snapshot::remove_leftovers;
use super::store::EmbeddedStore;
use super::writer::{Grown, Shared, Writer};
use crate::StoreError;

impl EmbeddedStore {
    /// Opens the data directory, or creates it. Copies the snapshot and reads the whole journal; therefore this blocks
    /// for as long as that takes: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`], which says what to do. The store never begins empty over data it cannot
    /// read.
    pub fn open(options: &OpenOptions) -> Result<Self, StoreError> {
        Self::open_on(options, Disk::default())
    }

    /// The same with a disk that tests can make fail.
    pub(super) fn open_on(options: &OpenOptions, disk: Disk) -> Result<Self, StoreError> {
        let began = options.clock.now();
        let directory = Directory::at(&options.dir)?;
        let lock = directory.lock()?;
        if options.importing {
            check_importable(&options.dir)?;
        }
        let is_new = match directory.key()? {
            Some(key) if key != encode_string(&options.key_fingerprint) => {
                return Err(StoreError::WrongKey { directory: directory.root });
            }
            key => key.is_none(),
        };
        if is_new {
            // An interrupted creation begins again: `FORMAT` comes last, with an import at its end. The directory has an
            // empty snapshot from the beginning. Therefore a missing snapshot is always a lost one.
            directory.create_first_files(began, &disk)?;
            if !options.importing {
                directory.write_format(options.key_fingerprint, &disk)?;
                tracing::info!(directory = %options.dir.display(), "data directory created");
            }
        }
        // First of all, because a full disk may need the room.
        remove_leftovers(&disk, &directory.snapshot)?;
        let found = LiveRecords::newest(&directory)?;
        let milliseconds = options.clock.now().since(began).as_millis();
        tracing::info!(
            in_snapshot = found.snapshot().manifest.records,
            records = found.replayed.records,
            segments = found.replayed.used.len(),
            milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX),
            "data directory opened"
        );
        tidy(&directory, &found.replayed, &disk)?;
        start((directory, lock), options, found, is_new, disk)
    }
}

/// Truncates the journal after the last whole frame. A killed process may have left frames in the page cache only.
/// Therefore this syncs all segments before the store appends to them or removes files.
fn tidy(directory: &Directory, replayed: &Replayed, disk: &Disk) -> Result<(), StoreError> {
    if let Some((path, byte)) = &replayed.torn {
        tracing::warn!(
            file = %path.display(),
            byte,
            "end of the journal truncated; it was torn, and never acknowledged, or damaged"
        );
    }
    if let Some(path) = replayed.used.last() {
        // Cuts the reserved space too: no later write goes there, and a nearly full disk has no other space for the
        // next segments.
        let cut = || {
            let file = FileOptions::new().write(true).open(path)?;
            file.set_len(replayed.end)?;
            file.sync_all()
        };
        disk.run(Operation::Cut, "cut off what is behind the end of", path, cut)?;
    }
    for path in &replayed.used {
        disk.sync_file(path)?;
    }
    // The snapshot's files were synced before it got its name, which may not have been.
    disk.sync_dir(&directory.snapshot)
}

/// Starts the journal's thread, which holds the lock.
fn start(
    (directory, lock): (Directory, File),
    options: &OpenOptions,
    found: LiveRecords,
    is_new: bool,
    disk: Disk,
) -> Result<EmbeddedStore, StoreError> {
    let (health, mut of_writer) = (Health::new(options.clock.clone()), options.clone());
    if options.importing {
        // No server waits for a checkpoint: the next start makes one.
        of_writer.checkpoint_bytes = u64::MAX;
    }
    let (replayed, newest_time) = (&found.replayed, found.newest_time());
    let mut journal = Journal {
        disk: disk.clone(),
        directory: directory.journal.clone(),
        segment_bytes: options.segment_bytes,
        active: None,
        spare: None,
        last: replayed.last,
        last_time: newest_time,
        buffer: Vec::new(),
    };
    if let Err(error) = journal.begin_segment().and_then(|_| journal.reserve()) {
        if is_new || !error.lacks_space() {
            return Err(error);
        }
        // The store serves reads, and commits if only the second segment has no room. The journal's thread tries again.
        if journal.active.is_none() {
            health.report(Part::Journal, Some(error.reason()));
        }
    }
    let shared = Arc::new(Shared::new(health));
    let grown = Grown { bytes: replayed.bytes, records: replayed.records };
    let snapshot = Arc::clone(found.snapshot());
    let writer = Writer::new((of_writer, directory.clone()), shared.clone(), journal, snapshot, grown);
    let (importing, key, of_thread) = (options.importing, options.key_fingerprint, shared.clone());
    let of_store = directory.clone();
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| writer.run()));
        let closed = ended.unwrap_or_else(|_| {
            of_thread.fail("the journal thread has ended");
            of_thread.close();
            None
        });
        let closed = closed.map(|(reply, result)| match result {
            Ok(()) if importing => (reply, directory.write_format(key, &disk)),
            result => (reply, result),
        });
        drop(lock);
        if let Some((reply, result)) = closed {
            let _ = reply.send(result);
        }
    };
    let (watched, tick, watched_journal) = (Arc::downgrade(&shared), options.tick, of_store.journal.clone());
    let spawn = || {
        Builder::new().name("journal".into()).spawn(run)?;
        let watch = move || Shared::watch(&watched, tick, &watched_journal);
        Builder::new().name("journal-watch".into()).spawn(watch)
    };
    spawn().map_err(StoreError::io("start the threads for", &of_store.journal))?;
    Ok(EmbeddedStore {
        shared,
        directory: of_store,
        clock: options.clock.clone(),
        newest_time,
        found_at_start: Mutex::new(Some(found)),
        closed: OnceCell::new(),
    })
}
