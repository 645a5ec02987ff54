//! The settings. A section is a struct whose fields are keys of config.json and variables; the doc comment of a field
//! describes its key, in the manual too. Fields that serde skips follow from several keys, or are bounds that only tests
//! replace. An option is not serialized, because schema and manual have no default of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smart_default::SmartDefault;
use strum::IntoStaticStr;

use super::guard::{GuardSettings, Pricing};
use super::sections::{CaptchaKeys, CaptchaSettings, ClusterSettings, HookSettings};
pub use super::services::NumberRule;
use super::services::{RegistrySettings, Sender, ServiceObject};
use super::sources::{Config, OwnGateway};
use super::templates::Template;
use super::values::{ListenAddress, base_url, header, host, networks, origins, region, url_part, web_domain};
use crate::domain::{
    Channel, CodeLength, DAY, GatewayName, Locale, LockoutTime, MINUTE, Region, Routing, SECOND, Time, Whole,
    WorkflowStep, workflow,
};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::gateway::{ProviderSettings, TwilioSettings, TwilioVoiceSettings};
use crate::template::{DEFAULT_MESSAGE, Templates};

/// Everything the program needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen: host (name or address) and port. Port 0 lets the system choose.
    pub listen: ListenAddress,
    pub tls: Option<TlsFiles>,
    pub metrics_listen: Option<ListenAddress>,
    pub production: bool,
    pub log: LogSettings,
    /// Rules of the default service (`/api/*`).
    pub policy: Policy,
    pub answers: AnswerSet,
    pub templates: Templates,
    /// The value of `{brand}`.
    pub brand: String,
    pub storage: StorageSettings,
    pub cluster: Option<ClusterSettings>,
    /// The challenge service of the hosted page.
    pub captcha: Option<CaptchaSettings>,
    pub gateways: GatewaySettings,
    pub delivery: DeliverySettings,
    pub attempt_log: AttemptLogSettings,
    pub history: Pricing,
    /// The pumping guard's rules and budgets.
    pub guard: GuardSettings,
    pub proxies: ProxySettings,
    /// The keys of hooks.
    pub hooks: HookSettings,
    /// Services beside the default one, templates, and who may ask.
    pub registry: RegistrySettings,
    /// Whether webhooks may lead to this machine and to private networks.
    pub private_webhooks: bool,
    pub cors_origins: Vec<String>,
    pub bounds: Bounds,
    /// Each is a queue of its own.
    pub shards: usize,
}

/// The brand where neither `brand` nor `service_name` says another.
pub const OWN_BRAND: &str = "onceward";

