//! The message of a request with an idempotency key, noted where its number is.
//!
//! A key's own record is in the slot of the key, and no commit spans slots. Therefore the decision that permits the
//! message also writes a [`KeyedMessage`] in the slot of the number: a repetition of a request that was cut off finds
//! it whenever a message may have been sent, and also if a crash came between the commit and the gateway's request.

use serde::{Deserialize, Serialize};

use super::answers::KEPT_FOR;
use crate::domain::{AttemptLogKey, Channel, Timestamp};
use crate::engine::SlotHash;
use crate::shard::{Durability, Id, Record, RecordKey, Transaction};

/// A message that a request with an idempotency key may have sent. The answer of the request removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedMessage {
    /// Tells the key from another with the same id.
    pub(super) tag: u64,
    /// The verification: [`Salt::track`](crate::engine::Salt::track).
    pub track: u64,
    /// The channel of the message.
    pub channel: Channel,
    /// When it was permitted.
    pub at: Timestamp,
}

impl Record for KeyedMessage {
    const KIND: u8 = 14;
    const PLURAL: &'static str = "messages of idempotency keys";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        AttemptLogKey::from_id(*id).slot()
    }

    fn expires(&self) -> Timestamp {
        self.at.plus(KEPT_FOR)
    }

    /// A failed commit sent no message, and a message whose note it removed was never sent: in both cases no note stays.
    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, _now: Timestamp) -> Option<Self> {
        before.and(after)
    }
}

/// Where the [`KeyedMessage`] of an idempotency key and a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedMessageKey {
    pub(super) id: AttemptLogKey,
    pub(super) tag: u64,
}

impl KeyedMessageKey {
    pub(super) fn record(&self) -> RecordKey {
        RecordKey { slot: self.id.slot(), kind: KeyedMessage::KIND, id: self.id.id() }
    }

    /// Returns `true` if there is a note, of this key or of one whose id is the same.
    pub fn is_taken(&self, view: &mut Transaction<'_>) -> bool {
        view.get::<KeyedMessage>(self.id.id()).is_some()
    }

    /// Notes that the decision permits the message.
    pub fn permit(&self, track: u64, channel: Channel, view: &mut Transaction<'_>) {
        let message = KeyedMessage { tag: self.tag, track, channel, at: view.now() };
        view.put(self.id.id(), Some(&message), Durability::Durable);
    }

    /// The message was certainly not sent.
    pub fn withdraw(&self, view: &mut Transaction<'_>) {
        view.put::<KeyedMessage>(self.id.id(), None, Durability::Durable);
    }
}
