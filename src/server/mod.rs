//! The composition root: builds every layer from the settings and ties them together.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod bind;
mod cluster;
pub mod control;
mod serve;
mod service_manager;
mod telemetry;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use control::Control;
use onceward_cluster::{Cluster, Error, Owner};
use opentelemetry_otlp::ExporterBuildError;
use parking_lot::Mutex;
use rand::TryRng;
use rand::rngs::SysRng;
use telemetry::Exporter;
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock as _, EngineClock, SystemClock};
use crate::config::{Bounds, ClusterSettings, Settings};
use crate::delivery::Routed;
use crate::domain::ServerKey;
use crate::gateway::Receipt;
use crate::http::tls::{self, TlsError};
use crate::http::{ClusterNode, FrontEnd, Tls};
use crate::node::{
    self, Running, StartOptions, Unready, build_gateways, load_or_create, process, seeded_rng,
};
use crate::store::{Store, StoreError, create_durably};
use crate::verification::Verifier;
pub use bind::bind;
pub use cluster::{ClusterError, ReleasedLease, begin_import, release_lease};
pub use serve::{EXIT_CONFIGURATION, EXIT_FAILED, EXIT_LEASE_LOST, EXIT_STORE_FAILED, run};

/// The running program, shared by the front end and the life cycle.
pub struct App {
    clock: EngineClock,
    gateways: Vec<Routed>,
    /// The owner of the records, in a node of a cluster.
    owner: watch::Sender<Owner>,
    control: Mutex<Option<Control>>,
    front_end: Arc<FrontEnd>,
    exporter: Option<Exporter>,
}

