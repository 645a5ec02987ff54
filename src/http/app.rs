//! The state that every request finds: the settings of the front end, its parts, and the server once its store is loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::http::request::Parts as Head;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tracing::info;

use super::admin::lockouts::LockoutScan;
use super::admin::session::{Sessions, SignInLimit};
use super::base::Base;
use super::credential::{self, Credential};
use super::events::EventStreams;
use super::forward::Forwarder;
use super::hosted::captcha::Captcha;
use super::logs::HookLog;
use super::places::LongAnswers;
use super::request::LocalUser;
use super::response::Problem;
use super::tls::Tls;
use crate::config::{AnswerSet, Bounds, HookSettings, ProxySettings};
use crate::delivery::GatewayState;
use crate::domain::{Channel, Region, Timestamp, seconds_up};
use crate::gateway::{BoxFuture, Simulator};
use crate::node::history::History;
use crate::node::{CallbackAnswer, CallbackRequest, Running, Unready};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{Metrics, Reading};
use crate::observe::trace::Tracer;
use crate::registry::{Caller, Registry, Scope};
use crate::verification::hosted::HostedSessions;
use crate::verification::numbers::{Check, CheckOutcome, Outgoing, Refusal, Reply, SendOutcome, Usage};
use crate::verification::verify::{Verifications, Verifying};
use crate::webhook::Outbox;

/// The state of axum's router.
pub type App = Arc<FrontEnd>;

/// A front end. A copy shares everything but the fields that the copy changes.
#[derive(Clone)]
pub struct FrontEnd {
    pub settings: FrontEndSettings,
    /// The server, once its store is loaded.
    pub serving: Arc<OnceLock<Serving>>,
    /// The reasons why nothing is served before that.
    pub starting: Arc<dyn Fn() -> Vec<Unready> + Send + Sync>,
    pub is_stopping: Arc<AtomicBool>,
    /// Takes what providers report; `None` when nothing is to be reported, and the paths do not exist.
    pub callbacks: Option<Arc<dyn Callbacks>>,
    /// The simulator, whose messages `/inbox` shows; `None` when messages go to a provider.
    pub inbox: Option<Arc<Simulator>>,
    pub event_streams: EventStreams,
    /// Limits lists, pages and other long answers.
    pub long_answers: LongAnswers,
    /// TLS; `None` for cleartext.
    pub tls: Option<Arc<Tls>>,
    /// Random for each start of the program, so that request ids of two starts differ.
    pub request_id_prefix: u32,
    /// Counts refused requests, and is what `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Makes the spans of requests; `None` if none is traced.
    pub tracer: Option<Arc<Tracer>>,
    pub routes: ServedRoutes,
    /// Passes requests on to the owner of the records; only on a node of a cluster.
    pub forwarder: Option<Arc<Forwarder>>,
}

#[derive(Clone)]
pub struct FrontEndSettings {
    /// Which set of answers `/api/*` gives.
    pub answers: AnswerSet,
    /// Body size, time-outs, connections.
    pub bounds: Bounds,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
    /// The duration of a lockout. The tutorial's answers print it.
    pub lockout: Duration,
    /// Where the addresses of clients of the compatible routes come from.
    pub proxies: ProxySettings,
    /// The channels that a send may ask for.
    pub channels: Vec<Channel>,
    /// Whether every message goes to the simulator. The inbox then has a form to try it.
    pub simulates_all: bool,
    /// Whether the inbox requires credentials: where other machines reach the server.
    pub inbox_needs_credentials: bool,
    /// Host name under which the inbox may be asked for, beside IP addresses and `localhost`: the one that is configured
    /// to listen on.
    pub host_name: Option<Arc<str>>,
    /// Origins of web pages that may call the API from a browser.
    pub cors_origins: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedRoutes {
    All,
    /// `/metrics` without credentials, and nothing else.
    MetricsOnly,
}

/// The server behind the front end. Tests of the older routes have a node alone.
pub struct Serving {
    pub node: Arc<dyn Node>,
    pub v2: Option<Arc<V2>>,
    pub admin: Option<Arc<Admin>>,
}

/// Decides sends and checks of the older routes, and knows how the server is: a node, or a script in tests. The state is
/// asked for at each request of `/readyz` and must be cheap.
pub trait Node: Send + Sync + 'static {
    fn send(&self, outgoing: Box<Outgoing>) -> BoxFuture<'_, Result<Reply<SendOutcome>, Refusal>>;

