//! The sled database that the snapshot is kept in: what is in it, and how it changes.

use std::any::Any;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::account::{ACCOUNT_KEY, Account};
use super::changes::Change;
use super::error::refusal_in;
use super::nudge::nudged;
use super::opening::{open_sled, read_through};
use super::stored;
use crate::domain::Timestamp;
use crate::store::Key;

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

/// A key and its value.
pub(super) type Entry = (sled::IVec, sled::IVec);

/// Sees one entry: its key and its value.
type See<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), SnapshotError> + 'a;

/// An open database. Only one thread writes to it, and only through this.
pub(super) struct Database {
    /// Who reads beside the rounds has a handle of his own meanwhile.
    pub(super) sled: Arc<sled::Db>,
    /// What it was opened with; knows of errors that sled met on threads of its own.
    pub(super) config: sled::Config,
    pub(super) account: Account,
    /// Bytes of all keys and values. Known after a pass over everything.
    pub(super) bytes: u64,
    /// Tells this opening from the ones before it.
    pub(super) generation: u64,
    /// Whether a pass over everything has found what the account says.
    pub(super) verified: bool,
    /// Batches that were written. The account tells no batch that writes again what is there already, as a
    /// round does that is repeated.
    pub(super) batches: u64,
    /// How far the search for records that no longer matter is.
    expiry: Expiry,
}

/// The search for records that no longer matter goes through all keys, a few at a time, and then
/// begins again.
#[derive(Default)]
struct Expiry {
    /// Behind which key it goes on; empty at the front.
    behind: Vec<u8>,
    /// When the first of those ends that this pass has left, or that were written meanwhile.
    ends_in_pass: Option<Timestamp>,
    /// No record ends before this. `None` while that is not known.
    none_ends_before: Option<Timestamp>,
}

/// What a step of the search found.
pub(super) struct Expired {
    /// How many records were removed.
    pub(super) removed: usize,
    /// Whether it came to the end; the next step begins at the front.
    pub(super) at_the_end: bool,
}

impl Expiry {
    /// A record is there that ends at `end`.
    fn saw(&mut self, end: Timestamp) {
        self.ends_in_pass = Some(self.ends_in_pass.map_or(end, |first| first.min(end)));
        self.none_ends_before = self.none_ends_before.map(|first| first.min(end));
    }

    /// The next step goes on behind `last`, or at the front.
    fn goes_on(&mut self, last: Option<sled::IVec>) {
        if last.is_none() {
            let far = Timestamp::from_millis(u64::MAX);
            self.none_ends_before = Some(self.ends_in_pass.take().unwrap_or(far));
        }
        self.behind = last.map(|key| key.to_vec()).unwrap_or_default();
    }
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
        Ok(Self::opened(sled, config, account, 0, true))
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
            Ok(account) => Ok(Self::opened(sled, config, account, generation, false)),
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

    fn opened(
        sled: sled::Db,
        config: sled::Config,
        account: Account,
        generation: u64,
        verified: bool,
    ) -> Self {
        let expiry = Expiry::default();
        Self { sled: Arc::new(sled), config, account, bytes: 0, generation, verified, batches: 0, expiry }
    }

    /// Passes over everything, unless that was done, and compares it with the account.
    pub(super) fn verify(&mut self) -> Result<(), SnapshotError> {
        if self.verified { Ok(()) } else { self.verify_while(&mut |_, _| Ok(())) }
    }

    /// The same, and shows `see` every entry.
    pub(super) fn verify_while(&mut self, see: &mut See<'_>) -> Result<(), SnapshotError> {
        let mut found = Account { entries: 0, digest: 0, ..self.account };
        let mut bytes = 0;
        walk(&self.sled, &mut |key, value| {
            found.add(key, value);
            bytes += size_of(key, value);
            see(key, value)
        })?;
        if found != self.account {
            return Err(SnapshotError::Damaged(format!(
                "it says that it contains {} records, and {} were found, or other ones",
                self.account.entries, found.entries
            )));
        }
        (self.bytes, self.verified) = (bytes, true);
        Ok(())
    }

    /// Whether somebody reads it who has a handle of his own.
    pub(super) fn is_being_read(&self) -> bool {
        Arc::strong_count(&self.sled) > 1
    }

    /// The next `keys` entries behind `key`, but for the account.
    pub(super) fn behind(&self, key: &[u8], keys: usize) -> Result<Vec<Entry>, SnapshotError> {
        let rest = (Bound::Excluded(key.max(ACCOUNT_KEY)), Bound::Unbounded);
        Ok(self.sled.range::<&[u8], _>(rest).take(keys).collect::<Result<_, _>>()?)
    }

