//! The store: batches become fenced transactions of etcd.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use onceward_core::clock::{Clock, EngineClock};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::{
    BoxFuture, Copied, CopyProgress, Done, Owner, Slot, Slots, Store, StoreError, Visitor, Write,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::etcd::{Client, ClientError, EtcdTls, delete, found, get, nested, put, version_is};
use crate::lane::{Lane, Work, sequence_key};
use crate::lease::{self, Session};
use crate::members::{Members, cluster_prefix, node_key, owner_key};
use crate::messages::{KeyValue, RequestOp, TxnRequest};
use crate::sealed::{Sealing, Unreadable, after_prefix, named, record_range};

/// A new owner's clock is this much after the stored decision time, which is at most this old.
const TIME_STEP: Duration = Duration::from_secs(1);

/// The arguments of [`EtcdStore::open`].
pub struct ClusterOptions {
    /// URLs of etcd's members.
    pub etcd: Vec<String>,
    pub tls: Option<EtcdTls>,
    /// This node's name, which no other node has.
    pub node: String,
    /// Where other nodes reach this one.
    pub address: String,
    /// The nodes share it.
    pub key: ServerKey,
    /// Identifies the key without revealing it.
    pub key_fingerprint: [u8; 16],
    /// Number of shards. The slots of a batch are equal modulo this number.
    pub shards: usize,
    /// Brought up to the time of the records.
    pub clock: Arc<EngineClock>,
    /// Counts time since the machine booted, suspension included.
    pub uptime: Arc<dyn Clock>,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the cluster cannot be used: {0}")]
    Settings(String),
    #[error("{0}; check that the members of etcd run and that \"etcd\" in \"cluster\" names them")]
    Etcd(#[from] ClientError),
    #[error(
        "the records in etcd were written with another server key; give every node the same server.key (key-file)"
    )]
    OtherKey,
}

/// Records in etcd. Nothing can be read or written before [`Ownership`](crate::Ownership) has claimed slots.
pub struct EtcdStore {
    pub(crate) options: Options,
    pub(crate) client: Arc<Client>,
    sealing: Arc<Sealing>,
    clock: Arc<EngineClock>,
    session: ArcSwapOption<Session>,
    lanes: Vec<mpsc::UnboundedSender<Work>>,
    expected: AtomicU64,
    trouble: Arc<Mutex<Option<String>>>,
    closed: AtomicBool,
}

/// What a session needs.
pub(crate) struct Options {
    etcd: Vec<String>,
    tls: Option<EtcdTls>,
    pub(crate) node: String,
    address: String,
    uptime: Arc<dyn Clock>,
}

