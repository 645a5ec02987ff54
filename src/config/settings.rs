//! The validated settings, as the rest of the program knows them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::services::RegistrySettings;
use crate::domain::{Channel, GatewayName, Region, Routing};
use crate::engine::{Policy, SendOptions};
use crate::gateway::{
    HttpGatewaySettings, MadaSettings, SinchSettings, TwilioSettings, TwilioVerifySettings,
    TwilioVoiceSettings,
};
use crate::template::Templates;

/// Everything the program needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen: host (name or address) and port. Port 0 lets the system choose.
    pub listen: ListenAddress,
    /// With what the listener is encrypted; `None` for cleartext.
    pub tls: Option<TlsFiles>,
    /// Whether this is a production installation.
    pub production: bool,
    /// Log level and format.
    pub log: LogSettings,
    /// Rules of the default service (`/api/*`).
    pub policy: Policy,
    /// What a code sent through the tutorial's `/send-code` is like: 600 s, 6 digits.
    pub tutorial_code: SendOptions,
    /// Which set of answers `/api/*` gives.
    pub answers: AnswerSet,
    /// Texts of messages.
    pub templates: Templates,
    /// What `{brand}` stands for.
    pub brand: String,
    /// Directory of the embedded store.
    pub data_dir: PathBuf,
    /// A key file to use instead of `server.key` in the data directory.
    pub server_key_file: Option<PathBuf>,
    /// The providers.
    pub gateways: GatewaySettings,
    /// What happens when a send fails or a message does not arrive.
    pub delivery: DeliverySettings,
    /// What is remembered about sends.
    pub tracker: TrackerSettings,
    /// Services beside the default one, templates, and who may ask.
    pub registry: RegistrySettings,
    /// Whether webhooks may be on this machine and in private networks.
    pub private_webhooks: bool,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
    /// The limit on everything.
    pub bounds: Bounds,
    /// Number of shards.
    pub shards: usize,
}

/// Where the data is, and how numbers are spelled in questions about it.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// Directory of the embedded store.
    pub data_dir: PathBuf,
    /// A key file to use instead of `server.key` in the data directory.
    pub server_key_file: Option<PathBuf>,
    /// Region of numbers without `+`; `None` refuses them.
    pub default_region: Option<Region>,
}

/// A host and port to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address; empty means every address.
    pub host: String,
    /// A port; 0 lets the system choose.
    pub port: u16,
}

/// Where the server's certificate and its key are. Both are read at the start and whenever they are to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is printed.
    pub level: tracing::Level,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which answers `/api/*` gives: `docs/api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSet {
    /// What the Redis version's README documents.
    Documented,
    /// What the Redis version's code does.
    AsBuilt,
}

/// Which providers send, and for whom.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Who is tried in which order. Everybody in it is configured below, but for the simulator, which
    /// needs no settings. `TwilioMessages` stands for `TwilioVoice` too where a call is asked for.
    pub routing: Routing,
    /// Twilio Messages.
    pub twilio_messages: Option<TwilioSettings>,
    /// Twilio Voice: `Some` when calls through Twilio are configured.
    pub twilio_voice: Option<TwilioVoiceSettings>,
    /// Twilio Verify.
    pub twilio_verify: Option<TwilioVerifySettings>,
    /// Sinch.
    pub sinch: Option<SinchSettings>,
    /// Mada.
    pub mada: Option<MadaSettings>,
    /// The gateway that the configuration describes.
    pub http: Option<HttpGatewaySettings>,
}

impl GatewaySettings {
    /// Nothing leaves this machine.
    pub fn simulator() -> Self {
        Self {
            routing: Routing::only(GatewayName::Simulator),
            twilio_messages: None,
            twilio_voice: None,
            twilio_verify: None,
            sinch: None,
            mada: None,
            http: None,
        }
    }

    /// Whether any gateway of the routing can send this way.
    pub fn serves(&self, channel: Channel) -> bool {
        self.routing.entries().iter().any(|entry| self.gateway_serves(entry.gateway, channel))
    }

    fn gateway_serves(&self, gateway: GatewayName, channel: Channel) -> bool {
        match (gateway, channel) {
            (GatewayName::Simulator | GatewayName::TwilioVerify, _)
            | (GatewayName::TwilioMessages | GatewayName::Mada, Channel::Sms)
            | (GatewayName::Sinch, Channel::Sms | Channel::Call) => true,
            (GatewayName::TwilioMessages, Channel::WhatsApp) => {
                self.twilio_messages.as_ref().is_some_and(|twilio| twilio.whatsapp.is_some())
            }
            (GatewayName::TwilioMessages | GatewayName::TwilioVoice, Channel::Call) => {
                self.twilio_voice.is_some()
            }
            (GatewayName::TwilioVoice, Channel::Sms | Channel::WhatsApp)
            | (GatewayName::Sinch, Channel::WhatsApp)
            | (GatewayName::Mada, Channel::Call | Channel::WhatsApp) => false,
            (GatewayName::Http, channel) => {
                self.http.as_ref().is_some_and(|http| http.channels.contains(&channel))
            }
        }
    }

    /// Whether some messages go to the inbox page.
    pub fn has_simulator(&self) -> bool {
        self.routing.names(GatewayName::Simulator)
    }
}

/// What happens when a send fails or a message does not arrive: `docs/gateways.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Trying again in the background; `None` when it is off.
    pub retry: Option<RetrySettings>,
    /// Whether calls are allowed at all: without it every request for a call is refused.
    pub voice: bool,
    /// Whether a number that text messages do not reach is called instead; never without `voice`.
    pub voice_fallback: bool,
    /// The channels of a verification in their order; empty when a message that does not arrive
    /// has no consequences.
    pub workflow: Vec<WorkflowStep>,
    /// Messages that one verification may cost in all, over every step and retry.
    pub workflow_sends: u8,
    /// When a gateway counts as dead.
    pub breaker: BreakerSettings,
    /// Under which address providers reach this server: scheme, host and perhaps a path, without a
    /// trailing slash. `None` when they do not.
    pub public_url: Option<Arc<str>>,
}

