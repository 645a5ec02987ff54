//! Answers kept for idempotency keys: their record, the handle, and how a request with a key is decided.
//!
//! A key's record is a mark while its request is carried out, and has the answer afterwards. Which marks belong to
//! requests that this process is carrying out is known in memory only, therefore a mark that a crash left is one that
//! was interrupted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Bounds;
use super::digest::{Digest, Digester};
use super::keyed::{KeyedMessage, KeyedMessageKey};
use crate::domain::{AttemptLogKey, ServerKey, ServiceId, Timestamp, record_id_parts};
use crate::shard::{
    Capacity, Command, Decision, Durability, LimitedTable, Record, RecordKey, Refusal, ReplyContext,
    Reservation, Shards, Stored, Subject, Tables, Transaction, decode, service_of,
};

/// Bytes of an idempotency key.
const LONGEST_KEY: usize = 255;
/// Maximum size of a stored response as JSON, in bytes: several times the longest answer today.
const LONGEST_ANSWER: usize = 16 << 10;
/// Records that are read at once.
const PAGE: usize = 512;
/// Retention of an answer, and of a mark without one.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The decision about a request with an idempotency key.
#[derive(Debug)]
pub enum KeyDecision {
    /// The key is new, and marked durably: carry the request out.
    First(Ticket),
    /// It was answered before, with this.
    Again(KeptAnswer),
    /// The key came with another request.
    OtherRequest,
    /// The first request with this key is being carried out.
    StillAnswering,
    /// The first request was begun and then cut off, by a crash or a commit that failed: it may have had effects.
    /// [`Answers::message`] says whether it may have sent its message. Finish with that, or carry the request out.
    Interrupted(Ticket),
}

/// A stored response: what [`Ticket::finish`] was given.
#[derive(Clone, PartialEq)]
pub struct KeptAnswer(pub String);

impl std::fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptAnswer(***)")
    }
}

/// Why a request with a key is not begun, or its answer not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The key is empty, or longer than 255 bytes.
    #[error("an idempotency key has 1 to {LONGEST_KEY} bytes")]
    KeyLength,
    /// The answer is longer than 16 KiB as JSON. The key stays marked.
    #[error("an answer to keep has at most {LONGEST_ANSWER} bytes")]
    AnswerTooLong,
    /// Its shard or the queue refused it. If the table is full, known keys are still answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The record of an idempotency key. By default of [`Record::merge_pessimistic`] a mark or an answer that may be on the
/// disk stays.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    identity: Identity,
    ends: Timestamp,
    /// JSON; `None` before the answer.
    answer: Option<String>,
}

/// Identifies a request: its key and its content.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    /// Tells the key from another with the same subject.
    tag: u64,
    /// Equal for equal requests.
    fingerprint: [u8; 32],
}

impl Record for KeyUse {
    const KIND: u8 = 7;
    const PLURAL: &'static str = "stored responses";

    fn expires(&self) -> Timestamp {
        self.ends
    }
}

/// Answers kept for 24 hours. Clones are handles on the same answers.
#[derive(Clone)]
pub struct Answers {
    deps: Arc<AnswerDeps>,
    queue: Arc<Semaphore>,
}

/// Dependencies of commands about keys.
struct AnswerDeps {
    shards: Shards,
    digester: Digester,
    capacity: Arc<Capacity>,
    /// Keys whose requests this process is carrying out. Survives a restart of their shard.
    running: Mutex<HashSet<Subject>>,
}

impl AnswerDeps {
    /// Begins, unless a request with this key is being carried out.
    fn run(self: &Arc<Self>, key: Subject) -> Option<ActiveKey> {
        self.running().insert(key).then(|| ActiveKey { deps: Arc::clone(self), key })
    }

