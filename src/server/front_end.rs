//! The dependencies of the HTTP layer: the services once the store is loaded, readiness, and pages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use onceward_cluster::Owner;
use tokio::sync::watch;

use super::cluster::reason_to_stand_by;
use crate::clock::{Clock, EngineClock};
use crate::config::{Bounds, Settings};
use crate::delivery::GatewayState;
use crate::domain::{Channel, seconds_up};
use crate::gateway::{BoxFuture, Simulator};
use crate::http::{
    Admin, Base, Callbacks, Deps, EventStreams, GatewayHealth, Local, LongAnswers, ServedRoutes, V2, Verify,
};
use crate::node::{
    CallbackAnswer, CallbackRequest, ReportReceiver, Running, StartError, process, seeded_rng,
};
use crate::observe::metrics::Reading;
use crate::store::Loading;
use crate::verification::numbers::{Check, CheckOutcome, Outgoing, Refusal, Reply, SendOutcome};
use crate::verification::verify::Verifying;

/// The services, which are set once the store is loaded. Until then every command is refused.
#[derive(Clone, Default)]
pub struct LateBoundVerifier {
    running: Arc<OnceLock<Running>>,
    loading: Arc<Loading>,
    /// Set in a node of a cluster.
    owner: Arc<OnceLock<watch::Receiver<Owner>>>,
}

impl LateBoundVerifier {
    pub fn set(&self, running: Running) {
        let _ = self.running.set(running);
    }

    pub fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// From now on this is a node of a cluster, with this owner of the records.
    pub fn follow(&self, owner: watch::Receiver<Owner>) {
        let _ = self.owner.set(owner);
    }

    /// The owner of the records of the cluster, to whom requests go; `None` without a cluster.
    pub fn owner(&self) -> Option<Owner> {
        self.owner.get().map(|owner| owner.borrow().clone())
    }

    /// The progress of reading the store.
    pub fn loading(&self) -> Arc<Loading> {
        Arc::clone(&self.loading)
    }

    fn verifying(&self) -> Result<&Verifying, Refusal> {
        self.running().map(|running| &running.verifying).ok_or(Refusal::Starting)
    }
}

impl Verify for LateBoundVerifier {
    fn send(&self, outgoing: Box<Outgoing>) -> BoxFuture<'_, Result<Reply<SendOutcome>, Refusal>> {
        Box::pin(async { self.verifying()?.send_for_default_service(outgoing).await })
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Result<Reply<CheckOutcome>, Refusal>> {
        Box::pin(async { self.verifying()?.check_for_default_service(check).await })
    }
}

/// The reports of providers to the server, which are refused with 503 until its store is loaded.
struct ProviderReports {
    reports: ReportReceiver,
    late: LateBoundVerifier,
}

impl Callbacks for ProviderReports {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        Box::pin(async move { self.reports.record(&request, self.late.running()).await })
    }

    fn path_prefix(&self) -> &str {
        self.reports.path_prefix()
    }
}

/// Collects every reason for not being ready.
fn reasons_against(late: &LateBoundVerifier, stopping: &AtomicBool) -> Vec<String> {
    let mut reasons = Vec::new();
    if stopping.load(Ordering::Relaxed) {
        reasons.push("the server is stopping".to_owned());
    }
    let Some(running) = late.running() else {
        reasons.push(match late.owner() {
            // The front end asks the owner.
            Some(Owner::Peer { .. }) => return reasons,
            Some(owner) => reason_to_stand_by(&owner),
            None => format!("the store is being loaded: {}", late.loading),
        });
        return reasons;
    };
    reasons.extend(running.reasons_against());
    reasons
}

fn health(state: GatewayState) -> GatewayHealth {
    let GatewayState { name, circuit, tries_again_in, readiness, outage } = state;
    GatewayHealth {
        name: name.as_str(),
        circuit: circuit.as_str(),
        next_try_in_seconds: tries_again_in.map(seconds_up),
        problem: readiness.err().or(outage),
    }
}

/// The channels that a request may ask for: calls only where they are allowed.
fn channels(settings: &Settings) -> Vec<Channel> {
    let allowed = |channel: &Channel| *channel != Channel::Call || settings.delivery.voice;
    let served = |channel: &Channel| settings.gateways.serves(*channel);
    Channel::ALL.into_iter().filter(allowed).filter(served).collect()
}

pub fn v2(settings: &Settings, running: &Running, clock: &Arc<EngineClock>) -> V2 {
    let clock = Arc::clone(clock);
    let base = Base {
        public_url: settings.delivery.public_url.clone(),
        tls: settings.tls.is_some(),
        listens_on: settings.listen.to_string().into(),
    };
    let verifications = Arc::new(running.verifying.clone());
    let (registry, outbox) = (running.registry.clone(), running.outbox.clone());
    let mut v2 = V2::new(verifications, registry, outbox, base, Arc::new(move || clock.now()));
    v2.hooks = settings.hooks.clone();
    v2.local = Some(Local::of(running));
    v2.hosted = Some(running.hosted.clone());
    v2
}

pub fn admin(running: &Running) -> Result<Admin, StartError> {
    let (history, verifying) = (running.history.clone(), running.verifying.clone());
    Ok(Admin::new(history, verifying, seeded_rng()?))
}

pub fn deps(
    settings: &Settings,
    late: &LateBoundVerifier,
    stopping: &Arc<AtomicBool>,
    simulator: Option<Arc<Simulator>>,
    request_id_prefix: u32,
) -> Deps {
    let (for_readiness, for_gateways, for_numbers) = (late.clone(), late.clone(), late.clone());
    let (for_metrics, is_stopping) = (late.clone(), Arc::clone(stopping));
    let stopping = Arc::clone(stopping);
    let reports = ReportReceiver::new(&settings.gateways, settings.delivery.public_url.as_ref())
        .map(|reports| ProviderReports { reports, late: late.clone() });
    Deps {
        verifier: Arc::new(late.clone()),
        answers: settings.answers,
        bounds: Bounds { connections: process::connections(&settings.bounds), ..settings.bounds.clone() },
        default_region: settings.storage.default_region,
        lockout: settings.policy.lockout_time(),
        proxies: settings.proxies.clone(),
        tutorial_code: settings.tutorial_code,
        readiness: Arc::new(move || {
            let reasons = reasons_against(&for_readiness, &stopping);
            if reasons.is_empty() { Ok(()) } else { Err(reasons) }
        }),
        gateways: Arc::new(move || {
            let states = for_gateways.running().map(|running| running.delivery.states());
            states.unwrap_or_default().into_iter().map(health).collect()
        }),
        numbers: Arc::new(move || for_numbers.running().map(|running| running.verifier.capacity().usage())),
        channels: channels(settings),
        v2: Arc::default(),
        admin: Arc::default(),
        callbacks: reports.map(|reports| Arc::new(reports) as Arc<dyn Callbacks>),
        simulates_all: settings.gateways.only_simulator(),
        event_streams: EventStreams::default(),
        long_answers: LongAnswers::default(),
        inbox: simulator,
        inbox_needs_credentials: !settings.registry.local_only,
        host_name: Some(settings.listen.host.as_str().into()),
        cors_origins: settings.cors_origins.clone(),
        // Set by the caller, as the tracer is.
        tls: None,
        request_id_prefix,
        metrics: Arc::default(),
        tracer: None,
        reading: Arc::new(move || {
            let reading = for_metrics.running()?.reading();
            Some(Reading { is_ready: reading.is_ready && !is_stopping.load(Ordering::Relaxed), ..reading })
        }),
        routes: ServedRoutes::All,
        forwarder: None,
    }
}