impl EtcdStore {
    /// Connects to etcd and compares the server key. Needs a runtime, which carries out the commits.
    ///
    /// # Errors
    /// [`OpenError`]; each says what to do.
    pub async fn open(options: ClusterOptions) -> Result<Self, OpenError> {
        let ClusterOptions { etcd, tls, node, address, key, key_fingerprint, shards, clock, uptime } =
            options;
        let client = Arc::new(Client::new(&etcd, tls.as_ref()).map_err(OpenError::Settings)?);
        let fingerprint = named("server-key");
        let txn = TxnRequest {
            compare: vec![version_is(fingerprint.clone(), 0)],
            success: vec![put(fingerprint.clone(), key_fingerprint.to_vec(), 0)],
            failure: vec![get(fingerprint, Vec::new())],
        };
        let response = client.txn(txn).await?;
        if !response.succeeded && found(response).flatten().any(|found| found.value[..] != key_fingerprint) {
            return Err(OpenError::OtherKey);
        }
        let (from, end) = record_range(0, Slot::MAX);
        let expected = AtomicU64::new(client.count(from, end).await?);
        let sealing = Arc::new(Sealing::new(&key));
        let mut lanes = Vec::new();
        for index in 0..shards.max(1) {
            let (to, queue) = mpsc::unbounded_channel();
            let lane = Lane::new(index, Arc::clone(&client), Arc::clone(&sealing), Arc::clone(&clock) as _);
            // Ends with the store.
            tokio::spawn(lane.run(queue));
            lanes.push(to);
        }
        Ok(Self {
            options: Options { etcd, tls, node, address, uptime },
            client,
            sealing,
            clock,
            session: ArcSwapOption::empty(),
            lanes,
            expected,
            trouble: Arc::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Begins a session: a lease, the node's key and the sequences under it. `None` while another process, or an earlier
    /// one of this node, has the node's key.
    pub(crate) async fn begin_session(&self) -> Result<Option<Arc<Session>>, ClientError> {
        let Options { etcd, tls, node, address, uptime } = &self.options;
        let sent = uptime.now();
        let lease = self.client.grant(lease::TTL).await?;
        let lanes = (0..self.lanes.len()).map(|lane| put(sequence_key(lease, lane), Vec::new(), lease));
        let own = node_key(node);
        let txn = TxnRequest {
            compare: vec![version_is(own.clone(), 0)],
            success: vec![
                put(own.clone(), address.clone().into_bytes(), lease),
                nested(TxnRequest { success: lanes.collect(), ..TxnRequest::default() }),
            ],
            failure: vec![get(own, Vec::new())],
        };
        let response = self.client.txn(txn).await?;
        // A repeated transaction finds its own key.
        if !response.succeeded && !found(response).flatten().any(|found| found.lease == lease) {
            // Otherwise it ends by itself.
            let _ = self.client.revoke(lease).await;
            return Ok(None);
        }
        let sealer = self.sealing.session();
        let sealer =
            sealer.map_err(|_| ClientError::Refused("the system gave no random bytes".to_owned()))?;
        let session = Arc::new(Session::new(lease, sealer, Arc::clone(uptime), sent));
        let kept = lease::keep_alive(&session, etcd.clone(), tls.clone());
        kept.map_err(|error| ClientError::Refused(format!("cannot start the thread of the lease: {error}")))?;
        self.session.store(Some(Arc::clone(&session)));
        Ok(Some(session))
    }

    /// Ends the session. No later commit is applied under it.
    pub(crate) fn end_session(&self) {
        if let Some(session) = self.session.swap(None) {
            session.lose();
        }
    }

    /// The state of the cluster.
    pub(crate) async fn members(&self) -> Result<Members, ClientError> {
        let prefix = cluster_prefix();
        let keys = self.client.range(prefix.clone(), after_prefix(prefix)).await?;
        Ok(Members::read(&keys))
    }

    /// Claims slots, each unless it has an owner. The state of the cluster tells which were claimed.
    pub(crate) async fn claim(&self, session: &Arc<Session>, slots: Slots) -> Result<(), StoreError> {
        let claim = |slot| {
            let (key, node) = (owner_key(slot), self.options.node.clone().into_bytes());
            nested(TxnRequest {
                compare: vec![version_is(key.clone(), 0)],
                success: vec![put(key, node, session.lease)],
                failure: Vec::new(),
            })
        };
        self.in_lanes(session, slots, claim).await
    }

    /// Gives up slots of which memory holds nothing any more.
    pub(crate) async fn release(&self, session: &Arc<Session>, slots: Slots) -> Result<(), StoreError> {
        session.give_up(slots);
        self.in_lanes(session, slots, |slot| delete(owner_key(slot))).await
    }

    /// Removes this node from the live ones. It keeps its slots until it gives them up.
    pub(crate) async fn retire(&self, session: &Arc<Session>) -> Result<(), StoreError> {
        self.apply(session, 0, vec![delete(node_key(&self.options.node))]).await
    }

    /// Makes sure that no earlier transaction about these slots can arrive later.
    async fn fence(&self, session: &Arc<Session>, slots: Slots) -> Result<(), StoreError> {
        for lane in 0..self.lanes.len() {
            if slots.iter().any(|slot| self.lane_of(slot) == lane) {
                self.apply(session, lane, Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn in_lanes(
        &self,
        session: &Arc<Session>,
        slots: Slots,
        operation: impl Fn(Slot) -> RequestOp,
    ) -> Result<(), StoreError> {
        for lane in 0..self.lanes.len() {
            let slots: Vec<Slot> = slots.iter().filter(|slot| self.lane_of(*slot) == lane).collect();
            // Each claim is a transaction of its own within the outer one.
            for slots in slots.chunks(CLAIMS) {
                let operations = slots.iter().map(|slot| operation(*slot)).collect();
                self.apply(session, lane, operations).await?;
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        session: &Arc<Session>,
        lane: usize,
        operations: Vec<RequestOp>,
    ) -> Result<(), StoreError> {
        let (done, applied) = oneshot::channel();
        let done = Box::new(|result| drop(done.send(result)));
        self.hand_over(lane, Work::Apply(Arc::clone(session), operations, done));
        applied.await.unwrap_or(Err(StoreError::Closed))
    }

    fn hand_over(&self, lane: usize, work: Work) {
        match self.lanes.get(lane).filter(|_| !self.closed.load(Ordering::Acquire)) {
            Some(to) => {
                if let Err(mpsc::error::SendError(work)) = to.send(work) {
                    work.refuse();
                }
            }
            None => work.refuse(),
        }
    }

    fn lane_of(&self, slot: Slot) -> usize {
        usize::from(slot) % self.lanes.len()
    }

    fn session(&self) -> Result<Arc<Session>, StoreError> {
        self.session.load_full().ok_or_else(|| {
            let why = "this node has no lease in etcd";
            self.set_trouble(Some(why.to_owned()));
            StoreError::Unavailable(why.to_owned())
        })
    }

    #[cfg(test)]
    pub(crate) fn session_now(&self) -> Arc<Session> {
        self.session.load_full().expect("a session")
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Brings the clock up to the last decision time about these slots.
    async fn follow_time(&self, slots: Slots) -> Result<(), StoreError> {
        let prefix = named("time/");
        let times = self.client.range(prefix.clone(), after_prefix(prefix.clone())).await;
        for KeyValue { key, value, .. } in times.map_err(unavailable)? {
            let slot = key.strip_prefix(&prefix[..]).and_then(|slot| std::str::from_utf8(slot).ok());
            let slot = slot.and_then(|slot| Slot::from_str_radix(slot, 16).ok());
            if slot.is_some_and(|slot| slots.contains(slot))
                && let Ok(time) = <[u8; 8]>::try_from(&value[..])
            {
                self.clock.at_least(Timestamp::from_millis(u64::from_be_bytes(time)).plus(TIME_STEP));
            }
        }
        Ok(())
    }

    async fn read(&self, first: Slot, last: Slot, mut visit: Visitor) -> Result<Visitor, StoreError> {
        let (from, end) = record_range(first, last);
        let mut next = Some(from);
        while let Some(from) = next {
            let (records, after) = self.client.page(from, end.clone()).await.map_err(unavailable)?;
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
            visit = visited.await.map_err(|_| StoreError::Closed)?.map_err(unavailable)?;
        }
        Ok(visit)
    }
}

/// Claims of one transaction: each is a transaction within it, and what it may contain is what the outer one leaves of
/// etcd's limit of 128.
const CLAIMS: usize = 100;

fn unavailable(error: impl ToString) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for EtcdStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let Some(first) = writes.first() else {
            let closed = self.closed.load(Ordering::Acquire);
            return done(if closed { Err(StoreError::Closed) } else { Ok(()) });
        };
        let lane = self.lane_of(first.key.slot);
        if writes.iter().any(|write| self.lane_of(write.key.slot) != lane) {
            return done(Err(unavailable("a batch spans several shards")));
        }
        let trouble = Arc::clone(&self.trouble);
        match self.session() {
            Ok(session) => {
                let done: Done = Box::new(move |result: Result<(), StoreError>| {
                    let now = result.as_ref().err().map(ToString::to_string);
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = now;
                    done(result);
                });
                self.hand_over(lane, Work::Commit(session, writes, done));
            }
            Err(error) => done(Err(error)),
        }
    }

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(first) = slots.iter().next() else { return Ok(()) };
            self.fence(&self.session()?, slots).await?;
            self.follow_time(slots).await?;
            let mut run = first;
            for slot in slots.iter() {
                if slot == Slot::MAX || !slots.contains(slot + 1) {
                    visit = self.read(run, slot, visit).await?;
                    let next = slots.iter().find(|next| *next > slot);
                    run = next.unwrap_or(run);
                }
            }
            Ok(())
        })
    }

    fn expected_records(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Nothing: etcd makes its own snapshots.
    fn attach(&self, _owners: Vec<Arc<dyn Owner>>) {}

    fn copy(&self, _progress: Arc<CopyProgress>) -> BoxFuture<'_, Result<Copied, StoreError>> {
        Box::pin(async { Err(unavailable("a cluster is backed up with etcdctl snapshot save")) })
    }

    fn health(&self) -> Result<(), String> {
        if let Some(trouble) = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(trouble);
        }
        if self.is_current() { Ok(()) } else { Err("this node's lease in etcd is not prolonged".to_owned()) }
    }

    fn is_current(&self) -> bool {
        self.session.load().as_ref().is_some_and(|session| session.is_valid())
    }

    /// The epoch: a restore brings the clock up to the slots that it reads.
    fn newest_time(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            let session = self.session.swap(None);
            let Some(session) = session else { return Ok(()) };
            session.lose();
            self.client.revoke(session.lease).await.map_err(unavailable)
        })
    }
}
