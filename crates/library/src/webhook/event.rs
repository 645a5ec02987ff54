//! The events that webhooks receive.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::registry::EventType;

/// Something that happened to a verification. It never has the code. An event of the pumping guard has the number and the
/// channel of the message that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    pub service: ServiceId,
    /// The service, in an event of the pumping guard.
    pub verification: Sid,
    pub at: Timestamp,
    pub to: PhoneNumber,
    pub channel: Channel,
    /// The status in Twilio's words: `pending`.
    pub status: String,
    /// Further members of its `data`, as JSON; empty without any.
    pub detail: String,
    pub tags: BTreeMap<String, String>,
}

/// Names an event: `evt_` and 32 hexadecimal digits. It is the `webhook-id` of each of its deliveries, and of each time
/// that one is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId([u8; 16]);

impl EventId {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads what `Display` wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let read = u128::from_str_radix(text.strip_prefix("evt_")?, 16).ok()?;
        Some(Self(read.to_be_bytes())).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = EventId::new([0xa7; 16]);
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        let short = &id.to_string()[..35];
        for text in ["", "evt_", short, "evt_A7", &id.to_string().to_uppercase()] {
            assert_eq!(EventId::parse(text), None, "{text:?}");
        }
    }
}
