//! The store of one term: batches become fenced transactions of etcd.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use onceward_core::domain::Timestamp;
use onceward_store::{
    BoxFuture, Copied, CopyProgress, Done, Owner, Slot, Slots, Store, StoreError, StoreLimits, Visitor, Write,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::cluster::MemberState;
use crate::etcd::{Client, ClientError};
use crate::lease::Lease;
use crate::messages::KeyValue;
use crate::sealed::{Sealing, Unreadable, record_range};
use crate::writer::{Batch, MOST_OPERATIONS, Writer, time_key};

/// The stored decision time is at most this old.
const TIME_STEP: Duration = Duration::from_secs(1);

/// Records of a batch, besides the decision time.
const MOST_RECORDS: usize = MOST_OPERATIONS - 2;

/// The records of a cluster, while this node owns them.
pub struct EtcdStore {
    client: Arc<Client>,
    sealing: Arc<Sealing>,
    lease: Arc<Lease>,
    queue: mpsc::UnboundedSender<Batch>,
    expected: u64,
    newest: Timestamp,
    trouble: Arc<Mutex<Option<String>>>,
    closed: AtomicBool,
}

impl EtcdStore {
    pub(crate) async fn open(member: &MemberState, lease: Arc<Lease>) -> Result<Self, ClientError> {
        let (client, sealing) = (Arc::clone(&member.client), Arc::clone(&member.sealing));
        let (from, end) = record_range(0, Slot::MAX);
        let expected = client.count(from, end).await?;
        let stored = client.read(time_key()).await?;
        let stored = stored.and_then(|KeyValue { value, .. }| <[u8; 8]>::try_from(&value[..]).ok());
        let later = |time| Timestamp::from_millis(u64::from_be_bytes(time)).plus(TIME_STEP);
        let newest = stored.map_or(Timestamp::EPOCH, later);
        let sealer = sealing.sealer();
        let sealer = sealer.map_err(|_| ClientError::Local("the system gave no random bytes".to_owned()))?;
        let clock = Arc::clone(&member.options.clock);
        let writer =
            Writer::new(Arc::clone(&client), Arc::clone(&sealing), sealer, clock, Arc::clone(&lease));
        let (to, queue) = mpsc::unbounded_channel();
        // Ends with the store.
        tokio::spawn(writer.run(queue));
        let (trouble, closed) = (Arc::default(), AtomicBool::new(false));
        Ok(Self { client, sealing, lease, queue: to, expected, newest, trouble, closed })
    }

    /// Returns when the lease has ended, also by [`close`](onceward_store::Store::close). Another node may own the records
    /// then: memory is worth nothing, and no commit succeeds any more.
    pub async fn wait_until_lease_ended(&self) {
        self.lease.wait_until_ended().await;
    }

    /// Ends the lease. No batch is accepted any more.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) || self.lease.has_ended() {
            return Ok(());
        }
        self.lease.end();
        self.client.revoke(self.lease.id).await.map_err(|error| unavailable(&error))
    }

    #[cfg(test)]
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    fn enqueue(&self, batch: Batch) {
        if self.closed.load(Ordering::Acquire) {
            return (batch.done)(Err(StoreError::Closed));
        }
        if let Err(mpsc::error::SendError(batch)) = self.queue.send(batch) {
            (batch.done)(Err(StoreError::Closed));
        }
    }

    /// Visits the records of the slots from `first` to `last`.
    async fn read(&self, first: Slot, last: Slot, mut visit: Visitor) -> Result<Visitor, StoreError> {
        let (from, end) = record_range(first, last);
        let mut next = Some(from);
        while let Some(from) = next {
            let (records, after) =
                self.client.page(from, end.clone()).await.map_err(|error| unavailable(&error))?;
            next = after;
            let sealing = Arc::clone(&self.sealing);
            // The visitor may wait.
            let visited = spawn_blocking(move || {
                let mut opener = sealing.opener();
                for KeyValue { key, value, .. } in records {
                    let (key, expires, record) = opener.open(&key, &value)?;
                    visit(key, Some(&record), expires);
                }
                Ok::<_, Unreadable>(visit)
            });
            visit = visited.await.map_err(|_| StoreError::Closed)?.map_err(|error| unavailable(&error))?;
        }
        Ok(visit)
    }
}

fn unavailable(error: &impl ToString) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for EtcdStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        if writes.is_empty() {
            let is_closed = self.closed.load(Ordering::Acquire);
            return done(if is_closed { Err(StoreError::Closed) } else { Ok(()) });
        }
        let trouble = Arc::clone(&self.trouble);
        let done: Done = Box::new(move |result| {
            let error = result.as_ref().err().map(ToString::to_string);
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = error;
            done(result);
        });
        self.enqueue(Batch { writes, done });
    }

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // An earlier transaction cannot arrive after what is read here.
            let (done, fenced) = oneshot::channel();
            let done = Box::new(|result| drop(done.send(result)));
            self.enqueue(Batch { writes: Vec::new(), done });
            fenced.await.unwrap_or(Err(StoreError::Closed))?;
            let mut first = None;
            for slot in slots.iter() {
                let from = *first.get_or_insert(slot);
                if slot == Slot::MAX || !slots.contains(slot + 1) {
                    visit = self.read(from, slot, visit).await?;
                    first = None;
                }
            }
            Ok(())
        })
    }

    fn expected_records(&self) -> u64 {
        self.expected
    }

    /// Nothing: etcd makes its own snapshots.
    fn attach(&self, _owners: Vec<Arc<dyn Owner>>) {}

    fn copy(&self, _progress: Arc<CopyProgress>) -> BoxFuture<'_, Result<Copied, StoreError>> {
        Box::pin(async {
            Err(unavailable(&"the records of a cluster are copied with etcdctl snapshot save"))
        })
    }

    fn health(&self) -> Result<(), String> {
        if self.lease.has_ended() {
            return Err("this node has lost its lease in etcd".to_owned());
        }
        if let Some(trouble) = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(trouble);
        }
        if self.owns_records() { Ok(()) } else { Err("etcd does not prolong this node's lease".to_owned()) }
    }

    fn owns_records(&self) -> bool {
        self.lease.is_valid()
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits { records_per_batch: MOST_RECORDS, keeps_expired: true }
    }

    fn newest_time(&self) -> Timestamp {
        self.newest
    }

    /// Gives up the ownership at once.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        if !self.lease.has_ended() {
            tracing::info!(term = format!("{:x}", self.lease.id), "ownership released");
        }
        Box::pin(self.release())
    }
}
