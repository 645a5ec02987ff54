//! How the snapshot changes: a new layer takes the place of the newest ones, or of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::format::{Header, entry_bytes};
use super::layer::Layer;
use super::merged::{Merged, Run};
use super::write::LayerWriter;
use super::{Covered, Snapshot, SnapshotError, entry_of, newest_first};
use crate::Key;
use crate::embedded::changes::{Change, Changes};
use onceward_core::domain::Timestamp;

/// The pause after a block, so that a round leaves the processor and the disk to the answers.
pub(in crate::embedded) const PAUSE: Duration = Duration::from_micros(500);

/// A layer is taken in when it is at most so many times as large as what is above it. So sizes at least double from
/// layer to layer, and each record is written again about as many times as there are layers.
const TIMES: u64 = 2;

/// Layers of this size are taken in whatever is above them. A smaller one in unit tests: there few records are to make
/// many layers.
const SMALL_BYTES: u64 = if cfg!(test) { 512 } else { 128 * 1024 };

/// With so many layers a round takes all of them in, if there is room.
const MOST_LAYERS: usize = 64;

/// With so many it takes some in or fails: each is an open file, and that nothing can be merged must show.
const TOO_MANY_LAYERS: usize = 80;

/// After layers could not be merged, so long no more than half as much is: most often the disk is full, and a merge
/// would take the last room from the journal for a while.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What a round has to bring into the snapshot.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Round {
    /// The changes since the last one.
    pub(in crate::embedded) changes: Arc<Changes>,
    /// Up to where in the journal these are all.
    pub(in crate::embedded) covered: Covered,
    /// Whether to pause now and then, and to do more than is necessary: nobody waits for its end. Whoever begins to
    /// wait takes that back.
    paced: Arc<AtomicBool>,
}

impl Snapshot {
    /// Brings the changes of `round` in; returns when they are on the disk, and the journal up to where the round
    /// goes is no longer needed. After an error the same round can be tried again.
    pub(in crate::embedded) fn apply(&self, round: &Round, now: Timestamp) -> Result<(), SnapshotError> {
        // Else the last attempt came to the point where only the sync of the name failed.
        if self.covered().segment < round.covered.segment {
            self.bring_in(round, now)?;
        }
        self.settle()
    }

    fn bring_in(&self, round: &Round, now: Timestamp) -> Result<(), SnapshotError> {
        let (layers, sorted) = (self.layers(), round.changes.sorted());
        loop {
            let absorbed = self.taken_in(&layers, &sorted, round.is_paced(), now);
            let written = self.replace(&layers, absorbed, &sorted, round.covered, now, &mut || round.pause());
            match written {
                // There may be no room for what takes the place of so many: then of fewer, or of none.
                Err(SnapshotError::Failed(reason)) if absorbed > 0 && layers.len() < TOO_MANY_LAYERS => {
                    let bytes: u64 = layers[layers.len() - absorbed..].iter().map(|layer| layer.bytes).sum();
                    if self.room_for_merges(now) == u64::MAX {
                        tracing::warn!(
                            reason,
                            layers = layers.len(),
                            "layers of the snapshot could not be merged; fewer are, for a minute"
                        );
                    }
                    self.lock_left().merges = Some((bytes / 2, now.plus(REST_AFTER_FAILURE)));
                }
                written => return written.map(drop),
            }
        }
    }

    /// How many of the newest layers are taken in by one with `changes`.
    fn taken_in(
        &self,
        layers: &[Arc<Layer>],
        changes: &[(&Key, &Change)],
        paced: bool,
        now: Timestamp,
    ) -> usize {
        let all = layers.len() >= MOST_LAYERS || (paced && self.is_worth_tidying(now));
        // Somebody waits for the end of one that is not paced.
        let most = if paced || all { u64::MAX } else { SMALL_BYTES };
        let room = if layers.len() < TOO_MANY_LAYERS { self.room_for_merges(now) } else { u64::MAX };
        let most = most.min(room);
        let mut size: u64 = changes.iter().map(|(_, change)| entry_bytes(change.put.as_ref())).sum();
        let (mut taken, mut in_all) = (0, 0);
        for layer in layers.iter().rev() {
            in_all += layer.bytes;
            if in_all > most || !(all || layer.bytes <= SMALL_BYTES.max(size.saturating_mul(TIMES))) {
                break;
            }
            size += layer.bytes;
            taken += 1;
        }
        taken
    }

