//! A node's part in the cluster: who owns the records, and the campaign to own them.

use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::ServerKey;
use onceward_store::{Slot, Store as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::etcd::{Client, ClientError, EtcdTls, delete, found, get, put, version_is};
use crate::messages::{KeyValue, TxnRequest};
use crate::sealed::{Sealing, named, record_range};
use crate::store::EtcdStore;
use crate::term::{self, Term};
use crate::writer::sequence_key;

/// Longest time until a change of the owner that the watch did not report is noticed.
const POLL: Duration = Duration::from_millis(500);

/// The arguments of [`Cluster::join`].
pub struct ClusterOptions {
    /// URLs of etcd's members.
    pub etcd: Vec<String>,
    pub tls: Option<EtcdTls>,
    /// This node's name.
    pub node: String,
    /// Where other nodes reach this one: host and port.
    pub advertise: String,
    /// The nodes share it.
    pub key: ServerKey,
    /// Identifies the key without revealing it.
    pub key_fingerprint: [u8; 16],
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Counts time since the machine booted, suspension included. It never jumps.
    pub uptime: Arc<dyn Clock>,
}

/// A node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("\"cluster\" cannot be used: {0}")]
    Settings(String),
    #[error("{0}; check that a majority of etcd's members runs and that \"etcd\" in \"cluster\" names them")]
    Etcd(#[from] ClientError),
    #[error(
        "the records in etcd were written with another server key; give every node the same file (\"key-file\")"
    )]
    OtherKey,
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
    /// No node, or etcd does not say.
    #[default]
    Unknown,
}

/// A member of the cluster.
pub struct Cluster {
    shared: Arc<Shared>,
    owner: watch::Receiver<Owner>,
    /// End with this.
    _tasks: JoinSet<()>,
}

pub struct Shared {
    pub options: ClusterOptions,
    pub client: Arc<Client>,
    pub sealing: Arc<Sealing>,
    owner: watch::Sender<Owner>,
    /// The term of this node.
    term: watch::Sender<Option<Arc<Term>>>,
    /// Counts changes of the owner key.
    changes: watch::Sender<u64>,
}

/// Exists while an import is not complete: no node owns the records then.
fn import_key() -> Vec<u8> {
    named("import")
}

/// The key of the owner. Its value is the node's name, a line feed and its address.
pub fn owner_key() -> Vec<u8> {
    named("owner")
}