    /// Takes over entries of another database; their account comes last.
    pub(super) fn take_over(&mut self, entries: Vec<Entry>) -> Result<(), SnapshotError> {
        let mut changes = sled::Batch::default();
        for (key, value) in entries {
            changes.insert(key, value);
        }
        Ok(self.sled.apply_batch(changes)?)
    }

    /// Says what it contains, which must be so.
    pub(super) fn set_account(&mut self, account: Account) -> Result<(), SnapshotError> {
        self.sled.insert(ACCOUNT_KEY, account.encode().as_slice())?;
        (self.account, self.verified) = (account, false);
        Ok(())
    }

    /// Writes changes with distinct keys: records that are alive, and removals of the others.
    pub(super) fn write(&mut self, changes: &[(&Key, &Change)], now: Timestamp) -> Result<(), SnapshotError> {
        let mut batch = Batch::new(&self.sled, self.account, self.bytes);
        for (key, change) in changes {
            match change.alive_at(now) {
                Some(record) => {
                    let value = stored::value(change.sequence, change.gc_after, record);
                    batch.put(&stored::key(key), value)?;
                    self.expiry.saw(change.gc_after);
                }
                None if change.maybe_in_snapshot => batch.remove(&stored::key(key))?,
                None => {}
            }
        }
        self.batches += u64::from(batch.any);
        (self.account, self.bytes) = batch.commit_if_any()?;
        Ok(())
    }

    /// Whether there may be records that no longer matter.
    pub(super) fn may_expire(&self, now: Timestamp) -> bool {
        !self.expiry.behind.is_empty() || self.expiry.none_ends_before.is_none_or(|first| first <= now)
    }

    /// Looks at the next `keys` entries and removes those that no longer matter.
    pub(super) fn expire(&mut self, keys: usize, now: Timestamp) -> Result<Expired, SnapshotError> {
        let mut batch = Batch::new(&self.sled, self.account, self.bytes);
        let (mut seen, mut removed, mut last) = (0, 0, None);
        let rest = (Bound::Excluded(self.expiry.behind.as_slice()), Bound::Unbounded);
        for entry in self.sled.range::<&[u8], _>(rest).take(keys) {
            let (key, value) = entry?;
            if key.as_ref() != ACCOUNT_KEY {
                let (_, gc_after, _) = stored::split_value(&value).ok_or_else(unreadable)?;
                if now >= gc_after {
                    batch.remove(&key)?;
                    removed += 1;
                } else {
                    self.expiry.saw(gc_after);
                }
            }
            (seen, last) = (seen + 1, Some(key));
        }
        self.batches += u64::from(batch.any);
        (self.account, self.bytes) = batch.commit_if_any()?;
        let at_the_end = seen < keys;
        self.expiry.goes_on(last.filter(|_| !at_the_end));
        Ok(Expired { removed, at_the_end })
    }

    /// Notes that the journal up to this segment, and this sequence, is no longer needed.
    pub(super) fn cover(&mut self, segment: u64, sequence: u64) -> Result<(), SnapshotError> {
        let account = Account { covered_segment: segment, covered_sequence: sequence, ..self.account };
        (self.account, self.bytes) = Batch::new(&self.sled, account, self.bytes).commit()?;
        Ok(())
    }
}

/// Changes that become part of the database together with its account, or not at all.
struct Batch<'a> {
    sled: &'a sled::Db,
    account: Account,
    bytes: u64,
    changes: sled::Batch,
    any: bool,
}

impl<'a> Batch<'a> {
    fn new(sled: &'a sled::Db, account: Account, bytes: u64) -> Self {
        Self { sled, account, bytes, changes: sled::Batch::default(), any: false }
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), SnapshotError> {
        self.forget(key)?;
        self.account.add(key, &value);
        self.bytes += size_of(key, &value);
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
            self.bytes = self.bytes.saturating_sub(size_of(key, &old));
        }
        Ok(())
    }

    fn commit_if_any(self) -> Result<(Account, u64), SnapshotError> {
        if self.any { self.commit() } else { Ok((self.account, self.bytes)) }
    }

    fn commit(mut self) -> Result<(Account, u64), SnapshotError> {
        self.changes.insert(ACCOUNT_KEY, self.account.encode().as_slice());
        self.sled.apply_batch(self.changes)?;
        Ok((self.account, self.bytes))
    }
}

fn size_of(key: &[u8], value: &[u8]) -> u64 {
    // Neither is longer than a frame.
    (key.len() + value.len()) as u64
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
