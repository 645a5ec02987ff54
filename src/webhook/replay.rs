//! Deliveries that somebody wants once more.

use std::collections::HashMap;

use super::delivery::{Delivery, DeliveryState, LaneKey};
use super::list::Place;
use super::seq::Seq;
use super::state::{Ended, State, What};
use super::{EventId, Outbox};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::store::StoreError;

/// Deliveries that are read at once.
const AT_ONCE: usize = 256;

/// What is to be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// This event. If it is still pending, it is tried now.
    Event(EventId),
    /// Every event at or after a moment whose delivery has failed.
    FailedSince(Timestamp),
    /// Every event at or after a moment, whatever became of it.
    AllSince(Timestamp),
}

/// Why nothing, or not everything, is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The webhook was never told of such an event, or it is forgotten.
    #[error("this webhook has no such event, or it is older than what is kept")]
    NotFound,
    /// So many are to be delivered again; there is no room for the rest.
    #[error("too many deliveries are pending already; {0} of these are delivered again")]
    NoRoom(usize),
    /// The deliveries could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Outbox {
    /// Makes deliveries due again, with the same ids, from the first attempt on. Says how many. Those of one
    /// verification go in the order of its events.
    ///
    /// # Errors
    /// [`ReplayError`]. That they are due again is durable a moment later, like events.
    pub async fn replay(&self, service: ServiceId, webhook: Sid, what: Replay) -> Result<usize, ReplayError> {
        let lane = LaneKey { service, webhook };
        // Ends that are not on the disk yet can be read there then.
        self.flush().await?;
        let wanted = self.inner.wanted(lane, |seen| what.wants(seen));
        let mut wanted: Vec<Seq> = wanted.map(|(seq, _)| seq).collect();
        wanted.reverse();
        if wanted.is_empty() && matches!(what, Replay::Event(_)) {
            return Err(ReplayError::NotFound);
        }
        let mut count = 0;
        for part in wanted.chunks(AT_ONCE) {
            let places: Vec<(Seq, Place)> = {
                let state = self.inner.state();
                part.iter().filter_map(|seq| Some((*seq, state.place(*seq)?))).collect()
            };
            let read = self.inner.read_each(places).await?;
            let now = self.inner.clock.now();
            let mut state = self.inner.state();
            for (seq, delivery) in read {
                if !state.has_room(lane) {
                    return Err(ReplayError::NoRoom(count));
                }
                count += usize::from(state.again(seq, delivery, now));
            }
            drop(state);
            self.inner.write.notify_one();
            self.inner.go.notify_one();
        }
        Ok(count)
    }
}

impl Replay {
    fn wants(&self, seen: &Ended) -> bool {
        match *self {
            Self::Event(id) => seen.id == id,
            Self::FailedSince(since) => seen.state == DeliveryState::Failed && seen.at >= since,
            Self::AllSince(since) => seen.state != DeliveryState::Pending && seen.at >= since,
        }
    }
}

impl super::Inner {
    async fn read_each(&self, places: Vec<(Seq, Place)>) -> Result<HashMap<Seq, Delivery>, StoreError> {
        let mut read = HashMap::new();
        let mut there = Vec::new();
        for (seq, place) in places {
            match place {
                Place::Here(delivery) => drop(read.insert(seq, *delivery)),
                Place::There(key) => there.push((seq, key)),
            }
        }
        let deliveries = self.read(there.iter().map(|(_, key)| Place::There(*key)).collect()).await?;
        // What could not be read is left out, so they are told apart by event.
        let mut by_id: HashMap<EventId, Delivery> = deliveries.into_iter().map(|d| (d.id, d)).collect();
        let state = self.state();
        for (seq, _) in there {
            let found = state.seen(seq).and_then(|seen| by_id.remove(&seen.id));
            read.extend(found.map(|delivery| (seq, delivery)));
        }
        Ok(read)
    }
}

impl State {
    /// Whether it is due again.
    fn again(&mut self, seq: Seq, mut delivery: Delivery, now: Timestamp) -> bool {
        let Some(entry) = self.records.get_mut(&seq) else { return false };
        let (lane, verification) = (delivery.lane(), delivery.event.verification);
        match &mut entry.what {
            What::Ended(_) => {
                delivery.begin_again(now);
                entry.what = What::Delivery(Box::new(delivery));
                self.ended.remove(&seq);
                self.lanes.add(lane, verification, seq, now);
            }
            What::Delivery(pending) if pending.state == DeliveryState::Pending => {
                if !self.lanes.move_to(lane, verification, seq, now) {
                    // It is under way.
                    return true;
                }
                pending.begin_again(now);
            }
            What::Delivery(_) | What::Expected(_) | What::Removed => return false,
        }
        self.unwritten.push(seq);
        true
    }
}
