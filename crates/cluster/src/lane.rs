//! Applies transactions one after the other, each at most once.
//!
//! A lane has a key in etcd, attached to the node's lease, and each transaction compares the key's version and writes
//! the key. A transaction that arrives late, a second time, or after the lease has ended changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use onceward_store::{Done, Slot, StoreError, Write};
use prost::Message as _;
use tokio::sync::mpsc;

use crate::etcd::{Client, ClientError, delete, found, get, nested, put, version_is};
use crate::lease::Session;
use crate::messages::{RequestOp, TxnRequest};
use crate::sealed::{Sealing, named};

/// Operations of one transaction; etcd's default limit is 128.
const MOST_OPERATIONS: usize = 120;
/// Operations of each part of a larger one. A part may have what its parent leaves of the limit.
const PART: usize = 60;
/// etcd's default limit is 1.5 MiB.
const MOST_BYTES: usize = 1_400_000;
/// Age at which the stored decision time of a slot is replaced.
const TIME_EVERY: Duration = Duration::from_secs(1);

/// A transaction to apply.
pub enum Work {
    Commit(Arc<Session>, Vec<Write>, Done),
    /// With no operations it only makes sure that no earlier transaction can arrive later.
    Apply(Arc<Session>, Vec<RequestOp>, Done),
}

impl Work {
    /// Answers that the store has ended.
    pub fn refuse(self) {
        let (Self::Commit(_, _, done) | Self::Apply(_, _, done)) = self;
        done(Err(StoreError::Closed));
    }
}

/// The key of the sequence of a lane.
pub fn sequence_key(lease: i64, lane: usize) -> Vec<u8> {
    named(&format!("sequence/{lease:016x}/{lane}"))
}

pub fn time_key(slot: Slot) -> Vec<u8> {
    named(&format!("time/{slot:02x}"))
}

pub struct Lane {
    pub index: usize,
    pub client: Arc<Client>,
    pub sealing: Arc<Sealing>,
    pub clock: Arc<dyn Clock>,
    sequence: Sequence,
    /// The decision times that etcd has.
    times: HashMap<Slot, Timestamp>,
}

/// The state of the lane's key.
#[derive(Default)]
struct Sequence {
    lease: i64,
    /// As the last known transaction left it.
    version: i64,
    /// Whether etcd did not say if it applied the last transaction.
    is_open: bool,
}

impl Lane {
    pub fn new(index: usize, client: Arc<Client>, sealing: Arc<Sealing>, clock: Arc<dyn Clock>) -> Self {
        Self { index, client, sealing, clock, sequence: Sequence::default(), times: HashMap::new() }
    }

    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Work>) {
        while let Some(work) = queue.recv().await {
            match work {
                Work::Commit(session, writes, done) => done(self.commit(&session, &writes).await),
                Work::Apply(session, operations, done) => done(self.apply(&session, operations).await),
            }
        }
    }

    async fn commit(&mut self, session: &Session, writes: &[Write]) -> Result<(), StoreError> {
        let held = session.held();
        if let Some(write) = writes.iter().find(|write| !held.contains(write.key.slot)) {
            return Err(unavailable(&format!("this node does not own slot {}", write.key.slot)));
        }
        self.follow(session);
        let now = self.clock.now();
        let mut operations = Vec::with_capacity(writes.len());
        let mut times = HashMap::new();
        for Write { key, put: record, expires } in writes {
            let name = self.sealing.key(key);
            operations.push(match record {
                Some(record) => {
                    let sealed = session.sealer.seal(&name, &key.id, *expires, record);
                    let sealed = sealed.map_err(|_| unavailable("a record cannot be encrypted"))?;
                    put(name, sealed, 0)
                }
                None => delete(name),
            });
            if self.times.get(&key.slot).is_none_or(|stored| now.since(*stored) >= TIME_EVERY) {
                times.insert(key.slot, now);
            }
        }
        let stored = now.as_millis().to_be_bytes();
        operations.extend(times.keys().map(|slot| put(time_key(*slot), stored.to_vec(), 0)));
        let applied = self.apply(session, operations).await;
        if applied.is_ok() {
            self.times.extend(times);
        }
        applied
    }

    /// A new session has a new sequence.
    fn follow(&mut self, session: &Session) {
        if session.lease != self.sequence.lease {
            self.sequence = Sequence { lease: session.lease, version: 1, is_open: false };
            self.times.clear();
        }
    }

    async fn apply(&mut self, session: &Session, operations: Vec<RequestOp>) -> Result<(), StoreError> {
        self.follow(session);
        if session.is_lost() {
            return Err(unavailable("the node has lost its lease"));
        }
        if self.sequence.is_open && !operations.is_empty() {
            let closed = self.advance(session, Vec::new()).await;
            closed.map_err(|error| unavailable(&error.to_string()))?;
        }
        self.advance(session, operations).await
    }

    async fn advance(&mut self, session: &Session, operations: Vec<RequestOp>) -> Result<(), StoreError> {
        let txn = self.sequence.transaction(self.index, operations)?;
        match self.client.txn(txn).await {
            Ok(response) => {
                let next = self.sequence.version + 1;
                let is_applied = response.succeeded
                    || found(response).flatten().next().is_some_and(|sequence| sequence.version == next);
                if !is_applied {
                    session.lose();
                    return Err(StoreError::Unknown("the node has lost its lease".to_owned()));
                }
                self.sequence.version = next;
                self.sequence.is_open = false;
                Ok(())
            }
            Err(ClientError::Refused(why)) => {
                if why.contains("lease not found") {
                    session.lose();
                }
                Err(StoreError::Unavailable(why))
            }
            Err(error @ ClientError::Unknown(_)) => {
                self.sequence.is_open = true;
                Err(StoreError::Unknown(error.to_string()))
            }
        }
    }
}

impl Sequence {
    /// The transaction that carries out the operations if the lane's key still has the expected version.
    fn transaction(&self, lane: usize, operations: Vec<RequestOp>) -> Result<TxnRequest, StoreError> {
        let key = sequence_key(self.lease, lane);
        let mut success = vec![put(key.clone(), Vec::new(), self.lease)];
        if operations.len() < MOST_OPERATIONS {
            success.extend(operations);
        } else {
            let part =
                |part: &[RequestOp]| nested(TxnRequest { success: part.to_vec(), ..TxnRequest::default() });
            success.extend(operations.chunks(PART).map(part));
        }
        let txn = TxnRequest {
            compare: vec![version_is(key.clone(), self.version)],
            failure: vec![get(key, Vec::new())],
            success,
        };
        if txn.success.len() > PART + 1 && txn.success.len() > MOST_OPERATIONS
            || txn.encoded_len() > MOST_BYTES
        {
            return Err(unavailable("the batch is too large for one transaction of etcd"));
        }
        Ok(txn)
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.to_owned())
}
