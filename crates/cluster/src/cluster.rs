//! A node's part in the cluster: who owns the records, and the campaign to own them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::ServerKey;
use onceward_store::Slot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::etcd::{Client, ClientError, EtcdTls, LEASE_NOT_FOUND, delete, found, get, put, version_is};
use crate::lease::{self, Lease};
use crate::messages::{KeyValue, TxnRequest};
use crate::sealed::{Sealing, record_range, system_key};
use crate::store::EtcdStore;
use crate::writer::sequence_key;

/// Longest time until a change of the owner that the watch did not report is noticed.
const POLL: Duration = Duration::from_millis(500);
/// The arguments of [`Cluster::join`].
pub struct ClusterOptions {
    /// URLs of etcd's members.
    pub etcd: Vec<String>,
    pub tls: Option<EtcdTls>,
    /// This node's name.
    pub name: String,
    /// The nodes share it.
    pub key: ServerKey,
    /// Identifies the key without revealing it.
    pub key_fingerprint: [u8; 16],
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Counts time since the machine booted, suspension included. It never jumps.
    pub uptime: Arc<dyn Clock>,
    /// Receives the owner, as far as this node knows, and why etcd refuses the join. A node that has lost its lease is not told
    /// so here first: see [`EtcdStore::wait_until_lease_ended`].
    pub owner: watch::Sender<Owner>,
}

/// A node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("\"cluster\" cannot be used: {0}")]
    Settings(String),
    #[error("{0}{remedy}", remedy = remedy(.0))]
    Etcd(#[from] ClientError),
    #[error(
        "the records in etcd were written with another server key; give every node the same file (\"key-file\")"
    )]
    OtherKey,
}

fn remedy(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unknown(_) => {
            "; check that a majority of etcd's members runs and that \"etcd\" in \"cluster\" names them"
        }
        // The reason names the remedy.
        ClientError::Refused(_) | ClientError::Local(_) => "",
    }
}

/// An import cannot begin or end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("a node owns the records of the cluster; stop all nodes before an import")]
    Owned,
    #[error("etcd has records of the cluster already; an import needs an etcd without any")]
    NotEmpty,
    #[error(transparent)]
    Etcd(#[from] ClientError),
}

/// The node that owns the records, and answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub enum Owner {
    #[error("this node owns the records of the cluster and loads them")]
    Here,
    #[error("this node stands by; node {0} owns the records of the cluster")]
    Peer(String),
    #[error("this node stands by; no node owns the records of the cluster")]
    Vacant,
    /// An import runs or was interrupted.
    #[error(
        "this node stands by; no node owns the records of the cluster before an import is complete; if it was \
         interrupted, run it again"
    )]
    Importing,
    /// Without this request this node cannot own the records.
    #[error("this node stands by and cannot own the records: etcd refuses its request: {0}")]
    Refused(String),
    #[default]
    #[error("this node stands by; etcd does not answer")]
    Unknown,
}

/// A member of the cluster.
pub struct Cluster {
    state: Arc<MemberState>,
    /// Aborted when the [`Cluster`] is dropped.
    _tasks: JoinSet<()>,
}

