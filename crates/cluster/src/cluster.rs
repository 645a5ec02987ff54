//! A node's part in the cluster: who owns the records, and the campaign to own them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::{ServerKey, Timestamp};
use onceward_store::Slot;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::etcd::{Client, ClientError, EtcdTls, LEASE_NOT_FOUND, delete, found, get, put, version_is};
use crate::lease::{self, Lease};
use crate::messages::{KeyValue, RequestOp, TxnRequest};
use crate::sealed::{Sealing, record_range, system_key};
use crate::store::EtcdStore;
use crate::writer::sequence_key;

/// Longest time until a change of the owner that the watch did not report is noticed.
const POLL: Duration = Duration::from_millis(500);
/// Attempts to reserve the node's address before the log warns, or the start is refused. An earlier process of the node,
/// which was killed, holds it for up to two seconds, or longer while etcd changes its leader.
const QUIET_ATTEMPTS: u32 = 8;
/// By this time after the join, the lease of an earlier process of this node has ended. etcd ends a lease up to half a
/// second late.
const EARLIER_LEASE_ENDED: Duration = lease::TTL.saturating_add(Duration::from_secs(1));

/// The arguments of [`Cluster::join`].
pub struct ClusterOptions {
    /// URLs of etcd's members.
    pub etcd: Vec<String>,
    pub tls: Option<EtcdTls>,
    /// This node's name.
    pub name: String,
    /// The host and port at which other nodes reach this one. No other node has it.
    pub advertise: String,
    /// The nodes share it.
    pub key: ServerKey,
    /// Identifies the key without revealing it.
    pub key_fingerprint: [u8; 16],
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Counts time since the machine booted, suspension included. It never jumps.
    pub uptime: Arc<dyn Clock>,
    /// Receives the owner, as far as this node knows, and why etcd refuses the join.
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

/// A node cannot own the records.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    #[error(
        "node {node} has the address {address}; give every node its own \"advertise\" in \"cluster\", where other nodes \
         reach it"
    )]
    AddressTaken { node: String, address: String },
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

/// The node that owns the records. Requests go to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Owner {
    /// This node.
    Here,
    Peer {
        node: String,
        address: String,
    },
    /// No node.
    Vacant,
    /// No node, because an import runs or was interrupted.
    Importing,
    /// The record of the owner was not written with the server key.
    Unproven,
    /// etcd refuses a request without which this node cannot own the records, for this reason.
    Refused(String),
    /// etcd does not answer.
    #[default]
    Unknown,
}

/// A member of the cluster.
pub struct Cluster {
    state: Arc<MemberState>,
    /// Aborted when the [`Cluster`] is dropped.
    tasks: Mutex<JoinSet<()>>,
}

/// The state that the tasks of a [`Cluster`] share.
struct MemberState {
    options: ClusterOptions,
    client: Arc<Client>,
    sealing: Arc<Sealing>,
    /// When this node joined, by `uptime`.
    joined: Timestamp,
    /// Why etcd refused the last attempt to own the records or to reserve the address.
    refusal: watch::Sender<Option<String>>,
    reservation: watch::Sender<Reservation>,
    /// The lease of this node's last term.
    term: watch::Sender<Option<Arc<Lease>>>,
    /// Counts changes of the owner key.
    changes: watch::Sender<u64>,
}

/// Whether this node has its address for itself.
#[derive(Clone, Default)]
enum Reservation {
    /// The campaign has not begun.
    #[default]
    NotRequested,
    /// Another process may have it.
    Pending,
    Held(Arc<Lease>),
    /// When this node started, the node of this name had it.
    Taken(String),
}

/// Exists while an import is not complete: no node owns the records then.
pub fn import_key() -> Vec<u8> {
    system_key("import")
}

/// The key of the owner. Its value is the node's name, its address and [`Sealing::owner_proof`], with line feeds between
/// them.
pub fn owner_key() -> Vec<u8> {
    system_key("owner")
}

