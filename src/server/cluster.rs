//! A node of a cluster: it stands by until it owns the records.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use onceward_cluster::{
    CampaignError, Cluster, ClusterOptions, EtcdStore, EtcdTls, ImportError, JoinError, Owner,
};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use url::Url;

use crate::clock::{EngineClock, SystemClock};
use crate::config::{ClusterSettings, Settings, StorageSettings, TlsFiles};
use crate::domain::ServerKey;
use crate::engine::key_fingerprint;
use crate::gateway::HttpClient;
use crate::http::tls::{self, TlsError};
use crate::http::{self, Forwarder};
use crate::node::{KeyError, server_key};

/// The longest time for which a node that stops waits for etcd.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);

/// Time between two checks of the lease.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Why a node cannot join. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(
        "{} does not exist: every node of a cluster needs the same server key; create it once (openssl rand -hex 32), \
         copy it to every node, and name it with \"key-file\"",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot create the data directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("requests cannot be passed on to other nodes: {0}")]
    Forwarding(String),
}

impl ClusterError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        matches!(self, Self::NoKey(_) | Self::Join(JoinError::Settings(_) | JoinError::OtherKey))
    }
}

/// A node that has joined.
pub struct Member {
    cluster: Arc<Cluster>,
    key: ServerKey,
}

impl Member {
    /// Connects to etcd. `owner` receives the owner from then on, and why etcd refuses the join.
    pub async fn join(
        settings: &Settings,
        cluster: &ClusterSettings,
        clock: &Arc<EngineClock>,
        owner: watch::Sender<Owner>,
    ) -> Result<Self, ClusterError> {
        let options = ClusterOptions { owner, ..options(&settings.storage, cluster, clock)? };
        let key = options.key.clone();
        Ok(Self { cluster: Arc::new(Cluster::join(options).await?), key })
    }

    /// Keeps `request_target` up to date. This node takes requests itself while `is_serving` is `true` and its lease is
    /// valid. While the lease is not valid, requests wait, because etcd may elect a leader soon.
    pub fn direct_requests(
        &self,
        settings: &Settings,
        mut is_serving: watch::Receiver<bool>,
        request_target: watch::Sender<http::RequestTarget>,
    ) {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let (mut owner, cluster) = (self.cluster.owner(), Arc::clone(&self.cluster));
        tokio::spawn(async move {
            loop {
                let may_serve = *is_serving.borrow_and_update() && cluster.has_valid_lease();
                let target = match &*owner.borrow_and_update() {
                    Owner::Here if may_serve => http::RequestTarget::Local,
                    Owner::Here
                    | Owner::Vacant
                    | Owner::Importing
                    | Owner::Unproven
                    | Owner::Refused(_)
                    | Owner::Unknown => http::RequestTarget::Unknown,
                    Owner::Peer { node, address } => Url::parse(&format!("{scheme}://{address}")).map_or(
                        http::RequestTarget::Unknown,
                        |url| http::RequestTarget::Peer { node: node.clone(), url },
                    ),
                };
                if *request_target.borrow() != target {
                    request_target.send_replace(target);
                }
                let changed = tokio::select! {
                    changed = owner.changed() => changed,
                    changed = is_serving.changed() => changed,
                    // A lease becomes invalid by time alone, of which no channel tells.
                    () = sleep(LEASE_CHECK_INTERVAL) => Ok(()),
                };
                if changed.is_err() {
                    return;
                }
            }
        });
    }

    /// Gives up the node's address, within half a second.
    pub async fn release_reservation(&self) {
        let _ = tokio::time::timeout(RELEASE_WITHIN, self.cluster.release_reservation()).await;
    }

    /// Returns when this node owns the records.
    pub async fn campaign(&self) -> Result<(ServerKey, Arc<EtcdStore>), ClusterError> {
        Ok((self.key.clone(), Arc::new(self.cluster.campaign().await?)))
    }
}

/// The file in the data directory that names the lease of this process. The process holds a lock on it; therefore a
/// command knows whether the process is gone.
const LEASE_FILE: &str = "lease";

/// Writes the lease of this process for [`release_lease`]. Without it, nodes wait until the lease ends by itself. The file
/// keeps its lock until it is dropped or the process ends.
pub fn hold_lease(data_dir: &Path, lease: i64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file =
        options.create(true).truncate(false).write(true).mode(0o600).open(data_dir.join(LEASE_FILE))?;
    // Until the lock is taken, the file may name the lease of a process that still runs.
    file.try_lock()?;
    file.set_len(0)?;
    file.write_all(format!("{lease:x}\n").as_bytes())?;
    Ok(file)
}

/// What [`release_lease`] found.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ReleasedLease {
    NoCluster,
    /// The lease has ended now.
    Released,
    /// It had ended, or no process of this data directory has owned the records.
    NoLease,
    /// The process is still running.
    InUse,
}