/// Keys from which settings are worked out together.
#[derive(SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "each is a key")]
pub struct Inputs {
    /// Where an editor finds the schema.
    #[serde(rename = "$schema", skip_serializing)]
    #[schemars(with = "String")]
    schema: Value,
    /// Host to listen on without `production`. Empty means every address of the machine.
    #[serde(deserialize_with = "host")]
    #[default = "localhost"]
    pub test_hostname: String,
    /// Port to listen on without `production`. 0 lets the system choose.
    #[serde(with = "Whole::<0, 65_535>")]
    #[default = 3000]
    pub test_port: u16,
    /// The lifetime of a code. The start warns above 10 minutes (NIST SP 800-63B-4).
    #[serde(with = "Time::<SECOND, DAY>")]
    #[default(Duration::from_secs(30))]
    pub otp_timeout: Duration,
    /// Wrong codes in a row until a number is locked.
    ///
    /// NIST SP 800-63B-4 (3.2.2) allows at most 100.
    #[serde(with = "Whole::<1, 100>")]
    #[default(Policy::DEFAULT_MAX_ATTEMPTS)]
    pub otp_max_attempts: u8,
    /// The duration of a lockout. In config.json a bare number is minutes.
    #[serde(with = "LockoutTime")]
    #[default(Duration::from_secs(30 * 60))]
    pub otp_lock_timeout: Duration,
    /// Digits of a code. The start warns below 6.
    ///
    /// Codes of /send-code always have 6 digits and live 10 minutes.
    #[default(CodeLength::SIX)]
    pub otp_length: CodeLength,
    /// Text of the message of /api/send-otp, with {code} or _CODE_, optionally {brand} and {minutes}; at most 1600
    /// characters. With an `otp-timeout` of 60 s or longer the default ends with `It is valid for {minutes} min.`
    ///
    /// With `redis-db-address` the default is `OTP message is {code}`.
    #[default(DEFAULT_MESSAGE.to_owned())]
    pub otp_message: String,
    /// `true` listens on `prod-domain`, refuses the simulator, and requires keys on loopback too.
    pub production: bool,
    /// Address to listen on with `production`, which requires it: host:port, or :port for every address of the machine.
    #[serde(skip_serializing)]
    pub prod_domain: Option<ListenAddress>,
    /// A further address that serves only /metrics, without credentials and TLS: host:port or :port.
    #[serde(skip_serializing)]
    pub metrics_listen: Option<ListenAddress>,
    /// `true` serves /api/*, /send-code and /verify-code without a key to every client.
    pub allow_unauthenticated: bool,
    /// `true` allows the simulator with `production` and on an address that is not loopback.
    ///
    /// The inbox then requires credentials.
    pub simulator_in_production: bool,
    /// PEM file of the certificate chain, the server's own first.
    ///
    /// The port then speaks only TLS.
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the private key of `tls-cert`: PKCS#8, PKCS#1 or SEC1, without a password.
    pub tls_key: Option<PathBuf>,
    /// Texts by channel (sms, call, whatsapp, telegram, or any) and language, in place of `otp-message`.
    #[serde(skip_serializing)]
    pub otp_messages: BTreeMap<String, Texts>,
    /// Language where neither the request nor the number's country leads to one of the texts.
    pub default_locale: Option<Locale>,
    /// Whether the number's country chooses the language of the standard message, where neither the request nor the service
    /// does.
    pub locale_by_country: bool,
    /// Numbers that /v2 sends to: "valid" ones, which a numbering plan has, or all "possible" ones, by their length. The
    /// simulator as the only gateway sends to all of these.
    ///
    /// The older routes always accept possible ones.
    pub numbers: NumberRule,
    /// The answers of /api/*: those that the Redis version documents, or those of its code.
    #[serde(rename = "redis-version-answers")]
    pub answers: AnswerSet,
    /// Host name of the web site whose form browsers fill in.
    ///
    /// Text messages then end with @domain #code.
    #[serde(deserialize_with = "web_domain")]
    pub webotp_domain: Option<String>,
    /// Value of {brand}, at most 100 characters. Without it `service_name`; without both, onceward.
    pub brand: Option<String>,
    /// Gateways in their order, optionally with prefixes, such as Twilio;Mada:+35987,+35988;Sinch. Without it Twilio
    /// where its credentials are given, else the simulator.
    pub otp_sms_provider: Option<String>,
    /// Gateways by their names, each with a recipe. At most 1,000.
    ///
    /// The recipe is the name of one that comes with the program, or an object. Beside it is what the recipe needs.
    #[serde(skip_serializing)]
    #[schemars(extend("propertyNames" = { "pattern": NAMES }))]
    pub gateways: BTreeMap<String, Value>,
    /// `true`: a call through Twilio tells the code only after a key was pressed. Needs `public-url`.
    pub voice_gate: bool,
    /// Approved WhatsApp template of Twilio (HX...), whose first variable is the code.
    ///
    /// Without it WhatsApp delivers only to people who have written within the last day.
    #[serde(deserialize_with = "url_part")]
    pub whatsapp_content_sid: Option<String>,
    /// Rules of all services, except those that a service sets, and budgets of all services together.
    #[serde(skip_serializing)]
    pub guard: GuardSettings,
    /// This node's part in a cluster, whose records are in etcd.
    #[serde(skip_serializing)]
    pub cluster: Option<ClusterSettings>,
    /// A challenge service (CAPTCHA) for the hosted page, with the protocol of `siteverify`.
    #[serde(skip_serializing)]
    pub captcha: Option<CaptchaKeys>,
    /// Services beside `default`, by name. At most 1,000.
    #[serde(skip_serializing)]
    #[schemars(with = "BTreeMap<String, ServiceObject>", extend("propertyNames" = { "pattern": NAMES }))]
    pub services: BTreeMap<String, Map<String, Value>>,
    /// Texts of services and requests, by name. At most 1,000.
    #[serde(skip_serializing)]
    #[schemars(extend("propertyNames" = { "pattern": NAMES }))]
    pub templates: BTreeMap<String, Template>,
    /// `true` lets webhooks lead to this machine and to private networks.
    ///
    /// Link-local addresses are always refused.
    #[serde(rename = "webhook-private-addresses")]
    pub private_webhooks: bool,
    /// Origins of web pages that may call the API from a browser (CORS), such as `https://app.example.com`.
    #[serde(deserialize_with = "origins", skip_serializing)]
    pub cors_origins: Vec<String>,
    /// The brand if `brand` is not given.
    #[serde(rename = "service_name")]
    pub service_name: Option<String>,
    /// Ignored with a warning; with it the default of `otp-message` is `OTP message is {code}`.
    #[serde(skip_serializing)]
    #[schemars(with = "String")]
    redis_db_address: Value,
    /// Ignored, as is the variable `REDIS_URL`.
    #[serde(rename = "REDIS_DB_PASSWORD", skip_serializing)]
    #[schemars(with = "String")]
    redis_db_password: Value,
}

