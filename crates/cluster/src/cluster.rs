//! A node's part in the cluster: who owns the records, and the campaign to own them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use onceward_core::clock::{Clock, EngineClock};
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_core::engine::key_fingerprint;
use onceward_store::Slot;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::ClientTlsConfig;

use crate::Error;
use crate::etcd::{
    Client, DEADLINE, KeyValue, LEASE_NOT_FOUND, Operation, TxnRequest, delete, found, get, put, version_is,
};
use crate::store::{EtcdStore, record_range, sequence_key, system_key};

/// Time between two readings of the owner: a standby notices so late that there is none.
const POLL: Duration = Duration::from_millis(100);

/// The arguments of [`Cluster::join`].
pub struct ClusterOptions {
    /// URLs of etcd's members.
    pub etcd: Vec<String>,
    pub tls: Option<ClientTlsConfig>,
    /// This node's name.
    pub name: String,
    /// The nodes share it.
    pub key: ServerKey,
    /// The time of decisions.
    pub clock: EngineClock,
    /// Counts time since the machine booted, suspension included. It never jumps.
    pub uptime: Arc<dyn Clock>,
    /// Receives the owner, as far as this node knows, and why etcd refuses the join. The end of this node's term is not told
    /// here: see [`EtcdStore::wait_until_lease_ended`].
    pub owner: watch::Sender<Owner>,
}

/// The node that owns the records, and answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, strum::Display)]
pub enum Owner {
    #[strum(to_string = "this node owns the records of the cluster and loads them")]
    Here,
    #[strum(to_string = "this node stands by; node {0} owns the records of the cluster")]
    Peer(String),
    #[strum(to_string = "this node stands by; no node owns the records of the cluster")]
    Vacant,
    /// An import runs or was interrupted.
    #[strum(
        to_string = "this node stands by; no node owns the records of the cluster before an import is complete; if it \
                     was interrupted, run it again"
    )]
    Importing,
    /// Without this request this node cannot own the records.
    #[strum(to_string = "this node stands by and cannot own the records: etcd refuses its request: {0}")]
    Refused(String),
    #[default]
    #[strum(to_string = "this node stands by; etcd does not answer")]
    Unknown,
}

/// A member of the cluster.
pub struct Cluster {
    pub(crate) options: ClusterOptions,
    pub(crate) client: Arc<Client>,
}

/// Exists while an import is not complete: no node owns the records then.
pub fn import_key() -> Vec<u8> {
    system_key("import")
}

/// The key of the owner. Its value is the node's name.
pub fn owner_key() -> Vec<u8> {
    system_key("owner")
}

