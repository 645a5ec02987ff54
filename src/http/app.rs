//! The state that every request finds: the settings, what needs no store, and the server once its store is loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use hyper::http::uri::Authority;
use onceward_cluster::Owner;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::sync::{RwLock, Semaphore, watch};

use super::admin::lockouts::LockoutScan;
use super::admin::session::Sessions;
use super::below;
use super::hosted::captcha::Captcha;
use super::tls::Tls;
use crate::config::{ListenAddress, Settings};
use crate::domain::Channel;
use crate::gateway::{ClientError, Simulator};
use crate::node::{ReportReceiver, Running, Unready};
use crate::observe::metrics::{Metrics, NodeState, Reading};
use crate::observe::trace::Tracer;
use crate::verification::Refusal;

/// The state of axum's router.
pub type App = Arc<FrontEnd>;

/// Large bodies that are held at once, 63 MB together.
const LARGE_BODIES: usize = 21;

/// Lists that are made or being read at once. Further ones are refused with 503.
pub const LISTS: usize = 64;

pub struct FrontEnd {
    pub settings: Settings,
    /// The channels that a send may ask for: calls only where they are allowed.
    pub channels: Vec<Channel>,
    /// The server, once its store is loaded.
    pub loaded: OnceLock<Arc<Running>>,
    /// The reasons why nothing is served before that.
    pub starting: Box<dyn Fn() -> Vec<Unready> + Send + Sync>,
    pub is_stopping: AtomicBool,
    /// Takes what providers report; `None` when nothing is to be reported, and the paths do not exist.
    pub reports: Option<ReportReceiver>,
    /// The simulator, whose messages `/inbox` shows; `None` when messages go to a provider.
    pub inbox: Option<Arc<Simulator>>,
    /// Limits the lists that are made or being read.
    pub lists: Arc<Semaphore>,
    /// Limits the large bodies that are held.
    pub large_bodies: Arc<Semaphore>,
    /// The challenge service of the hosted page.
    pub captcha: Option<Captcha>,
    /// Of the dashboard.
    pub sessions: Sessions,
    pub lockouts: LockoutScan,
    /// TLS; `None` for cleartext.
    pub tls: Option<Tls>,
    /// Random for each start of the program, so that request ids of two starts differ.
    pub request_id_prefix: u32,
    /// The path below which people see the pages, if there is one.
    pub below: Option<String>,
    /// Counts refused requests, and is what `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Makes the spans of requests; `None` if none is traced.
    pub tracer: Option<Arc<Tracer>>,
    /// Only of a node of a cluster.
    pub node: Option<ClusterNode>,
    /// Each request in progress at a node of a cluster holds it for reading. One that stops takes it for writing: later requests
    /// are refused.
    pub in_progress: RwLock<()>,
}

/// This node, and what it knows of the owner.
pub struct ClusterNode {
    pub name: String,
    pub owner: watch::Receiver<Owner>,
}

/// This node's part in its cluster. The names of the fields are part of answers.
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    node: String,
    /// As in the metric `onceward_cluster_node`.
    state: &'static str,
    /// The name of the node that owns the records, if this one knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

/// The routes of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServedRoutes {
    All,
    /// `/metrics` without credentials and without TLS, and nothing else.
    MetricsOnly,
    /// All of them, and those of the control socket.
    Local,
}

impl FrontEnd {
    /// A front end in cleartext whose store is not loaded yet. `rng` must be seeded by the system.
    pub fn new(
        settings: Settings,
        inbox: Option<Arc<Simulator>>,
        starting: impl Fn() -> Vec<Unready> + Send + Sync + 'static,
        (rng, request_id_prefix): (StdRng, u32),
    ) -> Result<Self, ClientError> {
        let allowed = |channel: &Channel| *channel != Channel::Call || settings.delivery.voice;
        let served = |channel: &Channel| settings.gateways.serves(*channel);
        let public_url = settings.delivery.public_url.as_deref();
        let captcha =
            settings.captcha.clone().map(|captcha| Captcha::new(captcha, public_url)).transpose()?;
        Ok(Self {
            channels: Channel::ALL.into_iter().filter(allowed).filter(served).collect(),
            loaded: OnceLock::new(),
            starting: Box::new(starting),
            is_stopping: AtomicBool::new(false),
            reports: ReportReceiver::new(&settings.gateways, public_url),
            below: below::path_of(public_url),
            inbox,
            lists: Arc::new(Semaphore::new(LISTS)),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            captcha,
            sessions: Sessions::new(rng),
            lockouts: LockoutScan::default(),
            tls: None,
            request_id_prefix,
            metrics: Arc::default(),
            tracer: None,
            node: None,
            in_progress: RwLock::default(),
            settings,
        })
    }