/// The texts of a channel.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a text, or an object with one text for each language")]
pub enum Texts {
    One(String),
    ByLanguage(BTreeMap<String, String>),
}

/// Names of services, templates and gateways.
const NAMES: &str = "^[A-Za-z0-9_-]{1,64}$";

impl Inputs {
    /// The rules of the service `default`.
    pub fn policy(&self) -> Policy {
        Policy {
            max_attempts: self.otp_max_attempts,
            lockout: LockoutRule::Fixed(self.otp_lock_timeout),
            sends: SendRules::CONTRACT,
            code: SendOptions { life: self.otp_timeout, length: self.otp_length },
        }
    }
}

/// Where the data is, and how numbers are spelled in questions about it.
#[derive(SmartDefault, Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct StorageSettings {
    /// Directory of the embedded store.
    #[default = "data"]
    pub data_dir: PathBuf,
    /// File of the server key (`openssl rand -hex 32 > FILE`).
    ///
    /// Without it server.key in the data directory, created at the first start.
    #[serde(rename = "key-file")]
    pub server_key_file: Option<PathBuf>,
    /// Country of numbers without +, by its two letters. Without it they are refused.
    #[serde(deserialize_with = "region", skip_serializing)]
    #[schemars(with = "String")]
    pub default_region: Option<Region>,
}

impl StorageSettings {
    /// Relative paths begin in `directory`.
    pub(super) fn below(&mut self, directory: &Path) {
        for path in self.server_key_file.iter_mut().chain([&mut self.data_dir]) {
            *path = directory.join(&path);
        }
    }
}

/// Where the server's certificate and its key are. Both are read at the start and whenever they are to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate chain, the server's own first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(SmartDefault, Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LogSettings {
    /// The least severe level that is logged.
    #[serde(rename = "log-level")]
    pub level: LogLevel,
    /// Form of the log.
    #[serde(rename = "log-format")]
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        <&str>::from(level).parse().unwrap_or(Self::INFO)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Which answers `/api/*` gives, as the Redis version's README documents or as its code behaves:
/// `docs/reference/otp-api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerSet {
    #[default]
    Documented,
    AsBuilt,
}

/// Which providers send, and for whom.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The order of the gateways. Each is configured below, except the simulator, which needs no settings.
    /// `TwilioMessages` also means `TwilioVoice` if a call is requested.
    pub routing: Routing,
    pub providers: Vec<ProviderSettings>,
    /// Gateways of a program that embeds the library.
    pub own: Vec<OwnGateway>,
}

impl GatewaySettings {
    pub fn simulator() -> Self {
        Self { routing: Routing::only(GatewayName::Simulator), providers: Vec::new(), own: Vec::new() }
    }

    pub fn twilio_messages(&self) -> Option<&TwilioSettings> {
        self.providers.iter().find_map(|provider| match provider {
            ProviderSettings::TwilioMessages(twilio) => Some(twilio),
            _ => None,
        })
    }

    /// Twilio Voice, if it may call.
    pub fn twilio_voice(&self) -> Option<&TwilioVoiceSettings> {
        self.providers.iter().find_map(|provider| match provider {
            ProviderSettings::TwilioVoice(voice) => Some(voice),
            _ => None,
        })
    }

    pub fn serves(&self, channel: Channel) -> bool {
        self.routing.entries().iter().any(|entry| self.gateway_serves(entry.gateway, channel))
    }

