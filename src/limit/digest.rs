//! Values and keys as numbers that say nothing about them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::{ServiceId, Sid};
use crate::store::{Key, Kind, Subject};

/// Keeps these hashes apart from everything else the server key is used for.
const COUNTER: &[u8] = b"onceward/limit-value/1";
const ANSWER: &[u8] = b"onceward/idempotency-key/1";

/// What hashes. Has no `Debug`: it knows the server key.
#[derive(Clone)]
pub struct Digester(Hmac<Sha256>);

/// Where a text is kept, and what tells it from another that would be kept there too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub key: Key,
    /// 64 further bits of the hash.
    pub tag: u64,
}

impl Digester {
    /// With the server key.
    pub fn new(server_key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(server_key).expect("a key of any length");
        Self(mac)
    }

    /// Where a value of a limit is counted.
    pub fn counter(&self, service: ServiceId, limit: &Sid, value: &str) -> Place {
        self.place(Kind::Counter, service, &[COUNTER, limit.bytes(), value.as_bytes()])
    }

    /// Where the answer to an idempotency key is kept.
    pub fn answer(&self, service: ServiceId, key: &str) -> Place {
        self.place(Kind::Answered, service, &[ANSWER, key.as_bytes()])
    }

    /// HMAC-SHA-256 (RFC 2104), cut to 128 bits. Only the last part has no fixed length, so no two lists of parts
    /// are the same bytes.
    fn place(&self, kind: Kind, service: ServiceId, parts: &[&[u8]]) -> Place {
        let mut mac = self.0.clone();
        mac.update(&service.get().to_be_bytes());
        for part in parts {
            mac.update(part);
        }
        let block: [u8; 32] = mac.finalize().into_bytes().into();
        let number =
            |at: usize| block[at..at + 8].iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        Place { key: Key { kind, service, subject: Subject(number(0)) }, tag: number(8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SidKind;

    #[test]
    fn a_place_depends_on_key_service_limit_and_value_and_on_nothing_else() {
        let limit = |byte| Sid::new(SidKind::RateLimit, [byte; 16]);
        let (one, two) = (ServiceId::new(1), ServiceId::new(2));
        let digester = Digester::new(&[1; 32]);
        let place = digester.counter(one, &limit(1), "a");
        assert!(place == Digester::new(&[1; 32]).counter(one, &limit(1), "a"), "after a restart too");
        for other in [
            Digester::new(&[2; 32]).counter(one, &limit(1), "a"),
            digester.counter(two, &limit(1), "a"),
            digester.counter(one, &limit(2), "a"),
            digester.counter(one, &limit(1), "A"),
            digester.answer(one, "a"),
        ] {
            assert!(other.key.subject != place.key.subject && other.tag != place.tag);
        }
        assert_ne!(place.key.subject.0, place.tag);
    }
}
