//! A node of a cluster: it stands by until it owns the records.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onceward_cluster::{ClientTlsConfig, Cluster, ClusterOptions, EtcdStore, Owner, tls_config};
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::{EngineClock, SystemClock};
use crate::config::{ClusterSettings, Settings, StorageSettings};
use crate::domain::ServerKey;
use crate::node::{KeyError, server_key};

/// Why a node cannot join. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Key(#[from] KeyError),
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
    Etcd(#[from] onceward_cluster::Error),
}

impl ClusterError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        use onceward_cluster::Error::Settings;
        matches!(self, Self::NoKey(_) | Self::Etcd(Settings(_)))
    }
}

/// Connects to etcd. `owner` receives the owner from then on, and why etcd refuses the join.
pub async fn join(
    settings: &Settings,
    cluster: &ClusterSettings,
    clock: &EngineClock,
    owner: watch::Sender<Owner>,
) -> Result<(ServerKey, Cluster), ClusterError> {
    let options = ClusterOptions { owner, ..options(&settings.storage, cluster, clock)? };
    Ok((options.key.clone(), Cluster::join(options).await?))
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
    clock: &EngineClock,
) -> Result<(Cluster, EtcdStore), ClusterError> {
    let cluster = Cluster::join(options(storage, cluster, clock)?).await?;
    let store = cluster.begin_import().await?;
    Ok((cluster, store))
}

fn options(
    storage: &StorageSettings,
    cluster: &ClusterSettings,
    clock: &EngineClock,
) -> Result<ClusterOptions, ClusterError> {
    let (key, tls) = read_files(storage, cluster)?;
    let ClusterSettings { etcd, node: name, .. } = cluster.clone();
    Ok(ClusterOptions {
        etcd,
        tls,
        name,
        key,
        clock: clock.clone(),
        uptime: Arc::new(SystemClock::start()),
        owner: watch::Sender::default(),
    })
}

/// Checks the files that the settings name, without connecting.
pub fn check(settings: &Settings) -> Result<(), ClusterError> {
    let Some(cluster) = &settings.cluster else { return Ok(()) };
    read_files(&settings.storage, cluster).map(drop)
}

fn read_key(storage: &StorageSettings) -> Result<ServerKey, ClusterError> {
    let file = storage.server_key_file.as_deref();
    let key = server_key::find(&storage.data_dir, file)?;
    key.ok_or_else(|| ClusterError::NoKey(server_key::place(&storage.data_dir, file)))
}

fn read_files(
    storage: &StorageSettings,
    cluster: &ClusterSettings,
) -> Result<(ServerKey, Option<ClientTlsConfig>), ClusterError> {
    let key = read_key(storage)?;
    let identity = match (&cluster.etcd_cert, &cluster.etcd_key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        _ => None,
    };
    let tls = match &cluster.etcd_ca {
        Some(ca) => Some(tls_config(&read(ca)?, identity)),
        None => None,
    };
    Ok((key, tls))
}

fn read(path: &Path) -> Result<Vec<u8>, ClusterError> {
    std::fs::read(path).map_err(|source| ClusterError::File { path: path.to_owned(), source })
}
