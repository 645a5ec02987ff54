//! A node's part in the cluster: who owns the records, and the campaign to own them.

use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::ServerKey;
use onceward_store::Slot;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Error;
use crate::etcd::{Client, EtcdTls, LEASE_NOT_FOUND, delete, found, get, put, version_is};
use crate::lease::{self, Lease};
use crate::messages::{KeyValue, TxnRequest};
use crate::sealed::{Sealing, record_range, system_key};
use crate::store::{EtcdStore, sequence_key};

/// Time between two readings of the owner: a standby notices so late that there is none.
const POLL: Duration = Duration::from_millis(100);

/// Time until an attempt to own the records that failed is repeated.
const TRY_AGAIN: Duration = Duration::from_millis(500);

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
    member: Arc<Member>,
    /// Aborted when the [`Cluster`] is dropped.
    _task: JoinSet<()>,
}

struct Member {
    options: ClusterOptions,
    client: Arc<Client>,
    sealing: Arc<Sealing>,
    /// Why etcd refused the last attempt to own the records.
    refusal: Mutex<Option<String>>,
    /// The lease of this node's last term.
    term: Mutex<Option<Arc<Lease>>>,
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
    /// [`Error`].
    pub async fn join(options: ClusterOptions) -> Result<Self, Error> {
        let client = Client::new(&options.etcd, options.tls.as_ref())?;
        let key = system_key("server-key");
        let txn = TxnRequest {
            compare: vec![version_is(key.clone(), 0)],
            success: vec![put(key.clone(), options.key_fingerprint.to_vec(), 0)],
            failure: vec![get(key)],
        };
        let response = client.txn(txn).await.inspect_err(|error| {
            options.owner.send_replace(Owner::after(error));
        })?;
        // Nothing is found if the key is written now.
        if found(response).any(|found| found.value[..] != options.key_fingerprint) {
            return Err(Error::OtherKey);
        }
        let member = Arc::new(Member {
            sealing: Arc::new(Sealing::new(&options.key)),
            options,
            client: Arc::new(client),
            refusal: Mutex::default(),
            term: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&member).follow_owner());
        Ok(Self { member, _task: task })
    }

    #[cfg(test)]
    pub(crate) fn owner(&self) -> watch::Receiver<Owner> {
        self.member.options.owner.subscribe()
    }

    /// Returns when this node owns the records, with the store of its term. Failures of etcd are logged once, and the
    /// campaign goes on.
    pub async fn campaign(&self) -> EtcdStore {
        let mut owner = self.member.options.owner.subscribe();
        let mut is_reported = false;
        loop {
            // The sender lives as long as `self`.
            let _ = owner.wait_for(|owner| !matches!(owner, Owner::Peer(_) | Owner::Importing)).await;
            let won = self.member.try_to_win(true).await;
            *self.member.refusal.lock() = won.as_ref().err().and_then(Error::refusal);
            match won {
                Ok(Some(store)) => return store,
                Ok(None) => is_reported = false,
                Err(error) if std::mem::replace(&mut is_reported, true) => {
                    tracing::debug!(%error, "campaign failed");
                }
                Err(error) => tracing::warn!(%error, "campaign failed, retrying"),
            }
            // Meanwhile the owner is read, which spares etcd a lease that would only end again.
            sleep(TRY_AGAIN).await;
        }
    }

    /// Owns the records of an etcd without any, to import records. Records of an import that was cut off are deleted.
    /// No node owns the records before [`Cluster::finish_import`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn begin_import(&self) -> Result<EtcdStore, Error> {
        let client = &self.member.client;
        let store = self.member.try_to_win(false).await?.ok_or(Error::Owned)?;
        let begin = async || {
            if client.read(import_key()).await?.is_none() {
                // One at a time, because etcd counts all keys of a range.
                for slot in 0..=Slot::MAX {
                    let (first, end) = record_range(slot, slot);
                    if !client.page(first, end).await?.0.is_empty() {
                        return Err(Error::NotEmpty);
                    }
                }
            }
            let (first, end) = record_range(0, Slot::MAX);
            let success = vec![put(import_key(), Vec::new(), 0), delete(first, end)];
            client.txn(TxnRequest { success, ..TxnRequest::default() }).await
        };
        match begin().await {
            Ok(_) => Ok(store),
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
        let success = vec![delete(import_key(), Vec::new())];
        self.member.client.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
        // The lease ends by itself in any case.
        let _ = store.release().await;
        Ok(())
    }
}

