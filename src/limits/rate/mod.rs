//! Rate limit counters and idempotency keys. Both are durable before a client gets its answer.
//!
//! Both are records of the shards ([`crate::shard`]): [`Limits`] counts, [`IdempotencyKeys`] remembers requests. Neither stores or
//! prints the values and keys that it is given, which can be personal data, but keyed hashes of them. What is counted
//! how: `docs/guides/rate-limits.md`; why: `docs/internals/records.md`.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod counters;
mod decide;
mod keyed;
#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::{AttemptLogKey, PhoneNumber, ServerKey, ServiceId, Sid, record_id, record_id_parts};
use crate::engine::SlotHash;
use crate::shard::Subject;

pub use counters::{Charge, Charged, Counter, LimitRefusal, Limits};
pub use decide::BucketRule;
pub use keyed::{
    CheckAnswer, IdempotencyKeys, KeyDecision, KeyedRequest, KnownRequest, LONGEST_KEY, NODE_KEY, RequestKey,
    RunningRequest,
};

/// Bounds of each of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Records of one service over all shards, of at most 512 bytes. A longer one counts for several, and all services
    /// together may have a quarter more.
    pub records: usize,
    /// Requests that wait for a decision or a commit.
    pub queue: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: 1_000_000, queue: 20_000 }
    }
}

/// Keeps these digests apart from everything else that the server key is used for.
const COUNTER: &[u8] = b"onceward/limit-value/1";
const REQUEST: &[u8] = b"onceward/idempotency-key/2";
const CARRIED: &[u8] = b"onceward/carried-code/1";

/// Makes digests of values and keys, which say nothing about them. Has no `Debug`: it knows the server key.
struct Digester {
    mac: Hmac<Sha256>,
    slots: SlotHash,
}

impl Digester {
    fn new(server_key: &ServerKey) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(server_key.expose()).expect("a key of any length");
        Self { mac, slots: SlotHash::new(server_key) }
    }

    /// The subject of a counter, and a tag against collisions.
    fn counter(&self, service: ServiceId, limit: &Sid, value: &str) -> (Subject, u64) {
        self.digest(service, &[COUNTER, limit.bytes(), value.as_bytes()])
    }

    /// An idempotency key of a number: its record key, in the slot of the number, and a tag.
    fn request(&self, service: ServiceId, number: PhoneNumber, key: &str) -> (AttemptLogKey, u64) {
        self.of_number(service, number, [REQUEST, key.as_bytes()])
    }

    /// The same of a code that was carried to a number, or of the last one if it is empty.
    fn carried(&self, service: ServiceId, number: PhoneNumber, code: &str) -> (AttemptLogKey, u64) {
        self.of_number(service, number, [CARRIED, code.as_bytes()])
    }

    fn of_number(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        [purpose, text]: [&[u8]; 2],
    ) -> (AttemptLogKey, u64) {
        let parts = [purpose, &number.as_u64().to_be_bytes(), text];
        let (subject, tag) = self.digest(service, &parts);
        let (service, half) = record_id_parts(subject.id);
        (AttemptLogKey::new(service, half, self.slots.of_number(service, number)), tag)
    }

    /// HMAC-SHA-256 (RFC 2104), cut to 128 bits. Only the last part has no fixed length; therefore no two lists of
    /// parts are the same bytes.
    fn digest(&self, service: ServiceId, parts: &[&[u8]]) -> (Subject, u64) {
        let mut mac = self.mac.clone();
        mac.update(&service.get().to_be_bytes());
        for part in parts {
            mac.update(part);
        }
        let block: [u8; 32] = mac.finalize().into_bytes().into();
        let half = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let (id, tag) = (record_id(service, half(&block[..8])), half(&block[8..16]));
        (Subject { slot: self.slots.of(id), id }, tag)
    }
}