    /// The server.
    ///
    /// # Errors
    /// Its store is not loaded yet.
    pub fn running(&self) -> Result<&Arc<Running>, Refusal> {
        self.loaded.get().ok_or(Refusal::Starting)
    }

    /// Whether this node answers requests: it has the records and certainly owns them, and does not stop.
    pub fn is_owner(&self) -> bool {
        let owns_records = self.loaded.get().is_some_and(|running| running.shards.store().owns_records());
        owns_records && !self.is_stopping.load(Ordering::Relaxed)
    }

    /// The state of this node; `None` without a cluster.
    pub fn node_state(&self) -> Option<NodeState> {
        Some(match &*self.node.as_ref()?.owner.borrow() {
            _ if self.is_owner() => NodeState::Owner,
            Owner::Peer(_) => NodeState::Standby,
            _ => NodeState::NoOwner,
        })
    }

    /// The part of this node in its cluster; `None` without one.
    pub fn node_status(&self) -> Option<NodeStatus> {
        let (state, node) = (self.node_state()?.as_str(), self.node.as_ref()?);
        let owner = match &*node.owner.borrow() {
            // A node that hands over has no requests sent to it any more.
            Owner::Here if self.is_stopping.load(Ordering::Relaxed) => None,
            Owner::Here => Some(node.name.clone()),
            Owner::Peer(name) => Some(name.clone()),
            _ => None,
        };
        Some(NodeStatus { node: node.name.clone(), state, owner })
    }

    /// The prefix of addresses in the answer to a request for this host.
    pub fn base(&self, host: Option<&Authority>) -> String {
        let Settings { delivery, tls, listen, .. } = &self.settings;
        base(delivery.public_url.as_deref(), tls.is_some(), listen, host)
    }

    /// Every reason for not being ready.
    pub fn reasons_against(&self) -> Vec<Unready> {
        let mut reasons = match (self.loaded.get(), &self.node) {
            (Some(running), _) => running.reasons_against(),
            (None, None) => (self.starting)(),
            (None, Some(node)) if node.owner.borrow().lets_stand_by() => Vec::new(),
            (None, Some(node)) => vec![Unready { part: "cluster", why: node.owner.borrow().to_string() }],
        };
        if self.is_stopping.load(Ordering::Relaxed) {
            reasons.insert(0, Unready { part: "stopping", why: "the server is stopping".to_owned() });
        }
        reasons
    }

    /// The state of the server for `/metrics`; `None` until it has started.
    pub fn reading(&self) -> Option<Reading> {
        let reading = self.loaded.get()?.reading();
        Some(Reading { is_ready: reading.is_ready && !self.is_stopping.load(Ordering::Relaxed), ..reading })
    }

    /// Why this server carries out no command yet.
    pub fn why_not_ready(&self) -> String {
        let reasons = || self.reasons_against().into_iter().map(|reason| reason.why).collect::<Vec<_>>();
        self.node.as_ref().map_or_else(|| reasons().join("; "), |node| node.owner.borrow().to_string())
    }
}

/// The prefix of addresses in the answer to a request: `public-url`, else the address that the client asked, else the one
/// that the server listens on.
fn base(public_url: Option<&str>, is_tls: bool, listen: &ListenAddress, host: Option<&Authority>) -> String {
    if let Some(url) = public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let scheme = if is_tls { "https" } else { "http" };
    // Anything else may be valid, but is no address that a client can use again.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let host = host.filter(|host| host.as_str().chars().all(is_plain));
    let host = host.map_or_else(|| listen.to_string(), ToString::to_string);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(public_url: Option<&str>, host: &str) -> String {
        let listen = ListenAddress { host: "127.0.0.1".to_owned(), port: 3000 };
        base(public_url, false, &listen, Some(&host.parse().expect("an authority")))
    }

    #[test]
    fn addresses_begin_with_the_public_url_else_with_what_the_client_asked() {
        assert_eq!(
            base_of(Some("https://codes.example/verify/"), "evil.example"),
            "https://codes.example/verify"
        );
        assert_eq!(base_of(None, "codes.example:8080"), "http://codes.example:8080");
        assert_eq!(base_of(None, "[::1]:3000"), "http://[::1]:3000");
        assert_eq!(base_of(None, "a!b"), "http://127.0.0.1:3000");
    }
}
