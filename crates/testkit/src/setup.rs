//! What is different about a front end.

use std::sync::Arc;
use std::time::Duration;

use onceward::config::{AnswerSet, Bounds, ProxySettings};
use onceward::domain::{Channel, Region};
use onceward::gateway::Simulator;
use onceward::http::{
    Callbacks, EventStreams, Forwarder, FrontEnd, FrontEndSettings, GatewayHealth, LongAnswers, ServedRoutes,
    Serving, V2,
};

use crate::script::{Script, ScriptedNode};

/// The parts of a front end that tests change. The server's defaults, unless a test sets one.
pub struct Setup {
    /// Answers the sends and checks of the older routes.
    pub script: Script,
    pub answers: AnswerSet,
    pub bounds: Bounds,
    pub default_region: Option<Region>,
    /// The lockout that texts of the older routes name: 30 minutes.
    pub lockout: Duration,
    pub readiness: Result<(), Vec<String>>,
    pub gateways: Vec<GatewayHealth>,
    pub callbacks: Option<Arc<dyn Callbacks>>,
    /// What the inbox shows; without one there is no inbox.
    pub inbox: Option<Arc<Simulator>>,
    /// Whether the inbox has its form.
    pub simulates_all: bool,
    pub inbox_needs_credentials: bool,
    pub long_answers: LongAnswers,
    /// The configured host name.
    pub host_name: Option<&'static str>,
    pub routes: ServedRoutes,
    pub forwarder: Option<Arc<Forwarder>>,
    /// The name of the default service of a [`V2World`](crate::V2World).
    pub service_name: &'static str,
    /// The beginning of addresses below `/v2`.
    pub public_url: Option<String>,
}

impl Setup {
    pub fn scripted(script: Script) -> Self {
        Self {
            script,
            answers: AnswerSet::Documented,
            bounds: Bounds::default(),
            default_region: None,
            lockout: Duration::from_secs(30 * 60),
            readiness: Ok(()),
            gateways: Vec::new(),
            callbacks: None,
            inbox: None,
            simulates_all: false,
            inbox_needs_credentials: false,
            long_answers: LongAnswers::default(),
            host_name: None,
            routes: ServedRoutes::All,
            forwarder: None,
            service_name: "onceward",
            public_url: None,
        }
    }

    /// Without `v2` only the older routes are served.
    pub(crate) fn into_front_end(self, v2: Option<V2>) -> Arc<FrontEnd> {
        let mut channels = vec![Channel::Sms, Channel::WhatsApp];
        if v2.is_some() {
            channels = Channel::ALL.to_vec();
        }
        let Self { script, readiness, gateways, .. } = self;
        let node = Arc::new(ScriptedNode { script, readiness, gateways });
        let serving = Serving { node, v2: v2.map(Arc::new), admin: None };
        Arc::new(FrontEnd {
            settings: FrontEndSettings {
                answers: self.answers,
                bounds: self.bounds,
                default_region: self.default_region,
                lockout: self.lockout,
                proxies: ProxySettings::default(),
                channels,
                simulates_all: self.simulates_all,
                inbox_needs_credentials: self.inbox_needs_credentials,
                host_name: self.host_name.map(Into::into),
                cors_origins: Vec::new(),
            },
            serving: Arc::new(serving.into()),
            starting: Arc::new(Vec::new),
            is_stopping: Arc::default(),
            callbacks: self.callbacks,
            inbox: self.inbox,
            event_streams: EventStreams::default(),
            long_answers: self.long_answers,
            tls: None,
            request_id_prefix: 0xabcd_0123,
            metrics: Arc::default(),
            tracer: None,
            routes: self.routes,
            forwarder: self.forwarder,
        })
    }
}