    /// How many bytes of layers may be merged at `now`.
    pub(super) fn room_for_merges(&self, now: Timestamp) -> u64 {
        let merges = self.lock_left().merges;
        merges.filter(|(_, until)| now < *until).map_or(u64::MAX, |(bytes, _)| bytes)
    }

    /// Writes a layer with `changes` and with what the `absorbed` newest of `layers` have, and puts it in their place.
    /// `goes_on` is asked now and then; says whether it did until the end.
    pub(super) fn replace(
        &self,
        layers: &[Arc<Layer>],
        absorbed: usize,
        changes: &[(&Key, &Change)],
        covered: Covered,
        now: Timestamp,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, SnapshotError> {
        let (kept, replaced) = layers.split_at(layers.len() - absorbed);
        let next = layers.last().map_or(0, |layer| layer.covered().segment + 1);
        let first = replaced.first().map_or(next, |layer| layer.header.first);
        // Ends are told apart by how far they lie ahead of this.
        let counted = now.max(self.opened);
        let mut writer = LayerWriter::begin(&self.disk, &self.path, Header { first, covered }, counted)?;
        let runs = std::iter::once(run_of(changes, now)).chain(newest_first(replaced, None));
        let entries = Merged::of(runs.collect())?;
        if !copy(entries, &mut writer, kept.is_empty(), now, goes_on)? {
            return Ok(false);
        }
        let layer = writer.finish()?;
        let mut left = self.lock_left();
        left.unsynced = true;
        // The new one may have the name of the only old one.
        let others = replaced.iter().filter(|old| old.path != layer.path);
        left.obsolete.extend(others.map(|old| old.path.clone()));
        drop(left);
        let mut layers = self.lock_layers();
        layers.truncate(kept.len());
        layers.push(Arc::new(layer));
        Ok(true)
    }
}

impl Round {
    pub(in crate::embedded) fn new(changes: Arc<Changes>, covered: Covered, paced: bool) -> Self {
        Self { changes, covered, paced: Arc::new(AtomicBool::new(paced)) }
    }

    pub(in crate::embedded) fn is_paced(&self) -> bool {
        self.paced.load(Ordering::Relaxed)
    }

    /// Somebody waits for its end now.
    pub(in crate::embedded) fn hurry(&self) {
        self.paced.store(false, Ordering::Relaxed);
    }

    fn pause(&self) -> bool {
        if self.is_paced() {
            std::thread::sleep(PAUSE);
        }
        true
    }
}

/// Changes as a layer has them, without those that leave no trace: what has ended and is in no layer.
fn run_of<'a>(changes: &'a [(&'a Key, &'a Change)], now: Timestamp) -> Run<'a> {
    let entries =
        changes.iter().filter(move |(_, change)| change.maybe_in_snapshot || change.alive_at(now).is_some());
    Box::new(entries.map(|(key, change)| Ok(entry_of(key, change))))
}

/// Writes what matters of `entries`. What has ended leaves a removal, unless there is nothing below.
fn copy(
    mut entries: Merged<'_>,
    writer: &mut LayerWriter,
    nothing_below: bool,
    now: Timestamp,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<bool, SnapshotError> {
    while let Some(mut entry) = entries.next_entry()? {
        if entry.alive_at(now).is_none() {
            if nothing_below {
                continue;
            }
            entry.put = None;
        }
        if writer.add(&entry)? && !goes_on() {
            return Ok(false);
        }
    }
    Ok(true)
}
