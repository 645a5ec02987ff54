//! What the snapshot is read for.

use super::Snapshot;
use crate::domain::Timestamp;
use crate::store::embedded::account::Account;
use crate::store::embedded::database::{self, SnapshotError, unreadable};
use crate::store::embedded::nudge::nudged;
use crate::store::embedded::stored::{self, Found};
use crate::store::{Key, Kind, Revision};

impl Snapshot {
    /// The records under `keys`, dead ones included, in their order.
    pub(in crate::store::embedded) fn find(&self, keys: &[Key]) -> Result<Vec<Option<Found>>, SnapshotError> {
        self.with(|database| {
            let one = |key: &Key| -> Result<_, SnapshotError> {
                let Some(value) = database.sled.get(stored::key(key))? else { return Ok(None) };
                stored::read_value(&value).map(Some).ok_or_else(unreadable)
            };
            keys.iter().map(one).collect()
        })
    }

    /// Visits every record of `kind`, dead ones included.
    pub(in crate::store::embedded) fn visit(
        &self,
        kind: Kind,
        mut visit: impl FnMut(Key, Revision, Timestamp, &[u8]),
    ) -> Result<(), SnapshotError> {
        let mut see = |key: &[u8], value: &[u8]| {
            let key = stored::read_key(key).ok_or_else(unreadable)?;
            let (revision, gc_after, record) = stored::split_value(value).ok_or_else(unreadable)?;
            if key.kind == kind {
                visit(key, revision, gc_after, record);
            }
            Ok(())
        };
        let verified = self.with(|database| {
            if database.verified {
                return Ok(Some((database.sled.clone(), database.config.clone())));
            }
            // The first pass is also the proof that nothing is missing.
            database.verify_while(&mut see)?;
            Ok(None)
        })?;
        match verified {
            // Beside the rounds, which must not wait for it.
            Some((sled, config)) => nudged(&sled, &config, || database::walk(&sled, &mut see)),
            None => Ok(()),
        }
    }

    /// Shows `see` every entry as it is, readable or not. Says what was found, and what should have been.
    pub(in crate::store::embedded) fn raw(
        &self,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(Account, Account), SnapshotError> {
        let (sled, config, says) =
            self.with(|database| Ok((database.sled.clone(), database.config.clone(), database.account)))?;
        let mut is = Account { entries: 0, digest: 0, ..says };
        let mut see = |key: &[u8], value: &[u8]| {
            is.add(key, value);
            see(key, value);
            Ok(())
        };
        nudged(&sled, &config, || database::walk(&sled, &mut see))?;
        Ok((is, says))
    }

    /// Visits every record, dead ones included, in the order of keys, after a proof that none is missing.
    /// Beside everything else but the proof; the caller sees to it that no round runs meanwhile.
    pub(in crate::store::embedded) fn walk(
        &self,
        mut visit: impl FnMut(Key, Timestamp, &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let (sled, config) = self.with(|database| {
            database.verify()?;
            Ok((database.sled.clone(), database.config.clone()))
        })?;
        let mut see = |key: &[u8], value: &[u8]| {
            let key = stored::read_key(key).ok_or_else(unreadable)?;
            let (_, gc_after, record) = stored::split_value(value).ok_or_else(unreadable)?;
            visit(key, gc_after, record)
        };
        nudged(&sled, &config, || database::walk(&sled, &mut see))
    }
}