    fn gateway_serves(&self, gateway: GatewayName, channel: Channel) -> bool {
        if let Some(own) = self.own.iter().find(|own| own.name == gateway) {
            return own.channels.contains(&channel);
        }
        let stands_for = |name| {
            name == gateway || gateway == GatewayName::TwilioMessages && name == GatewayName::TwilioVoice
        };
        let serves = |provider: &ProviderSettings| {
            stands_for(provider.name()) && provider.channels().contains(&channel)
        };
        gateway == GatewayName::Simulator || self.providers.iter().any(serves)
    }

    /// Whether some messages go to the inbox page.
    pub fn has_simulator(&self) -> bool {
        self.routing.names(GatewayName::Simulator)
    }

    /// Whether no message leaves this machine.
    pub fn only_simulator(&self) -> bool {
        self.routing.entries().iter().all(|entry| entry.gateway == GatewayName::Simulator)
    }
}

/// Fallback and retries: `docs/reference/gateways.md`.
#[derive(SmartDefault, Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct DeliverySettings {
    /// `true`: a message that no gateway takes is retried in the background and answered as sent.
    #[serde(rename = "sms.retry")]
    pub sms_retry: bool,
    /// Retries of a message.
    ///
    /// The waits begin at half a second and double.
    #[serde(rename = "sms.max_retries", with = "Whole::<1, 100>")]
    #[default = 20]
    pub max_retries: u32,
    /// `true` allows calls, also where text messages do not reach a number. Needs a gateway that can call.
    pub voice: bool,
    /// Channels that are tried one after another until a message arrives, at most 10: `["sms:30s", "call"]`.
    ///
    /// A step waits 20 s for a receipt, or as long as it says.
    #[serde(deserialize_with = "workflow", skip_serializing)]
    pub workflow: Vec<WorkflowStep>,
    /// Order of the gateways that take a number without a prefix: as in `otp-sms-provider`, or by their results.
    pub sender: Sender,
    #[serde(skip)]
    pub breaker: BreakerSettings,
    /// URL at which gateways reach this server (receipts, call gates).
    #[serde(deserialize_with = "base_url", skip_serializing)]
    #[schemars(extend("format" = "uri"))]
    pub public_url: Option<Arc<str>>,
}

#[derive(SmartDefault, Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open a gateway's circuit breaker.
    #[default = 5]
    pub failures: u32,
    /// The span of an open circuit breaker: one message in each asks the gateway.
    #[default(Duration::from_secs(10))]
    pub open_for: Duration,
    /// The longest pause that a provider can ask for.
    #[default(Duration::from_secs(120))]
    pub longest: Duration,
}

#[derive(SmartDefault, Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct AttemptLogSettings {
    /// Retention of delivery attempts.
    #[serde(rename = "tracker-keep-for", with = "Time::<MINUTE, { 366 * DAY }>")]
    #[default(Duration::from_secs(7 * 24 * 60 * 60))]
    pub keep_for: Duration,
    /// Verifications whose delivery attempts are kept, the newest.
    #[serde(skip)]
    #[default = 100_000]
    pub keep_at_most: usize,
}

/// Where the address of a client of the compatible routes comes from, for the pumping guard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProxySettings {
    /// Header with the person's address, for the guard of `/api/*` and `/send-code` and for limits by address.
    /// Needs `trusted-proxies`.
    #[serde(deserialize_with = "header", skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub client_address_header: Option<HeaderName>,
    /// Header of `/api/*` and `/send-code` whose value `disable` has the effect of `RiskCheck=disable` below `/v2`.
    /// Needs `trusted-proxies`, which must remove a client's own.
    #[serde(deserialize_with = "header", skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub risk_check_header: Option<HeaderName>,
    /// Networks of proxies, such as 10.0.0.0/8. From them `client-address-header` and `risk-check-header` are believed, and
    /// the dashboard is shown when they send `X-Forwarded-Proto: https`.
    #[serde(deserialize_with = "networks", skip_serializing)]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
}

impl ProxySettings {
    pub(super) fn validate(&self, c: &mut Config) {
        for key in ["client-address-header", "risk-check-header"] {
            let problem =
                "it is believed only from trusted-proxies, and there are none: list your proxies there";
            c.wrong_if(c.is_given(key) && self.trusted_proxies.is_empty(), key, problem);
        }
    }