/// Ends the term of a process that is gone, so that no node waits until its lease ends. Returns `false` if it had already ended.
/// A transaction of that term changes nothing from then on.
///
/// # Errors
/// [`Error`].
pub async fn release(urls: &[String], tls: Option<&EtcdTls>, lease: i64) -> Result<bool, Error> {
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
        error.refusal().map_or(Self::Unknown, Self::Refused)
    }
}

impl Error {
    /// Why a member refused the request; `None` if none did.
    fn refusal(&self) -> Option<String> {
        if let Self::Refused(why) = self { Some(why.clone()) } else { None }
    }
}

impl Member {
    /// Claims the owner key if it is free; if this node is to serve, only while no import is incomplete. The claim begins
    /// the term's sequence; therefore no transaction of an earlier term is applied from then on.
    async fn try_to_win(&self, serves: bool) -> Result<Option<EtcdStore>, Error> {
        let ClusterOptions { name, uptime, .. } = &self.options;
        // The time is read before the request: etcd may count the lease from the moment at which it arrives.
        let sent = uptime.now();
        let lease = Arc::new(Lease::new(self.client.grant(lease::TTL).await?, Arc::clone(uptime), sent));
        let won = self.claim(&lease, serves).await;
        if matches!(won, Ok(Some(_))) {
            if serves {
                tracing::info!(node = name, term = format!("{:x}", lease.id), "ownership acquired");
            }
            *self.term.lock() = Some(lease);
            self.options.owner.send_replace(Owner::Here);
        } else {
            lease.end();
            // If it is not revoked it ends by itself, with the key of a claim that arrives late.
            let _ = self.client.revoke(lease.id).await;
        }
        won
    }

    async fn claim(&self, lease: &Arc<Lease>, serves: bool) -> Result<Option<EtcdStore>, Error> {
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
        if !response.succeeded && !found(response).any(|holder| holder.lease == lease.id) {
            return Ok(None);
        }
        lease::keep_alive(lease, etcd.clone(), tls.clone()).map_err(|error| {
            Error::Local(format!("the thread that keeps the lease alive cannot start: {error}"))
        })?;
        let (client, sealing) = (Arc::clone(&self.client), Arc::clone(&self.sealing));
        EtcdStore::open(client, sealing, Arc::clone(clock), Arc::clone(lease)).await.map(Some)
    }

    /// Reads the owner again and again, and tells of changes.
    async fn follow_owner(self: Arc<Self>) {
        let term = || self.term.lock().as_ref().map(|term| term.id);
        let mut has_seen_an_owner = false;
        loop {
            let before = term();
            let owner = self.read_owner().await;
            let is_news = self.options.owner.send_if_modified(|known| {
                // What was read before this node won is no news any more.
                let is_news = *known != owner && term() == before;
                if is_news {
                    known.clone_from(&owner);
                }
                is_news
            });
            if is_news {
                log_change(&owner, has_seen_an_owner);
            }
            has_seen_an_owner |= matches!(owner, Owner::Here | Owner::Peer(_));
            sleep(POLL).await;
        }
    }

    async fn read_owner(&self) -> Owner {
        let reads = vec![get(owner_key()), get(import_key())];
        let found: Vec<KeyValue> =
            match self.client.txn(TxnRequest { success: reads, ..TxnRequest::default() }).await {
                Ok(response) => found(response).collect(),
                Err(error) => return Owner::after(&error),
            };
        let holder = found.iter().find(|found| found.key == owner_key());
        match (holder, &*self.term.lock()) {
            // A term that this node has given up stands in etcd until its lease ends there.
            (Some(holder), Some(term)) if holder.lease == term.id && term.has_ended() => Owner::Vacant,
            (Some(holder), Some(term)) if holder.lease == term.id => Owner::Here,
            _ if found.iter().any(|found| found.key == import_key()) => Owner::Importing,
            (Some(holder), _) => Owner::Peer(String::from_utf8_lossy(&holder.value).into_owned()),
            (None, _) => self.refusal.lock().clone().map_or(Owner::Vacant, Owner::Refused),
        }
    }
}

/// Logs a change of the owner. [`Member::try_to_win`] logs that this node became the owner.
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
