//! Applies batches one after the other, each at most once.
//!
//! A term has a key in etcd, the sequence, which is attached to the node's lease. Each transaction compares the key's
//! version and writes the key. A transaction that arrives late, a second time, or after the end of the lease changes
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::{Clock, LastingCondition};
use onceward_core::domain::Timestamp;
use onceward_store::{Done, Key, StoreError, Write};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::mpsc;

use crate::Error;
use crate::etcd::{Client, LEASE_NOT_FOUND, delete, found, get, put, version_is};
use crate::lease::Lease;
use crate::messages::{Operation, TxnRequest};
use crate::sealed::{Sealer, Sealing, system_key};

/// Operations of one transaction; etcd's default limit is 128.
const MOST_OPERATIONS: usize = 120;
/// Operations of each part of a larger one, which is a transaction within it. etcd allows a part what its parent leaves
/// of the limit.
const PART: usize = 60;
/// Records of the largest one, in 60 parts. The decision time may add one more part.
const MOST_RECORDS_IN_PARTS: usize = PART * PART;
/// etcd's default limit is 1.5 MiB.
const MOST_BYTES: usize = 1_400_000;
/// Age at which the stored decision time is replaced.
const TIME_EVERY: Duration = Duration::from_secs(1);

/// A batch to apply. One without writes only makes sure that no earlier transaction can arrive later.
pub struct Batch {
    pub writes: Vec<Write>,
    pub done: Done,
    /// By the clock of the lease.
    pub deadline: Timestamp,
}

/// The key of a term's sequence.
pub fn sequence_key(lease: i64) -> Vec<u8> {
    system_key(&format!("sequence/{lease:016x}"))
}

/// The key of the last stored decision time.
pub fn time_key() -> Vec<u8> {
    system_key("time")
}

pub struct Writer {
    pub client: Arc<Client>,
    pub sealing: Arc<Sealing>,
    pub sealer: Sealer,
    pub clock: Arc<dyn Clock>,
    pub lease: Arc<Lease>,
    /// Why commits fail, if they do.
    pub failing: Arc<Mutex<Option<LastingCondition>>>,
    /// The version of the sequence as the last known transaction left it.
    pub version: i64,
    /// The decision time that etcd has.
    pub stored_time: Timestamp,
}

impl Writer {
    /// Ends with the store.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Batch>) {
        while let Some(Batch { writes, done, deadline }) = queue.recv().await {
            let result = self.commit(&writes, deadline).await;
            // The end of the lease has its own reason.
            if !self.lease.has_ended() {
                self.report(&result);
            }
            done(result);
        }
    }

    /// Logs the first failure, then one every 10 minutes, and the first success.
    fn report(&self, result: &Result<(), StoreError>) {
        let mut failing = self.failing.lock();
        match result {
            Ok(()) if failing.take().is_some() => tracing::info!("commits to etcd succeed again"),
            Ok(()) => {}
            Err(error) => {
                let reason = error.to_string();
                if LastingCondition::report(&mut failing, &reason, self.clock.now()) {
                    tracing::error!(reason, "commit to etcd failed");
                }
            }
        }
    }

    async fn commit(&mut self, writes: &[Write], deadline: Timestamp) -> Result<(), StoreError> {
        if self.lease.has_ended() {
            return Err(unavailable("this node has lost its lease"));
        }
        // A key may occur once in a transaction.
        let last: BTreeMap<Key, &Write> = writes.iter().map(|write| (write.key, write)).collect();
        let mut operations = Vec::with_capacity(last.len() + 1);
        for (key, Write { put: record, expires, .. }) in last {
            let name = self.sealing.key(&key);
            operations.push(match record {
                Some(record) => {
                    let sealed = self.sealer.seal(&name, &key.id, *expires, record);
                    put(name, sealed.map_err(|_| unavailable("a record cannot be encrypted"))?, 0)
                }
                None => delete(name, Vec::new()),
            });
        }
        if operations.len() > MOST_RECORDS_IN_PARTS {
            return Err(too_large());
        }
        let now = self.clock.now();
        let is_time_due = !writes.is_empty() && now.since(self.stored_time) >= TIME_EVERY;
        if is_time_due {
            operations.push(put(time_key(), now.as_millis().to_be_bytes().to_vec(), 0));
        }
        self.advance(operations, deadline).await?;
        if is_time_due {
            self.stored_time = now;
        }
        Ok(())
    }

    async fn advance(&mut self, operations: Vec<Operation>, deadline: Timestamp) -> Result<(), StoreError> {
        let txn = transaction(self.lease.id, self.version, operations);
        if txn.encoded_len() > MOST_BYTES {
            return Err(too_large());
        }
        let left = deadline.since(self.lease.now());
        if left.is_zero() {
            return Err(unavailable("etcd did not answer in time"));
        }
        let lost = || StoreError::Unknown("this node has lost its lease".to_owned());
        let answer = tokio::select! {
            biased;
            answer = self.client.txn_within(txn, left) => answer,
            // The clients get their answer before the node starts again.
            () = self.lease.wait_until_ended() => return Err(lost()),
        };
        let failed = match answer {
            Ok(response) => {
                let next = self.version + 1;
                // A repeated transaction finds the version that its first copy has written.
                if response.succeeded || found(response).next().is_some_and(|found| found.version == next) {
                    self.version = next;
                    return Ok(());
                }
                // A first copy may have been applied before the lease, and with it the sequence, ended.
                lost()
            }
            // It was asked again until now. What etcd has is found by the next owner.
            Err(error @ Error::Unknown(_)) => StoreError::Unknown(error.to_string()),
            Err(Error::Refused(why)) if !why.contains(LEASE_NOT_FOUND) => return Err(unavailable(&why)),
            Err(error) => unavailable(&error.to_string()),
        };
        self.lease.end();
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

fn too_large() -> StoreError {
    unavailable("the batch is too large for one transaction of etcd")
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.to_owned())
}
