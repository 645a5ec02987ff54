//! The events that webhooks receive.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::limits::guard::GuardAbout;
use crate::registry::EventType;

/// Something that happened to a verification. It never has the code. An event of the pumping guard has the number and the
/// channel of the message that was refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub detail: Detail,
    pub tags: BTreeMap<String, String>,
}

impl fmt::Debug for Event {
    /// Without the tags: they can be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({}, {}, {}, {})", self.id, self.kind.as_str(), self.verification, self.to)
    }
}

/// The part of an event that only some types have. Records contain the position of the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detail {
    None,
    Message(MessageAbout),
    Guard(GuardAbout),
    /// The end of the lockout.
    LockedUntil(Timestamp),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAbout {
    #[serde(rename = "attempt_sid")]
    pub attempt: Sid,
    #[serde(rename = "message_status")]
    pub status: String,
    pub error_code: Option<u32>,
}

/// Names an event: `evt_` and 32 hexadecimal digits. It is the `webhook-id` of each of its deliveries, and of each time
/// that one is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId([u8; 16]);

impl EventId {
    const PREFIX: &str = "evt_";

    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads what `Display` wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let read = base16ct::lower::decode(text.strip_prefix(Self::PREFIX)?, &mut bytes).ok()?;
        (read.len() == 16).then_some(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:x}", Self::PREFIX, base16ct::HexDisplay(&self.0))
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