    fn check(&self, check: Check) -> BoxFuture<'_, Result<Reply<CheckOutcome>, Refusal>>;

    /// The reasons why the server cannot do its work now.
    fn reasons_against(&self) -> Vec<Unready>;

    /// In the order in which they are tried.
    fn gateways(&self) -> Vec<GatewayHealth>;
}

impl Node for Running {
    fn send(&self, outgoing: Box<Outgoing>) -> BoxFuture<'_, Result<Reply<SendOutcome>, Refusal>> {
        Box::pin(self.verifying.send_for_default_service(outgoing))
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Result<Reply<CheckOutcome>, Refusal>> {
        Box::pin(self.verifying.check_for_default_service(check))
    }

    fn reasons_against(&self) -> Vec<Unready> {
        Self::reasons_against(self)
    }

    fn gateways(&self) -> Vec<GatewayHealth> {
        self.delivery.states().into_iter().map(GatewayHealth::from).collect()
    }
}

/// One gateway's health, as `/readyz` shows it. The names of the fields are part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GatewayHealth {
    /// As in settings and logs.
    pub name: &'static str,
    /// Its circuit breaker: `closed` (it is used), `open` (it is left alone), `half-open` (the next
    /// message may try it).
    pub circuit: &'static str,
    /// Seconds until an open circuit lets a message through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_in_seconds: Option<u64>,
    /// The reason, for an operator. Contains no secret and no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl From<GatewayState> for GatewayHealth {
    fn from(state: GatewayState) -> Self {
        let GatewayState { name, circuit, tries_again_in, readiness, outage } = state;
        Self {
            name: name.as_str(),
            circuit: circuit.as_str(),
            next_try_in_seconds: tries_again_in.map(seconds_up),
            problem: readiness.err().or(outage),
        }
    }
}

/// Receives what gateways report on their own.
pub trait Callbacks: Send + Sync + 'static {
    /// Takes one report. The sender is not known yet: the receiver checks the signature.
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer>;

    /// The path of the public address, without a trailing slash: a proxy that keeps paths puts it before ours.
    fn path_prefix(&self) -> &str;
}

impl FrontEnd {
    /// What decides sends and checks.
    ///
    /// # Errors
    /// The store is not loaded yet.
    pub fn node(&self) -> Result<&dyn Node, Refusal> {
        self.serving.get().map(|serving| &*serving.node).ok_or(Refusal::Starting)
    }

    /// What the routes below `/v2` need; `None` until the store is loaded.
    pub fn v2(&self) -> Option<&Arc<V2>> {
        self.serving.get()?.v2.as_ref()
    }

    pub fn admin(&self) -> Option<&Arc<Admin>> {
        self.serving.get()?.admin.as_ref()
    }

    /// Every reason for not being ready.
    pub fn reasons_against(&self) -> Vec<Unready> {
        let stopping = self
            .is_stopping
            .load(Ordering::Relaxed)
            .then(|| Unready { part: "stopping", why: "the server is stopping".to_owned() });
        let others =
            self.serving.get().map_or_else(&*self.starting, |serving| serving.node.reasons_against());
        stopping.into_iter().chain(others).collect()
    }

    pub fn gateways(&self) -> Vec<GatewayHealth> {
        self.serving.get().map(|serving| serving.node.gateways()).unwrap_or_default()
    }