impl Cluster {
    /// Connects to etcd, and compares the server key. Needs a runtime.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn join(options: ClusterOptions) -> Result<Self, Error> {
        let client = Client::new(&options.etcd, options.tls.as_ref())?;
        let (key, fingerprint) = (system_key("server-key"), key_fingerprint(&options.key));
        let txn = TxnRequest {
            compare: vec![version_is(key.clone(), 0)],
            success: vec![put(key.clone(), fingerprint.to_vec(), 0)],
            failure: vec![get(key)],
        };
        let response = client.txn(txn, DEADLINE).await.inspect_err(|error| {
            options.owner.send_replace(Owner::after(error));
        })?;
        // Nothing is found if the key is written now.
        if found(response).any(|found| found.value[..] != fingerprint) {
            let why = "the records in etcd were written with another server key; give every node the same file \
                       (\"key-file\")";
            return Err(Error::Settings(why.to_owned()));
        }
        Ok(Self { options, client: Arc::new(client) })
    }

    /// Follows the owner. Returns when this node owns the records, with the store of its term. The log has each change of
    /// the owner, and of what etcd says.
    pub async fn campaign(&self) -> EtcdStore {
        loop {
            let mut owner = self.read_owner().await.unwrap_or_else(|error| Owner::after(&error));
            // An etcd that does not answer a reading answers no claim either.
            if owner == Owner::Vacant {
                match self.try_to_win(true).await {
                    Ok(Some(store)) => return store,
                    Ok(None) => {}
                    Err(error) => owner = Owner::after(&error),
                }
            }
            if *self.options.owner.borrow() != owner {
                if owner.lets_stand_by() {
                    tracing::info!(%owner, "owner changed");
                } else {
                    tracing::warn!(reason = %owner, "this node cannot take over");
                }
                self.options.owner.send_replace(owner);
            }
            sleep(POLL).await;
        }
    }

    /// Owns the records of an etcd without any, to import records. Records of an import that was cut off are deleted.
    /// No node owns the records before [`Cluster::finish_import`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn begin_import(&self) -> Result<EtcdStore, Error> {
        let client = &self.client;
        let owned = "a node owns the records of the cluster; stop all nodes before an import";
        let store = self.try_to_win(false).await?.ok_or_else(|| Error::Other(owned.to_owned()))?;
        let begin = async || {
            if client.read(import_key()).await?.is_none() {
                for slot in 0..=Slot::MAX {
                    if !client.slot(slot).await?.is_empty() {
                        let why =
                            "etcd has records of the cluster already; an import needs an etcd without any";
                        return Err(Error::Other(why.to_owned()));
                    }
                }
            }
            let (first, end) = record_range(0, Slot::MAX);
            let begin = vec![put(import_key(), Vec::new(), 0), delete(first, end)];
            self.apply_once(store.lease_id(), begin).await
        };
        match begin().await {
            Ok(()) => Ok(store),
            Err(error) => {
                let _ = store.release().await;
                Err(error)
            }
        }
    }

    /// Ends an import, all of whose batches have been committed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn finish_import(&self, store: EtcdStore) -> Result<(), Error> {
        self.apply_once(store.lease_id(), vec![delete(import_key(), Vec::new())]).await?;
        // The lease ends by itself in any case.
        let _ = store.release().await;
        Ok(())
    }

    /// Carries out operations between the batches of a term. A copy of them that arrives behind the next batch, or after the
    /// term, changes nothing.
    async fn apply_once(&self, lease: i64, success: Vec<Operation>) -> Result<(), Error> {
        let lost = || Error::Other("this node has lost its lease in etcd; repeat the import".to_owned());
        let sequence = self.client.read(sequence_key(lease)).await?.ok_or_else(lost)?;
        let compare = vec![version_is(sequence_key(lease), sequence.version)];
        let response =
            self.client.txn(TxnRequest { compare, success, failure: Vec::new() }, DEADLINE).await?;
        if response.succeeded { Ok(()) } else { Err(lost()) }
    }

    /// Claims the owner key if it is free; if this node is to serve, only while no import is incomplete. The claim begins
    /// the term's sequence; therefore no transaction of an earlier term is applied from then on.
    async fn try_to_win(&self, serves: bool) -> Result<Option<EtcdStore>, Error> {
        let ClusterOptions { name, uptime, .. } = &self.options;
        // The time is read before the request: etcd may count the lease from the moment at which it arrives.
        let sent = uptime.now();
        let lease = Arc::new(Lease::new(self.client.grant(TTL).await?, Arc::clone(uptime), sent));
        let won = self.claim(&lease, serves).await;
        if matches!(won, Ok(Some(_))) {
            if serves {
                tracing::info!(node = name, term = format!("{:x}", lease.id), "ownership acquired");
            }
            self.options.owner.send_replace(Owner::Here);
        } else {
            lease.end();
            // If it is not revoked it ends by itself, with the key of a claim that arrives late.
            let _ = self.client.revoke(lease.id).await;
        }
        won
    }

    async fn claim(&self, lease: &Arc<Lease>, serves: bool) -> Result<Option<EtcdStore>, Error> {
        let ClusterOptions { name, etcd, tls, .. } = &self.options;
        let absent = [Some(owner_key()), serves.then(import_key)].into_iter().flatten();
        let txn = TxnRequest {
            compare: absent.map(|absent| version_is(absent, 0)).collect(),
            success: vec![
                put(owner_key(), name.clone().into_bytes(), lease.id),
                put(sequence_key(lease.id), Vec::new(), lease.id),
            ],
            failure: vec![get(owner_key())],
        };
        let response = self.client.txn(txn, DEADLINE).await?;
        // A repeated claim finds its own key.
        if !response.succeeded && !found(response).any(|holder| holder.lease == lease.id) {
            return Ok(None);
        }
        keep_lease(Arc::downgrade(lease), etcd.clone(), tls.clone()).map_err(|error| {
            Error::Other(format!("the thread that keeps the lease alive cannot start: {error}"))
        })?;
        EtcdStore::open(self, Arc::clone(lease)).await.map(Some)
    }

    async fn read_owner(&self) -> Result<Owner, Error> {
        let success = vec![get(owner_key()), get(import_key())];
        let response = self.client.txn(TxnRequest { success, ..TxnRequest::default() }, DEADLINE).await?;
        let found: Vec<KeyValue> = found(response).collect();
        // The importer owns the records too.
        if found.iter().any(|found| found.key == import_key()) {
            return Ok(Owner::Importing);
        }
        let name = |holder: &KeyValue| String::from_utf8_lossy(&holder.value).into_owned();
        Ok(found.first().map_or(Owner::Vacant, |holder| Owner::Peer(name(holder))))
    }
}