    fn running(&self) -> MutexGuard<'_, HashSet<Subject>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prevents a second request with the key while it exists.
struct ActiveKey {
    deps: Arc<AnswerDeps>,
    key: Subject,
}

impl Drop for ActiveKey {
    fn drop(&mut self) {
        self.deps.running().remove(&self.key);
    }
}

impl Answers {
    /// Over shards that keep [`KeyUse`]s.
    pub fn new(shards: &Shards, server_key: &ServerKey, bounds: Bounds) -> Self {
        let deps = Arc::new(AnswerDeps {
            shards: shards.clone(),
            digester: Digester::new(server_key),
            capacity: Capacity::following::<KeyUse>(shards, LimitedTable::StoredResponses, bounds.records),
            running: Mutex::default(),
        });
        Self { deps, queue: Arc::new(Semaphore::new(bounds.queue.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// The limit on kept keys.
    pub fn capacity(&self) -> &Capacity {
        &self.deps.capacity
    }

    /// Removes the answers of a service that contain `text`. They are gone from memory, and from the disk with the next commit.
    /// Returns `true` if there was one.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run.
    pub async fn erase(&self, service: ServiceId, text: &str) -> Result<bool, Refusal> {
        let (router, mut has_found) = (self.deps.shards.router(), false);
        let contains = |stored: &Stored| {
            let answer = decode::<KeyUse>(&stored.bytes).ok().and_then(|key| key.answer);
            answer.is_some_and(|answer| answer.contains(text))
        };
        for shard in 0..router.shards() {
            let (mut end, mut about) = (usize::MAX, Vec::new());
            while end > 0 {
                let _turn = router.page_turn().await;
                // The shard only copies the records.
                let read = move |tables: &Tables, now| tables.page(KeyUse::KIND, end, PAGE, now);
                let page;
                (page, end) = router.read_shard(shard, read).await?;
                let is_about =
                    |(key, stored): &(RecordKey, Stored)| service_of(&key.id) == service && contains(stored);
                about.extend(page.into_iter().filter(is_about).map(|(key, _)| key));
            }
            has_found |= !about.is_empty();
            router.evict(about, |_: &KeyUse| true).await;
        }
        Ok(has_found)
    }

    /// Begins a request with an idempotency key. Two requests are equal if their fingerprints are. Of concurrent
    /// requests with one key exactly one gets [`KeyDecision::First`].
    ///
    /// # Errors
    /// [`KeyRefusal`]; then the request must have no effect.
    pub async fn begin(
        &self,
        service: ServiceId,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<KeyDecision, KeyRefusal> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(KeyRefusal::KeyLength);
        }
        let Digest { subject, tag } = self.deps.digester.answer(service, key);
        let permit = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        self.deps.shards.submit(Box::new(BeginCommand {
            key: subject,
            identity: Identity { tag, fingerprint },
            deps: Arc::clone(&self.deps),
            reservation: None,
            decided: None,
            reply,
            _permit: permit,
        }));
        answer.await.unwrap_or(Err(Refusal::StoreUnavailable.into()))
    }

    /// The message that a request may have sent; `None` if it certainly sent none.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the shard of its number cannot say.
    pub async fn message(&self, key: KeyedMessageKey) -> Result<Option<KeyedMessage>, Refusal> {
        let message: Option<KeyedMessage> = self.deps.shards.router().get(key.record()).await?;
        Ok(message.filter(|message| message.tag == key.tag))
    }

    /// Removes the note of a message, because the answer of its request is kept. It leaves the disk with a later commit.
    pub async fn forget(&self, key: KeyedMessageKey) {
        self.deps.shards.router().evict([key.record()], |_: &KeyedMessage| true).await;
    }
}

/// The duty to carry out the request of a marked key. If it is dropped before [`Ticket::finish`] or [`Ticket::free`],
/// the mark stays, and a repetition is [`KeyDecision::Interrupted`].
#[must_use = "finish it with the answer, or free the key"]
pub struct Ticket {
    running: ActiveKey,
    identity: Identity,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket(***)")
    }
}

impl Ticket {
    /// Where the message of the request is noted, which is in the slot of its number.
    pub fn message(&self, slot: u8) -> KeyedMessageKey {
        let (service, half) = record_id_parts(self.running.key.id);
        KeyedMessageKey { id: AttemptLogKey::new(service, half, slot), tag: self.identity.tag }
    }

    /// Keeps the answer for 24 hours, and returns when it is durable.
    ///
    /// # Errors
    /// [`KeyRefusal`]. The request was carried out nevertheless: its caller is to be given the answer. A repetition
    /// gets the same answer or is [`KeyDecision::Interrupted`].
    pub async fn finish(self, answer: String) -> Result<(), KeyRefusal> {
        if answer.len() > LONGEST_ANSWER {
            return Err(KeyRefusal::AnswerTooLong);
        }
        self.end(Some(answer)).await.unwrap_or(Err(Refusal::StoreUnavailable.into()))
    }

    /// The request surely had no effect: a repetition is carried out. Returns when that is durable or has failed,
    /// because a client that asks again sooner would find the first request still running.
    pub async fn free(self) {
        let _ = self.end(None).await;
    }

    fn end(self, answer: Option<String>) -> oneshot::Receiver<Result<(), KeyRefusal>> {
        let (reply, done) = oneshot::channel();
        let shards = self.running.deps.shards.clone();
        shards.submit(Box::new(self.ending(answer, Some(reply))));
        done
    }

    fn ending(
        self,
        answer: Option<String>,
        reply: Option<oneshot::Sender<Result<(), KeyRefusal>>>,
    ) -> EndCommand {
        let Self { running, identity } = self;
        EndCommand { key: running.key, identity, answer, running: Some(running), reply }
    }
}

/// Decides whether to carry out a request, and marks its key if so.
struct BeginCommand {
    key: Subject,
    identity: Identity,
    deps: Arc<AnswerDeps>,
    /// Held until the new record is in its table.
    reservation: Option<Reservation>,
    decided: Option<Result<KeyDecision, KeyRefusal>>,
    reply: oneshot::Sender<Result<KeyDecision, KeyRefusal>>,
    _permit: OwnedSemaphorePermit,
}

impl BeginCommand {
    /// The answer that changes nothing, if there is one.
    fn known(&self, present: Option<&KeyUse>) -> Option<Result<KeyDecision, KeyRefusal>> {
        if present.is_some_and(|present| present.identity != self.identity) {
            return Some(Ok(KeyDecision::OtherRequest));
        }
        if let Some(answer) = present.and_then(|present| present.answer.clone()) {
            return Some(Ok(KeyDecision::Again(KeptAnswer(answer))));
        }
        self.deps.running().contains(&self.key).then_some(Ok(KeyDecision::StillAnswering))
    }
}

impl Command for BeginCommand {
    fn subject(&self) -> Subject {
        self.key
    }

    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        // Whether a request still runs can change at any moment, and is decided in order.
        let present = view.get::<KeyUse>(self.key.id);
        present.is_some_and(|present| present.identity != self.identity || present.answer.is_some())
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        if self.reply.is_closed() {
            // The caller is gone.
            return Decision::Refused(Refusal::Stopping);
        }
        let present = view.get::<KeyUse>(self.key.id);
        if let Some(known) = self.known(present.as_ref()) {
            self.decided = Some(known);
            return Decision::Made;
        }
        if present.is_none() {
            match self.deps.capacity.reserve(service_of(&self.key.id)) {
                Ok(reservation) => self.reservation = Some(reservation),
                Err(full) => return full,
            }
        }
        let Some(running) = self.deps.run(self.key) else {
            self.decided = Some(Ok(KeyDecision::StillAnswering));
            return Decision::Made;
        };
        let ticket = Ticket { running, identity: self.identity };
        // An old mark gets 24 hours again, because it must not expire while its request is carried out.
        let mark = KeyUse { identity: self.identity, ends: view.now().plus(KEPT_FOR), answer: None };
        view.put(self.key.id, Some(&mark), Durability::Durable);
        let is_left = present.is_some();
        self.decided =
            Some(Ok(if is_left { KeyDecision::Interrupted(ticket) } else { KeyDecision::First(ticket) }));
        Decision::Made
    }

    fn answer(self: Box<Self>, reply: &mut ReplyContext<'_>) {
        let decided = self.decided.unwrap_or(Err(Refusal::StoreUnavailable.into()));
        if let Err(Ok(KeyDecision::First(ticket))) = self.reply.send(decided) {
            // The caller is gone.
            reply.enqueue(Box::new(ticket.ending(None, None)));
        }
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        if let Some(Ok(KeyDecision::First(ticket))) = self.decided {
            // The commit failed, and the mark is kept in case it is on the disk. The request has no effect.
            self.deps.shards.submit(Box::new(ticket.ending(None, None)));
        }
        let _ = self.reply.send(Err(refusal.into()));
    }
}

/// Stores the answer of a request, or frees its key.
struct EndCommand {
    key: Subject,
    identity: Identity,
    /// `None` frees the key.
    answer: Option<String>,
    /// Until it is decided: from then on a repetition waits for the commit.
    running: Option<ActiveKey>,
    reply: Option<oneshot::Sender<Result<(), KeyRefusal>>>,
}

impl Command for EndCommand {
    fn subject(&self) -> Subject {
        self.key
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        self.running = None;
        let kept = self.answer.take().map(|answer| KeyUse {
            identity: self.identity,
            ends: view.now().plus(KEPT_FOR),
            answer: Some(answer),
        });
        view.put(self.key.id, kept.as_ref(), Durability::Durable);
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {
        self.reply_with(Ok(()));
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        self.reply_with(Err(refusal.into()));
    }
}

impl EndCommand {
    fn reply_with(mut self, result: Result<(), KeyRefusal>) {
        // A client may repeat the request as soon as it has the answer.
        self.running = None;
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(result);
        }
    }
}
