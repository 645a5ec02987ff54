//! The start: what was remembered, and what is still to be sent.

use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Index, Slot};
use super::note::VerifyStatus;
use super::plans::Plans;
use super::record::{self, TrackRecordError, track_of};
use super::track::Plan;
use crate::config::TrackerSettings;
use crate::domain::{Timestamp, TrackKey};
use crate::store::{Kind, Store, StoreError};

/// Why the tracker did not start.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The store could not be read.
    #[error("read the records of sends: {0}")]
    Store(#[from] StoreError),
    /// A record could not be read.
    #[error(transparent)]
    Record(#[from] TrackRecordError),
}

/// What the store had.
#[derive(Default)]
pub(super) struct Remembered {
    slots: Vec<(TrackKey, Slot)>,
    plans: Vec<(TrackKey, Plan)>,
    outdated: Vec<TrackKey>,
    damage: Option<TrackRecordError>,
}

/// Reads the store once.
pub(super) async fn read(
    store: &Arc<dyn Store>,
    settings: TrackerSettings,
    now: Timestamp,
) -> Result<Remembered, TrackerError> {
    let found = Arc::new(Mutex::new(Remembered::default()));
    let into = Arc::clone(&found);
    let visit = move |key, _, bytes: &[u8]| {
        into.lock().unwrap_or_else(PoisonError::into_inner).add(track_of(key), bytes, settings, now);
    };
    store.scan(Kind::Track, Box::new(visit)).await?;
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = std::mem::take(&mut *found);
    match found.damage.take() {
        Some(damage) => Err(damage.into()),
        None => Ok(found),
    }
}

impl Remembered {
    fn add(&mut self, key: TrackKey, bytes: &[u8], settings: TrackerSettings, now: Timestamp) {
        let track = match record::decode(bytes) {
            Ok(track) => track.not_after(now),
            Err(error) => return self.damage = Some(error),
        };
        // Written when more was to be kept than now.
        if track.plan.is_none() && now >= track.created.plus(settings.keep_for) {
            return self.outdated.push(key);
        }
        let mut slot = Slot::new(track.created);
        slot.attempts = u8::try_from(track.rows.len()).unwrap_or(u8::MAX);
        (slot.stored, slot.verified) = (true, track.verify == VerifyStatus::Success);
        self.slots.push((key, slot));
        if let Some(plan) = track.plan {
            self.plans.push((key, plan));
        }
    }

    /// What memory needs of it, and the records that are to be removed.
    pub(super) fn into_parts(self) -> (Index, Plans, Vec<TrackKey>) {
        let mut plans = Plans::default();
        for (key, plan) in self.plans {
            plans.plan(key, plan);
        }
        (Index::rebuilt(self.slots), plans, self.outdated)
    }
}
