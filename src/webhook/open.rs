//! The start: what was still to be told, and what was told.

use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::DeliveryState;
use super::record::{self, Kept, OutboxRecordError};
use super::seq::Seq;
use super::state::{Ended, Entry, State, What};
use crate::domain::Timestamp;
use crate::store::{Key, Kind, Revision, Store, StoreError};

/// Why the outbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The store could not be read.
    #[error("read the records of webhook events: {0}")]
    Store(#[from] StoreError),
    /// A record could not be read.
    #[error(transparent)]
    Record(#[from] OutboxRecordError),
}

#[derive(Default)]
struct Found {
    entries: Vec<(Seq, Entry)>,
    damage: Option<OutboxRecordError>,
}

/// Reads the store once, into `state`.
pub(super) async fn read(
    store: &Arc<dyn Store>,
    state: &mut State,
    now: Timestamp,
) -> Result<(), OutboxError> {
    let found = Arc::new(Mutex::new(Found::default()));
    let into = Arc::clone(&found);
    let visit = move |key: Key, revision, bytes: &[u8]| {
        let mut found = into.lock().unwrap_or_else(PoisonError::into_inner);
        match record::decode(key.service, bytes) {
            Ok(kept) => {
                let entry = entry(key, revision, kept, now);
                found.entries.push((Seq(key.subject.0), entry));
            }
            Err(error) => found.damage = Some(error),
        }
    };
    store.scan(Kind::Event, Box::new(visit)).await?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(damage) = found.damage {
        return Err(damage.into());
    }
    for (seq, entry) in found.entries {
        state.restore(seq, entry);
    }
    Ok(())
}

fn entry(key: Key, revision: Revision, kept: Kept, now: Timestamp) -> Entry {
    let what = match kept {
        Kept::Delivery(delivery) if delivery.state != DeliveryState::Pending => {
            What::Ended(Ended::of(&delivery))
        }
        Kept::Delivery(mut delivery) => {
            // Time may have been ahead when it was written.
            delivery.since = delivery.since.min(now);
            What::Delivery(delivery)
        }
        Kept::Expected(expected) => What::Expected(expected),
    };
    Entry { service: key.service, revision, asked: true, what }
}
