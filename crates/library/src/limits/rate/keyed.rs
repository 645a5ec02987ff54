//! Idempotency keys: the record of one, the handle, and how a request with a key begins.
//!
//! A key belongs to a service and a number. The decision that permits the message of a request also writes the record of
//! its key, in the slot of the number: both are one commit. A repetition finds the record whenever a message may have been
//! sent, also after a crash, and reports the verification instead of sending another message. The commit that settles a
//! message that was certainly not sent removes the record. The decision about a code writes the record with its answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::digest::Digester;
use crate::domain::{AttemptLogKey, Channel, Code, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{CheckOutcome, SlotHash};
use crate::limits::counts::CountId;
use crate::observe::log_limit::OncePerSecond;
use crate::shard::{Capacity, Id, LimitedTable, Record, RecordKey, Refusal, Shards, Transaction};

/// Bytes of an idempotency key.
pub const LONGEST_KEY: usize = 255;

/// How long a send is remembered after the end of its verification. A program that repeats it later has long shown an
/// error, and its next message gets another key.
pub const KEPT_BEYOND: Duration = Duration::from_secs(10 * 60);
/// How long the answer to a check is remembered.
pub const ANSWER_KEPT_FOR: Duration = Duration::from_secs(60);

/// A request whose message may have been sent, or whose code was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRequest {
    pub known: KnownRequest,
    /// The answer to a check; `None` for a send.
    pub answer: Option<CheckAnswer>,
}

/// What a check was answered, beside what is known of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    pub outcome: CheckOutcome,
    /// When the verification began.
    pub begun: Timestamp,
    /// When its last message was sent.
    pub last_send: Timestamp,
}

/// What is remembered of every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRequest {
    identity: Identity,
    /// The verification: [`Salt::id`](crate::engine::Salt::id).
    pub verification: u64,
    pub channel: Channel,
    /// When the message was permitted, or the code compared.
    pub at: Timestamp,
    /// Until when a repetition has no effect.
    pub until: Timestamp,
}

/// Identifies a request: its key and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// Tells the key from another with the same id.
    tag: u64,
    /// Equal for equal requests.
    fingerprint: [u8; 32],
}

impl Record for KeyedRequest {
    const KIND: u8 = 14;
    const PLURAL: &'static str = "idempotency keys";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        AttemptLogKey::from_id(*id).slot()
    }

    fn expires(&self) -> Timestamp {
        self.known.until
    }
}

/// A request with an idempotency key, as its commands carry it.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey {
    id: AttemptLogKey,
    identity: Identity,
}

impl RequestKey {
    /// Returns `true` if an earlier request with the key may have sent its message.
    pub fn is_taken(&self, view: &mut Transaction<'_>) -> bool {
        view.get::<KeyedRequest>(self.id.id()).is_some()
    }

    /// Remembers a message of this verification until then.
    pub fn permit(&self, about: (u64, Channel), until: Timestamp, view: &mut Transaction<'_>) {
        self.remember(about, until, None, view);
    }

    /// Remembers the answer to a check of this verification.
    pub fn answered(&self, about: (u64, Channel), answer: CheckAnswer, view: &mut Transaction<'_>) {
        self.remember(about, view.now().plus(ANSWER_KEPT_FOR), Some(answer), view);
    }

    fn remember(
        &self,
        (verification, channel): (u64, Channel),
        until: Timestamp,
        answer: Option<CheckAnswer>,
        view: &mut Transaction<'_>,
    ) {
        let (identity, at) = (self.identity, view.now());
        let known = KnownRequest { identity, verification, channel, at, until };
        view.put(self.id.id(), Some(&KeyedRequest { known, answer }));
    }

    /// What is remembered of the request.
    pub fn known(&self, view: &mut Transaction<'_>) -> Option<KnownRequest> {
        let KeyedRequest { known, .. } = view.get(self.id.id())?;
        (known.identity == self.identity).then_some(known)
    }

    /// Forgets what is remembered, and returns it.
    pub fn take(&self, view: &mut Transaction<'_>) -> Option<KnownRequest> {
        let known = self.known(view)?;
        view.put::<KeyedRequest>(self.id.id(), None);
        Some(known)
    }

    /// The message was certainly not sent: a repetition is carried out.
    pub fn withdraw(&self, view: &mut Transaction<'_>) {
        view.put::<KeyedRequest>(self.id.id(), None);
    }
}

/// The decision about a request with an idempotency key.
pub enum KeyDecision {
    /// Carry the request out.
    First(RunningRequest),
    /// An earlier request with this key may have sent a message of this verification, or has compared this code. Do neither.
    Again(RequestKey, KeyedRequest),
    /// The key came with another request.
    OtherRequest,
    /// The first request with this key is being carried out.
    StillAnswering,
}

/// The idempotency keys. Clones are handles on the same keys.
#[derive(Clone)]
pub struct IdempotencyKeys(Arc<Inner>);

struct Inner {
    shards: Shards,
    digester: Digester,
    capacity: Arc<Capacity>,
    running: Mutex<Running>,
    /// Limits the log of checks that found the table full.
    not_remembered: OncePerSecond,
}

