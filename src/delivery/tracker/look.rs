//! Looks at what is remembered, for programs: one verification, or all rows in turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::list::{TrackRow, listed};
use super::record::{self, key_of, track_of};
use super::track::{Change, Track};
use super::{Inner, SendStatus, Tracker, VerifyStatus};
use crate::domain::{AttemptId, Timestamp, TrackKey};
use crate::store::{Kind, StoreError};

/// One row, with what is known of its verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The row.
    pub row: TrackRow,
    /// When something was heard of it last.
    pub heard: Timestamp,
    /// Whether it is the message that its number was verified with, as far as can be told: the last one that was sent.
    pub converted: bool,
}

/// Is told of each row.
pub type Look = Box<dyn FnMut(Seen) + Send>;

impl Tracker {
    /// What is remembered about one verification, including what is not on the disk yet. `None` when nothing is, or
    /// nothing any more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn track(&self, key: TrackKey) -> Result<Option<Track>, StoreError> {
        let inner = &self.inner;
        let Some(slot) = inner.state().index.get(&key).copied() else { return Ok(None) };
        // While it is held nothing moves from memory to the disk.
        let flusher = inner.flusher.lock().await;
        let mut track = match flusher.unwritten_of(&key) {
            Some(track) => Some(track.clone()),
            None if slot.stored => stored(inner, key).await?,
            None => None,
        };
        let state = inner.state();
        let changes = state.pending.get(&key).map_or(&[][..], |waiting| waiting.changes.as_slice());
        for change in changes {
            match (&mut track, change) {
                (None, Change::Send(send)) => {
                    let mut begun = Track::begun_by(send);
                    begun.apply(change.clone());
                    track = Some(begun);
                }
                // Its record is gone.
                (None, _) => {}
                (Some(track), change) => track.apply(change.clone()),
            }
        }
        Ok(track)
    }

    /// Shows every row that is remembered, in no order. Reads every record: for people, and for reports.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn each(&self, mut look: Look) -> Result<(), StoreError> {
        // What cannot be written is in memory all the same.
        let _ = self.flush().await;
        let unwritten = self.inner.flusher.lock().await.unwritten();
        for (key, track) in &unwritten {
            rows_of(*key, track, &mut look);
        }
        let unwritten: HashMap<TrackKey, Track> = unwritten.into_iter().collect();
        let (now, around, look) = (self.inner.clock.now(), Arc::clone(&self.inner), Mutex::new(look));
        let visit = move |key, _, bytes: &[u8]| {
            let key = track_of(key);
            if unwritten.contains_key(&key) || !around.remembers(&key) {
                return;
            }
            // A record that cannot be read was reported when it was first met.
            let Ok(track) = record::decode(bytes) else { return };
            if now < track.created.plus(around.settings.keep_for) {
                rows_of(key, &track, &mut *look.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        self.inner.store.scan(Kind::Track, Box::new(visit)).await
    }
}

async fn stored(inner: &Inner, key: TrackKey) -> Result<Option<Track>, StoreError> {
    let loaded = inner.store.load(&[key_of(key)], inner.commit_timeout).await?;
    let Some((_, bytes)) = loaded.into_iter().next().flatten() else { return Ok(None) };
    Ok(record::decode(&bytes)
        .inspect_err(|error| tracing::error!(%error, "a record of sends is left out"))
        .ok())
}

/// The rows of one verification.
pub fn seen(key: TrackKey, track: &Track) -> Vec<Seen> {
    let mut rows = Vec::with_capacity(track.rows.len());
    rows_of(key, track, &mut |row| rows.push(row));
    rows
}

fn rows_of(key: TrackKey, track: &Track, look: &mut dyn FnMut(Seen)) {
    let was_sent = |status| status == SendStatus::Sent;
    let last_sent = track.rows.iter().rposition(|row| was_sent(row.status));
    for (place, (attempt, row)) in (0..).zip(&track.rows).enumerate() {
        let converted = track.verify == VerifyStatus::Success && last_sent == Some(place);
        let heard = if converted { row.at.max(track.verify_at) } else { row.at };
        look(Seen { row: listed(AttemptId { key, attempt }, track, row), heard, converted });
    }
}
