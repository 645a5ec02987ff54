//! The store of one term: batches become fenced transactions of etcd, one after the other, each applied at most once.
//!
//! A term has a key in etcd, the sequence, which is attached to the node's lease. Each transaction compares the key's
//! version and writes the key. A transaction that arrives late, a second time, or after the end of the lease changes
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use futures_util::{StreamExt as _, stream};
use onceward_core::clock::{Clock as _, EngineClock};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{
    BoxFuture, Done, Key, LONGEST_RECORD, Owner, Slot, Store, StoreError, StoreLimits, Visitor, Write,
};
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::mpsc;

use crate::Error;
use crate::cluster::{Cluster, Lease};
use crate::etcd::{
    Client, DEADLINE, KeyValue, LEASE_NOT_FOUND, Operation, TxnRequest, delete, found, get, put, version_is,
};

/// Age at which the stored decision time is replaced.
const TIME_STEP: Duration = Duration::from_secs(1);

/// Records after which a batch takes no further decision.
const MOST_RECORDS: usize = 1_000;

/// The most bytes of a batch's records. With what 1,000 of them take beside their bytes, 114 each, they fit one transaction:
/// etcd's default limit is 1.5 MiB.
const MOST_RECORD_BYTES: usize = 1_200_000;

const _: () = assert!(LONGEST_RECORD <= MOST_RECORD_BYTES);

/// Operations of one transaction; etcd's default limit is 128.
const MOST_OPERATIONS: usize = 120;

/// Operations of each part of a larger one, which is a transaction within it. etcd allows a part what its parent leaves
/// of the limit.
const PART: usize = 60;

/// Slots that are read at the same time.
const SLOTS_AT_ONCE: usize = 8;

/// A batch to apply.
struct Batch {
    writes: Vec<Write>,
    done: Done,
    /// By the clock of the lease.
    deadline: Timestamp,
}

/// What a store and its writer share.
struct Term {
    client: Arc<Client>,
    sealing: Sealing,
    lease: Arc<Lease>,
    /// Why the last batch failed, if it did.
    failing: Mutex<Option<String>>,
}

/// The records of a cluster, while this node owns them. Cheap to clone.
#[derive(Clone)]
pub struct EtcdStore {
    term: Arc<Term>,
    queue: mpsc::UnboundedSender<Batch>,
    newest: Timestamp,
}

/// The key of a term's sequence.
pub fn sequence_key(lease: i64) -> Vec<u8> {
    system_key(&format!("sequence/{lease:016x}"))
}

/// The key of the last stored decision time.
fn time_key() -> Vec<u8> {
    system_key("time")
}

impl EtcdStore {
    pub(crate) async fn open(
        Cluster { options, client }: &Cluster,
        lease: Arc<Lease>,
    ) -> Result<Self, Error> {
        let stored = client.read(time_key()).await?;
        let stored = stored.and_then(|KeyValue { value, .. }| <[u8; 8]>::try_from(&value[..]).ok());
        // The owner before this one may have decided for that long after the time that it stored last.
        let later = |time| Timestamp::from_millis(u64::from_be_bytes(time)).plus(TIME_STEP);
        let newest = stored.map_or(Timestamp::EPOCH, later);
        let (client, sealing) = (Arc::clone(client), Sealing::new(&options.key));
        let term = Arc::new(Term { client, sealing, lease, failing: Mutex::default() });
        let clock = options.clock.clone();
        let writer = Writer { term: Arc::clone(&term), clock, version: 1, stored_time: Timestamp::EPOCH };
        let (queue, batches) = mpsc::unbounded_channel();
        tokio::spawn(writer.run(batches));
        Ok(Self { term, queue, newest })
    }

    /// Returns when the lease has ended, also by [`close`](onceward_store::Store::close). Another node may own the records
    /// then: memory is worth nothing, and no commit succeeds any more.
    pub async fn wait_until_lease_ended(&self) {
        self.term.lease.wait_until_ended().await;
    }

    /// etcd's id of the lease of this term.
    pub fn lease_id(&self) -> i64 {
        self.term.lease.id
    }

