//! The store, as the owner of the records uses it: a handle of the journal's thread and of the files.
//!
//! Opening a data directory goes lock, format, snapshot, journal, thread. In this order, so that nothing is touched before
//! it is certain that it is ours and that all of it can be read.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use base16ct::lower::encode_string;
use onceward_core::clock::{Clock as _, EngineClock};
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};

use super::checkpoint::LiveRecords;
use super::directory::{Directory, Disk, OpenOptions, Operation, check_importable, create_durably};
use super::journal::{Journal, MAX_BATCH_BYTES, Replayed};
use super::snapshot::remove_leftovers;
use super::writer::{Asked, Shared, Writer};
use crate::record::RECORD_HEAD;
use crate::{
    BoxFuture, Done, LONGEST_RECORD, Owner, Store, StoreError, StoreLimits, StoreSizes, Visitor, Write,
};

/// Durable records in a directory of this machine, for one process at a time. Dropping it without
/// [`Store::close`] is like a crash: nothing acknowledged is lost, the next start replays the
/// journal.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    clock: EngineClock,
    /// What the start has found, for the restore.
    found_at_start: Mutex<Option<LiveRecords>>,
    newest_time: Timestamp,
    closed: OnceCell<Result<(), StoreError>>,
}

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
        let directory = Directory::at(&options.dir);
        let root = &directory.root;
        create_durably(root).map_err(StoreError::io("create the data directory", root))?;
        let lock = directory.lock()?;
        if options.importing {
            check_importable(&options.dir)?;
        }
        let key = directory.key()?;
        let is_new = key.is_none();
        if is_new {
            // An interrupted creation begins again: `FORMAT` comes last, with an import at its end. The directory has an
            // empty snapshot from the beginning. Therefore a missing snapshot is always a lost one.
            directory.create_first_files(options.clock.now(), &disk)?;
            if !options.importing {
                directory.write_format(options.key_fingerprint, &disk)?;
                tracing::info!(directory = %options.dir.display(), "data directory created");
            }
        } else if key != Some(encode_string(&options.key_fingerprint)) {
            return Err(StoreError::WrongKey { directory: directory.root });
        }
        // First of all, because a full disk may need the room.
        remove_leftovers(&disk, &directory.snapshot)?;
        let found = LiveRecords::newest(&directory)?;
        tracing::info!(
            in_snapshot = found.copy.manifest.records,
            in_journal = found.replayed.records,
            segments = found.replayed.used.len(),
            "data directory opened"
        );
        tidy(&directory, &found.replayed, &disk)?;
        let shared = Arc::<Shared>::default();
        let mut journal = Journal {
            disk,
            directory: directory.journal.clone(),
            segment_bytes: options.segment_bytes,
            active: None,
            spare: None,
            last: found.replayed.last,
            last_time: found.newest_time(),
        };
        if let Err(error) = journal.begin_segment().and_then(|_| journal.reserve()) {
            if is_new || !error.lacks_space() {
                return Err(error);
            }
            // The store serves reads, and commits if only the second segment has no room. The journal's thread tries
            // again.
            if journal.active.is_none() {
                shared.report(Some(error.reason()));
            }
        }
        let writer = Writer {
            options: options.clone(),
            directory,
            shared: shared.clone(),
            journal,
            snapshot: found.copy.manifest.clone(),
            grown: if found.replayed.records > 0 { found.replayed.bytes } else { 0 },
            asked: Asked::default(),
            checkpoints: 0,
            running: None,
            failed: None,
        };
        start(writer, lock)?;
        Ok(Self {
            shared,
            clock: options.clock.clone(),
            newest_time: found.newest_time(),
            found_at_start: Mutex::new(Some(found)),
            closed: OnceCell::new(),
        })
    }

    /// Makes a checkpoint now and waits for its end. Without a change since the last one there is little to do. For
    /// tests.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let (reply, ended) = oneshot::channel();
        self.shared.ask(move |writer| writer.asked.checkpoints.push(reply));
        ended.await.map_err(|_| StoreError::Closed)?
    }

    /// Closes it while the owner commits what the last checkpoint waits for.
    async fn end(&self) -> Result<(), StoreError> {
        drop(self.found_at_start.lock().take());
        self.shared.ask(|writer| writer.asked.is_last = true);
        // If it fails, the journal has everything.
        let _ = self.checkpoint().await;
        let (reply, answer) = oneshot::channel();
        self.shared.ask(move |writer| writer.asked.end = Some(reply));
        answer.await.unwrap_or(Err(StoreError::Closed))
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
        let cut = || fs::OpenOptions::new().write(true).open(path)?.set_len(replayed.end);
        disk.run(Operation::Cut, "cut off what is behind the end of", path, cut)?;
    }
    for path in &replayed.used {
        disk.sync_file(path)?;
    }
    // The snapshot's files were synced before it got its name, which may not have been.
    disk.sync_dir(&directory.snapshot)
}