/// The state that the tasks of a [`Cluster`] share.
struct MemberState {
    options: ClusterOptions,
    client: Arc<Client>,
    sealing: Arc<Sealing>,
    /// Why etcd refused the last attempt to own the records.
    refusal: watch::Sender<Option<String>>,
    /// The lease of this node's last term.
    term: watch::Sender<Option<Arc<Lease>>>,
    /// Counts changes of the owner key.
    changes: watch::Sender<u64>,
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
    /// Connects to etcd, compares the server key, and follows the owner from then on. Needs a runtime.
    ///
    /// # Errors
    /// [`JoinError`]; each says what to do.
    pub async fn join(options: ClusterOptions) -> Result<Self, JoinError> {
        let client = Client::new(&options.etcd, options.tls.as_ref()).map_err(JoinError::Settings)?;
        let key = system_key("server-key");
        let txn = TxnRequest {
            compare: vec![version_is(key.clone(), 0)],
            success: vec![put(key.clone(), options.key_fingerprint.to_vec(), 0)],
            failure: vec![get(key)],
        };
        let response = client.txn(txn).await.inspect_err(|error| {
            options.owner.send_replace(Owner::after(error));
        })?;
        let is_other = |found: KeyValue| found.value[..] != options.key_fingerprint;
        if !response.succeeded && found(response).flatten().any(is_other) {
            return Err(JoinError::OtherKey);
        }
        let state = Arc::new(MemberState {
            sealing: Arc::new(Sealing::new(&options.key)),
            options,
            client: Arc::new(client),
            refusal: watch::Sender::default(),
            term: watch::Sender::default(),
            changes: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_owner(Arc::clone(&state)));
        tasks.spawn(watch_owner(Arc::clone(&state)));
        Ok(Self { state, _tasks: tasks })
    }

    #[cfg(test)]
    pub(crate) fn owner(&self) -> watch::Receiver<Owner> {
        self.state.options.owner.subscribe()
    }

    /// Returns when this node owns the records, with the store of its term. Failures of etcd are logged once, and the
    /// campaign goes on.
    pub async fn campaign(&self) -> EtcdStore {
        let mut changes = self.state.changes.subscribe();
        let mut is_reported = false;
        loop {
            // Before the attempt: a change that comes during it then ends the wait behind it at once.
            changes.mark_unchanged();
            let won = self.state.try_to_win(true).await;
            self.state.refusal.send_replace(won.as_ref().err().and_then(ClientError::refusal));
            match won {
                Ok(Some(store)) => return store,
                Ok(None) => is_reported = false,
                Err(error) => {
                    if std::mem::replace(&mut is_reported, true) {
                        tracing::debug!(%error, "campaign failed");
                    } else {
                        tracing::warn!(%error, "campaign failed, retrying");
                    }
                    // Not until a change: the attempt may have changed the key itself.
                    sleep(POLL).await;
                    continue;
                }
            }
            // Ended by the change or by the poll.
            let _ = timeout(POLL, changes.changed()).await;
        }
    }

    /// Owns the records of an etcd without any, to import records. Records of an import that was cut off are deleted.
    /// No node owns the records before [`Cluster::finish_import`].
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn begin_import(&self) -> Result<EtcdStore, ImportError> {
        let client = &self.state.client;
        let store = self.state.try_to_win(false).await?.ok_or(ImportError::Owned)?;
        if client.read(import_key()).await?.is_none() {
            for slot in 0..=Slot::MAX {
                let (first, end) = record_range(slot, slot);
                if !client.page(first, end).await?.0.is_empty() {
                    let _ = store.release().await;
                    return Err(ImportError::NotEmpty);
                }
            }
        }
        let (first, end) = record_range(0, Slot::MAX);
        let success = vec![put(import_key(), Vec::new(), 0), delete(first, end)];
        client.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
        Ok(store)
    }

    /// Ends an import, all of whose batches have been committed.
    ///
    /// # Errors
    /// [`ImportError::Etcd`].
    pub async fn finish_import(&self, store: EtcdStore) -> Result<(), ImportError> {
        let success = vec![delete(import_key(), Vec::new())];
        self.state.client.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
        // The lease ends by itself in any case.
        let _ = store.release().await;
        Ok(())
    }
}

/// Ends the term of a process that is gone, so that no node waits until its lease ends. Returns `false` if it had already ended.
/// A transaction of that term changes nothing from then on.
///
/// # Errors
/// [`JoinError::Settings`] and [`JoinError::Etcd`].
pub async fn release(urls: &[String], tls: Option<&EtcdTls>, lease: i64) -> Result<bool, JoinError> {
    let client = Client::new(urls, tls).map_err(JoinError::Settings)?;
    match client.revoke(lease).await {
        Ok(()) => Ok(true),
        Err(ClientError::Refused(why)) if why.contains(LEASE_NOT_FOUND) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Owner {
    /// Whether a node that stands by can take over when the owner ends.
    pub const fn lets_stand_by(&self) -> bool {
        matches!(self, Self::Peer(_) | Self::Vacant)
    }

    /// The owner after a request that failed.
    fn after(error: &ClientError) -> Self {
        error.refusal().map_or(Self::Unknown, Self::Refused)
    }
}

impl MemberState {
    /// Claims the owner key if it is free; if this node is to serve, only while no import is incomplete. The claim begins
    /// the term's sequence; therefore no transaction of an earlier term is applied from then on.
    async fn try_to_win(&self, serves: bool) -> Result<Option<EtcdStore>, ClientError> {
        // A standby finds the key taken at each attempt: the look spares etcd a lease that would only end again.
        if self.client.read(owner_key()).await?.is_some() {
            return Ok(None);
        }
        let ClusterOptions { name, uptime, .. } = &self.options;
        // The time is read before the request: etcd may count the lease from the moment at which it arrives.
        let sent = uptime.now();
        let lease = Arc::new(Lease::new(self.client.grant(lease::TTL).await?, Arc::clone(uptime), sent));
        let won = self.claim(&lease, serves).await;
        if matches!(won, Ok(Some(_))) {
            if serves {
                tracing::info!(node = name, term = format!("{:x}", lease.id), "ownership acquired");
            }
            self.term.send_replace(Some(lease));
            self.options.owner.send_replace(Owner::Here);
        } else {
            lease.end();
            // If it is not revoked it ends by itself, with the key of a claim that arrives late.
            let _ = self.client.revoke(lease.id).await;
        }
        won
    }

    async fn claim(&self, lease: &Arc<Lease>, serves: bool) -> Result<Option<EtcdStore>, ClientError> {
        let ClusterOptions { name, etcd, tls, clock, .. } = &self.options;
        let absent = [Some(owner_key()), serves.then(import_key)].into_iter().flatten();
        let txn = TxnRequest {
            compare: absent.map(|absent| version_is(absent, 0)).collect(),
            success: vec![
                put(owner_key(), name.clone().into_bytes(), lease.id),
                put(sequence_key(lease.id), Vec::new(), lease.id),
            ],
            failure: vec![get(owner_key())],
        };
        let response = self.client.txn(txn).await?;
        // A repeated claim finds its own key.
        if !response.succeeded && !found(response).flatten().any(|holder| holder.lease == lease.id) {
            return Ok(None);
        }
        lease::keep_alive(lease, etcd.clone(), tls.clone()).map_err(|error| no_thread(&error))?;
        let (client, sealing) = (Arc::clone(&self.client), Arc::clone(&self.sealing));
        EtcdStore::open(client, sealing, Arc::clone(clock), Arc::clone(lease)).await.map(Some)
    }

    async fn read_owner(&self) -> Owner {
        let reads = vec![get(owner_key()), get(import_key())];
        let txn = TxnRequest { success: reads, ..TxnRequest::default() };
        let response = match self.client.txn(txn).await {
            Ok(response) => response,
            Err(error) => return Owner::after(&error),
        };
        let (mut owner, mut is_importing) = (None, false);
        for found in found(response).flatten() {
            if found.key == owner_key() {
                owner = Some(found);
            } else {
                is_importing = true;
            }
        }
        let Some(KeyValue { value, lease, .. }) = owner else {
            let refusal = || self.refusal.borrow().clone();
            return if is_importing {
                Owner::Importing
            } else {
                refusal().map_or(Owner::Vacant, Owner::Refused)
            };
        };
        if let Some(term) = &*self.term.borrow()
            && term.id == lease
        {
            // A term that this node has given up stands in etcd until its lease ends there.
            return if term.has_ended() { Owner::Vacant } else { Owner::Here };
        }
        if is_importing {
            return Owner::Importing;
        }
        Owner::Peer(String::from_utf8_lossy(&value).into_owned())
    }
}

fn no_thread(error: &io::Error) -> ClientError {
    ClientError::Local(format!("the thread that keeps the lease alive cannot start: {error}"))
}

/// Logs a change of the owner. [`MemberState::try_to_win`] logs that this node became the owner.
fn log_change(owner: &Owner, has_seen_an_owner: bool) {
    match owner {
        Owner::Here => {}
        Owner::Peer(node) => tracing::info!(owner = node, "owner changed"),
        // When the first node of a cluster starts, no node has owned the records before.
        Owner::Vacant if !has_seen_an_owner => {}
        Owner::Vacant => tracing::info!("owner missing"),
        Owner::Importing => tracing::warn!(
            "import not complete, no node owns the records until it is; if it was interrupted, run it again"
        ),
        Owner::Refused(reason) => {
            tracing::warn!(reason, "request refused by etcd, this node cannot own the records");
        }
        Owner::Unknown => tracing::warn!("etcd unavailable, owner unknown"),
    }
}

async fn follow_owner(state: Arc<MemberState>) {
    let (mut changes, mut terms) = (state.changes.subscribe(), state.term.subscribe());
    let mut has_seen_an_owner = false;
    loop {
        changes.mark_unchanged();
        let term = terms.borrow_and_update().clone();
        let owner = state.read_owner().await;
        let known = &state.options.owner;
        has_seen_an_owner |= matches!(*known.borrow(), Owner::Here | Owner::Peer(_));
        let is_news = known.send_if_modified(|known| {
            // What was read before this node won is no news any more.
            let is_news = *known != owner && !terms.has_changed().unwrap_or(false);
            if is_news {
                known.clone_from(&owner);
            }
            is_news
        });
        if is_news {
            log_change(&owner, has_seen_an_owner);
        }
        let ended = async {
            match term.filter(|term| !term.has_ended()) {
                Some(term) => term.wait_until_ended().await,
                None => std::future::pending().await,
            }
        };
        // Each way leads to the next reading.
        tokio::select! {
            () = ended => {}
            _ = changes.changed() => {}
            _ = terms.changed() => {}
            () = sleep(POLL) => {}
        }
    }
}

/// Reports changes of the owner at once. Without it, they are noticed at the next poll.
async fn watch_owner(state: Arc<MemberState>) {
    loop {
        let changed = || state.changes.send_modify(|changes| *changes += 1);
        if let Err(error) = state.client.watch(owner_key(), changed).await {
            tracing::debug!(%error, "watch of the owner ended");
        }
        sleep(POLL).await;
    }
}