/// Ends the lease of a process of this data directory that is gone.
pub fn release_lease(
    storage: &StorageSettings,
    cluster: Option<&ClusterSettings>,
) -> Result<ReleasedLease, ClusterError> {
    let Some(cluster) = cluster else { return Ok(ReleasedLease::NoCluster) };
    let path = storage.data_dir.join(LEASE_FILE);
    let failed = |source| ClusterError::File { path: path.clone(), source };
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ReleasedLease::NoLease),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(ReleasedLease::InUse),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let text = io::read_to_string(&file).map_err(failed)?;
    // A process that was killed while it wrote the file left no id: other nodes wait until its lease ends.
    let Ok(lease) = i64::from_str_radix(text.trim(), 16) else { return Ok(ReleasedLease::NoLease) };
    let (_, tls) = read_files(storage, cluster)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let released = runtime.block_on(onceward_cluster::release(&cluster.etcd, tls.as_ref(), lease))?;
    file.set_len(0).map_err(failed)?;
    Ok(if released { ReleasedLease::Released } else { ReleasedLease::NoLease })
}

/// Owns the records of an etcd that has none, to fill it. No node owns them before [`Cluster::finish_import`].
pub async fn begin_import(
    storage: &StorageSettings,
    cluster: &ClusterSettings,
    clock: &Arc<EngineClock>,
) -> Result<(Cluster, EtcdStore), ClusterError> {
    let cluster = Cluster::join(options(storage, cluster, clock)?).await?;
    let store = cluster.begin_import().await?;
    Ok((cluster, store))
}

fn options(
    storage: &StorageSettings,
    cluster: &ClusterSettings,
    clock: &Arc<EngineClock>,
) -> Result<ClusterOptions, ClusterError> {
    let (key, tls) = read_files(storage, cluster)?;
    let ClusterSettings { etcd, node: name, advertise, .. } = cluster.clone();
    Ok(ClusterOptions {
        etcd,
        tls,
        name,
        advertise,
        key_fingerprint: key_fingerprint(&key),
        key,
        clock: Arc::clone(clock) as _,
        uptime: Arc::new(SystemClock::start()),
        owner: watch::Sender::default(),
    })
}

/// Passes requests on to the node that `request_target` names. It needs no etcd: requests that arrive before this node has joined
/// wait for the owner. `start` is random for each start of the program.
pub fn forwarder(
    settings: &Settings,
    cluster: &ClusterSettings,
    request_target: watch::Receiver<http::RequestTarget>,
    start: u64,
) -> Result<Forwarder, ClusterError> {
    let key = read_key(&settings.storage)?;
    let client = client_for_peers(settings, cluster)?;
    let node = cluster.node.clone();
    let proofs = http::Proofs::new(key.expose(), start, Arc::new(SystemClock::start()));
    Ok(Forwarder::new(node, request_target, client, proofs, (settings.bounds.commands, cluster.wait)))
}

fn client_for_peers(settings: &Settings, cluster: &ClusterSettings) -> Result<HttpClient, ClusterError> {
    if let Some(file) = &cluster.peer_ca {
        tls::check_authorities("cluster.peer-ca", file)?;
    }
    let is_tls = settings.tls.is_some();
    let authorities = cluster.peer_ca.as_deref().filter(|_| is_tls).map(read).transpose()?;
    HttpClient::for_peers(is_tls, authorities.as_deref())
        .map_err(|error| ClusterError::Forwarding(error.to_string()))
}

/// Why a standby does not decide.
pub fn reason_to_stand_by(owner: &Owner) -> String {
    match owner {
        Owner::Here => "this node owns the records of the cluster and loads them".to_owned(),
        Owner::Peer { node, address } => {
            format!("this node stands by; node {node} at {address} owns the records of the cluster")
        }
        Owner::Vacant => "this node stands by; no node owns the records of the cluster".to_owned(),
        Owner::Importing => {
            "this node stands by; no node owns the records of the cluster before an import is \
                             complete; if it was interrupted, run it again"
                .to_owned()
        }
        Owner::Unproven => {
            "this node stands by; the owner's record in etcd was not written with this cluster's server key"
                .to_owned()
        }
        Owner::Refused(why) => {
            format!("this node stands by and cannot own the records: etcd refuses its request: {why}")
        }
        Owner::Unknown => "this node stands by; etcd does not answer".to_owned(),
    }
}

/// Checks the files that the settings name, without connecting.
pub fn check(settings: &Settings) -> Result<(), ClusterError> {
    let Some(cluster) = &settings.cluster else { return Ok(()) };
    read_files(&settings.storage, cluster)?;
    client_for_peers(settings, cluster).map(drop)
}

fn read_key(storage: &StorageSettings) -> Result<ServerKey, ClusterError> {
    let file = storage.server_key_file.as_deref();
    let key = server_key::find(&storage.data_dir, file)?;
    key.ok_or_else(|| ClusterError::NoKey(server_key::place(&storage.data_dir, file)))
}

fn read_files(
    storage: &StorageSettings,
    cluster: &ClusterSettings,
) -> Result<(ServerKey, Option<EtcdTls>), ClusterError> {
    let key = read_key(storage)?;
    let identity = match (&cluster.etcd_cert, &cluster.etcd_key) {
        (Some(certificate), Some(key)) => {
            let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
            tls::check_client(&files, "cluster.etcd-cert", "cluster.etcd-key")?;
            Some((read(certificate)?, read(key)?))
        }
        _ => None,
    };
    let tls = match &cluster.etcd_ca {
        Some(ca) => {
            tls::check_authorities("cluster.etcd-ca", ca)?;
            Some(EtcdTls { ca: read(ca)?, identity })
        }
        None => None,
    };
    Ok((key, tls))
}

fn read(path: &Path) -> Result<Vec<u8>, ClusterError> {
    std::fs::read(path).map_err(|source| ClusterError::File { path: path.to_owned(), source })
}