/// Starts the journal's thread, and the one that watches it.
fn start(writer: Writer, lock: File) -> Result<(), StoreError> {
    let (tick, journal, shared) =
        (writer.options.tick, writer.directory.journal.clone(), Arc::clone(&writer.shared));
    let watched = Arc::downgrade(&shared);
    let failed = StoreError::io("start the threads for", journal.clone());
    let run = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| writer.run()));
        if ended.is_err() {
            shared.fail("the journal thread has ended");
            shared.close();
        }
        drop(lock);
        if let Ok(Some((reply, result))) = ended {
            let _ = reply.send(result);
        }
    };
    let spawn = || {
        Builder::new().name("journal".into()).spawn(run)?;
        let watch = move || Shared::watch(&watched, tick, &journal);
        Builder::new().name("journal-watch".into()).spawn(watch)
    };
    spawn().map(drop).map_err(failed)
}

impl Store for EmbeddedStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let lengths = || writes.iter().map(Write::encoded_bytes);
        let (bytes, longest): (usize, _) = (lengths().sum(), lengths().max().unwrap_or_default());
        if longest > RECORD_HEAD + LONGEST_RECORD || bytes > MAX_BATCH_BYTES {
            let reason = format!("a batch of {bytes} bytes, {longest} in one record, is too large");
            return done(Err(StoreError::Unavailable(reason)));
        }
        self.shared.commit(writes, done);
    }

    fn restore(&self, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let (found, now) = (self.found_at_start.lock().take(), self.clock.now());
        let read = move || found.map_or(Err(StoreError::Closed), |found| found.each(now, &mut *visit));
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|_| StoreError::Unavailable("reading was interrupted".into()))?
        })
    }

    fn attach(&self, owner: Owner) {
        self.shared.ask(move |writer| writer.asked.owner = Some(owner));
    }

    fn health(&self) -> Result<(), String> {
        self.shared.health()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(self.shared.failed())
    }

    /// Memory may differ from what the disk has once the store has failed.
    fn owns_records(&self) -> bool {
        self.shared.failure().is_none()
    }

    fn limits(&self) -> StoreLimits {
        // Half of the most leaves room for what a batch has beside the bytes of its records.
        StoreLimits {
            bytes_per_batch: MAX_BATCH_BYTES / 2,
            bytes_per_record: LONGEST_RECORD,
            ..StoreLimits::NONE
        }
    }

    fn sizes(&self) -> Option<StoreSizes> {
        Some(*self.shared.sizes.lock())
    }

    fn newest_time(&self) -> Timestamp {
        self.newest_time
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let close = || async {
                tokio::select! {
                    biased;
                    answer = self.end() => answer,
                    // Its thread may hang for ever.
                    reason = self.shared.failed() => Err(StoreError::Unavailable(reason)),
                }
            };
            self.closed.get_or_init(close).await.clone()
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.ask(|writer| writer.asked.is_abandoned = true);
    }
}