    /// Ends the lease. No batch is accepted any more.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        if self.term.lease.has_ended() {
            return Ok(());
        }
        self.term.lease.end();
        self.term.client.revoke(self.term.lease.id).await.map_err(|error| unavailable(&error))
    }
}

fn unreadable() -> StoreError {
    unavailable(
        &"a record in etcd cannot be read: it was not written with this server key, or it was changed",
    )
}

fn unavailable(error: &impl ToString) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for EtcdStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let lease = &self.term.lease;
        if writes.is_empty() || lease.has_ended() {
            return done(if lease.has_ended() { Err(StoreError::Closed) } else { Ok(()) });
        }
        // The deadline counts from here: time in the queue is time of the caller.
        let batch = Batch { writes, done, deadline: lease.now().plus(DEADLINE) };
        if let Err(mpsc::error::SendError(Batch { done, .. })) = self.queue.send(batch) {
            done(Err(StoreError::Closed));
        }
    }

    /// Reads several slots at the same time.
    fn restore(&self, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let read = |slot| {
                let term = Arc::clone(&self.term);
                // Others are read and decrypted while the visitor has the records of one.
                tokio::spawn(async move {
                    let records = term.client.slot(slot).await.map_err(|error| unavailable(&error))?;
                    let open = |KeyValue { key, value, .. }| term.sealing.open(&key, &value);
                    let opened = records.into_iter().map(|found| open(found).ok_or_else(unreadable));
                    opened.collect::<Result<Vec<_>, StoreError>>()
                })
            };
            let mut slots = stream::iter(0..=Slot::MAX).map(read).buffer_unordered(SLOTS_AT_ONCE);
            while let Some(records) = slots.next().await {
                for (key, expires, record) in records.map_err(|error| unavailable(&error))?? {
                    visit(key, expires, &record)?;
                }
            }
            Ok(())
        })
    }

    /// Nothing: etcd makes its own snapshots.
    fn attach(&self, _owner: Owner) {}

    fn health(&self) -> Result<(), String> {
        if self.term.lease.has_ended() {
            return Err("this node has lost its lease in etcd".to_owned());
        }
        if let Some(reason) = &*self.term.failing.lock() {
            return Err(reason.clone());
        }
        if self.owns_records() { Ok(()) } else { Err("etcd does not prolong this node's lease".to_owned()) }
    }

    fn owns_records(&self) -> bool {
        self.term.lease.is_valid()
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits {
            owners: 1,
            records_per_batch: MOST_RECORDS,
            bytes_per_batch: MOST_RECORD_BYTES,
            bytes_per_record: LONGEST_RECORD,
            keeps_expired: true,
        }
    }

    fn newest_time(&self) -> Timestamp {
        self.newest
    }

    /// Gives up the ownership at once.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        if !self.term.lease.has_ended() {
            tracing::info!(term = format!("{:x}", self.term.lease.id), "ownership released");
        }
        Box::pin(self.release())
    }
}

/// Applies the batches.
struct Writer {
    term: Arc<Term>,
    clock: EngineClock,
    /// The version of the sequence as the last known transaction left it.
    version: i64,
    /// The decision time that etcd has.
    stored_time: Timestamp,
}