/// Trying again in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts after the first one; then the message is unsendable.
    pub max_retries: u32,
    /// The wait before the first of them; each further wait doubles.
    pub first_wait: Duration,
    /// The longest wait, unless the provider itself asks for a longer one.
    pub longest_wait: Duration,
}

/// One step of the fallback by delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowStep {
    /// How the code is sent in this step.
    pub channel: Channel,
    /// How long to wait for a receipt that it arrived before the next step.
    pub timeout: Duration,
}

/// When a gateway counts as dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures of the whole gateway in a row that open the circuit.
    pub failures: u32,
    /// How long it is open before one message may try. Doubles with every failed try.
    pub open_for: Duration,
    /// The longest time between two tries.
    pub longest: Duration,
}

/// What is remembered about sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackerSettings {
    /// How long.
    pub keep_for: Duration,
    /// Verifications, the newest; 0 remembers only what background work needs.
    pub keep_at_most: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            retry: None,
            voice: false,
            voice_fallback: false,
            workflow: Vec::new(),
            workflow_sends: 5,
            breaker: BreakerSettings::default(),
            public_url: None,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_retries: 20,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(10), longest: Duration::from_secs(120) }
    }
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self { keep_for: Duration::from_secs(7 * 24 * 60 * 60), keep_at_most: 100_000 }
    }
}

/// Limits on everything: `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Time for a client to send its request head.
    pub header_timeout: Duration,
    /// Time for a client to send its body.
    pub body_timeout: Duration,
    /// How long a connection may stay open with nothing to do.
    pub idle_timeout: Duration,
    /// Open connections.
    pub connections: usize,
    /// Numbers of which something is remembered.
    pub numbers: usize,
    /// Commands accepted and not yet answered.
    pub commands: usize,
    /// Of these, for one number.
    pub commands_per_number: usize,
    /// Messages handed to the gateway and not yet answered by it.
    pub sends: usize,
    /// Messages waiting for one of those places.
    pub sends_waiting: usize,
    /// Budget of one synchronous send, waiting included.
    pub send_budget: Duration,
    /// Time for one commit before it counts as failed.
    pub commit_timeout: Duration,
    /// Time from the first signal to the end.
    pub graceful_stop: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections: 10_000,
            numbers: 2_000_000,
            commands: 20_000,
            commands_per_number: 64,
            sends: 512,
            sends_waiting: 10_000,
            send_budget: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(5),
            graceful_stop: Duration::from_secs(30),
        }
    }
}