/// Wait before etcd is asked again.
const JOIN_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl App {
    /// Builds what needs no store: the gateways, the certificate and the front end's parts. Needs a runtime.
    pub fn new(settings: &Settings) -> Result<Self, AppStartError> {
        let clock = EngineClock::over(Arc::new(SystemClock::start()));
        let gateways = build_gateways(&settings.gateways, &clock)?;
        let tls = settings.tls.as_ref().map(|files| Tls::open(files, Arc::new(clock.clone()))).transpose()?;
        let owner = watch::Sender::default();
        let prefix = SysRng.try_next_u32().map_err(AppStartError::NoRandomness)?;
        let bounds =
            Bounds { connections: process::connections(&settings.bounds), ..settings.bounds.clone() };
        let shown = Settings { bounds, ..settings.clone() };
        let starting = || vec![Unready { part: "starting", why: "the store is being loaded".to_owned() }];
        let random = (seeded_rng()?, prefix);
        let mut front_end =
            FrontEnd::new(shown, gateways.simulator, starting, random).map_err(node::StartError::Captcha)?;
        front_end.tls = tls;
        let exporter;
        (front_end.tracer, exporter) = Exporter::start()?.unzip();
        let node =
            |cluster: &ClusterSettings| ClusterNode { name: cluster.node.clone(), owner: owner.subscribe() };
        front_end.node = settings.cluster.as_ref().map(node);
        Ok(Self {
            clock,
            gateways: gateways.routed,
            owner,
            control: Mutex::default(),
            front_end: Arc::new(front_end),
            exporter,
        })
    }

    /// Joins the cluster, once etcd answers. Until the start, `/readyz` says that this node stands by.
    pub async fn join(
        &self,
        settings: &Settings,
        of_cluster: &ClusterSettings,
    ) -> Result<(ServerKey, Cluster), AppStartError> {
        let data_dir = &settings.storage.data_dir;
        // For the control socket, the lease file and perhaps the account's credentials.
        create_durably(data_dir)
            .map_err(|source| ClusterError::Directory { path: data_dir.clone(), source })?;
        self.open_control(data_dir);
        let mut is_reported = false;
        loop {
            match cluster::join(settings, of_cluster, &self.clock, self.owner.clone()).await {
                Err(ClusterError::Etcd(error @ (Error::Refused(_) | Error::Unknown(_)))) => {
                    if !std::mem::replace(&mut is_reported, true) {
                        tracing::warn!(%error, "etcd unavailable, retrying");
                    }
                    tokio::time::sleep(JOIN_AGAIN_AFTER).await;
                }
                joined => return Ok(joined?),
            }
        }
    }

    /// Opens the store, loads every number and starts the shards. From then on requests are
    /// decided. `records` are those of a cluster, which this node owns.
    pub async fn start(
        &self,
        settings: &Settings,
        records: Option<(ServerKey, Box<dyn Store>)>,
    ) -> Result<(), AppStartError> {
        let running = Running::start(StartOptions {
            settings: settings.clone(),
            records,
            clock: self.clock.clone(),
            gateways: self.gateways.clone(),
            serves: true,
            metrics: Arc::clone(&self.front_end.metrics),
        })
        .await?;
        // Before the first decision: the routes require a key from the first request on.
        let running = self.front_end.loaded.get_or_init(|| Arc::new(running));
        if let Some(receipts) = self.front_end.inbox.as_ref().and_then(|simulator| simulator.receipts()) {
            tokio::spawn(record(receipts, running.verifier.clone()));
        }
        self.open_control(&settings.storage.data_dir);
        Ok(())
    }

    /// The services; `None` until the store is loaded.
    fn running(&self) -> Option<&Running> {
        self.front_end.loaded.get().map(Arc::as_ref)
    }

    /// Returns once every shard has answered: `false` if one of them has ended. Waits while one hangs, or the journal.
    /// A node that stands by is alive.
    pub async fn is_alive(&self) -> bool {
        match self.running() {
            Some(running) => running.shards.flush().await,
            None => self.front_end.node.is_some(),
        }
    }

    /// Returns when the store, or a shard, has failed for good.
    pub async fn store_failed(&self) {
        match self.running() {
            Some(running) => tokio::select! {
                _ = running.shards.store().failed() => {}
                () = running.shards.failed() => {}
            },
            None => std::future::pending().await,
        }
    }

    /// Makes `/readyz` say that the server is stopping.
    pub fn begin_stop(&self) {
        self.front_end.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Opens the control socket, unless it is open.
    fn open_control(&self, data_dir: &Path) {
        let mut control = self.control.lock();
        if control.is_none() {
            *control = Control::start(data_dir, Arc::clone(&self.front_end));
        }
    }

    /// Waits for every command in flight, then closes the store.
    pub async fn finish(&self) -> Result<(), StoreError> {
        let control = self.control.lock().take();
        if let Some(control) = control {
            control.stop().await;
        }
        match self.running() {
            Some(running) => running.stop().await,
            None => Ok(()),
        }
    }
}

/// Records what the simulator reports about its messages.
async fn record(mut receipts: mpsc::Receiver<Receipt>, verifier: Arc<Verifier>) {
    while let Some(receipt) = receipts.recv().await {
        // A report whose decision panics is lost, as a provider's may be.
        let _ = verifier.receive(receipt).await;
    }
}

/// Whether a server could be made of these settings; what an operator should know then, one sentence each. Builds the
/// gateways and reads the files of keys and certificates that are named; sends nothing and writes nothing.
pub fn check(settings: &Settings) -> Result<Vec<String>, AppStartError> {
    let clock = SystemClock::start();
    build_gateways(&settings.gateways, &clock)?;
    cluster::check(settings)?;
    if let Some(file) = settings.storage.server_key_file.as_ref().filter(|_| settings.cluster.is_none()) {
        load_or_create(&settings.storage.data_dir, Some(file)).map_err(node::StartError::from)?;
    }
    let Some(files) = &settings.tls else { return Ok(Vec::new()) };
    Ok(tls::check(files, clock.wall())?)
}

// Why the program did not start.

/// Why the program did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppStartError {
    #[error("the system refused to deliver stop signals: {0}")]
    Signals(io::Error),
    /// The address is in use or belongs to another machine.
    #[error("cannot listen on {address}: {source}; {}, such as {example}", advice(source))]
    Bind { address: String, source: io::Error, example: &'static str },
    #[error("cannot read the address of the listening socket: {0}")]
    Address(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("traces cannot be exported: {0}; see the variables OTEL_*")]
    Traces(#[from] ExporterBuildError),
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(rand::rngs::SysError),
    #[error(transparent)]
    Services(#[from] node::StartError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl AppStartError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        match self {
            Self::Services(error) => error.is_about_the_configuration(),
            Self::Cluster(error) => error.is_about_the_configuration(),
            _ => false,
        }
    }
}

/// The remedy for an address that could not be bound.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE), or choose another"
        }
        io::ErrorKind::AddrInUse => "stop the program that has the address, or choose another",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose another",
        _ => "choose another address",
    }
}