impl Writer {
    /// Ends with the store.
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Batch>) {
        while let Some(Batch { writes, done, deadline }) = queue.recv().await {
            let result = self.commit(&writes, deadline).await;
            // The end of the lease has its own reason.
            if !self.term.lease.has_ended() {
                self.report(&result);
            }
            done(result);
        }
    }

    /// Logs the first failure, and the first success after it.
    fn report(&self, result: &Result<(), StoreError>) {
        let mut failing = self.term.failing.lock();
        match (&*failing, result) {
            (Some(_), Ok(())) => tracing::info!("commits to etcd succeed again"),
            (None, Err(error)) => tracing::error!(reason = %error, "commit to etcd failed"),
            _ => {}
        }
        *failing = result.as_ref().err().map(StoreError::to_string);
    }

    async fn commit(&mut self, writes: &[Write], deadline: Timestamp) -> Result<(), StoreError> {
        let Term { client, sealing, lease, .. } = &*self.term;
        let left = deadline.since(lease.now());
        if lease.has_ended() {
            return Err(unavailable(&"this node has lost its lease"));
        }
        if left.is_zero() {
            return Err(unavailable(&"etcd did not answer in time"));
        }
        // A key may occur once in a transaction.
        let last: BTreeMap<Key, &Write> = writes.iter().map(|write| (write.key, write)).collect();
        let mut operations = Vec::with_capacity(last.len() + 1);
        for (key, Write { put: record, expires, .. }) in last {
            let name = sealing.key(&key);
            operations.push(match record {
                Some(record) => {
                    let sealed = sealing.seal(&name, &key.id, *expires, record);
                    put(name, sealed.map_err(|_| unavailable(&"a record cannot be encrypted"))?, 0)
                }
                None => delete(name, Vec::new()),
            });
        }
        let now = self.clock.now();
        let is_time_due = now.since(self.stored_time) >= TIME_STEP;
        if is_time_due {
            operations.push(put(time_key(), now.as_millis().to_be_bytes().to_vec(), 0));
        }
        let without_lease = || StoreError::Unknown("this node has lost its lease".to_owned());
        let answer = tokio::select! {
            biased;
            answer = client.txn(transaction(lease.id, self.version, operations), left) => answer,
            // The clients get their answer before the node starts again.
            () = lease.wait_until_ended() => return Err(without_lease()),
        };
        let failed = match answer {
            Ok(response) => {
                let next = self.version + 1;
                // A repeated transaction finds the version that its first copy has written.
                if response.succeeded || found(response).next().is_some_and(|found| found.version == next) {
                    self.version = next;
                    self.stored_time = if is_time_due { now } else { self.stored_time };
                    return Ok(());
                }
                // A first copy may have been applied before the lease, and with it the sequence, ended.
                without_lease()
            }
            // It was asked again until now. What etcd has is found by the next owner.
            Err(error @ Error::Unknown(_)) => StoreError::Unknown(error.to_string()),
            Err(Error::Refused(why)) if !why.contains(LEASE_NOT_FOUND) => return Err(unavailable(&why)),
            Err(error) => unavailable(&error),
        };
        tracing::error!(reason = %failed, "commit to etcd failed; this node ends");
        lease.end();
        Err(failed)
    }
}

/// The transaction that carries out the operations if the sequence still has this version. If not, it reads the
/// sequence.
pub fn transaction(lease: i64, version: i64, operations: Vec<Operation>) -> TxnRequest {
    let key = sequence_key(lease);
    let mut success = vec![put(key.clone(), Vec::new(), lease)];
    if operations.len() < MOST_OPERATIONS {
        success.extend(operations);
    } else {
        success.extend(operations.chunks(PART).map(|part| {
            let txn = TxnRequest { success: part.to_vec(), ..TxnRequest::default() };
            Operation { txn: Some(txn), ..Operation::default() }
        }));
    }
    TxnRequest { compare: vec![version_is(key.clone(), version)], failure: vec![get(key)], success }
}

// Keys and values as etcd holds them. A key shows the slot and the kind of a record, and neither shows a number.
//
// A value is encrypted with AES-256-GCM, under a key of its own that is derived from a random salt; therefore no nonce
// repeats. The value's key in etcd is authenticated with it: a value that was moved to another key is refused.

/// Begins every key of onceward in etcd.
const PREFIX: &str = "onceward/1/";
const ID_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
/// Layout of values.
const VERSION: u8 = 1;
/// Bytes in front of the encrypted part.
const HEAD: usize = 1 + SALT_BYTES;

/// A key in etcd that is no record, such as that of the owner.
pub fn system_key(name: &str) -> Vec<u8> {
    [PREFIX, name].concat().into_bytes()
}

/// The prefix of the records of a slot; for 256 the end of all records.
fn records_of(slot: u16) -> Vec<u8> {
    let [high, low] = slot.to_be_bytes();
    let mut key = system_key("record/");
    // Two bytes: the slot after 255 is the end of the range.
    key.extend([high, low]);
    key
}

