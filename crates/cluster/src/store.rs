//! The store of one term: batches become fenced transactions of etcd.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use onceward_core::clock::{Clock, LastingCondition};
use onceward_core::domain::Timestamp;
use onceward_store::{BoxFuture, Done, Owner, Slot, Slots, Store, StoreError, StoreLimits, Visitor, Write};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::Error;
use crate::etcd::{Client, DEADLINE};
use crate::lease::Lease;
use crate::messages::KeyValue;
use crate::sealed::{Sealing, Unreadable, record_range};
use crate::writer::{Batch, Writer, time_key};

/// The stored decision time is at most this old.
const TIME_STEP: Duration = Duration::from_secs(1);

/// Records after which a batch takes no further decision.
const MOST_RECORDS: usize = 1_000;

/// The most bytes of a batch's records. With what 1,000 of them take beside their bytes, 114 each, they fit one transaction:
/// `MOST_BYTES` of the writer.
const MOST_RECORD_BYTES: usize = 1_200_000;

/// Slots that are read at the same time.
const SLOTS_AT_ONCE: usize = 8;

/// The records of a cluster, while this node owns them.
pub struct EtcdStore {
    client: Arc<Client>,
    sealing: Arc<Sealing>,
    lease: Arc<Lease>,
    /// `None` when the store is closed.
    queue: Mutex<Option<mpsc::UnboundedSender<Batch>>>,
    newest: Timestamp,
    /// Why commits fail, if they do.
    failing: Arc<Mutex<Option<LastingCondition>>>,
}

impl EtcdStore {
    pub(crate) async fn open(
        client: Arc<Client>,
        sealing: Arc<Sealing>,
        clock: Arc<dyn Clock>,
        lease: Arc<Lease>,
    ) -> Result<Self, Error> {
        let stored = client.read(time_key()).await?;
        let stored = stored.and_then(|KeyValue { value, .. }| <[u8; 8]>::try_from(&value[..]).ok());
        // The owner before this one may have decided for that long after the time that it stored last.
        let later = |time| Timestamp::from_millis(u64::from_be_bytes(time)).plus(TIME_STEP);
        let newest = stored.map_or(Timestamp::EPOCH, later);
        let sealer = sealing.sealer();
        let sealer = sealer.map_err(|_| Error::Local("the system gave no random bytes".to_owned()))?;
        let failing = Arc::<Mutex<_>>::default();
        let writer = Writer {
            client: Arc::clone(&client),
            sealing: Arc::clone(&sealing),
            sealer,
            clock,
            lease: Arc::clone(&lease),
            failing: Arc::clone(&failing),
            version: 1,
            stored_time: Timestamp::EPOCH,
        };
        let (to, queue) = mpsc::unbounded_channel();
        tokio::spawn(writer.run(queue));
        Ok(Self { client, sealing, lease, queue: Mutex::new(Some(to)), newest, failing })
    }

    /// Returns when the lease has ended, also by [`close`](onceward_store::Store::close). Another node may own the records
    /// then: memory is worth nothing, and no commit succeeds any more.
    pub async fn wait_until_lease_ended(&self) {
        self.lease.wait_until_ended().await;
    }

    /// etcd's id of the lease of this term.
    pub fn lease_id(&self) -> i64 {
        self.lease.id
    }

    /// Ends the lease. No batch is accepted any more.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        if self.queue.lock().take().is_none() || self.lease.has_ended() {
            return Ok(());
        }
        self.lease.end();
        self.client.revoke(self.lease.id).await.map_err(|error| unavailable(&error))
    }

    #[cfg(test)]
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    fn enqueue(&self, writes: Vec<Write>, done: Done) {
        // The deadline counts from here: time in the queue is time of the caller.
        let batch = Batch { writes, done, deadline: self.lease.now().plus(DEADLINE) };
        let queue = self.queue.lock().clone();
        let refused = match queue {
            Some(queue) => queue.send(batch).err().map(|error| error.0),
            None => Some(batch),
        };
        if let Some(batch) = refused {
            (batch.done)(Err(StoreError::Closed));
        }
    }

    /// Visits the records of the slots, several slots at the same time.
    async fn read(&self, slots: Slots, mut visit: Visitor) -> Result<(), StoreError> {
        let (to, mut pages) = mpsc::channel::<Vec<KeyValue>>(SLOTS_AT_ONCE);
        let sealing = Arc::clone(&self.sealing);
        // The visitor may wait.
        let visited = spawn_blocking(move || {
            let mut opener = sealing.opener();
            while let Some(records) = pages.blocking_recv() {
                for KeyValue { key, value, .. } in records {
                    let found: Result<_, Unreadable> = opener.open(&key, &value);
                    let (key, expires, record) = found.map_err(|error| unavailable(&error))?;
                    visit(key, expires, &record)?;
                }
            }
            Ok::<_, StoreError>(())
        });
        let slots = stream::iter(slots.iter()).map(Ok);
        let read = slots.try_for_each_concurrent(SLOTS_AT_ONCE, |slot| self.read_slot(slot, &to)).await;
        drop(to);
        // A visitor that fails ends the reading too: its error tells why, that of the closed channel does not.
        visited.await.map_err(|_| StoreError::Closed)??;
        read
    }

    /// Reads the pages of a slot. etcd counts all keys from the beginning of a page to the end of its range: with one
    /// range for all slots, the time would grow with the square of the records.
    async fn read_slot(&self, slot: Slot, to: &mpsc::Sender<Vec<KeyValue>>) -> Result<(), StoreError> {
        let (from, end) = record_range(slot, slot);
        let mut next = Some(from);
        while let Some(from) = next {
            let page = self.client.page(from, end.clone()).await;
            let (records, after) = page.map_err(|error| unavailable(&error))?;
            next = after;
            to.send(records).await.map_err(|_| StoreError::Closed)?;
        }
        Ok(())
    }
}

fn unavailable(error: &impl ToString) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for EtcdStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        if writes.is_empty() {
            let is_closed = self.queue.lock().is_none();
            return done(if is_closed { Err(StoreError::Closed) } else { Ok(()) });
        }
        self.enqueue(writes, done);
    }

    fn restore(&self, slots: Slots, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // An earlier transaction cannot arrive after what is read here.
            let (done, fenced) = oneshot::channel();
            let done = Box::new(|result| drop(done.send(result)));
            self.enqueue(Vec::new(), done);
            fenced.await.unwrap_or(Err(StoreError::Closed))?;
            self.read(slots, visit).await
        })
    }

    /// Nothing: etcd makes its own snapshots.
    fn attach(&self, _owners: Vec<Owner>) {}

    fn health(&self) -> Result<(), String> {
        if self.lease.has_ended() {
            return Err("this node has lost its lease in etcd".to_owned());
        }
        if let Some(failing) = &*self.failing.lock() {
            return Err(failing.reason.clone());
        }
        if self.owns_records() { Ok(()) } else { Err("etcd does not prolong this node's lease".to_owned()) }
    }

    fn owns_records(&self) -> bool {
        self.lease.is_valid()
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits {
            owners: 1,
            records_per_batch: MOST_RECORDS,
            bytes_per_batch: MOST_RECORD_BYTES,
            keeps_expired: true,
        }
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
