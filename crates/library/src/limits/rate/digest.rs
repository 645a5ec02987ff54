//! Values and keys as digests that say nothing about them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::{AttemptLogKey, PhoneNumber, ServerKey, ServiceId, Sid, record_id_parts};
use crate::engine::SlotHash;
use crate::limits::counts::CountId;
use crate::shard::Subject;

/// Keeps these digests apart from everything else that the server key is used for.
const COUNTER: &[u8] = b"onceward/limit-value/2";
const REQUEST: &[u8] = b"onceward/idempotency-key/2";
const CARRIED: &[u8] = b"onceward/carried-code/1";

/// Makes digests of values and keys, which say nothing about them. Has no `Debug`: it knows the server key.
pub(super) struct Digester {
    mac: Hmac<Sha256>,
    slots: SlotHash,
}

impl Digester {
    pub fn new(server_key: &ServerKey) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(server_key.expose()).expect("a key of any length");
        Self { mac, slots: SlotHash::new(server_key) }
    }

    /// The count of a value by a bucket of a limit. Two values with one, one pair among 10^19, are counted together: too
    /// strict, and never too loose.
    pub fn count(&self, service: ServiceId, limit: &Sid, bucket: &Sid, value: &str) -> CountId {
        self.digest(service, &[COUNTER, limit.bytes(), bucket.bytes(), value.as_bytes()]).0.id
    }

    /// An idempotency key of a number: its record key, in the slot of the number, and a tag.
    pub fn request(&self, service: ServiceId, number: PhoneNumber, key: &str) -> (AttemptLogKey, u64) {
        self.of_number(service, number, [REQUEST, key.as_bytes()])
    }

    /// The same of a code that was carried to a number, or of the last one if it is empty.
    pub fn carried(&self, service: ServiceId, number: PhoneNumber, code: &str) -> (AttemptLogKey, u64) {
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
        (Subject::of(service, half(&block[..8]), &self.slots), half(&block[8..16]))
    }
}