    /// The count of remembered numbers and its limit.
    pub fn numbers(&self) -> Option<Usage> {
        Some(self.v2()?.running.as_ref()?.verifier.capacities()[0].usage())
    }

    /// The state of the server for `/metrics`; `None` until it has started.
    pub fn reading(&self) -> Option<Reading> {
        let reading = self.v2()?.running.as_ref()?.reading();
        Some(Reading { is_ready: reading.is_ready && !self.is_stopping.load(Ordering::Relaxed), ..reading })
    }

    /// Why this server carries out no command yet.
    pub fn why_not_ready(&self) -> String {
        let owner = self.forwarder.as_ref().and_then(|forwarder| forwarder.peer());
        let reasons = || self.reasons_against().into_iter().map(|reason| reason.why).collect::<Vec<_>>();
        owner.unwrap_or_else(|| reasons().join("; "))
    }
}

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the routes below `/v2` need, and the pages and hooks that do the same.
pub struct V2 {
    pub verifications: Arc<dyn Verifications>,
    /// Services, what belongs to them, and credentials.
    pub registry: Registry,
    /// Events and their deliveries.
    pub outbox: Outbox,
    /// The beginning of addresses in responses.
    pub base: Base,
    /// The time of the shards.
    pub now: Now,
    /// What the routes of the control socket need beside.
    pub running: Option<Arc<Running>>,
    /// One copy of all records at a time: each takes disk space until its client has read it.
    pub copies: Arc<Semaphore>,
    pub hosted: Option<HostedSessions>,
    /// The challenge service of the hosted page.
    pub captcha: Option<Captcha>,
    /// The keys by which identity systems sign hooks.
    pub hooks: HookSettings,
    pub logs: V2Logs,
}

/// The limits on log lines about requests that are refused.
#[derive(Default)]
pub struct V2Logs {
    pub(super) hooks: HookLog,
    /// Requests with a wrong credential.
    unauthenticated: OncePerSecond,
}

impl V2 {
    /// The sender of a request. An administrator of this machine needs no credential.
    ///
    /// # Errors
    /// 401. A wrong credential is logged, once a second at most.
    pub fn caller(&self, head: &Head) -> Result<Caller, Problem> {
        if let Some(LocalUser(uid)) = head.extensions.get() {
            return Ok(Caller::User(*uid));
        }
        let credential = Credential::of(&head.headers).ok_or(Problem::Unauthenticated)?;
        self.registry.authenticate(credential.user(), credential.password()).map_err(|_| {
            let user = credential::masked_user(credential.user());
            self.logs.unauthenticated.note(move |count| {
                info!(user, count, "requests with a wrong credential refused");
            });
            Problem::Unauthenticated
        })
    }

    /// Whether a request may see something of all services: by the account's credentials, or a key for all services
    /// with one of these scopes.
    pub fn admit(&self, head: &Head, scopes: &[Scope]) -> Result<(), Problem> {
        let caller = self.caller(head)?;
        let may = scopes.iter().any(|scope| caller.may_everywhere(*scope));
        if may { Ok(()) } else { Err(Problem::Forbidden) }
    }
}

/// What the dashboard needs beside [`V2`].
pub struct Admin {
    pub(super) history: History,
    pub(super) verifying: Verifying,
    pub(super) sessions: Sessions,
    pub(super) limit: SignInLimit,
    /// Lines in the log about sign-ins that failed, and that were refused by the limit.
    pub(super) failed: OncePerSecond,
    pub(super) limited: OncePerSecond,
    pub(super) lockouts: LockoutScan,
}

impl Admin {
    /// `rng` must be seeded by the system.
    pub fn new(history: History, verifying: Verifying, rng: StdRng) -> Self {
        Self {
            history,
            verifying,
            sessions: Sessions::new(rng),
            limit: SignInLimit::default(),
            failed: OncePerSecond::default(),
            limited: OncePerSecond::default(),
            lockouts: LockoutScan::default(),
        }
    }
}
