//! What is different about a server.

use std::sync::Arc;
use std::time::Duration;

use onceward::clock::{EngineClock, ManualClock};
use onceward::config::services::AccountSettings;
use onceward::config::{self, OwnGateway, Settings, Sources};
use onceward::delivery::Routed;
use onceward::domain::{Channel, GatewayName, ServerKey, Sid, SidKind, Timestamp};
use onceward::gateway::{Gateway, Simulator};
use onceward::http::{App, ClusterNode, FrontEnd};
use onceward::node::{Running, StartOptions, Unready, build_gateways};
use onceward_library::testing::{FaultyStore, ProviderDouble, given};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// 2015-07-30T20:00:00Z
pub const THEN: Timestamp = Timestamp::from_millis(1_438_286_400_000);

/// Of the account.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub fn account() -> Sid {
    Sid::new(SidKind::Account, [0xac; 16])
}

/// The parts of a server that tests change. The defaults of a server with the simulator, whose compatible routes need no
/// credential, and without a guard.
pub struct Setup {
    pub settings: Box<Settings>,
    /// Sends in place of the simulator.
    pub gateway: Option<Arc<dyn Gateway>>,
    /// Whether the simulator has an inbox.
    pub has_inbox: bool,
    /// In a cluster.
    pub node: Option<ClusterNode>,
    /// Whether the store is loaded.
    pub is_loaded: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self::of(json!({}))
    }
}

impl Setup {
    /// With these keys of config.json.
    pub fn of(values: Value) -> Self {
        Self::with(values, None)
    }

    /// With a gateway of this provider, which is the only one. A send may take an hour.
    pub fn through(provider: &ProviderDouble) -> Self {
        let hour = Duration::from_secs(3_600);
        let gateway = provider.gateway_for(GatewayName::Http, &[Channel::Sms]);
        let mut setup = Self::with(json!({ "otp-timeout": "1h" }), Some(gateway));
        setup.settings.bounds.send_budget = hour;
        setup
    }

    fn with(values: Value, gateway: Option<Arc<dyn Gateway>>) -> Self {
        let own = |gateway: &Arc<dyn Gateway>| OwnGateway {
            name: gateway.name(),
            channels: gateway.channels().to_vec(),
        };
        let gateways = gateway.iter().map(own).collect();
        let mut values = given(values);
        // Tests send more messages than people do.
        values.entry("guard").or_insert(json!({ "mode": "off" }));
        let sources =
            Sources { program: values, alone: true, gateways, parallelism: 1, ..Sources::default() };
        let mut settings = Box::new(config::load(&sources).expect("settings").settings);
        settings.registry.account = Some(AccountSettings { sid: account(), token: TOKEN.into() });
        settings.registry.allows_unauthenticated = true;
        settings.shards = 1;
        Self { settings, gateway, has_inbox: false, node: None, is_loaded: true }
    }

    /// Starts the server over memory. Its clock stands still.
    pub(crate) async fn start(self) -> Started {
        let Self { settings, gateway, has_inbox, node, is_loaded } = self;
        let hand = Arc::new(ManualClock::starting_at(THEN));
        let clock = EngineClock::over(hand.clone());
        let mut gateways = build_gateways(&settings.gateways, &clock).expect("gateways");
        let own = gateway.into_iter();
        gateways.routed.extend(own.map(|gateway| Routed { routed_as: gateway.name(), gateway }));
        let starting = || vec![Unready { part: "starting", why: "the test does not load it".to_owned() }];
        let inbox = gateways.simulator.clone().filter(|_| has_inbox);
        let random = (StdRng::seed_from_u64(7), 0xabcd_0123);
        let mut app =
            FrontEnd::new(Settings::clone(&settings), inbox, starting, random).expect("a front end");
        app.node = node;
        let running = Running::start(StartOptions {
            settings: *settings,
            records: Some((ServerKey::from_bytes([7; 32]), Box::new(FaultyStore::default()))),
            clock,
            gateways: gateways.routed,
            serves: true,
            metrics: Arc::clone(&app.metrics),
        });
        let running = Arc::new(Box::pin(running).await.expect("a server"));
        if is_loaded {
            let _ = app.loaded.set(Arc::clone(&running));
        }
        Started { app: Arc::new(app), running, simulator: gateways.simulator, clock: hand }
    }
}

/// A server that is not asked yet.
pub(crate) struct Started {
    pub app: App,
    pub running: Arc<Running>,
    pub simulator: Option<Arc<Simulator>>,
    pub clock: Arc<ManualClock>,
}
