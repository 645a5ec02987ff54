//! The state of the HTTP layer: the services once the store is loaded, readiness, and pages.

use std::sync::{Arc, OnceLock};

use onceward_cluster::Owner;
use tokio::sync::{Semaphore, watch};

use super::cluster::reason_to_stand_by;
use crate::clock::{Clock, EngineClock};
use crate::config::{Bounds, Settings};
use crate::domain::Channel;
use crate::gateway::{BoxFuture, Simulator};
use crate::http::{
    Admin, Base, Callbacks, Captcha, EventStreams, FrontEnd, FrontEndSettings, LongAnswers, ServedRoutes,
    Serving, V2, V2Logs,
};
use crate::node::{
    CallbackAnswer, CallbackRequest, ReportReceiver, Running, StartError, Unready, process, seeded_rng,
};
use crate::store::Loading;

/// How far the start has come.
#[derive(Default)]
pub struct Start {
    /// The progress of reading the store.
    pub loading: Arc<Loading>,
    /// The owner of the records; set in a node of a cluster.
    pub owner_seen: OnceLock<watch::Receiver<Owner>>,
}

impl Start {
    /// The owner of the records of the cluster, to whom requests go; `None` without a cluster.
    pub fn owner(&self) -> Option<Owner> {
        self.owner_seen.get().map(|owner| owner.borrow().clone())
    }

    /// Why nothing is served yet. A node that knows another as the owner asks that one.
    fn reasons(&self) -> Vec<Unready> {
        match self.owner() {
            Some(Owner::Peer { .. }) => Vec::new(),
            Some(owner) => vec![Unready { part: "cluster", why: reason_to_stand_by(&owner) }],
            None => {
                let why = format!("the store is being loaded: {}", self.loading);
                vec![Unready { part: "starting", why }]
            }
        }
    }
}

/// The reports of providers to the server, which are refused with 503 until its store is loaded.
struct ProviderReports {
    reports: ReportReceiver,
    serving: Arc<OnceLock<Serving>>,
}

impl Callbacks for ProviderReports {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        Box::pin(async move {
            let v2 = self.serving.get().and_then(|serving| serving.v2.as_ref());
            self.reports.record(&request, v2.and_then(|v2| v2.running.as_deref())).await
        })
    }

    fn path_prefix(&self) -> &str {
        self.reports.path_prefix()
    }
}

/// The channels that a request may ask for: calls only where they are allowed.
fn channels(settings: &Settings) -> Vec<Channel> {
    let allowed = |channel: &Channel| *channel != Channel::Call || settings.delivery.voice;
    let served = |channel: &Channel| settings.gateways.serves(*channel);
    Channel::ALL.into_iter().filter(allowed).filter(served).collect()
}

/// The server for requests, once it runs.
pub fn serving(
    settings: &Settings,
    running: &Arc<Running>,
    clock: &Arc<EngineClock>,
) -> Result<Serving, StartError> {
    let clock = Arc::clone(clock);
    let base = Base {
        public_url: settings.delivery.public_url.clone(),
        tls: settings.tls.is_some(),
        listens_on: settings.listen.to_string().into(),
    };
    let v2 = V2 {
        verifications: Arc::new(running.verifying.clone()),
        registry: running.registry.clone(),
        outbox: running.outbox.clone(),
        base,
        now: Arc::new(move || clock.now()),
        running: Some(Arc::clone(running)),
        copies: Arc::new(Semaphore::new(1)),
        hosted: Some(running.hosted.clone()),
        captcha: settings.captcha.clone().map(Captcha::new).transpose()?,
        hooks: settings.hooks.clone(),
        logs: V2Logs::default(),
    };
    let admin = Admin::new(running.history.clone(), running.verifying.clone(), seeded_rng()?);
    Ok(Serving { node: Arc::clone(running) as _, v2: Some(Arc::new(v2)), admin: Some(Arc::new(admin)) })
}

pub fn front_end(
    settings: &Settings,
    start: &Arc<Start>,
    simulator: Option<Arc<Simulator>>,
    request_id_prefix: u32,
) -> FrontEnd {
    let serving = Arc::default();
    let reports = ReportReceiver::new(&settings.gateways, settings.delivery.public_url.as_ref())
        .map(|reports| ProviderReports { reports, serving: Arc::clone(&serving) });
    let start = Arc::clone(start);
    FrontEnd {
        settings: FrontEndSettings {
            answers: settings.answers,
            bounds: Bounds { connections: process::connections(&settings.bounds), ..settings.bounds.clone() },
            default_region: settings.storage.default_region,
            lockout: settings.policy.lockout_time(),
            proxies: settings.proxies.clone(),
            channels: channels(settings),
            simulates_all: settings.gateways.only_simulator(),
            inbox_needs_credentials: !settings.registry.local_only,
            host_name: Some(settings.listen.host.as_str().into()),
            cors_origins: settings.cors_origins.clone(),
        },
        serving,
        starting: Arc::new(move || start.reasons()),
        is_stopping: Arc::default(),
        callbacks: reports.map(|reports| Arc::new(reports) as Arc<dyn Callbacks>),
        inbox: simulator,
        event_streams: EventStreams::default(),
        long_answers: LongAnswers::default(),
        // Set by the caller, as the tracer is.
        tls: None,
        request_id_prefix,
        metrics: Arc::default(),
        tracer: None,
        routes: ServedRoutes::All,
        forwarder: None,
    }
}