    /// Whether an address is a proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Bounds of everything: `docs/reference/configuration.md` lists them. Those that are no keys have one value, which only
/// tests replace.
#[derive(SmartDefault, Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct Bounds {
    /// Largest request body in bytes. Beyond it 413.
    #[serde(skip)]
    #[default(16 * 1024)]
    pub body_bytes: usize,
    /// Time for the head of a request, and without one. Beyond it the connection is closed.
    #[serde(skip)]
    #[default(Duration::from_secs(30))]
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request. A proxy in front must close its own idle connections earlier.
    #[serde(with = "Time::<SECOND, { 60 * MINUTE }>")]
    #[default(Duration::from_secs(30))]
    pub idle_timeout: Duration,
    /// Time for the body of a request. Beyond it 408.
    #[serde(skip)]
    #[default(Duration::from_secs(10))]
    pub body_timeout: Duration,
    /// Open connections. Beyond it new clients wait. A client address holds a quarter of them at most; its further connections are closed. Needs twice as many open files (`LimitNOFILE`, 32768 in the unit).
    #[serde(rename = "max-connections", with = "Whole::<1, 1_000_000>")]
    #[default = 10_000]
    pub connections: usize,
    /// Numbers with a code, a count or a lockout. Beyond it a send to a new number is 503.
    ///
    /// No service has more than half of them while another one has any.
    #[serde(rename = "max-numbers", with = "Whole::<1, 1_000_000_000>")]
    #[default = 2_000_000]
    pub numbers: usize,
    /// Hosted sessions. Beyond it 503.
    #[serde(skip)]
    #[default = 20_000]
    pub hosted_sessions: usize,
    /// Requests in progress. Beyond it 503. A quarter of them is reserved for checks.
    #[serde(skip)]
    #[default = 20_000]
    pub commands: usize,
    /// Requests for one number in progress. Beyond it 429.
    #[serde(skip)]
    #[default = 64]
    pub commands_per_number: usize,
    /// Messages at one gateway at once.
    #[serde(skip)]
    #[default = 512]
    pub sends: usize,
    /// Messages that wait for one gateway. Beyond it 503.
    #[serde(skip)]
    #[default = 10_000]
    pub sends_waiting: usize,
    /// Time for one send, waiting included.
    #[serde(with = "Time::<10, MINUTE>")]
    #[default(Duration::from_secs(10))]
    pub send_budget: Duration,
    /// Time until a write to the disk counts as failed.
    #[serde(skip)]
    #[default(Duration::from_secs(5))]
    pub commit_timeout: Duration,
    /// Time from the first stop signal to the end. A stop shorter than `send-budget` can cut off a send.
    #[serde(with = "Time::<0, { 10 * MINUTE }>")]
    #[default(Duration::from_secs(30))]
    pub graceful_stop: Duration,
}

impl Settings {
    /// With the bounds of a test of the whole program: an object of whole numbers, times in milliseconds.
    #[cfg(debug_assertions)]
    pub(super) fn with_bounds_of_test(mut self, sources: &super::sources::Sources) -> Self {
        let given = sources.environment.get("TEST_ONCEWARD_BOUNDS").map(String::as_str).unwrap_or_default();
        let given: BTreeMap<String, u32> = serde_json::from_str(given).unwrap_or_default();
        for (name, number) in given {
            let (time, count) =
                (Duration::from_millis(number.into()), usize::try_from(number).unwrap_or(usize::MAX));
            let Self { bounds, delivery, guard, .. } = &mut self;
            match name.as_str() {
                "header-timeout" => (bounds.header_timeout, bounds.idle_timeout) = (time, time),
                "body-timeout" => bounds.body_timeout = time,
                "commit-timeout" => bounds.commit_timeout = time,
                "commands-per-number" => bounds.commands_per_number = count,
                "sends" => bounds.sends = count,
                "sends-waiting" => bounds.sends_waiting = count,
                "breaker-failures" => delivery.breaker.failures = number,
                "breaker-open-for" => delivery.breaker.open_for = time,
                "guard-sends-per-number" => guard.sends_per_number = Some(number),
                "guard-other-countries" => guard.other_countries = Some(number),
                "shards" => self.shards = count,
                _ => {}
            }
        }
        self
    }
}