/// The range of the records of the slots from `first` to `last`.
pub fn record_range(first: Slot, last: Slot) -> (Vec<u8>, Vec<u8>) {
    (records_of(u16::from(first)), records_of(u16::from(last) + 1))
}

/// Derives everything from the server key, which the nodes share.
pub struct Sealing {
    ids: hmac::Key,
    values: hmac::Key,
}

impl Sealing {
    pub fn new(key: &ServerKey) -> Self {
        let derive = |purpose: &[u8]| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), purpose);
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        };
        Self { ids: derive(b"onceward/cluster/id/1"), values: derive(b"onceward/cluster/value/1") }
    }

    /// The record's key in etcd.
    pub fn key(&self, Key { slot, kind, id }: &Key) -> Vec<u8> {
        let mut subject = [0; 14];
        subject[0] = *slot;
        subject[1] = *kind;
        subject[2..].copy_from_slice(id);
        let digest = hmac::sign(&self.ids, &subject);
        let mut key = records_of(u16::from(*slot));
        key.push(*kind);
        key.extend_from_slice(&digest.as_ref()[..ID_BYTES]);
        key
    }

    /// The value under `key` of a record with this id.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(
        &self,
        key: &[u8],
        id: &[u8; 12],
        expires: Timestamp,
        record: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt)?;
        let mut value = Vec::with_capacity(HEAD + 20 + record.len() + AES_256_GCM.tag_len());
        value.put_u8(VERSION);
        value.put_slice(&salt);
        value.put_u64(expires.as_millis());
        value.put_slice(id);
        value.put_slice(record);
        let contents = &mut value[HEAD..];
        let tag = self.value_key(&salt)?.seal_in_place_separate_tag(nonce(), Aad::from(key), contents)?;
        value.put_slice(tag.as_ref());
        Ok(value)
    }

    /// The record under a key of etcd, which begins with its slot and kind. `None` if the value was not written with this
    /// server key, or was changed.
    pub fn open(&self, key: &[u8], value: &[u8]) -> Option<(Key, Timestamp, Vec<u8>)> {
        let at = PREFIX.len() + "record/".len() + 1;
        let (slot, kind) = (*key.get(at)?, *key.get(at + 1)?);
        let (head, contents) = value.split_at_checked(HEAD).filter(|(head, _)| head[0] == VERSION)?;
        let mut contents = contents.to_vec();
        let value_key = self.value_key(&head[1..]).ok()?;
        let mut contents = &*value_key.open_in_place(nonce(), Aad::from(key), &mut contents).ok()?;
        let (expires, mut id) = (Timestamp::from_millis(contents.try_get_u64().ok()?), [0; 12]);
        contents.try_copy_to_slice(&mut id).ok()?;
        Some((Key { slot, kind, id }, expires, contents.to_vec()))
    }

    fn value_key(&self, salt: &[u8]) -> Result<LessSafeKey, Unspecified> {
        let derived = hmac::sign(&self.values, salt);
        UnboundKey::new(&AES_256_GCM, derived.as_ref()).map(LessSafeKey::new)
    }
}

/// A key encrypts one value.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_shows_no_number_and_is_opened_only_as_it_was_written() {
        let [ours, theirs] = [1, 2].map(|byte| Sealing::new(&ServerKey::from_bytes([byte; 32])));
        let key = Key { slot: 255, kind: 3, id: *b"491711234567" };
        let expires = Timestamp::from_millis(1_700_000_000_000);
        let [name, other] = [key, Key { kind: 4, ..key }].map(|key| ours.key(&key));
        let [value, again] = [(), ()].map(|()| ours.seal(&name, &key.id, expires, &key.id).unwrap());
        assert_ne!(value, again);
        for shown in [&name, &value] {
            assert!(!shown.windows(12).any(|window| window == key.id));
        }
        assert_eq!(ours.open(&name, &value), Some((key, expires, key.id.to_vec())));
        assert_eq!((theirs.open(&name, &value), ours.open(&other, &value)), (None, None));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(ours.open(&name, &changed), None, "byte {at}");
            assert_eq!(ours.open(&name, &value[..at]), None, "{at} bytes");
        }
    }
}
