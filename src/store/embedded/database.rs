//! The sled database that the snapshot is kept in: what is in it, and how it changes.

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::account::{ACCOUNT_KEY, Account};
use super::changes::Change;
use super::error::refusal_in;
use super::nudge::nudged;
use super::stored;
use crate::domain::Timestamp;
use crate::store::Key;

/// sled's page cache. A pass in key order gains nothing from a larger one: 4 MiB and 32 MiB gave
/// the same times with a million records, and idle memory is what it costs.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// How much of a file is read at once before sled opens it.
const READ_BYTES: usize = 256 * 1024;

/// How often and at what interval sled's own lock is tried: threads of an instance that was just
/// closed hold it a moment longer. Our own lock has excluded everybody else already.
const LOCK_TRIES: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// Why the snapshot could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SnapshotError {
    /// It is there, but it is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// It could not be read or written this time.
    #[error("{0}")]
    Failed(String),
}

impl From<sled::Error> for SnapshotError {
    fn from(error: sled::Error) -> Self {
        match error {
            // Its own words are for who debugs sled.
            sled::Error::Corruption { .. } => {
                Self::Damaged("what sled finds in its files is not what was written".into())
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Sees one entry: its key and its value.
type See<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), SnapshotError> + 'a;

/// An open database. Only one thread writes to it, and only through this.
pub(super) struct Database {
    pub(super) sled: sled::Db,
    /// What it was opened with; knows of errors that sled met on threads of its own.
    pub(super) config: sled::Config,
    pub(super) account: Account,
    /// Tells this opening from the ones before it.
    pub(super) generation: u64,
    /// Whether a pass over everything has found what the account says.
    pub(super) verified: bool,
    /// Behind which key the search for records that no longer matter goes on.
    expiry_from: Vec<u8>,
}

impl Database {
    /// A new, empty database in the directory at `path`.
    pub(super) fn create(path: &Path) -> Result<Self, SnapshotError> {
        let (sled, config) = open_sled(path)?;
        let account = Account::default();
        if let Err(error) = guarded(|| Ok(sled.insert(ACCOUNT_KEY, account.encode().as_slice())?)) {
            drop_quietly(sled);
            return Err(error);
        }
        Ok(Self { sled, config, account, generation: 0, verified: true, expiry_from: Vec::new() })
    }

    /// The database at `path`, which must be there.
    pub(super) fn open(path: &Path, generation: u64) -> Result<Self, SnapshotError> {
        if !path.join("db").is_file() {
            return Err(SnapshotError::Damaged("its file \"db\" is missing".into()));
        }
        read_through(path)?;
        let (sled, config) = open_sled(path)?;
        let missing = || SnapshotError::Damaged("it does not say what it contains".into());
        let read = nudged(&sled, &config, || {
            let bytes = sled.get(ACCOUNT_KEY)?.ok_or_else(missing)?;
            Account::decode(&bytes).ok_or_else(missing)
        });
        match read {
            Ok(account) => {
                Ok(Self { sled, config, account, generation, verified: false, expiry_from: Vec::new() })
            }
            Err(error) => {
                drop_quietly(sled);
                Err(error)
            }
        }
    }

    /// Closes it, flushed if that is possible.
    pub(super) fn close(self) {
        // Here, where it cannot wait for ever; dropping it then finds nothing to flush.
        let _ = nudged(&self.sled, &self.config, || Ok(self.sled.flush()?));
        drop_quietly(self);
    }

    /// Passes over everything, unless that was done, and compares it with the account.
    pub(super) fn verify(&mut self) -> Result<(), SnapshotError> {
        if self.verified { Ok(()) } else { self.verify_while(&mut |_, _| Ok(())) }
    }

    /// The same, and shows `see` every entry.
    pub(super) fn verify_while(&mut self, see: &mut See<'_>) -> Result<(), SnapshotError> {
        let mut found = Account { entries: 0, digest: 0, ..self.account };
        walk(&self.sled, &mut |key, value| {
            found.add(key, value);
            see(key, value)
        })?;
        if found != self.account {
            return Err(SnapshotError::Damaged(format!(
                "it says that it contains {} records, and {} were found, or other ones",
                self.account.entries, found.entries
            )));
        }
        self.verified = true;
        Ok(())
    }

    /// Writes changes with distinct keys: records that are alive, and removals of the others.
    pub(super) fn write(&mut self, changes: &[(&Key, &Change)], now: Timestamp) -> Result<(), SnapshotError> {
        let mut batch = Batch::new(&self.sled, self.account);
        for (key, change) in changes {
            match change.alive_at(now) {
                Some(record) => {
                    let value = stored::value(change.sequence, change.gc_after, record);
                    batch.put(&stored::key(key), value)?;
                }
                None if change.maybe_in_snapshot => batch.remove(&stored::key(key))?,
                None => {}
            }
        }
        self.account = batch.commit_if_any()?;
        Ok(())
    }

    /// Looks at the next `keys` entries and removes those that no longer matter. Says whether it
    /// came to the end; the next call then begins at the front.
    pub(super) fn expire(&mut self, keys: usize, now: Timestamp) -> Result<bool, SnapshotError> {
        let mut batch = Batch::new(&self.sled, self.account);
        let (mut seen, mut last) = (0, None);
        let rest = (Bound::Excluded(self.expiry_from.as_slice()), Bound::Unbounded);
        for entry in self.sled.range::<&[u8], _>(rest).take(keys) {
            let (key, value) = entry?;
            if key.as_ref() != ACCOUNT_KEY {
                let (_, gc_after, _) = stored::split_value(&value).ok_or_else(unreadable)?;
                if now >= gc_after {
                    batch.remove(&key)?;
                }
            }
            (seen, last) = (seen + 1, Some(key));
        }
        self.account = batch.commit_if_any()?;
        let at_the_end = seen < keys;
        self.expiry_from = last.filter(|_| !at_the_end).map(|key| key.to_vec()).unwrap_or_default();
        Ok(at_the_end)
    }

    /// Notes that the journal up to this segment, and this sequence, is no longer needed.
    pub(super) fn cover(&mut self, segment: u64, sequence: u64) -> Result<(), SnapshotError> {
        let account = Account { covered_segment: segment, covered_sequence: sequence, ..self.account };
        self.account = Batch::new(&self.sled, account).commit()?;
        Ok(())
    }
}

/// Changes that become part of the database together with its account, or not at all.
struct Batch<'a> {
    sled: &'a sled::Db,
    account: Account,
    changes: sled::Batch,
    any: bool,
}

impl<'a> Batch<'a> {
    fn new(sled: &'a sled::Db, account: Account) -> Self {
        Self { sled, account, changes: sled::Batch::default(), any: false }
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), SnapshotError> {
        self.forget(key)?;
        self.account.add(key, &value);
        self.changes.insert(key, value);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), SnapshotError> {
        self.forget(key)?;
        self.changes.remove(key);
        Ok(())
    }

    fn forget(&mut self, key: &[u8]) -> Result<(), SnapshotError> {
        self.any = true;
        if let Some(old) = self.sled.get(key)? {
            self.account.subtract(key, &old);
        }
        Ok(())
    }

    fn commit_if_any(self) -> Result<Account, SnapshotError> {
        if self.any { self.commit() } else { Ok(self.account) }
    }

    fn commit(mut self) -> Result<Account, SnapshotError> {
        self.changes.insert(ACCOUNT_KEY, self.account.encode().as_slice());
        self.sled.apply_batch(self.changes)?;
        Ok(self.account)
    }
}

/// Shows `see` every entry but the account.
pub(super) fn walk(sled: &sled::Db, see: &mut See<'_>) -> Result<(), SnapshotError> {
    for entry in sled.iter() {
        let (key, value) = entry?;
        if key.as_ref() != ACCOUNT_KEY {
            see(&key, &value)?;
        }
    }
    Ok(())
}

/// Reads every file of the database to its end. sled takes what it cannot read for the torn end of its log, and
/// cuts it off: a disk that fails to read once would cost what is on it. So it is given only what can be read, and
/// reads that from the system's cache.
fn read_through(directory: &Path) -> Result<(), SnapshotError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SnapshotError::Failed(format!("cannot read {}: {error}", path.display()))
    };
    let mut buffer = vec![0; READ_BYTES];
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let path = entry.path();
        if entry.file_type().map_err(failed(&path))?.is_dir() {
            read_through(&path)?;
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "generating") {
            // Half a file that a full disk has left. sled would write the next one over it without shortening
            // it, and what is behind its end would then spoil that for good.
            fs::remove_file(&path).map_err(failed(&path))?;
            continue;
        }
        let mut file = match File::open(&path) {
            // sled removes its old files on a thread of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(failed(&path))?,
        };
        while file.read(&mut buffer).map_err(failed(&path))? > 0 {}
    }
    Ok(())
}

fn open_sled(path: &Path) -> Result<(sled::Db, sled::Config), SnapshotError> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let open = || guarded(|| Ok((config.open()?, config.clone())));
    for _ in 1..LOCK_TRIES {
        match open() {
            Err(SnapshotError::Failed(detail)) if detail.contains("could not acquire lock") => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            result => return result,
        }
    }
    open()
}

/// sled panics on some kinds of damage, and on some errors of the system. That must end the start, or the round,
/// with an error.
pub(super) fn guarded<T>(action: impl FnOnce() -> Result<T, SnapshotError>) -> Result<T, SnapshotError> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Of what sled said only what it had from the system is repeated: the rest may show records.
fn panicked(panic: &(dyn Any + Send)) -> SnapshotError {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    match refusal_in(said) {
        Some(words) => SnapshotError::Failed(format!("sled gave up over its files: {words}")),
        None => SnapshotError::Damaged("sled gave up over its files".into()),
    }
}

/// sled syncs when it is dropped, and panics if it cannot.
pub(super) fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// An entry that nobody of us wrote.
pub(super) fn unreadable() -> SnapshotError {
    SnapshotError::Damaged("it contains an entry that is not a record".into())
}
