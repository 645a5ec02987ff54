//! Idempotency keys, and the names of the windows of rate limits. Neither stores or prints the values and keys that it is
//! given, which can be personal data, but keyed hashes of them. What is counted how: `docs/guides/rate-limits.md`; why:
//! `docs/internals/records.md`.
//!
//! A key belongs to a service and a number. The decision that permits the message of a request also writes the record of
//! its key, in the slot of the number: both are one commit. A repetition is decided behind it, finds the record whenever a
//! message may have been sent, also after a crash, and reports the verification instead of sending another message. The
//! commit that settles a message that was certainly not sent removes the record. The decision about a code writes the record
//! with its answer.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::{AttemptLogKey, Code, NumberKey, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{CheckOutcome, SlotHash, VerificationDetails, request_fingerprint};
use crate::limits::guard::{Dimension, Key};
use crate::shard::{Capacity, LimitedTable, Record, Refusal, Shards, Transaction};

/// The most windows of rate limits and budgets, and the most idempotency keys.
pub const MOST_RECORDS: usize = 1_000_000;

/// How long a send is remembered after the end of its verification. A program that repeats it later has long shown an
/// error, and its next message gets another key.
pub const KEPT_BEYOND: Duration = Duration::from_secs(10 * 60);
/// How long the answer to a check is remembered.
pub const ANSWER_KEPT_FOR: Duration = Duration::from_secs(60);

/// A request whose message may have been sent, or whose code was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequest {
    /// Equal for equal requests.
    fingerprint: [u8; 32],
    /// The verification: [`Salt::id`](crate::engine::Salt::id).
    pub verification: u64,
    /// As the answer told them.
    pub details: VerificationDetails,
    /// When the message was permitted, or the code compared.
    pub at: Timestamp,
    /// Until when a repetition has no effect.
    pub until: Timestamp,
    /// What a check was answered; `None` for a send.
    pub outcome: Option<CheckOutcome>,
}

impl Record for KeyedRequest {
    const KIND: u8 = 14;
    const PLURAL: &'static str = "idempotency keys";
    const ID_ENDS_WITH_SLOT: bool = true;

    fn expires(&self) -> Timestamp {
        self.until
    }
}

/// An idempotency key as a request brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenKey {
    pub key: String,
    /// Equal for requests that are equal apart from their codes: a SHA-256 over the fields as they were sent.
    pub fingerprint: [u8; 32],
}

/// A request with an idempotency key, as its commands carry it.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey {
    id: AttemptLogKey,
    fingerprint: [u8; 32],
}

impl RequestKey {
    /// The same request, which came before: it may have sent a message of its verification, or has compared this code.
    ///
    /// # Errors
    /// [`Refusal::OtherRequest`] if it was another one.
    pub fn earlier(&self, view: &Transaction<'_>) -> Result<Option<KeyedRequest>, Refusal> {
        let known: Option<KeyedRequest> = view.get(self.id.id());
        let is_same = known.as_ref().is_none_or(|known| known.fingerprint == self.fingerprint);
        if is_same { Ok(known) } else { Err(Refusal::OtherRequest) }
    }

    /// Remembers a message, or the outcome of a check, of this verification until then.
    pub fn remember(
        &self,
        (verification, details): (u64, VerificationDetails),
        until: Timestamp,
        outcome: Option<CheckOutcome>,
        view: &mut Transaction<'_>,
    ) {
        let (fingerprint, at) = (self.fingerprint, view.now());
        let known = KeyedRequest { fingerprint, verification, details, at, until, outcome };
        view.put(self.id.id(), Some(&known));
    }

    /// The message was certainly not sent: a repetition is carried out.
    pub fn withdraw(&self, view: &mut Transaction<'_>) {
        view.put::<KeyedRequest>(self.id.id(), None);
    }
}

/// The idempotency keys.
pub struct IdempotencyKeys {
    server_key: ServerKey,
    digester: Digester,
    /// The limit on remembered keys.
    pub capacity: Capacity,
}

impl IdempotencyKeys {
    /// Those of which the shards keep records.
    pub fn following(shards: &Shards, server_key: &ServerKey) -> Self {
        let table = LimitedTable::IdempotencyKeys;
        Self::new(server_key, Capacity::following::<KeyedRequest>(shards, table, MOST_RECORDS))
    }

    pub fn new(server_key: &ServerKey, capacity: Capacity) -> Self {
        Self { server_key: server_key.clone(), digester: Digester::new(server_key), capacity }
    }

    /// A request with a key about a number, with the code that it brings. Two requests are equal if their fingerprints are.
    pub fn of(&self, about: NumberKey, given: &GivenKey, code: Option<&Code>) -> RequestKey {
        let id = self.digester.of_number(about, [REQUEST, given.key.as_bytes()]);
        RequestKey { id, fingerprint: request_fingerprint(&self.server_key, &given.fingerprint, code) }
    }

    /// A code that is carried to a number. A repetition finds the message while its code lives.
    pub fn of_carried(&self, to: NumberKey, code: &Code) -> RequestKey {
        let id = self.digester.of_number(to, [CARRIED, code.expose().as_bytes()]);
        RequestKey { id, fingerprint: [0; 32] }
    }
}

/// Keeps these digests apart from everything else that the server key is used for.
const COUNTER: &[u8] = b"onceward/limit-value/2";
const REQUEST: &[u8] = b"onceward/idempotency-key/2";
const CARRIED: &[u8] = b"onceward/carried-code/1";

/// Makes digests of values and keys, which say nothing about them. Has no `Debug`: it knows the server key.
pub struct Digester {
    mac: Hmac<Sha256>,
    pub slots: SlotHash,
}

impl Digester {
    pub fn new(server_key: &ServerKey) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::new_from_slice(server_key.expose()).expect("a key of any length");
        Self { mac, slots: SlotHash::new(server_key) }
    }

    /// The window of a value by a bucket of a limit. Two values with one, one pair among 10^19, are counted together: too
    /// strict, and never too loose.
    pub fn limit(&self, service: ServiceId, limit: &Sid, bucket: &Sid, value: &str) -> Key {
        let digest = self.digest(service, &[COUNTER, limit.bytes(), bucket.bytes(), value.as_bytes()]);
        Key::new(Some(service), Dimension::Limit(digest))
    }

    /// The id of a text that is about a number, in the slot of the number. Two texts have one with a chance of 1 to 10^16.
    fn of_number(
        &self,
        NumberKey { service, number, .. }: NumberKey,
        [purpose, text]: [&[u8]; 2],
    ) -> AttemptLogKey {
        let digest = self.digest(service, &[purpose, &number.as_u64().to_be_bytes(), text]);
        AttemptLogKey::new(service, digest, self.slots.of_number(service, number))
    }

    /// HMAC-SHA-256 (RFC 2104), cut to 64 bits. Only the last part has no fixed length; therefore no two lists of parts are
    /// the same bytes.
    fn digest(&self, service: ServiceId, parts: &[&[u8]]) -> u64 {
        let mut mac = self.mac.clone();
        mac.update(&service.get().to_be_bytes());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SendOptions;

    #[test]
    fn the_manual_says_how_many_keyed_sends_a_second_a_service_may_make() {
        let kept = SendOptions::DEFAULT.life + KEPT_BEYOND + ANSWER_KEPT_FOR;
        let each_second = MOST_RECORDS / usize::try_from(kept.as_secs()).expect("a few minutes");
        let manual = include_str!("../../../../docs/operate/sizing.md");
        assert!(manual.contains(&format!("{each_second} sends a second")), "{each_second}");
    }
}