/// The name, the address and the proof in the value of [`owner_key`].
pub fn owner_of(value: &[u8]) -> Option<(String, String, String)> {
    let (node, rest) = std::str::from_utf8(value).ok()?.split_once('\n')?;
    let (address, proof) = rest.split_once('\n')?;
    Some((node.to_owned(), address.to_owned(), proof.to_owned()))
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
            joined: options.uptime.now(),
            sealing: Arc::new(Sealing::new(&options.key)),
            options,
            client: Arc::new(client),
            refusal: watch::Sender::default(),
            reservation: watch::Sender::default(),
            term: watch::Sender::default(),
            changes: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_owner(Arc::clone(&state)));
        tasks.spawn(watch_owner(Arc::clone(&state)));
        Ok(Self { state, tasks: Mutex::new(tasks) })
    }

    /// Follows the owner. A node that has lost its lease is not told so here first: see [`EtcdStore::wait_until_lease_ended`].
    pub fn owner(&self) -> watch::Receiver<Owner> {
        self.state.options.owner.subscribe()
    }

    /// Returns `true` while the lease of this node's term is valid. It can change without a change of the
    /// [`owner`](Self::owner).
    pub fn has_valid_lease(&self) -> bool {
        self.state.term.borrow().as_ref().is_some_and(|term| term.is_valid())
    }

    /// Returns when this node owns the records, with the store of its term. Failures of etcd are logged once, and the
    /// campaign goes on.
    ///
    /// # Errors
    /// [`CampaignError::AddressTaken`] if a node of another name has the address: within four seconds if etcd answers.
    pub async fn campaign(&self) -> Result<EtcdStore, CampaignError> {
        let mut changes = self.state.changes.subscribe();
        let mut reservation = self.state.reservation.subscribe();
        let begins = self.state.reservation.send_if_modified(|reservation| {
            let begins = matches!(reservation, Reservation::NotRequested);
            if begins {
                *reservation = Reservation::Pending;
            }
            begins
        });
        if begins {
            let mut tasks = self.tasks.lock();
            tasks.spawn(reserve_address(Arc::clone(&self.state)));
        }
        let mut is_reported = false;
        loop {
            let is_decided = |reservation: &Reservation| {
                matches!(reservation, Reservation::Held(_) | Reservation::Taken(_))
            };
            // The sender lives as long as `self`.
            if let Ok(decided) = reservation.wait_for(is_decided).await
                && let Reservation::Taken(node) = &*decided
            {
                let address = self.state.options.advertise.clone();
                return Err(CampaignError::AddressTaken { node: node.clone(), address });
            }
            // Before the attempt: a change that comes during it then ends the wait behind it at once.
            changes.mark_unchanged();
            let won = self.state.try_to_win(true).await;
            self.state.note_refusal(won.as_ref().err());
            match won {
                Ok(Some(store)) => return Ok(store),
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

    /// Gives up the node's address. Otherwise it stays reserved for two seconds.
    pub async fn release_reservation(&self) {
        // The task would reserve the address again as soon as its lease has ended.
        self.tasks.lock().abort_all();
        let former = self.state.reservation.send_replace(Reservation::NotRequested);
        if let Reservation::Held(lease) = former {
            lease.end();
            // The lease ends by itself in any case.
            let _ = self.state.client.revoke(lease.id).await;
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
    /// The owner after a request that failed.
    fn after(error: &ClientError) -> Self {
        error.refusal().map_or(Self::Unknown, Self::Refused)
    }
}

impl MemberState {
    fn note_refusal(&self, error: Option<&ClientError>) {
        self.refusal.send_replace(error.and_then(ClientError::refusal));
    }

    /// Writes a key that no other process has, attached to a lease that is kept alive from then on. Returns the key's other
    /// holder, if there is one.
    async fn claim(
        &self,
        key: Vec<u8>,
        absent: Option<Vec<u8>>,
        puts: impl FnOnce(i64) -> Vec<RequestOp>,
    ) -> Result<Result<Arc<Lease>, Option<KeyValue>>, ClientError> {
        // A standby finds the key taken at each attempt: the look spares etcd a lease that would only end again.
        if let Some(holder) = self.client.read(key.clone()).await? {
            return Ok(Err(Some(holder)));
        }
        let ClusterOptions { etcd, tls, uptime, .. } = &self.options;
        // The time is read before the request: etcd may count the lease from the moment at which it arrives.
        let sent = uptime.now();
        let lease = Arc::new(Lease::new(self.client.grant(lease::TTL).await?, Arc::clone(uptime), sent));
        let absent = [Some(key.clone()), absent].into_iter().flatten();
        let compare = absent.map(|absent| version_is(absent, 0)).collect();
        let txn = TxnRequest { compare, success: puts(lease.id), failure: vec![get(key)] };
        let claimed = self.client.txn(txn).await.map(|response| {
            let succeeded = response.succeeded;
            let holder = found(response).flatten().next();
            // A repeated claim finds its own key.
            let is_ours = succeeded || holder.as_ref().is_some_and(|holder| holder.lease == lease.id);
            if is_ours { Ok(()) } else { Err(holder) }
        });
        let claimed = claimed.and_then(|claimed| {
            if claimed.is_ok() {
                lease::keep_alive(&lease, etcd.clone(), tls.clone()).map_err(|error| no_thread(&error))?;
            }
            Ok(claimed)
        });
        if !matches!(claimed, Ok(Ok(()))) {
            // If it is not revoked it ends by itself, with the key of a claim that arrives late.
            let _ = self.client.revoke(lease.id).await;
        }
        Ok(claimed?.map(|()| lease))
    }

    /// Claims the owner key if it is free; if this node is to serve, only while no import is incomplete. The claim begins
    /// the term's sequence; therefore no transaction of an earlier term is applied from then on.
    async fn try_to_win(&self, serves: bool) -> Result<Option<EtcdStore>, ClientError> {
        let ClusterOptions { name, advertise, .. } = &self.options;
        let claims = |lease| {
            let proof = self.sealing.owner_proof(name, advertise, lease);
            let owner = format!("{name}\n{advertise}\n{proof}").into_bytes();
            vec![put(owner_key(), owner, lease), put(sequence_key(lease), Vec::new(), lease)]
        };
        let Ok(lease) = self.claim(owner_key(), serves.then(import_key), claims).await? else {
            return Ok(None);
        };
        let (client, sealing) = (Arc::clone(&self.client), Arc::clone(&self.sealing));
        let store =
            EtcdStore::open(client, sealing, Arc::clone(&self.options.clock), Arc::clone(&lease)).await;
        if store.is_err() {
            lease.end();
            let _ = self.client.revoke(lease.id).await;
        } else {
            if serves {
                tracing::info!(node = name, term = format!("{:x}", lease.id), "ownership acquired");
            }
            self.term.send_replace(Some(lease));
            self.options.owner.send_replace(Owner::Here);
        }
        store.map(Some)
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
        // A client that can write to etcd must not draw requests with numbers and codes to itself.
        let is_proven =
            |node: &str, address: &str, proof: &str| self.sealing.is_owner_proof(node, address, lease, proof);
        let owner = owner_of(&value).filter(|(node, address, proof)| is_proven(node, address, proof));
        let Some((node, address, _)) = owner else { return Owner::Unproven };
        let ClusterOptions { name, advertise, uptime, .. } = &self.options;
        if node == *name && address == *advertise && uptime.now().since(self.joined) < EARLIER_LEASE_ENDED {
            // An earlier process of this node, whose lease has not ended yet.
            return Owner::Vacant;
        }
        Owner::Peer { node, address }
    }
}

fn no_thread(error: &io::Error) -> ClientError {
    ClientError::Local(format!("the thread that keeps the lease alive cannot start: {error}"))
}

/// Holds the node's address from the beginning of the campaign on.
async fn reserve_address(state: Arc<MemberState>) {
    let mut attempts = 0;
    let mut has_held = false;
    loop {
        let ClusterOptions { name, advertise, .. } = &state.options;
        // Its value is the node's name.
        let key = system_key(&format!("address/{advertise}"));
        let reserves = |lease| vec![put(key.clone(), name.clone().into_bytes(), lease)];
        match state.claim(key.clone(), None, reserves).await {
            Ok(Ok(lease)) => {
                (attempts, has_held) = (0, true);
                state.note_refusal(None);
                state.reservation.send_replace(Reservation::Held(Arc::clone(&lease)));
                lease.wait_until_ended().await;
                state.reservation.send_replace(Reservation::Pending);
                continue;
            }
            Ok(Err(holder)) => {
                let node = holder.map(|holder| String::from_utf8_lossy(&holder.value).into_owned());
                let node = node.unwrap_or_default();
                attempts += 1;
                // One of the same name is an earlier process of this node, or its copy.
                if attempts >= QUIET_ATTEMPTS && !has_held && node != *name {
                    state.reservation.send_replace(Reservation::Taken(node));
                    return;
                }
                if attempts == QUIET_ATTEMPTS {
                    tracing::warn!(
                        node = name,
                        holder = node,
                        address = advertise,
                        "address in use, this node cannot own the records; unless an earlier process of this node has it, give every node its own \"name\" and \"advertise\" in \"cluster\""
                    );
                }
            }
            Err(error) => {
                state.note_refusal(Some(&error));
                tracing::debug!(%error, "address not reserved");
            }
        }
        sleep(POLL).await;
    }
}

/// Logs a change of the owner. [`MemberState::try_to_win`] logs that this node became the owner.
fn log_change(owner: &Owner, has_seen_an_owner: bool) {
    match owner {
        Owner::Here => {}
        Owner::Peer { node, address } => tracing::info!(owner = node, address, "owner changed"),
        // When the first node of a cluster starts, no node has owned the records before.
        Owner::Vacant if !has_seen_an_owner => {}
        Owner::Vacant => tracing::info!("owner missing"),
        Owner::Importing => tracing::warn!(
            "import not complete, no node owns the records until it is; if it was interrupted, run it again"
        ),
        Owner::Unproven => tracing::error!(
            "owner in etcd not proven, no request is passed on; check which programs write to etcd, and that all nodes have one version"
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
        has_seen_an_owner |= matches!(*known.borrow(), Owner::Here | Owner::Peer { .. });
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
