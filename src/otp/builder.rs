//! What an engine is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Otp;
use crate::app::{Plan, Running, StartError, build_gateways};
use crate::clock::{Clock, SystemClock};
use crate::config::{Bounds, DeliverySettings, GatewaySettings, RetrySettings, Settings, TrackerSettings};
use crate::delivery::Routed;
use crate::domain::{CodeLength, Region, Routing};
use crate::engine::{Policy, SendOptions};
use crate::gateway::Gateway;
use crate::template::{TemplateSettings, Templates};

/// Describes an engine; [`OtpBuilder::start`] starts it. Without further words it sends to an inbox in
/// memory, with six digits that live for five minutes, five attempts and a lockout of 30 minutes.
pub struct OtpBuilder {
    data_dir: PathBuf,
    server_key_file: Option<PathBuf>,
    clock: Option<Arc<dyn Clock>>,
    gateways: GatewaySettings,
    own: Vec<Routed>,
    delivery: DeliverySettings,
    tracker: TrackerSettings,
    policy: Policy,
    texts: Texts,
    default_region: Option<Region>,
    shards: usize,
    bounds: Bounds,
}

/// Texts that are still to be checked, or were.
enum Texts {
    Open { brand: String, message: String },
    Checked(Templates),
}

impl OtpBuilder {
    pub(super) fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            server_key_file: None,
            clock: None,
            gateways: GatewaySettings::simulator(),
            own: Vec::new(),
            delivery: DeliverySettings::default(),
            tracker: TrackerSettings::default(),
            policy: Policy {
                max_attempts: 5,
                lockout: Duration::from_secs(30 * 60),
                code: SendOptions { life: Duration::from_secs(5 * 60), length: CodeLength::SIX },
            },
            texts: Texts::Open { brand: "onceward".to_owned(), message: "Your code is {code}".to_owned() },
            default_region: None,
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            bounds: Bounds::default(),
        }
    }

    pub(super) fn from_settings(settings: Settings) -> Self {
        Self {
            data_dir: settings.data_dir,
            server_key_file: settings.server_key_file,
            clock: None,
            gateways: settings.gateways,
            own: Vec::new(),
            delivery: settings.delivery,
            tracker: settings.tracker,
            policy: settings.policy,
            texts: Texts::Checked(settings.templates),
            default_region: settings.default_region,
            shards: settings.shards,
            bounds: settings.bounds,
        }
    }

    /// What `{brand}` in texts stands for.
    #[must_use]
    pub fn brand(mut self, name: impl Into<String>) -> Self {
        if let Texts::Open { brand, .. } = &mut self.texts {
            *brand = name.into();
        }
        self
    }

    /// The text of messages: `{code}` or `_CODE_` is where the code goes, `{brand}` and `{minutes}` are
    /// filled in too.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        if let Texts::Open { message, .. } = &mut self.texts {
            *message = text.into();
        }
        self
    }

    /// How many digits a code has, and how long it lives.
    #[must_use]
    pub const fn code(mut self, length: CodeLength, life: Duration) -> Self {
        self.policy.code = SendOptions { life, length };
        self
    }

    /// Wrong codes until a number is locked out (at least 1), and for how long it then is.
    #[must_use]
    pub const fn attempts(mut self, max: u8, lockout: Duration) -> Self {
        self.policy.max_attempts = if max == 0 { 1 } else { max };
        self.policy.lockout = lockout;
        self
    }

    /// The providers and the order in which they are tried, in place of the inbox.
    #[must_use]
    pub fn gateways(mut self, gateways: GatewaySettings) -> Self {
        self.gateways = gateways;
        self
    }

    /// A provider of your own, in place of the inbox: it gets every message.
    #[must_use]
    pub fn gateway(mut self, gateway: Arc<dyn Gateway>) -> Self {
        let name = gateway.name();
        self.gateways = GatewaySettings { routing: Routing::only(name), ..GatewaySettings::simulator() };
        self.own = vec![Routed { routed_as: name, gateway }];
        self
    }

    /// Allows calls: on request, and where a text message cannot reach a number.
    #[must_use]
    pub const fn voice(mut self, allowed: bool) -> Self {
        self.delivery.voice = allowed;
        self.delivery.voice_fallback = allowed;
        self
    }

    /// Tries again in the background what no gateway would take: the send counts as accepted then.
    #[must_use]
    pub const fn retry(mut self, retry: RetrySettings) -> Self {
        self.delivery.retry = Some(retry);
        self
    }

    /// The country of numbers that are given without `+`.
    #[must_use]
    pub const fn default_region(mut self, region: Region) -> Self {
        self.default_region = Some(region);
        self
    }

    /// Another clock than the machine's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the data directory and starts.
    pub async fn start(self) -> Result<Otp, StartError> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let templates = match self.texts {
            Texts::Checked(templates) => templates,
            Texts::Open { brand, message } => checked(brand, message, self.policy.code)?,
        };
        let mut built = build_gateways(&self.gateways, &clock)?;
        if !self.own.is_empty() {
            built.simulator = None;
            built.routed = self.own;
        }
        let calls = self.delivery.voice;
        let running = Running::start(Plan {
            data_dir: self.data_dir,
            server_key_file: self.server_key_file,
            clock,
            gateways: built.routed,
            routing: self.gateways.routing,
            delivery: self.delivery,
            tracker: self.tracker,
            templates,
            policy: self.policy,
            shards: self.shards,
            bounds: self.bounds,
        })
        .await?;
        let (running, simulator) = (Arc::new(running), built.simulator);
        Ok(Otp { running, simulator, default_region: self.default_region, calls })
    }
}

fn checked(brand: String, message: String, code: SendOptions) -> Result<Templates, StartError> {
    let settings = TemplateSettings {
        brand,
        code_length: code.length,
        life: code.life,
        tutorial_message: message.clone(),
        message,
        messages: Vec::new(),
        default_locale: None,
        webotp_domain: None,
    };
    let words = |findings: Vec<crate::template::Finding>| {
        findings.into_iter().map(|finding| finding.words).next().unwrap_or_default()
    };
    Templates::check(&settings).map(|(templates, _)| templates).map_err(|f| StartError::Text(words(f)))
}
