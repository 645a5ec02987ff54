//! Writes down what was noted, behind everybody's back.
//!
//! A batch is small, so that the numbers' records, which go through the same journal and for which
//! people wait, do not wait long for it.

use std::collections::HashMap;

use bytes::Bytes;

use super::Inner;
use super::note::SendStatus;
use super::pending::{Urgent, Waiting};
use super::record::{self, key_of};
use super::track::{Change, Plan, Track};
use crate::domain::{GatewayName, Timestamp, TrackKey};
use crate::store::{Outcome, Revision, StoreError, Write};

/// Records that are written at once.
const BATCH: usize = 256;

/// What the present revision of a record is called when nobody has asked for it: the store either
/// does not compare revisions, or answers with the right one.
const SOME_REVISION: Revision = Revision(1);

/// Removals that are kept for a store in trouble. What is lost is removed after the next start.
const REMOVALS_AT_MOST: usize = 100_000;

/// What only the writer knows.
#[derive(Default)]
pub(super) struct Flusher {
    /// Records that the store has not taken yet.
    unwritten: HashMap<TrackKey, (Track, Revision)>,
    /// Forgotten verifications whose records the store still has.
    removals: Vec<TrackKey>,
    in_trouble: bool,
}

/// One verification on its way to the disk.
struct Job {
    key: TrackKey,
    stored: bool,
    plan: Option<Plan>,
    changes: Vec<Change>,
    urgent: Vec<Urgent>,
    found: Option<(Track, Revision)>,
}

impl Flusher {
    /// Records that are newer than those in the store.
    pub(super) fn unwritten(&self) -> Vec<(TrackKey, Track)> {
        self.unwritten.iter().map(|(key, (track, _))| (*key, track.clone())).collect()
    }

    /// The one of this verification.
    pub(super) fn unwritten_of(&self, key: &TrackKey) -> Option<&Track> {
        self.unwritten.get(key).map(|(track, _)| track)
    }

    /// Removes these when there is time.
    pub(super) fn remove(&mut self, keys: Vec<TrackKey>) {
        let room = REMOVALS_AT_MOST.saturating_sub(self.removals.len());
        self.removals.extend(keys.into_iter().take(room));
    }

    /// Writes one batch.
    pub(super) async fn write_batch(&mut self, around: &Inner) -> Result<(), StoreError> {
        let jobs = Self::take(around);
        if jobs.is_empty() {
            return Ok(());
        }
        let written = self.write(around, jobs).await;
        self.say_how_it_went(&written);
        written
    }

    /// Forgets what is too old or too much, a batch at a time. Says whether there is more: a batch that is not full was the
    /// last. Under load something is always too much a moment later; that waits for the next time, or this would never end.
    pub(super) async fn forget(&mut self, around: &Inner, now: Timestamp) -> Result<bool, StoreError> {
        let forgotten = {
            let mut state = around.state();
            state.forget_early(now);
            state.forget(now, BATCH)
        };
        for key in &forgotten {
            self.unwritten.remove(key);
        }
        self.remove(forgotten);
        let at = self.removals.len().saturating_sub(BATCH);
        let batch = self.removals.split_off(at);
        if batch.is_empty() {
            return Ok(false);
        }
        let was_full = batch.len() == BATCH;
        let removal = |key: &TrackKey, expect| Write { key: key_of(*key), expect, put: None, gc_after: now };
        let writes = batch.iter().map(|key| removal(key, SOME_REVISION)).collect();
        let removed = cas_or_again(around, writes, |index, revision| {
            batch.get(index).map(|key| removal(key, revision))
        });
        let removed = removed.await;
        if removed.is_err() {
            self.remove(batch);
        }
        self.say_how_it_went(&removed);
        removed.map(|()| was_full)
    }

    fn take(around: &Inner) -> Vec<Job> {
        let mut state = around.state();
        let taken = state.pending.take(BATCH);
        let job = |(key, waiting): (TrackKey, Waiting)| {
            let stored = state.index.get(&key)?.stored;
            let plan = state.plans.to_be_kept(&key).cloned();
            Some(Job { key, stored, plan, changes: waiting.changes, urgent: waiting.urgent, found: None })
        };
        taken.into_iter().filter_map(job).collect()
    }

    async fn write(&mut self, around: &Inner, mut jobs: Vec<Job>) -> Result<(), StoreError> {
        if let Err(error) = self.find(around, &mut jobs).await {
            for Job { key, changes, urgent, found, .. } in jobs {
                if let Some(found) = found {
                    self.unwritten.insert(key, found);
                }
                let mut state = around.state();
                state.pending.put_back(key, changes);
                refuse(&mut state, key, urgent, &error);
            }
            return Err(error);
        }
        let (mut tracks, mut urgent, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            let Some((key, track, revision, waits)) = updated(job) else { continue };
            // It was read, or made of what fits, so it can be written.
            let Ok(bytes) = record::encode(&track) else { continue };
            writes.push(write(around, key, &track, revision, bytes));
            tracks.push((key, track, revision));
            urgent.push(waits);
        }
        // The store may have them from here on, whatever it answers.
        {
            let mut state = around.state();
            for (key, ..) in &tracks {
                if let Some(slot) = state.index.get_mut(key) {
                    slot.stored = true;
                }
            }
        }
        let again = writes.clone();
        let written = cas_or_again(around, writes, |index, expect| {
            again.get(index).map(|write| Write { expect, ..write.clone() })
        });
        let written = written.await;
        let mut state = around.state();
        for ((key, track, revision), urgent) in tracks.into_iter().zip(urgent) {
            match &written {
                Ok(()) => settle(&mut state, key, urgent),
                Err(error) => {
                    refuse(&mut state, key, urgent, error);
                    state.again(key);
                    self.unwritten.insert(key, (track, revision));
                }
            }
        }
        state.say_if_room_again();
        written
    }

