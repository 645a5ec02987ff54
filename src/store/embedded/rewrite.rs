//! The snapshot written anew, when its files have become much larger than what is in them.
//!
//! sled uses space again, but gives nearly nothing back, and pages that have become empty keep theirs:
//! each flood of records leaves its files larger than the one before. So a new database is made beside
//! the old one, from its records, and takes its place.
//!
//! Directories cannot be exchanged in one step everywhere, so there are two: the old one goes aside,
//! then the new one takes the name. Each is on the disk before the next. If the process dies in
//! between, the start, or the next use, puts the old one back, which has everything.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::account::Account;
use super::database::{Database, SnapshotError, guarded};
use super::directory::create_private;
use super::disk::{Disk, Step};
use super::nudge::nudged;
use super::snapshot::{Snapshot, files};

/// The files may take so many times the bytes of the records. A database that was just written takes
/// 2.4 times as much, and one that changes all the time 3 to 6 times.
const TIMES: u64 = 4;

/// And so much more: below it there is little to gain.
const BEYOND: u64 = 32 * 1024 * 1024;

/// Records copied at once. They need no sync of their own: nothing rests on the new database before all of
/// it is on the disk.
const BATCH: usize = 256;

/// The pause after each, so that the processor is left to the answers.
const PAUSE: Duration = Duration::from_millis(1);

/// How often, and at what interval, it is tried whether sled has let go of the files of a database that
/// was closed: its threads hold them a moment longer.
const CLOSED_TRIES: u32 = 50;
const CLOSED_INTERVAL: Duration = Duration::from_millis(5);

/// What is to be written anew.
struct Before {
    generation: u64,
    account: Account,
    bytes: u64,
}

