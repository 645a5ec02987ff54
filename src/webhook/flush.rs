//! Writes down what has changed, behind everybody's back.
//!
//! A batch is small, so that the numbers' records, which go through the same journal and for which people wait, do not wait
//! long for it.

use super::Inner;
use super::record::{encode_delivery, encode_expected};
use super::schedule::LIFE;
use super::seq::Seq;
use super::state::{Entry, State, What};
use crate::domain::Timestamp;
use crate::store::{Key, Kind, Outcome, Revision, StoreError, Subject, Write};

/// Records that are written at once.
const BATCH: usize = 256;

/// Whoever holds it writes.
#[derive(Default)]
pub(super) struct Flusher {
    in_trouble: bool,
}

impl Flusher {
    /// Writes what waits now; what comes meanwhile collects for the next time. Then forgets what is too old or too
    /// much.
    pub(super) async fn flush(&mut self, around: &Inner) -> Result<(), StoreError> {
        let mut left = around.state().unwritten.len();
        while left > 0 {
            self.write_batch(around, left.min(BATCH)).await?;
            left = left.saturating_sub(BATCH);
        }
        let now = around.clock.now();
        loop {
            let forgotten = around.state().forget(now, BATCH);
            if forgotten > 0 {
                self.write_batch(around, BATCH).await?;
            }
            // Under load something is always too much a moment later; that waits for the next time, or this would
            // never end.
            if forgotten < BATCH {
                return Ok(());
            }
        }
    }

    async fn write_batch(&mut self, around: &Inner, at_most: usize) -> Result<(), StoreError> {
        let batch = around.state().batch(at_most, around.clock.now());
        if batch.is_empty() {
            return Ok(());
        }
        let written = commit(around, &batch).await;
        self.say_how_it_went(&written);
        let mut state = around.state();
        let result = match written {
            Ok(revisions) => {
                for ((seq, _), revision) in batch.iter().zip(revisions) {
                    state.written(*seq, revision);
                }
                Ok(())
            }
            Err(error) => {
                for (seq, _) in &batch {
                    state.unwritten.push(*seq);
                }
                Err(error)
            }
        };
        drop(state);
        // What waited for an end to be on the disk may go.
        around.go.notify_one();
        result
    }

    fn say_how_it_went<T>(&mut self, result: &Result<T, StoreError>) {
        match result {
            Err(error) if !std::mem::replace(&mut self.in_trouble, true) => {
                tracing::warn!(%error, "events for webhooks cannot be written; they are kept and tried again");
            }
            Ok(_) if std::mem::take(&mut self.in_trouble) => {
                tracing::info!("events for webhooks are written again");
            }
            _ => {}
        }
    }
}

impl State {
    /// The records that have waited longest.
    fn batch(&mut self, at_most: usize, now: Timestamp) -> Vec<(Seq, Write)> {
        let mut batch = Vec::new();
        for seq in self.unwritten.take(at_most) {
            let Some(entry) = self.records.get_mut(&seq) else { continue };
            if matches!(entry.what, What::Removed) && !entry.asked {
                self.records.remove(&seq);
                continue;
            }
            entry.asked = true;
            batch
                .extend(self.bounds.kept_for.checked_add(LIFE).and_then(|kept| write(seq, entry, now, kept)));
        }
        batch
    }
}

/// Nothing for what is on the disk as it is.
fn write(seq: Seq, entry: &Entry, now: Timestamp, kept: std::time::Duration) -> Option<(Seq, Write)> {
    let (put, gc_after) = match &entry.what {
        What::Delivery(delivery) => {
            (Some(encode_delivery(delivery)), seq.at().max(delivery.since).plus(kept))
        }
        What::Expected(expected) => (Some(encode_expected(expected)), expected.expires.plus(kept)),
        What::Removed => (None, now),
        What::Ended(_) => return None,
    };
    let key = key_of(entry, seq);
    Some((seq, Write { key, expect: entry.revision, put, gc_after }))
}

pub(super) fn key_of(entry: &Entry, seq: Seq) -> Key {
    Key { kind: Kind::Event, service: entry.service, subject: Subject(seq.0) }
}

/// Commits, and says at which revision each record is. Those that met another revision than they expected are tried once
/// more: nobody else writes these records, so it was ours, and only the answer to it was lost.
async fn commit(around: &Inner, batch: &[(Seq, Write)]) -> Result<Vec<Revision>, StoreError> {
    let writes = batch.iter().map(|(_, write)| write.clone()).collect();
    let outcomes = around.store.cas(writes, around.commit_timeout).await?;
    let mut revisions = Vec::with_capacity(batch.len());
    let mut again = Vec::new();
    for (index, ((_, write), outcome)) in batch.iter().zip(outcomes).enumerate() {
        revisions.push(match outcome {
            Outcome::Applied(revision) => revision,
            Outcome::Conflict(None) if write.put.is_none() => Revision::ABSENT,
            Outcome::Conflict(present) => {
                let expect = present.map_or(Revision::ABSENT, |(revision, _)| revision);
                again.push((index, Write { expect, ..write.clone() }));
                expect
            }
        });
    }
    if again.is_empty() {
        return Ok(revisions);
    }
    let writes = again.iter().map(|(_, write)| write.clone()).collect();
    let outcomes = around.store.cas(writes, around.commit_timeout).await?;
    for ((index, _), outcome) in again.into_iter().zip(outcomes) {
        let Outcome::Applied(revision) = outcome else {
            return Err(StoreError::Unavailable("somebody else writes the records of webhook events".into()));
        };
        if let Some(slot) = revisions.get_mut(index) {
            *slot = revision;
        }
    }
    Ok(revisions)
}
