//! The address of what is remembered about a verification's messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServiceId;

/// The sends of one verification, as the tracker knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackKey {
    /// The namespace.
    pub service: ServiceId,
    /// 56 bits of the verification's salt, and the slot that its number is in.
    pub track: u64,
}

impl TrackKey {
    /// From half of a verification's salt and the slot of its number. The slot takes the place of the lowest byte: the key
    /// leads to its slot wherever it goes.
    pub const fn new(service: ServiceId, salt: u64, slot: u8) -> Self {
        Self { service, track: salt & !0xff | slot as u64 }
    }

    /// The slot of its number.
    pub const fn slot(&self) -> u8 {
        self.track.to_be_bytes()[7]
    }

    /// The service in four bytes and the track in eight, big-endian.
    pub fn id(&self) -> [u8; 12] {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.service.get().to_be_bytes());
        id[4..].copy_from_slice(&self.track.to_be_bytes());
        id
    }

    /// Back from there.
    pub fn from_id(id: [u8; 12]) -> Self {
        let [a, b, c, d, track @ ..] = id;
        Self { service: ServiceId::new(u32::from_be_bytes([a, b, c, d])), track: u64::from_be_bytes(track) }
    }
}

/// One attempt to hand a message to a gateway. Goes to providers as part of a callback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The verification.
    pub key: TrackKey,
    /// Which of its attempts, counted from 0.
    pub attempt: u8,
}

impl AttemptId {
    /// Reads what `Display` wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (service, track, attempt) = (parts.next()?, parts.next()?, parts.next()?);
        let id = Self {
            key: TrackKey {
                service: ServiceId::new(u32::from_str_radix(service, 16).ok()?),
                track: u64::from_str_radix(track, 16).ok()?,
            },
            attempt: attempt.parse().ok()?,
        };
        // One spelling for each, and nothing behind it.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for AttemptId {
    /// `0-5f3a90c1d2e4b687-1`: service, verification, attempt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:016x}-{}", self.key.service.get(), self.key.track, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_to_its_slot_and_to_its_record() {
        let key = TrackKey::new(ServiceId::new(0x1f), 0x0123_4567_89ab_cdef, 0x42);
        assert_eq!((key.slot(), key.track), (0x42, 0x0123_4567_89ab_cd42));
        assert_eq!(TrackKey::from_id(key.id()), key);
    }

    #[test]
    fn an_id_is_read_as_it_was_written_and_in_no_other_spelling() {
        let key = TrackKey { service: ServiceId::new(0x1f), track: 0x00ab_cdef_0123_4567 };
        let id = AttemptId { key, attempt: 12 };
        assert_eq!(id.to_string(), "1f-00abcdef01234567-12");
        assert_eq!(AttemptId::parse(&id.to_string()), Some(id));
        for text in ["", "1f", "1f-00abcdef01234567", "1F-00abcdef01234567-12", "1f-abcdef01234567-12"] {
            assert_eq!(AttemptId::parse(text), None, "{text:?}");
        }
        for text in ["1f-00abcdef01234567-12-", "1f-00abcdef01234567-012", "1f-00abcdef01234567-256"] {
            assert_eq!(AttemptId::parse(text), None, "{text:?}");
        }
    }
}