    /// Brings the present record of each verification that has one.
    async fn find(&mut self, around: &Inner, jobs: &mut [Job]) -> Result<(), StoreError> {
        let mut wanted = Vec::new();
        for job in &mut *jobs {
            job.found = self.unwritten.remove(&job.key);
            if job.found.is_none() && job.stored {
                wanted.push(key_of(job.key));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let loaded = around.store.load(&wanted, around.commit_timeout).await?;
        let missing = jobs.iter_mut().filter(|job| job.found.is_none() && job.stored);
        for (job, record) in missing.zip(loaded) {
            job.found = record.and_then(|(revision, bytes)| Some((read(&bytes)?, revision)));
        }
        Ok(())
    }

    fn say_how_it_went<T>(&mut self, result: &Result<T, StoreError>) {
        match result {
            Err(error) if !std::mem::replace(&mut self.in_trouble, true) => {
                tracing::warn!(%error, "notes of sends cannot be written; they are kept and tried again");
            }
            Ok(_) if std::mem::take(&mut self.in_trouble) => {
                tracing::info!("notes of sends are written again");
            }
            _ => {}
        }
    }

    /// The last message that a gateway took, as far as it is known and whatever is written of it.
    pub(super) async fn accepted(&self, around: &Inner, key: TrackKey) -> Option<(GatewayName, String)> {
        if let Some(accepted) = accepted_lately(around, key) {
            return Some(accepted);
        }
        if let Some((track, _)) = self.unwritten.get(&key) {
            return track.accepted();
        }
        let loaded = around.store.load(&[key_of(key)], around.commit_timeout).await.ok()?;
        let (_, bytes) = loaded.into_iter().next()??;
        read(&bytes)?.accepted()
    }
}

fn accepted_lately(around: &Inner, key: TrackKey) -> Option<(GatewayName, String)> {
    let state = around.state();
    let changes = &state.pending.get(&key)?.changes;
    let hops = changes.iter().rev().flat_map(|change| match change {
        Change::Send(send) => send.hops.as_slice(),
        Change::Check { .. } | Change::Receipt(_) | Change::Drop { .. } => &[],
    });
    let mut sent = hops.rev().filter(|hop| hop.status == SendStatus::Sent);
    sent.find_map(|hop| Some((hop.gateway, hop.message_id.clone()?)))
}

/// The record as it is to be written.
fn updated(job: Job) -> Option<(TrackKey, Track, Revision, Vec<Urgent>)> {
    let Job { key, plan, changes, urgent, found, .. } = job;
    let (mut track, revision) = match (found, changes.first()) {
        (Some(found), _) => found,
        (None, Some(Change::Send(send))) => (Track::begun_by(send), Revision::ABSENT),
        // Its record is gone.
        (None, _) => return None,
    };
    for change in changes {
        track.apply(change);
    }
    track.plan = plan;
    Some((key, track, revision, urgent))
}

fn write(around: &Inner, key: TrackKey, track: &Track, expect: Revision, bytes: Bytes) -> Write {
    let kept_until = track.created.plus(around.settings.keep_for);
    let gc_after = track.plan.as_ref().map_or(kept_until, |plan| kept_until.max(plan.expires));
    Write { key: key_of(key), expect, put: Some(bytes), gc_after }
}

/// Commits. Those that met another revision than they expected are tried once more: nobody else writes
/// these records, so it was ours, and only the answer to it was lost.
async fn cas_or_again(
    around: &Inner,
    writes: Vec<Write>,
    again: impl Fn(usize, Revision) -> Option<Write>,
) -> Result<(), StoreError> {
    if writes.is_empty() {
        return Ok(());
    }
    let removals: Vec<bool> = writes.iter().map(|write| write.put.is_none()).collect();
    let outcomes = around.store.cas(writes, around.commit_timeout).await?;
    let conflicts = outcomes.into_iter().zip(removals).enumerate().filter_map(
        |(index, (outcome, removal))| match outcome {
            Outcome::Applied(_) => None,
            Outcome::Conflict(None) if removal => None,
            Outcome::Conflict(present) => {
                again(index, present.map_or(Revision::ABSENT, |(revision, _)| revision))
            }
        },
    );
    let conflicts: Vec<Write> = conflicts.collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    let outcomes = around.store.cas(conflicts, around.commit_timeout).await?;
    if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Applied(_))) {
        return Ok(());
    }
    Err(StoreError::Unavailable("somebody else writes the records of sends".into()))
}

/// What was promised is durable.
fn settle(state: &mut super::State, key: TrackKey, urgent: Vec<Urgent>) {
    for Urgent { reply, plan } in urgent {
        if plan.is_some_and(|id| state.plans.confirm(key, id)) {
            state.earlier.notify_one();
        }
        let _ = reply.send(Ok(()));
    }
}

/// What was promised is not durable, so it is not planned either.
fn refuse(state: &mut super::State, key: TrackKey, urgent: Vec<Urgent>, error: &StoreError) {
    for Urgent { reply, plan } in urgent {
        if let Some(id) = plan {
            state.plans.withdraw(&key, id);
        }
        let _ = reply.send(Err(error.clone()));
    }
}

fn read(bytes: &[u8]) -> Option<Track> {
    let track = record::decode(bytes);
    track.inspect_err(|error| tracing::error!(%error, "a record of sends is left out")).ok()
}