impl Cluster {
    /// Connects to etcd, compares the server key, and follows the owner from then on. Needs a runtime.
    ///
    /// # Errors
    /// [`JoinError`]; each says what to do.
    pub async fn join(options: ClusterOptions) -> Result<Self, JoinError> {
        let client = Client::new(&options.etcd, options.tls.as_ref()).map_err(JoinError::Settings)?;
        let key = named("server-key");
        let txn = TxnRequest {
            compare: vec![version_is(key.clone(), 0)],
            success: vec![put(key.clone(), options.key_fingerprint.to_vec(), 0)],
            failure: vec![get(key, Vec::new())],
        };
        let response = client.txn(txn).await?;
        let is_other = |found: KeyValue| found.value[..] != options.key_fingerprint;
        if !response.succeeded && found(response).flatten().any(is_other) {
            return Err(JoinError::OtherKey);
        }
        let shared = Arc::new(Shared {
            sealing: Arc::new(Sealing::new(&options.key)),
            options,
            client: Arc::new(client),
            owner: watch::Sender::default(),
            term: watch::Sender::default(),
            changes: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_owner(Arc::clone(&shared)));
        tasks.spawn(watch_owner(Arc::clone(&shared)));
        Ok(Self { owner: shared.owner.subscribe(), shared, _tasks: tasks })
    }

    /// Follows the owner. A node that has lost its lease is not told so here first: see [`EtcdStore::over`].
    pub fn owner(&self) -> watch::Receiver<Owner> {
        self.owner.clone()
    }

    /// Returns when this node owns the records, with the store of its term. Failures of etcd are logged once, and the
    /// campaign goes on.
    pub async fn campaign(&self) -> EtcdStore {
        let mut changes = self.shared.changes.subscribe();
        let mut is_reported = false;
        loop {
            changes.mark_unchanged();
            match self.shared.try_to_win(true).await {
                Ok(Some(store)) => return store,
                Ok(None) => is_reported = false,
                Err(error) if is_reported => tracing::debug!(%error, "campaign failed"),
                Err(error) => {
                    is_reported = true;
                    tracing::warn!(%error, "campaign failed, retrying");
                    sleep(POLL).await;
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
        let client = &self.shared.client;
        let store = self.shared.try_to_win(false).await?.ok_or(ImportError::Owned)?;
        let is_unfinished = !client.range(import_key(), Vec::new()).await?.is_empty();
        if !is_unfinished && store.expected_records() > 0 {
            let _ = store.close().await;
            return Err(ImportError::NotEmpty);
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
        self.shared.client.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
        // The lease ends by itself in any case.
        let _ = store.close().await;
        Ok(())
    }
}

impl Shared {
    /// Claims the owner key if it is free, and unless an import is incomplete if `serves`. The claim begins the term's sequence; therefore no transaction of an earlier
    /// term is applied from then on.
    async fn try_to_win(&self, serves: bool) -> Result<Option<EtcdStore>, ClientError> {
        let key = owner_key();
        if !self.client.range(key.clone(), Vec::new()).await?.is_empty() {
            return Ok(None);
        }
        let ClusterOptions { etcd, tls, node, advertise, uptime, .. } = &self.options;
        let sent = uptime.now();
        let lease = self.client.grant(term::TTL).await?;
        let term = Arc::new(Term::new(lease, Arc::clone(uptime), sent));
        let txn = TxnRequest {
            compare: [key.clone()]
                .into_iter()
                .chain(serves.then(import_key))
                .map(|absent| version_is(absent, 0))
                .collect(),
            success: vec![
                put(key.clone(), format!("{node}\n{advertise}").into_bytes(), lease),
                put(sequence_key(lease), Vec::new(), lease),
            ],
            failure: vec![get(key, Vec::new())],
        };
        let claimed = self.client.txn(txn).await;
        // A repeated claim finds its own key.
        let is_ours = |found: KeyValue| found.lease == lease;
        let is_won = match claimed {
            Ok(response) => response.succeeded || found(response).flatten().any(is_ours),
            Err(_) => false,
        };
        let kept = if is_won { term::keep_alive(&term, etcd.clone(), tls.clone()) } else { Ok(()) };
        if !is_won || kept.is_err() {
            // If it is not revoked it ends by itself, with the key of a claim that arrives late.
            let _ = self.client.revoke(lease).await;
            kept.map_err(|error| {
                ClientError::Refused(format!("the thread that keeps the lease alive cannot start: {error}"))
            })?;
            return Ok(None);
        }
        let store = EtcdStore::of_term(self, Arc::clone(&term)).await;
        if store.is_err() {
            term.end();
            let _ = self.client.revoke(lease).await;
        } else {
            tracing::info!(node, term = format!("{lease:x}"), "this node owns the records");
            self.term.send_replace(Some(term));
            self.owner.send_replace(Owner::Here);
        }
        store.map(Some)
    }

    async fn read_owner(&self) -> Owner {
        let found = self.client.range(owner_key(), Vec::new()).await;
        let Some(KeyValue { value, lease, .. }) = found.ok().and_then(|mut found| found.pop()) else {
            return Owner::Unknown;
        };
        if let Some(term) = &*self.term.borrow()
            && term.lease == lease
        {
            return if term.is_over() { Owner::Unknown } else { Owner::Here };
        }
        let peer = std::str::from_utf8(&value).ok().and_then(|value| value.split_once('\n'));
        match peer {
            // An earlier process of this node, whose lease has not ended yet.
            Some((node, _)) if node == self.options.node => Owner::Unknown,
            Some((node, address)) => Owner::Peer { node: node.to_owned(), address: address.to_owned() },
            None => Owner::Unknown,
        }
    }
}

async fn follow_owner(shared: Arc<Shared>) {
    let (mut changes, mut terms) = (shared.changes.subscribe(), shared.term.subscribe());
    loop {
        changes.mark_unchanged();
        let owner = shared.read_owner().await;
        shared.owner.send_if_modified(|known| std::mem::replace(known, owner.clone()) != owner);
        let term = terms.borrow_and_update().clone();
        let over = async {
            match term.filter(|term| !term.is_over()) {
                Some(term) => term.over().await,
                None => std::future::pending().await,
            }
        };
        // Each way leads to the next reading.
        tokio::select! {
            () = over => {}
            _ = changes.changed() => {}
            _ = terms.changed() => {}
            () = sleep(POLL) => {}
        }
    }
}

/// Reports changes of the owner at once. Without it, they are noticed at the next poll.
async fn watch_owner(shared: Arc<Shared>) {
    loop {
        let changed = || shared.changes.send_modify(|changes| *changes += 1);
        if let Err(error) = shared.client.watch(owner_key(), changed).await {
            tracing::debug!(%error, "watch of the owner ended");
        }
        sleep(POLL).await;
    }
}
