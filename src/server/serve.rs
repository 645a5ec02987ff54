//! Start and stop: signals, the two steps of a stop, exit codes.
//!
//! The first signal begins the soft stop: no new connections, what was begun is finished, the
//! store is flushed. A second signal, or the deadline, ends the program at once. Both ends are
//! logged, and the exit code tells which it was. SIGHUP ends nothing: the certificate is read again. A node of a cluster
//! that loses the records ends, as does a server whose store has failed, and the service manager starts it again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use onceward_cluster::EtcdStore;
use sd_notify::NotifyState;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use super::cluster::hold_lease;
use super::{App, AppStartError, bind, service_manager, telemetry};
use crate::config::{ListenAddress, Loaded, Settings};
use crate::http::{self, ServedRoutes};
use crate::node::process;
use crate::store::{Store as _, StoreError};

/// Everything in progress was finished.
const EXIT_OK: u8 = 0;
/// The stop was cut short.
const EXIT_CUT_SHORT: u8 = 1;
/// It is unknown what the disk has of a change, or a shard has panicked (`EX_IOERR` of sysexits).
pub const EXIT_STORE_FAILED: u8 = 74;
/// The node has lost the ownership of the records of the cluster, or it is unknown what etcd has of a change (`EX_TEMPFAIL`
/// of sysexits).
pub const EXIT_LEASE_LOST: u8 = 75;
/// The command line or the configuration is wrong (`EX_USAGE` of sysexits).
pub const EXIT_CONFIGURATION: u8 = 64;
/// The program could not start, or a command failed (`EX_SOFTWARE` of sysexits).
pub const EXIT_FAILED: u8 = 70;

/// Time for threads that do not notice the end by themselves.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Time for requests in progress when the store has failed or the lease is lost.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Serves until a signal says stop.
pub fn run(loaded: Loaded) -> ExitCode {
    let Loaded { settings, warnings, .. } = loaded;
    let _last_lines = telemetry::init(settings.log);
    telemetry::log_panics();
    for warning in warnings {
        tracing::warn!(detail = %warning, "configuration warning");
    }
    let threads = process::serving_threads();
    // With one thread, tasks run in the order in which they were woken: what a batch has in common is in the processor's
    // caches. The scheduler for several threads runs the last woken task first.
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = match builder.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start failed: no threads");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let code = runtime.block_on(serve(settings)).unwrap_or_else(|error| {
        tracing::error!("{error}");
        if error.is_about_the_configuration() { EXIT_CONFIGURATION } else { EXIT_FAILED }
    });
    runtime.shutdown_timeout(LAST_BREATH);
    ExitCode::from(code)
}

/// SIGTERM and SIGINT, from before the first thing that a stop would have to undo.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install() -> Result<Self, AppStartError> {
        let install = |kind| signal(kind).map_err(AppStartError::Signals);
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Reads the certificate again at SIGHUP, which would otherwise end the program.
async fn reload_certificate(mut hangup: Signal, app: Arc<App>) {
    while hangup.recv().await.is_some() {
        let app = Arc::clone(&app);
        // A panic is in the log.
        let reload = move || {
            if let Some(tls) = &app.front_end.tls {
                tls.reload();
            } else {
                tracing::info!("SIGHUP ignored, no tls-cert is configured");
            }
        };
        let _ = spawn_blocking(reload).await;
    }
}

/// Warns once a day of a certificate that ends soon.
async fn watch_certificate(app: Arc<App>) {
    let mut days = tokio::time::interval(DAY);
    while let Some(tls) = &app.front_end.tls {
        days.tick().await;
        tls.warn_if_it_ends();
    }
}

