//! Opening a data directory: lock, format, snapshot, journal, thread. In this order, so that
//! nothing is touched before it is certain that it is ours and that all of it can be read.

use std::fs::OpenOptions as FileOptions;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use base16ct::lower::encode_string;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::directory::{Directory, Lock, check_importable};
use super::disk::{Disk, RealDisk};
use super::health::{Health, Part};
use super::journal::Journal;
use super::live::LiveRecords;
use super::mailbox::Mailbox;
use super::manifest::Manifest;
use super::options::OpenOptions;
use super::replay::{Covered, Replayed};
use super::snapshot::{Listing, remove_leftovers};
use super::store::EmbeddedStore;
use super::writer::{Grown, Writer, WriterDeps};
use crate::{Slots, StoreError};

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
        let began = options.clock.now();
        let directory = Directory::at(&options.dir)?;
        directory.make_lock_file()?;
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
            create(&directory, options, &*disk)?;
        }
        // First of all, because a full disk may need the room. The reader reports missing files.
        remove_leftovers(&*disk, &Listing::of(&directory.snapshot).unwrap_or_default());
        let found = directory.find(Slots::all(), || directory.newest())?;
        let now = options.clock.now();
        tracing::info!(
            in_snapshot = found.snapshot().manifest.records,
            records = found.replayed.records,
            segments = found.replayed.segments,
            closed_in_order = found.replayed.closed,
            milliseconds = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX),
            "data directory opened"
        );
        tidy(&directory, &found.replayed, &*disk)?;
        start((directory, lock), options, found, is_new, disk)
    }
}

/// Creates a new data directory. An interrupted creation begins again: `FORMAT` comes last, with an import at its end. The
/// directory has an empty snapshot from the beginning. Therefore a missing snapshot is always a lost one.
fn create(directory: &Directory, options: &OpenOptions, disk: &dyn Disk) -> Result<(), StoreError> {
    directory.create_first_files(Manifest::empty(Covered::default(), options.clock.now()), disk)?;
    if !options.importing {
        directory.write_format(options.key_fingerprint, disk)?;
        tracing::info!(directory = %options.dir.display(), "data directory created");
    }
    Ok(())
}

/// Truncates the journal after the last whole frame. A killed process may have left frames in the page cache only.
/// Therefore this syncs all segments before the store appends to them or removes files.
fn tidy(directory: &Directory, replayed: &Replayed, disk: &dyn Disk) -> Result<(), StoreError> {
    if let Some((path, byte)) = &replayed.torn {
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

/// Starts the journal's thread, which holds the lock.
fn start(
    (directory, lock): (Directory, Lock),
    options: &OpenOptions,
    found: LiveRecords,
    is_new: bool,
    disk: Arc<dyn Disk>,
) -> Result<EmbeddedStore, StoreError> {
    let (health, mut of_writer) = (Arc::new(Health::new(options.clock.clone())), options.clone());
    if options.importing {
        // No server waits for a checkpoint: the next start makes one.
        of_writer.checkpoint_bytes = u64::MAX;
    }
    let (replayed, newest_time) = (&found.replayed, found.newest_time());
    let last = (replayed.last_segment, replayed.last_sequence);
    let mut journal =
        Journal::new(disk.clone(), directory.journal.clone(), options.segment_bytes, last, newest_time);
    if let Err(error) = journal.begin_segment().and_then(|_| journal.reserve()) {
        if is_new || !error.lacks_space() {
            return Err(error);
        }
        // The store serves reads, and commits if only the second segment has no room. The journal's thread tries again.
        if !journal.is_ready() {
            health.report(Part::Journal, &Err::<(), _>(error));
        }
    }
    let (mailbox, tick) = (Arc::new(Mailbox::new(health.clone(), directory.journal.clone())), options.tick);
    let deps = WriterDeps {
        options: of_writer,
        directory: directory.clone(),
        disk: disk.clone(),
        mailbox: mailbox.clone(),
        health: health.clone(),
    };
    let grown = Grown { bytes: replayed.bytes, records: replayed.records };
    let writer = Writer::new(journal, Arc::clone(found.snapshot()), grown, deps);
    let (importing, key, of_thread) = (options.importing, options.key_fingerprint, mailbox.clone());
    let of_store = directory.clone();
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| writer.run()));
        let closed = ended.unwrap_or_else(|_| {
            of_thread.fail("the journal thread has ended");
            of_thread.close();
            None
        });
        let closed = closed.map(|(reply, result)| match result {
            Ok(()) if importing => (reply, directory.write_format(key, &*disk)),
            result => (reply, result),
        });
        drop(lock);
        if let Some((reply, result)) = closed {
            let _ = reply.send(result);
        }
    };
    let watched = Arc::downgrade(&mailbox);
    let spawn = || {
        Builder::new().name("journal".into()).spawn(run)?;
        Builder::new().name("journal-watch".into()).spawn(move || Mailbox::watch(&watched, tick))
    };
    spawn().map_err(StoreError::io("start the threads for", &of_store.journal))?;
    Ok(EmbeddedStore {
        mailbox,
        directory: of_store,
        clock: options.clock.clone(),
        health,
        newest_time,
        found_at_start: Mutex::new(Some(found)),
        closed: OnceCell::new(),
    })
}