impl Snapshot {
    /// Writes the snapshot anew if it is worth it, and says whether it did. Gives up when `goes_on`
    /// says no. After an error the old one is in use, or will be when it is needed next.
    pub(super) fn rewrite_if_large(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<bool, SnapshotError> {
        let found = self.with(|database| Ok(database.verified.then_some(database.bytes)))?;
        let Some(bytes) = found else { return Ok(false) };
        let size = size_of(&self.path).map_err(|error| self.failed("measure", &error))?;
        if size <= bytes.saturating_mul(TIMES).saturating_add(BEYOND) {
            return Ok(false);
        }
        let rewritten = self.rewrite(goes_on)?;
        if rewritten {
            tracing::debug!(before = size, bytes, "the snapshot was written anew");
        }
        Ok(rewritten)
    }

    /// Writes the snapshot anew, whether it is worth it or not.
    pub(super) fn rewrite(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<bool, SnapshotError> {
        let before = self.with(|database| {
            database.verify()?;
            Ok(Before { generation: database.generation, account: database.account, bytes: database.bytes })
        })?;
        let rewritten = self.rewrite_beside(&before, goes_on);
        // Whatever came of it: what is left beside the snapshot is of no use.
        let cleared = remove_if_there(&beside(&self.path, "new"));
        let rewritten = rewritten?;
        cleared.map_err(|error| self.failed("remove what is left beside", &error))?;
        Ok(rewritten)
    }

    fn rewrite_beside(
        &self,
        before: &Before,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, SnapshotError> {
        let new = beside(&self.path, "new");
        let prepare = || {
            remove_if_there(&new)?;
            create_private(&new)
        };
        prepare().map_err(|error| self.failed("make a directory beside", &error))?;
        let mut database = Database::create(&new)?;
        let (sled, config) = (database.sled.clone(), database.config.clone());
        let copied = nudged(&sled, &config, || self.copy(before, &mut database, goes_on));
        drop(sled);
        database.close();
        if !copied? {
            return Ok(false);
        }
        let synced = || {
            files::sync(&new, &*self.disk)?;
            self.sync_parent_now()
        };
        synced().map_err(|error| self.failed("sync what was written beside", &error))?;
        self.disk.reached(Step::Rewritten);
        // The old one goes when the new one has been read from the beginning to the end.
        let mut database = Database::open(&new, 0)?;
        let verified = guarded(|| {
            database.verify()?;
            Ok(database.account == before.account)
        });
        database.close();
        if !verified? {
            return Err(SnapshotError::Failed("the snapshot that was written anew is another one".into()));
        }
        if !is_closed(&new) {
            return Err(SnapshotError::Failed("the snapshot that was written anew is still in use".into()));
        }
        self.switch(before)
    }

    fn copy(
        &self,
        before: &Before,
        new: &mut Database,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, SnapshotError> {
        let mut last = Vec::new();
        loop {
            let entries = self.with_same(before.generation, |database| database.behind(&last, BATCH))?;
            let Some((key, _)) = entries.last() else { break };
            last = key.to_vec();
            new.take_over(entries)?;
            if !goes_on() {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        new.set_account(before.account)?;
        new.sled.flush()?;
        Ok(true)
    }

    /// The new one takes the place of the old one. Readers wait meanwhile.
    fn switch(&self, before: &Before) -> Result<bool, SnapshotError> {
        let mut slot = self.lock();
        if slot.closed || slot.generation != before.generation {
            return Ok(false);
        }
        // Handles are made under this lock, so there will be no new one.
        if slot.database.as_ref().is_none_or(Database::is_being_read) {
            return Err(SnapshotError::Failed("somebody is reading it".into()));
        }
        if let Some(database) = slot.database.take() {
            database.close();
        }
        // sled must write nothing more under its name.
        if !is_closed(&self.path) {
            return Err(SnapshotError::Failed("sled does not let go of its files".into()));
        }
        self.exchange().map_err(|error| self.failed("replace", &error))?;
        slot.generation += 1;
        let mut database = Database::open(&self.path, slot.generation)?;
        if database.account != before.account {
            database.close();
            return Err(SnapshotError::Damaged("it says other things than a moment ago".into()));
        }
        // It was, a moment ago.
        (database.verified, database.bytes) = (true, before.bytes);
        slot.database = Some(database);
        Ok(true)
    }

    fn exchange(&self) -> io::Result<()> {
        let [new, old] = ["new", "old"].map(|name| beside(&self.path, name));
        self.disk.rename_dir(&self.path, &old)?;
        self.sync_parent_now()?;
        self.disk.reached(Step::Aside);
        self.disk.rename_dir(&new, &self.path)?;
        self.sync_parent_now()?;
        self.disk.reached(Step::Switched);
        remove_if_there(&old)?;
        self.sync_parent_now()?;
        self.disk.reached(Step::OldRemoved);
        Ok(())
    }

    /// After a rewrite that was cut short, before the snapshot is opened.
    pub(super) fn put_back(&self) -> io::Result<()> {
        put_back(&self.path, &*self.disk)?;
        self.parent_unsynced.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Nothing is built on a name that is not on the disk.
    pub(super) fn sync_parent(&self) -> io::Result<()> {
        if self.parent_unsynced.load(Ordering::Relaxed) { self.sync_parent_now() } else { Ok(()) }
    }

    fn sync_parent_now(&self) -> io::Result<()> {
        self.parent_unsynced.store(true, Ordering::Relaxed);
        sync_parent_of(&self.path, &*self.disk)?;
        self.parent_unsynced.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn failed(&self, action: &str, error: &io::Error) -> SnapshotError {
        SnapshotError::Failed(format!("cannot {action} {}: {error}", self.path.display()))
    }
}

/// After a rewrite that was cut short: gives the old snapshot its name again, if there is none at `path`.
pub(super) fn put_back(path: &Path, disk: &dyn Disk) -> io::Result<()> {
    let [new, old] = ["new", "old"].map(|name| beside(path, name));
    if !old.exists() && !new.exists() {
        return Ok(());
    }
    if !path.exists() && old.exists() {
        disk.rename_dir(&old, path)?;
    }
    // The name it has is on the disk before anything is built on it.
    sync_parent_of(path, disk)
}

/// Removes what a rewrite that was cut short has left beside the snapshot. Only once that has been opened: it may
/// be half a copy that somebody made, and what is beside it the whole.
pub(super) fn clear_beside(path: &Path, disk: &dyn Disk) -> io::Result<()> {
    let beside = ["new", "old"].map(|name| beside(path, name));
    if !beside.iter().any(|path| path.exists()) {
        return Ok(());
    }
    beside.iter().try_for_each(|path| remove_if_there(path))?;
    sync_parent_of(path, disk)
}

/// Where the snapshot at `path` is while the new one takes its name.
pub(super) fn old(path: &Path) -> PathBuf {
    beside(path, "old")
}

/// `snapshot.new` beside `snapshot`.
fn beside(path: &Path, what: &str) -> PathBuf {
    path.with_extension(what)
}

fn sync_parent_of(path: &Path, disk: &dyn Disk) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether nobody in this process has the database open any more: sled locks its file for as long.
fn is_closed(path: &Path) -> bool {
    for _ in 0..CLOSED_TRIES {
        if File::open(path.join("db")).is_ok_and(|file| file.try_lock().is_ok()) {
            return true;
        }
        std::thread::sleep(CLOSED_INTERVAL);
    }
    false
}

fn size_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += size_of(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            // sled removes its old files on a thread of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