/// Ends the term of a process that is gone, so that no node waits until its lease ends. Returns `false` if it had already ended.
/// A transaction of that term changes nothing from then on.
///
/// # Errors
/// [`Error`].
pub async fn release(urls: &[String], tls: Option<&ClientTlsConfig>, lease: i64) -> Result<bool, Error> {
    match Client::new(urls, tls)?.revoke(lease).await {
        Err(Error::Refused(why)) if why.contains(LEASE_NOT_FOUND) => Ok(false),
        revoked => revoked.map(|()| true),
    }
}

impl Owner {
    /// Whether a node that stands by can take over when the owner ends.
    pub const fn lets_stand_by(&self) -> bool {
        matches!(self, Self::Peer(_) | Self::Vacant)
    }

    /// The owner after a request that failed.
    fn after(error: &Error) -> Self {
        if let Error::Refused(why) = error { Self::Refused(why.clone()) } else { Self::Unknown }
    }
}

// Leases of etcd. The owner key of a term is attached to one, and ends with it.

/// The shortest lease that etcd grants with its default election time-out.
pub const TTL: Duration = Duration::from_secs(2);
/// Time between two keep-alives.
const EVERY: Duration = Duration::from_millis(500);
/// Memory is trusted for this long less than the lease may last: clocks of two machines differ a little in rate.
const MARGIN: Duration = Duration::from_millis(500);
const VALID_FOR: Duration = TTL.saturating_sub(MARGIN);
/// A node gives its lease up this long after it ceased to be valid. etcd may receive keep-alives although its answers do
/// not arrive; it would then prolong the lease for ever.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);

pub struct Lease {
    /// etcd's id.
    pub id: i64,
    /// Counts time since the machine booted, suspension included.
    uptime: Arc<dyn Clock>,
    /// In milliseconds of `uptime`.
    valid_until: AtomicU64,
    ended: watch::Sender<bool>,
}

impl Lease {
    /// A lease that was requested at `sent`.
    pub fn new(id: i64, uptime: Arc<dyn Clock>, sent: Timestamp) -> Self {
        let valid_until = AtomicU64::new(sent.plus(VALID_FOR).as_millis());
        Self { id, uptime, valid_until, ended: watch::Sender::new(false) }
    }

    /// etcd has prolonged the lease, as it was asked at `sent`.
    fn acknowledged(&self, sent: Timestamp) {
        self.valid_until.store(sent.plus(VALID_FOR).as_millis(), Ordering::Release);
    }

    /// Time until this node gives the lease up, unless etcd prolongs it: 2.5 s from the last request that etcd answered.
    fn until_given_up(&self) -> Duration {
        let valid_until = Timestamp::from_millis(self.valid_until.load(Ordering::Acquire));
        valid_until.plus(GIVEN_UP_AFTER).since(self.now())
    }

    /// Time since the machine booted, suspension included.
    pub fn now(&self) -> Timestamp {
        self.uptime.now()
    }

    /// Whether the lease lasts, as far as this node knows. Until then no other node can have the key that is attached to it.
    pub fn is_valid(&self) -> bool {
        !self.has_ended() && self.now().as_millis() < self.valid_until.load(Ordering::Acquire)
    }

    /// Records that the lease has ended, or that this node gives it up.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns when the lease has ended.
    pub async fn wait_until_ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// Keeps the lease alive on a thread of its own, until the lease has ended or is dropped.
///
/// # Errors
/// If the thread or its runtime cannot be made.
pub fn keep_lease(lease: Weak<Lease>, urls: Vec<String>, tls: Option<ClientTlsConfig>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || runtime.block_on(prolong(&lease, &urls, tls.as_ref()));
    thread::Builder::new().name("lease".to_owned()).spawn(run)?;
    Ok(())
}

async fn prolong(lease: &Weak<Lease>, urls: &[String], tls: Option<&ClientTlsConfig>) {
    // A client belongs to the runtime in which it was made: this thread has its own.
    let client = match Client::new(urls, tls) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "lease not kept alive");
            return;
        }
    };
    while let Some(lease) = lease.upgrade().filter(|lease| !lease.has_ended()) {
        let sent = lease.now();
        match timeout(lease.until_given_up(), client.keep_alive(lease.id)).await {
            Ok(Ok(true)) => lease.acknowledged(sent),
            Ok(Ok(false)) => lease.end(),
            // The lease may still last.
            Ok(Err(error)) => tracing::debug!(%error, "lease not prolonged"),
            Err(_) => {}
        }
        if lease.until_given_up().is_zero() && !lease.has_ended() {
            lease.end();
            tracing::debug!("lease not confirmed by etcd in time, given up");
            // If etcd hears this node, another one need not wait for the end.
            let _ = timeout(EVERY, client.revoke(lease.id)).await;
        }
        // The pause holds no lease: one that its owner drops ends this thread.
        drop(lease);
        sleep(EVERY).await;
    }
}
