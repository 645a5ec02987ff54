//! How the snapshot changes: the rounds, what is tidied between them, and what an import brings in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Snapshot;
use crate::domain::Timestamp;
use crate::store::Key;
use crate::store::embedded::changes::{Change, Changes};
use crate::store::embedded::database::{Database, SnapshotError};
use crate::store::embedded::disk::Step;

/// Changes per batch, and the bytes of their records. Each batch is synced before the next, because of
/// how sled's log is read after a power cut: the header of a segment says up to where the ones before it
/// are whole, and sled believes that, though it has not really synced them; and it writes over a segment
/// when the copies of its pages are two segments old. So no more than one of its segments (512 KiB) may
/// ever wait for a sync. A record takes up to some 3 KiB of its log, with the pages around it and those
/// that are moved out of old segments.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 8 * 1024;

/// The pause after a batch, so that a round leaves the processor to the answers.
const PAUSE: Duration = Duration::from_micros(250);

/// The fewest keys looked at per round to find records that no longer matter.
const EXPIRY_KEYS: usize = 4096;

/// So many more are looked at for each change and for each record that was found dead: so at most
/// about a quarter of the snapshot is dead weight, however many records come or end at once.
const LOOKS_EACH: usize = 4;

/// The most looks that dead records bring about in one round: a second of work, at ten
/// microseconds a removal and with pauses.
const MOST_LOOKS: usize = 64 * 1024;

/// What a round has to bring into the snapshot.
#[derive(Debug, Clone)]
pub(in crate::store::embedded) struct Round {
    /// The changes since the last one.
    pub(in crate::store::embedded) changes: Arc<Changes>,
    /// The last journal segment whose changes these are.
    pub(in crate::store::embedded) segment: u64,
    /// The last sequence in that segment.
    pub(in crate::store::embedded) sequence: u64,
    /// Whether to pause between batches.
    pub(in crate::store::embedded) paced: bool,
}
impl Snapshot {
    /// Brings the changes of `round` in, removes some records that no longer matter, and notes
    /// which segments are no longer needed; returns when all of it is on the disk. After an error
    /// the same round can be tried again.
    pub(in crate::store::embedded) fn apply(
        &self,
        round: &Round,
        now: Timestamp,
    ) -> Result<(), SnapshotError> {
        let generation = self.with(|database| {
            database.verify()?;
            Ok(database.generation)
        })?;
        let sorted = round.changes.sorted();
        let mut rest = sorted.as_slice();
        while !rest.is_empty() {
            let (changes, behind) = rest.split_at(batch_at_front_of(rest));
            rest = behind;
            self.with_same(generation, |database| {
                self.synced(database, |database| database.write(changes, now))
            })?;
            self.disk.reached(Step::Batch);
            if round.paced {
                std::thread::sleep(PAUSE);
            }
        }
        self.expire(generation, sorted.len().saturating_mul(LOOKS_EACH), round.paced, now)?;
        self.disk.reached(Step::Written);
        self.sync(generation)?;
        self.disk.reached(Step::WrittenAndSynced);
        // Only now, so that no order in which the disk is written can make it true too early.
        self.with_same(generation, |database| database.cover(round.segment, round.sequence))?;
        self.disk.reached(Step::Covered);
        self.sync(generation)?;
        self.disk.reached(Step::CoveredAndSynced);
        Ok(())
    }

    /// Removes some records that no longer matter, while there are no rounds that would. Returns when
    /// that is on the disk.
    pub(in crate::store::embedded) fn tidy(&self, now: Timestamp) -> Result<(), SnapshotError> {
        // Before the first pass nothing is known to be whole, and nothing is changed.
        let generation = self.with(|database| {
            let may = database.verified && database.may_expire(now);
            Ok(may.then_some(database.generation))
        })?;
        let Some(generation) = generation else { return Ok(()) };
        if self.expire(generation, 0, true, now)? == 0 {
            return Ok(());
        }
        self.disk.reached(Step::Tidied);
        self.sync(generation)?;
        self.disk.reached(Step::TidiedAndSynced);
        Ok(())
    }

    /// Looks at `looks` keys at least and removes the records that no longer matter; says how many.
    fn expire(
        &self,
        generation: u64,
        looks: usize,
        paced: bool,
        now: Timestamp,
    ) -> Result<usize, SnapshotError> {
        let (mut looks, most) = (looks.max(EXPIRY_KEYS), looks.max(MOST_LOOKS));
        let (mut looked_at, mut removed) = (0, 0);
        while looked_at < looks.min(most) {
            let expired = self.with_same(generation, |database| {
                self.synced(database, |database| database.expire(BATCH, now))
            })?;
            looked_at += BATCH;
            looks = looks.saturating_add(expired.removed.saturating_mul(LOOKS_EACH));
            removed += expired.removed;
            if expired.at_the_end {
                break;
            }
            if paced && expired.removed > 0 {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(removed)
    }

    /// Brings records in that belong to no round: into a new snapshot, by an import. Durable after
    /// [`Snapshot::loaded`].
    pub(in crate::store::embedded) fn load(&self, records: &[(&Key, &Change)]) -> Result<(), SnapshotError> {
        for records in records.chunks(BATCH) {
            // Whether they still matter is for the importer to say.
            self.with_same(0, |database| database.write(records, Timestamp::EPOCH))?;
        }
        Ok(())
    }

    /// Returns when all that was loaded is on the disk, with a note that the journal goes on behind `sequence`.
    pub(in crate::store::embedded) fn loaded(&self, sequence: u64) -> Result<(), SnapshotError> {
        self.with_same(0, |database| database.cover(0, sequence))?;
        self.sync(0)
    }

    /// Carries out one batch and, if it wrote something, returns when that is on the disk.
    fn synced<T>(
        &self,
        database: &mut Database,
        batch: impl FnOnce(&mut Database) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let before = database.batches;
        let result = batch(database)?;
        if database.batches != before {
            database.sled.flush()?;
            self.disk.sync_file(&self.path.join("db")).map_err(|error| self.not_synced(&error))?;
        }
        Ok(result)
    }
}

/// How many of these changes are one batch.
fn batch_at_front_of(changes: &[(&Key, &Change)]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    for (_, change) in changes.iter().take(BATCH) {
        bytes += change.put.as_ref().map_or(0, Bytes::len);
        if count > 0 && bytes > BATCH_BYTES {
            break;
        }
        count += 1;
    }
    count
}