/// Serves until a signal or the loss of the lease ends it.
async fn serve(settings: Settings) -> Result<u8, AppStartError> {
    let mut signals = StopSignals::install()?;
    let hangup = signal(SignalKind::hangup()).map_err(AppStartError::Signals)?;
    let app = Arc::new(App::new(&settings)?);
    let mut tasks = JoinSet::new();
    tasks.spawn(reload_certificate(hangup, Arc::clone(&app)));
    tasks.spawn(watch_certificate(Arc::clone(&app)));
    let listeners = bind(&settings.listen, "--listen localhost:3001").await?;
    let address = listeners[0].local_addr().map_err(AppStartError::Address)?;
    let (stop_serving, stopped) = oneshot::channel::<()>();
    // From here on /healthz answers; everything else says 503 until the store is loaded.
    let mut serving = tokio::spawn(http::serve(
        listeners,
        stopped.map(drop),
        Arc::clone(&app.front_end),
        ServedRoutes::All,
    ));
    let _metrics = match &settings.metrics_listen {
        Some(address) => Some(serve_metrics(&app, address).await?),
        None => None,
    };

    let (mut store, mut lease) = (None, None);
    let starting = async {
        if let Some(cluster) = &settings.cluster {
            tracing::info!(node = cluster.node, %address, "standing by");
            // A standby may wait for weeks.
            service_manager::tell(NotifyState::Ready).await;
            tasks.spawn(service_manager::keep_watchdog(Arc::clone(&app)));
            let (key, joined) = app.join(&settings, cluster).await?;
            let owned = joined.campaign().await;
            store = Some(owned.clone());
            // Loading may take seconds: a kill meanwhile must leave the lease to `onceward cluster release` too.
            lease = hold_lease(&settings.storage.data_dir, owned.lease_id())
                .inspect_err(
                    |error| tracing::warn!(%error, "lease file not written; after a crash nodes wait until the lease ends"),
                )
                .ok();
            app.start(&settings, Some((key, Box::new(owned)))).await
        } else {
            app.start(&settings, None).await?;
            tasks.spawn(service_manager::keep_watchdog(Arc::clone(&app)));
            Ok(())
        }
    };
    tokio::select! {
        started = starting => match (started, store.as_ref().and_then(|owned| owned.health().err())) {
            (Err(error), Some(reason)) => {
                tracing::error!(%reason, %error, "start as the owner failed; this node ends");
                let closing = tokio::time::timeout(LAST_ANSWERS, close(&app, store));
                let _ = tokio::join!(closing, step_down(&app, stop_serving, serving));
                return Ok(EXIT_LEASE_LOST);
            }
            (started, _) => started?,
        },
        signal = signals.next() => {
            let stands_by = settings.cluster.is_some() && store.is_none();
            let stopped = if stands_by { "stopped while standing by" } else { "stopped during the start" };
            tracing::info!(signal, "{stopped}");
            if settings.cluster.is_some() {
                app.begin_stop();
                let _ = stop_serving.send(());
                let stopped = async { tokio::join!(serving, close(&app, store)) };
                let _ = tokio::time::timeout(settings.bounds.graceful_stop, stopped).await;
            }
            return Ok(EXIT_OK);
        }
    }
    app.announce(&settings, address);
    service_manager::tell(NotifyState::Ready).await;
    let lease_ended = OptionFuture::from(store.as_ref().map(EtcdStore::wait_until_lease_ended));
    let signal = tokio::select! {
        signal = signals.next() => signal,
        Some(()) = lease_ended => {
            let node = settings.cluster.as_ref().map(|cluster| cluster.node.as_str());
            tracing::error!(node, "lease in etcd lost; this node ends");
            step_down(&app, stop_serving, serving).await;
            return Ok(EXIT_LEASE_LOST);
        }
        () = app.store_failed() => {
            // It has logged why, and everything is refused.
            step_down(&app, stop_serving, serving).await;
            return Ok(EXIT_STORE_FAILED);
        }
    };
    let (deadline, hands_over) = (settings.bounds.graceful_stop, settings.cluster.is_some());
    tracing::info!(signal, deadline_s = deadline.as_secs(), "stopping; requests in progress are finished");
    app.begin_stop();
    tasks.shutdown().await;
    service_manager::tell(NotifyState::Stopping).await;
    let soft = stop_softly(&app, hands_over, stop_serving, &mut serving);
    let code = tokio::select! {
        closed = tokio::time::timeout(deadline, soft) => log_stop(closed.ok(), hands_over),
        signal = signals.next() => {
            tracing::warn!(signal, "stopped at once; requests in progress were cut off");
            EXIT_CUT_SHORT
        }
    };
    serving.abort();
    if let Some(exporter) = &app.exporter {
        exporter.stop().await;
    }
    // Until here a command must not end the lease.
    drop(lease);
    Ok(code)
}

/// Finishes the requests in progress and closes the store. A node of a cluster first gives up the records: it refuses further
/// requests, which another node answers soon.
async fn stop_softly(
    app: &App,
    hands_over: bool,
    stop_serving: oneshot::Sender<()>,
    serving: &mut JoinHandle<()>,
) -> Result<(), StoreError> {
    let refused = OptionFuture::from(hands_over.then(|| app.front_end.in_progress.write())).await;
    let closed = OptionFuture::from(hands_over.then(|| app.finish())).await;
    let _ = stop_serving.send(());
    if let Err(error) = serving.await {
        tracing::error!(%error, "front end failed at shutdown");
    }
    drop(refused);
    match closed {
        Some(closed) => closed,
        None => app.finish().await,
    }
}

/// Logs the end of a stop, and how the store was closed unless the deadline came before. Returns the exit code.
fn log_stop(closed: Option<Result<(), StoreError>>, is_clustered: bool) -> u8 {
    match closed {
        Some(Ok(())) => {
            let place = if is_clustered { "in etcd" } else { "on disk" };
            tracing::info!("stopped; every request is finished and {place}");
            return EXIT_OK;
        }
        Some(Err(error)) if is_clustered => tracing::error!(
            %error,
            "stopped without etcd; every answer that was sent is in etcd, and another node takes over when this node's lease \
             ends"
        ),
        Some(Err(error)) => {
            tracing::error!(%error, "stopped, last checkpoint failed; every answer that was sent is in the journal");
        }
        None => tracing::warn!("stopped at the deadline; requests in progress were cut off"),
    }
    EXIT_CUT_SHORT
}

/// Ends the requests of a server whose store has failed, or of a node that has lost the records.
async fn step_down(app: &App, stop_serving: oneshot::Sender<()>, serving: JoinHandle<()>) {
    app.begin_stop();
    let _ = stop_serving.send(());
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
}

async fn close(app: &App, store: Option<EtcdStore>) {
    if let Some(store) = store {
        let _ = store.close().await;
    }
    // Removes the control socket: no store is open.
    let _ = app.finish().await;
}

/// Serves `/metrics`, also during a stop, until the returned sender is dropped.
async fn serve_metrics(app: &App, address: &ListenAddress) -> Result<oneshot::Sender<()>, AppStartError> {
    let listeners = bind(address, "\"metrics-listen\": \"localhost:9465\"").await?;
    let bound = listeners[0].local_addr().map_err(AppStartError::Address)?;
    tracing::info!(address = %bound, "metrics served without credentials");
    let (stop, stopped) = oneshot::channel();
    let (front_end, routes) = (Arc::clone(&app.front_end), ServedRoutes::MetricsOnly);
    tokio::spawn(http::serve(listeners, stopped.map(drop), front_end, routes));
    Ok(stop)
}
