//! A node of a cluster: it stands by until it owns the records.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onceward_cluster::{Cluster, ClusterOptions, EtcdStore, EtcdTls, Owner};
use serde::Serialize;
use tokio::sync::watch;

use super::control::{ControlError, socket_in};
use crate::clock::{EngineClock, SystemClock};
use crate::config::{ClusterSettings, Settings, StorageSettings, TlsFiles};
use crate::domain::ServerKey;
use crate::http::tls::{self, TlsError};
use crate::node::{KeyError, server_key};

/// Why a node cannot join. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Control(#[from] ControlError),
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
    clock: &Arc<EngineClock>,
    owner: watch::Sender<Owner>,
) -> Result<(ServerKey, Cluster), ClusterError> {
    let options = ClusterOptions { owner, ..options(&settings.storage, cluster, clock)? };
    Ok((options.key.clone(), Cluster::join(options).await?))
}

/// What [`release_lease`] found.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ReleasedLease {
    NoCluster,
    /// The lease has ended now.
    Released,
    /// It had ended, or this node does not own the records.
    NoLease,
    /// A process of this data directory is still running.
    InUse,
}

/// Ends the lease of this node, whose process is gone.
pub async fn release_lease(
    storage: &StorageSettings,
    cluster: Option<&ClusterSettings>,
) -> Result<ReleasedLease, ClusterError> {
    let Some(cluster) = cluster else { return Ok(ReleasedLease::NoCluster) };
    let path = socket_in(&storage.data_dir)?;
    // A process has its control socket before its lease.
    match UnixStream::connect(&path) {
        Ok(_) => return Ok(ReleasedLease::InUse),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
        Err(source) => return Err(ClusterError::File { path, source }),
    }
    let (_, tls) = read_files(storage, cluster)?;
    let released = onceward_cluster::release(&cluster.etcd, tls.as_ref(), &cluster.node).await?;
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
    let ClusterSettings { etcd, node: name, .. } = cluster.clone();
    Ok(ClusterOptions {
        etcd,
        tls,
        name,
        key,
        clock: Arc::clone(clock) as _,
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