/// The requests that this process is carrying out, and of each whether no record was found: until then a repetition reads
/// the record, too. A request that a crash cut off is not among them.
type Running = HashMap<AttemptLogKey, (Identity, bool)>;

impl IdempotencyKeys {
    /// Over shards that keep [`KeyedRequest`]s.
    pub fn new(shards: &Shards, server_key: &ServerKey, records: usize) -> Self {
        Self(Arc::new(Inner {
            shards: shards.clone(),
            digester: Digester::new(server_key),
            capacity: Capacity::following::<KeyedRequest>(shards, LimitedTable::IdempotencyKeys, records),
            running: Mutex::default(),
            not_remembered: OncePerSecond::default(),
        }))
    }

    /// The limit on remembered keys.
    pub fn capacity(&self) -> &Arc<Capacity> {
        &self.0.capacity
    }

    /// The name of the count of a value by a bucket of a rate limit.
    pub fn count_of(&self, service: ServiceId, limit: &Sid, bucket: &Sid, value: &str) -> CountId {
        self.0.digester.count(service, limit, bucket, value)
    }

    /// Begins a request. Two requests are equal if their fingerprints are.
    pub async fn begin(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<KeyDecision, Refusal> {
        let (id, tag) = self.0.digester.request(service, number, key);
        self.begin_request(RequestKey { id, identity: Identity { tag, fingerprint } }).await
    }

    /// Begins to carry a code to a number. A repetition finds the message while its code lives.
    pub async fn begin_carried(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        code: &Code,
    ) -> Result<KeyDecision, Refusal> {
        let (id, tag) = self.0.digester.carried(service, number, code.expose());
        self.begin_request(RequestKey { id, identity: Identity { tag, fingerprint: [0; 32] } }).await
    }

    /// The last message with a carried code to a number, for its outcome.
    pub fn last_carried(&self, service: ServiceId, number: PhoneNumber) -> RequestKey {
        let (id, tag) = self.0.digester.carried(service, number, "");
        RequestKey { id, identity: Identity { tag, fingerprint: [0; 32] } }
    }

    async fn begin_request(&self, request: RequestKey) -> Result<KeyDecision, Refusal> {
        let RequestKey { id, identity, .. } = request;
        let beside = |other: &Identity| {
            if *other == identity { KeyDecision::StillAnswering } else { KeyDecision::OtherRequest }
        };
        // Before the record is read: otherwise two requests could both find none, one after the other's end.
        let begun = match self.0.running.lock().entry(id) {
            Entry::Occupied(other) => match other.get() {
                (other, true) => return Ok(beside(other)),
                (other, false) => beside(other),
            },
            Entry::Vacant(place) => {
                place.insert((identity, false));
                KeyDecision::First(RunningRequest { keys: self.clone(), request })
            }
        };
        let record = RecordKey { slot: id.slot(), kind: KeyedRequest::KIND, id: id.id() };
        let known: Option<KeyedRequest> = self.0.shards.router().get(record).await?;
        Ok(match known {
            Some(known) if known.known.identity == identity => KeyDecision::Again(request, known),
            Some(_) => KeyDecision::OtherRequest,
            None => {
                if let (KeyDecision::First(_), Some((_, is_new))) =
                    (&begun, self.0.running.lock().get_mut(&id))
                {
                    *is_new = true;
                }
                begun
            }
        })
    }
}

/// A request that is being carried out. Until it is dropped, no other one with its key begins.
pub struct RunningRequest {
    keys: IdempotencyKeys,
    request: RequestKey,
}

impl RunningRequest {
    pub const fn key(&self) -> RequestKey {
        self.request
    }

    /// Makes sure that there is room for the record of a send.
    ///
    /// # Errors
    /// [`Refusal::TableFull`] if the service has used up its share.
    pub fn make_room(&self, service: ServiceId, view: &mut Transaction<'_>) -> Result<(), Refusal> {
        self.keys.0.capacity.make_room::<KeyedRequest>(service, view)
    }

    /// The same without a shard, for a record that is written once a message has left.
    ///
    /// # Errors
    /// [`Refusal::TableFull`].
    pub fn has_room(&self, service: ServiceId) -> Result<(), Refusal> {
        let (capacity, table) = (&self.keys.0.capacity, LimitedTable::IdempotencyKeys);
        if capacity.has_room(service) { Ok(()) } else { Err(Refusal::TableFull { table }) }
    }

    /// Whether there is room for the answer to a check. Without it the check is carried out all the same, and a repetition is
    /// another check: to refuse it would lock out a person with the right code.
    pub fn has_room_for_check(&self, service: ServiceId) -> bool {
        let has_room = self.keys.0.capacity.has_room(service);
        if !has_room {
            self.keys.0.not_remembered.note(|checks| {
                tracing::warn!(checks, "idempotency keys of checks not remembered, their table is full");
            });
        }
        has_room
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.keys.0.running.lock().remove(&self.request.id);
    }
}
