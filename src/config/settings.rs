//! The settings. A field with a kind is a key of config.json, and a variable of the same name: its doc comment is the
//! key's description, its kind says what is accepted, `#[default]` is its default. Nothing else has to be written for a
//! key.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use smart_default::SmartDefault;

use super::cluster::ClusterSettings;
use super::guard::GuardSettings;
use super::kind::{
    As, Attempts, Choice, CodeTime, DAY, Digits, Flag, HOUR, LockoutTime, MINUTE, Messages, Named, SECOND,
    Span, Text, Whole,
};
use super::prices::Prices;
use super::services::{RegistrySettings, ServiceObject};
use super::sources::OwnGateway;
use super::templates::Template;
use super::traces::TraceSettings;
use super::values::{
    BaseUrl, Brand, Currency, FilePath, Header, Host, HostPort, Ignored, LocaleTag, MessageText,
    MessageTexts, Networks, Origins, RegionChoice, TwilioSid, WebDomain, Workflow,
};
pub use super::values::{ListenAddress, WorkflowStep};
use crate::domain::{Channel, CodeLength, GatewayName, Locale, Region, Routing};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::gateway::{HttpGatewaySettings, ProviderSettings, TwilioSettings, TwilioVoiceSettings};
use crate::template::{DEFAULT_MESSAGE, Templates};

/// Everything the program needs to know before it starts. Fields without a kind follow from several keys.
#[derive(Debug, Clone, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct Settings {
    /// Where to listen: host (name or address) and port. Port 0 lets the system choose.
    #[serde(skip)]
    #[default(ListenAddress { host: "localhost".to_owned(), port: 3000 })]
    pub listen: ListenAddress,
    #[serde(skip)]
    pub tls: Option<TlsFiles>,
    /// Where spans go; `None` if no request is traced.
    #[serde(skip)]
    pub traces: Option<TraceSettings>,
    /// A further address that serves only /metrics, without credentials and TLS: host:port or :port.
    #[serde(with = "As::<HostPort>")]
    pub metrics_listen: Option<ListenAddress>,
    /// `true` listens on `prod-domain`, refuses the simulator, and requires keys on loopback too.
    #[serde(with = "As::<Flag>")]
    pub production: bool,
    #[serde(flatten)]
    pub log: LogSettings,
    /// Rules of the default service (`/api/*`).
    #[serde(skip)]
    #[default(Inputs::default().policy())]
    pub policy: Policy,
    /// The rules of a code sent through the tutorial's `/send-code`: 600 s, 6 digits.
    #[serde(skip)]
    #[default(SendOptions::DEFAULT)]
    pub tutorial_code: SendOptions,
    /// The answers of /api/*: those that the Redis version documents, or those of its code.
    #[serde(rename = "redis-version-answers", with = "As::<Choice<AnswerSet>>")]
    #[default(AnswerSet::Documented)]
    pub answers: AnswerSet,
    #[serde(skip)]
    #[default(Templates::new("", ""))]
    pub templates: Templates,
    /// The value of `{brand}`.
    #[serde(skip)]
    #[default(OWN_BRAND.to_owned())]
    pub brand: String,
    #[serde(flatten)]
    pub storage: StorageSettings,
    #[serde(skip)]
    pub cluster: Option<ClusterSettings>,
    #[serde(skip)]
    #[default(GatewaySettings::simulator())]
    pub gateways: GatewaySettings,
    #[serde(flatten)]
    pub delivery: DeliverySettings,
    #[serde(flatten)]
    pub attempt_log: AttemptLogSettings,
    #[serde(flatten)]
    pub history: Pricing,
    /// The pumping guard's rules and budgets.
    #[serde(skip)]
    pub guard: GuardSettings,
    #[serde(flatten)]
    pub proxies: ProxySettings,
    /// Retention of entries of the audit log.
    #[serde(rename = "audit-retention", with = "As::<Span<DAY, { 3_660 * DAY }>>")]
    #[default(DEFAULT_AUDIT_RETENTION)]
    pub audit_retention: Duration,
    /// Services beside the default one, templates, and who may ask.
    #[serde(skip)]
    pub registry: RegistrySettings,
    /// `true` lets webhooks lead to this machine and to private networks. Link-local addresses are always refused.
    #[serde(rename = "webhook-private-addresses", with = "As::<Flag>")]
    pub private_webhooks: bool,
    /// Origins of web pages that may call the API from a browser (CORS), such as `https://app.example.com`.
    #[serde(with = "As::<Origins>", skip_serializing_if = "Vec::is_empty")]
    pub cors_origins: Vec<String>,
    #[serde(flatten)]
    pub bounds: Bounds,
    /// Shards that the numbers are spread over. Without it, half the number of processors; in a cluster always 1.
    #[serde(with = "As::<Shards>", skip_serializing_if = "is_zero")]
    pub shards: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Each is a queue of its own.
pub type Shards = Whole<1, MOST_SHARDS>;

/// More than there are processors gain nothing.
pub const MOST_SHARDS: u64 = 1_024;

/// Entries of the audit log are kept for this long, unless `audit-retention` says otherwise.
pub const DEFAULT_AUDIT_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The brand where neither `brand` nor `service_name` says another.
pub const OWN_BRAND: &str = "onceward";

/// Keys from which other settings are worked out together.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
#[derive(SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct Inputs {
    /// Where an editor finds the schema.
    #[serde(rename = "$schema", with = "As::<Ignored>")]
    schema: String,
    /// Host to listen on without `production`. Empty means every address of the machine.
    #[serde(with = "As::<Host>")]
    #[default("localhost")]
    pub test_hostname: String,
    /// Port to listen on without `production`. 0 lets the system choose.
    #[serde(with = "As::<Whole<0, 65_535>>")]
    #[default(3000)]
    pub test_port: u16,
    /// Address to listen on with `production`, which requires it: host:port, or :port for every address of the machine.
    #[serde(with = "As::<HostPort>")]
    pub prod_domain: Option<ListenAddress>,
    /// `true` serves /api/*, /send-code and /verify-code without a key to every client.
    #[serde(with = "As::<Flag>")]
    pub allow_unauthenticated: bool,
    /// `true` allows the simulator with `production` and on an address that is not loopback. The inbox then requires
    /// credentials.
    #[serde(with = "As::<Flag>")]
    pub simulator_in_production: bool,
    /// PEM file of the certificate chain, the server's own first. The port then speaks only TLS.
    #[serde(with = "As::<Option<FilePath>>")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the private key of `tls-cert`: PKCS#8, PKCS#1 or SEC1, without a password.
    #[serde(with = "As::<Option<FilePath>>")]
    pub tls_key: Option<PathBuf>,
    /// The lifetime of a code. The start warns above 10 minutes (NIST SP 800-63B-4).
    #[serde(with = "As::<CodeTime>")]
    #[default(Duration::from_secs(30))]
    pub otp_timeout: Duration,
    /// Wrong codes in a row until a number is locked. NIST SP 800-63B-4 (3.2.2) allows at most 100.
    #[serde(with = "As::<Attempts>")]
    #[default(Policy::DEFAULT_MAX_ATTEMPTS)]
    pub otp_max_attempts: u8,
    /// The duration of a lockout.
    #[serde(with = "As::<LockoutTime>")]
    #[default(Duration::from_secs(30 * 60))]
    pub otp_lock_timeout: Duration,
    /// Digits of a code. The start warns below 6. Codes of /send-code always have 6 digits and live 10 minutes.
    #[serde(with = "As::<Digits>")]
    #[default(CodeLength::SIX.get())]
    pub otp_length: u8,
    /// Text of the message of /api/send-otp, with {code} or _CODE_, and perhaps {brand} and {minutes}; at most 1600
    /// characters. With an `otp-timeout` of 60 s or longer the default ends with `It is valid for {minutes} min.`;
    /// with `redis-db-address` it is `OTP message is {code}`.
    #[serde(with = "As::<MessageText>")]
    #[default(DEFAULT_MESSAGE.to_owned())]
    pub otp_message: String,
    /// Text of the message of /send-code.
    #[serde(with = "As::<MessageText>")]
    #[default("Hello from {brand}! Your verification code is: {code}")]
    pub tutorial_message: String,
    /// Texts by channel (sms, call, whatsapp, or any) and language, in place of `otp-message`.
    #[serde(with = "As::<Option<MessageTexts>>")]
    pub otp_messages: Option<Map<String, Value>>,
    /// Language where neither the request nor the number's country leads to one of the texts.
    #[serde(with = "As::<Option<LocaleTag>>")]
    pub default_locale: Option<Locale>,
    /// Whether the number's country chooses the language of the standard message, where neither the request nor the service
    /// does.
    #[serde(with = "As::<Flag>")]
    pub locale_by_country: bool,
    /// Numbers that /v2 sends to: "valid" ones, which a numbering plan has, or all "possible" ones, by their length. The
    /// compatible routes, and the simulator as the only gateway, always accept possible ones.
    #[serde(with = "As::<Choice<NumberRule>>")]
    #[default(NumberRule::Valid)]
    pub numbers: NumberRule,
    /// Host name of the web site whose form browsers fill in. Text messages then end with @domain #code.
    #[serde(with = "As::<Option<WebDomain>>")]
    pub webotp_domain: Option<String>,
    /// Value of {brand}, at most 100 characters. Without it `service_name`; without both, onceward.
    #[serde(with = "As::<Option<Brand>>")]
    pub brand: Option<String>,
    /// Gateways in their order, perhaps with prefixes, such as Twilio;Mada:+35987,+35988;Sinch. Without it Twilio
    /// where its credentials are given, else the simulator.
    #[serde(with = "As::<Option<Text>>")]
    pub otp_sms_provider: Option<String>,
    /// The gateway `Http`: how it takes a message, and what it answers.
    #[schemars(with = "HttpGatewaySettings")]
    #[schemars(extend("x-accepted" = "an object such as {\"method\": \"POST\", \"url\": \"https://sms.example.com/send\", \
                      \"json\": {\"to\": \"{to}\", \"text\": \"{text}\"}}"))]
    pub http_gateway: Option<HttpGatewaySettings>,
    /// `true`: a call through Twilio tells the code only after a key was pressed. Needs `public-url`.
    #[serde(with = "As::<Flag>")]
    pub voice_gate: bool,
    /// The time the telephone rings.
    #[serde(with = "As::<Span<{ 5 * SECOND }, { 10 * MINUTE }>>")]
    #[default(Duration::from_secs(25))]
    pub voice_ring_for: Duration,
    /// Approved WhatsApp template of Twilio (HX...), whose first variable is the code. Without it WhatsApp delivers
    /// only to people who have written within the last day.
    #[serde(with = "As::<Option<TwilioSid<'H', 'X'>>>")]
    pub whatsapp_content_sid: Option<String>,
    /// `true` tells Twilio which messages led to a verified number.
    #[serde(with = "As::<Flag>")]
    pub conversion_feedback: bool,
    /// Rules of all services, except those that a service sets, and budgets of all services together.
    #[schemars(extend("x-accepted" = "an object such as {\"messages-per-hour\": 2000, \"blocked-countries\": [\"TJ\"], \
                      \"mode\": \"record\"}"))]
    pub guard: GuardSettings,
    /// This node's part in a cluster, whose records are in etcd.
    #[schemars(with = "ClusterSettings")]
    #[schemars(extend("x-accepted" = "an object such as {\"etcd\": [\"http://10.0.0.11:2379\"], \"node\": \"a\", \
                      \"advertise\": \"10.0.0.5:3000\"}"))]
    pub cluster: Option<ClusterSettings>,
    /// Services beside `default`, by name. At most 1,000.
    #[serde(serialize_with = "names")]
    #[schemars(extend("propertyNames" = { "pattern": NAMES }, "x-accepted" = "an object of services by name, such as \
                      {\"shop\": {\"friendly-name\": \"Acme Shop\", \"code-length\": 6}}"))]
    pub services: BTreeMap<String, ServiceObject>,
    /// Texts of services and requests, by name. At most 1,000.
    #[serde(serialize_with = "names")]
    #[schemars(extend("propertyNames" = { "pattern": NAMES }, "x-accepted" = "an object of templates by name, such as \
                      {\"login\": {\"translations\": {\"en\": \"{code} opens {friendly_name}\"}}}"))]
    pub templates: BTreeMap<String, Template>,
    /// The brand if `brand` is not given.
    #[serde(rename = "service_name", with = "As::<Option<Text>>")]
    pub service_name: Option<String>,
    /// Ignored with a warning; but see `otp-message`.
    #[serde(with = "As::<Ignored>")]
    redis_db_address: String,
    /// Ignored, as is the variable `REDIS_URL`.
    #[serde(rename = "REDIS_DB_PASSWORD", with = "As::<Ignored>")]
    redis_db_password: String,
    /// `true`: a message that no gateway takes is retried in the background and answered as sent.
    #[serde(rename = "sms.retry", with = "As::<Flag>")]
    pub sms_retry: bool,
    #[serde(flatten)]
    pub retries: RetrySettings,
}

/// Names of services and templates.
const NAMES: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Objects are shown by their names.
fn names<T, S: Serializer>(objects: &BTreeMap<String, T>, to: S) -> Result<S::Ok, S::Error> {
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(", ")).serialize(to)
}

impl Inputs {
    pub fn policy(&self) -> Policy {
        Policy {
            max_attempts: self.otp_max_attempts,
            lockout: LockoutRule::Fixed(self.otp_lock_timeout),
            sends: SendRules::CONTRACT,
            code: SendOptions {
                life: self.otp_timeout,
                length: CodeLength::new(self.otp_length).unwrap_or(CodeLength::SIX),
            },
        }
    }
}

/// Every key of config.json.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[schemars(
    title = "config.json of onceward",
    description = "The configuration file of onceward. Every value may be a string or the proper JSON type. Any key can also \
                   be given in the environment as ONCEWARD_ and the key in capitals with underscores."
)]
pub struct Keys {
    #[serde(flatten)]
    pub settings: Settings,
    #[serde(flatten)]
    pub inputs: Inputs,
}

/// Where the data is, and how numbers are spelled in questions about it.
#[derive(Debug, Clone, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct StorageSettings {
    /// Directory of the embedded store.
    #[serde(with = "As::<FilePath>")]
    #[default("data")]
    pub data_dir: PathBuf,
    /// Directory for a copy of the snapshot if the data directory has no room for it. By default the directory that
    /// `TMPDIR` names.
    #[serde(with = "As::<Option<FilePath>>")]
    pub scratch: Option<PathBuf>,
    /// File of the server key, as `openssl rand -hex 32 > FILE` makes it. Without it server.key in the data
    /// directory, made at the first start.
    #[serde(rename = "key-file", with = "As::<Option<FilePath>>")]
    pub server_key_file: Option<PathBuf>,
    /// Country of numbers without +, by its two letters. `off` refuses them.
    #[serde(with = "As::<RegionChoice>")]
    pub default_region: Option<Region>,
}

impl StorageSettings {
    /// Relative paths begin in `directory`.
    pub(super) fn below(&mut self, directory: &Path) {
        let files = [&mut self.scratch, &mut self.server_key_file].into_iter().flatten();
        for path in files.chain([&mut self.data_dir]) {
            *path = directory.join(&path);
        }
    }
}

/// Where the server listens, and whether the port speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    pub listen: ListenAddress,
    pub tls: bool,
}

/// Where the server's certificate and its key are. Both are read at the start and whenever they are to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate chain, the server's own first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LogSettings {
    /// The least severe level that is logged.
    #[serde(rename = "log-level", with = "As::<Choice<tracing::Level>>")]
    #[default(tracing::Level::INFO)]
    pub level: tracing::Level,
    /// Form of the log.
    #[serde(rename = "log-format", with = "As::<Choice<LogFormat>>")]
    #[default(LogFormat::Text)]
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Named for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// Which numbers `/v2` sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberRule {
    /// Those that the numbering plan of their country has.
    #[default]
    Valid,
    /// Those with a length that numbers of their country can have.
    Possible,
}

impl Named for NumberRule {
    const NAMES: &'static [(&'static str, Self)] = &[("valid", Self::Valid), ("possible", Self::Possible)];
}

/// Which answers `/api/*` gives: `docs/reference/otp-api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSet {
    /// As the Redis version's README documents.
    Documented,
    /// As the Redis version's code behaves.
    AsBuilt,
}

impl Named for AnswerSet {
    const NAMES: &'static [(&'static str, Self)] =
        &[("documented", Self::Documented), ("as-built", Self::AsBuilt)];
}

/// The step after a gateway did not say whether it took a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAmbiguous {
    /// The next gateway is asked, with the same code.
    Next,
    /// The send ends: no message is paid for twice.
    Stop,
}

impl Named for OnAmbiguous {
    const NAMES: &'static [(&'static str, Self)] = &[("next", Self::Next), ("stop", Self::Stop)];
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
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct DeliverySettings {
    /// Trying again in the background; `None` when it is off.
    #[serde(skip)]
    pub retry: Option<RetrySettings>,
    /// After a failure that may have sent the message, `next` asks the next gateway with the same code, `stop` ends
    /// the send.
    #[serde(with = "As::<Choice<OnAmbiguous>>")]
    #[default(OnAmbiguous::Next)]
    pub gateway_silent: OnAmbiguous,
    /// `true` allows calls. Needs a gateway that can call.
    #[serde(with = "As::<Flag>")]
    pub voice: bool,
    /// Whether, with `voice`, a number that text messages do not reach is called.
    // Never without `voice`, once it is settled.
    #[serde(with = "As::<Flag>", default = "enabled")]
    pub voice_fallback: bool,
    /// Channels that are tried one after another until a message arrives, at most 10. A step waits 20 s for a
    /// receipt, or as long as it says: `["sms:30s", "call"]`.
    #[serde(with = "As::<Workflow>", skip_serializing_if = "Vec::is_empty")]
    pub workflow: Vec<WorkflowStep>,
    /// Messages that one verification may cost in all.
    #[serde(rename = "workflow-max-sends", with = "As::<Messages>")]
    #[default(5)]
    pub workflow_sends: u8,
    #[serde(flatten)]
    pub breaker: BreakerSettings,
    /// URL at which gateways reach this server (receipts, call gates).
    #[serde(with = "As::<Option<BaseUrl>>")]
    pub public_url: Option<Arc<str>>,
}

const fn enabled() -> bool {
    true
}

/// Trying again in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct RetrySettings {
    /// Retries of a message. The waits begin at half a second and double.
    #[serde(rename = "sms.max_retries", with = "As::<Whole<1, 100>>")]
    #[default(20)]
    pub max_retries: u32,
    /// The wait before the first of them; each further wait doubles.
    #[serde(skip)]
    #[default(Duration::from_millis(500))]
    pub first_wait: Duration,
    /// The longest wait between two retries.
    // Unless the provider itself asks for a longer one.
    #[serde(rename = "sms.longest_wait", with = "As::<Span<SECOND, HOUR>>")]
    #[default(Duration::from_secs(60))]
    pub longest_wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct BreakerSettings {
    /// Failures in a row that open a gateway's circuit breaker.
    #[serde(rename = "breaker-failures", with = "As::<Whole<1, 1_000>>")]
    #[default(5)]
    pub failures: u32,
    /// The time that an open circuit breaker first stays open; it doubles with each failed probe.
    #[serde(rename = "breaker-open-for", with = "As::<Span<100, DAY>>")]
    #[default(Duration::from_secs(10))]
    pub open_for: Duration,
    /// The longest time that a circuit breaker stays open, not shorter than `breaker-open-for`.
    #[serde(rename = "breaker-longest", with = "As::<Span<100, DAY>>")]
    #[default(Duration::from_secs(120))]
    pub longest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct AttemptLogSettings {
    /// Retention of delivery attempts.
    #[serde(rename = "tracker-keep-for", with = "As::<Span<MINUTE, { 366 * DAY }>>")]
    #[default(Duration::from_secs(7 * 24 * 60 * 60))]
    pub keep_for: Duration,
    /// Verifications whose delivery attempts are kept, the newest. 0 keeps only what background work needs.
    #[serde(rename = "tracker-keep-at-most", with = "As::<Whole<0, 10_000_000>>")]
    #[default(100_000)]
    pub keep_at_most: usize,
}

/// What messages cost, for budgets of money and the estimated cost in the history.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Pricing {
    /// Price of a message by country (`*` for all others) and channel. Without it, rough prices in US dollars.
    #[schemars(with = "Prices", extend("x-accepted" = "an object such as {\"DE\": {\"sms\": 0.08, \"call\": 0.05}, \
                      \"*\": {\"sms\": 0.1}}"))]
    pub prices: Option<Prices>,
    /// Currency of `prices`, in three letters. Change both together.
    #[serde(with = "As::<Currency>")]
    #[default("USD")]
    pub currency: String,
}

/// Where the address of a client of the compatible routes comes from, for the pumping guard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProxySettings {
    /// Header in which a proxy or a backend names the person's address, for the guard of `/api/*` and `/send-code` and for
    /// the limits of unfinished bodies and of sign-ins. Needs `trusted-proxies`.
    #[serde(with = "As::<Option<Header>>")]
    pub client_address_header: Option<HeaderName>,
    /// Header of `/api/*` and `/send-code` with which a proxy or a backend says `disable` after it has checked that a person
    /// asks, as `RiskCheck=disable` does below `/v2`. Needs `trusted-proxies`, which must remove a client's own; of several
    /// lines none is believed.
    #[serde(with = "As::<Option<Header>>")]
    pub risk_check_header: Option<HeaderName>,
    /// Networks of proxies, such as 10.0.0.0/8. From them `client-address-header` and `risk-check-header` are believed, and
    /// the dashboard is shown when they send `X-Forwarded-Proto: https`.
    #[serde(with = "As::<Networks>", skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
}

impl ProxySettings {
    /// Whether an address is a proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Limits on everything: `docs/reference/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
pub struct Bounds {
    /// Largest request body in bytes. Beyond it 413.
    #[serde(rename = "max-body-bytes", with = "As::<Whole<256, 1_048_576>>")]
    #[default(16 * 1024)]
    pub body_bytes: usize,
    /// Time for the head of a request. Beyond it 408.
    #[serde(with = "As::<Span<10, { 5 * MINUTE }>>")]
    #[default(Duration::from_secs(10))]
    pub header_timeout: Duration,
    /// Time for the body of a request. Beyond it 408.
    #[serde(with = "As::<Span<10, { 5 * MINUTE }>>")]
    #[default(Duration::from_secs(10))]
    pub body_timeout: Duration,
    /// Time without a request until a connection is closed.
    #[serde(with = "As::<Span<10, HOUR>>")]
    #[default(Duration::from_secs(75))]
    pub idle_timeout: Duration,
    /// Open connections. Beyond it 503. Needs as many open files (`LimitNOFILE`, 32768 in the unit).
    #[serde(rename = "max-connections", with = "As::<Whole<1, 1_000_000>>")]
    #[default(10_000)]
    pub connections: usize,
    /// Numbers of a service with a code, a count or a lockout. Beyond it a send to a new number is 503.
    ///
    /// All services together may have a quarter more.
    #[serde(rename = "max-numbers", with = "As::<Whole<1, 1_000_000_000>>")]
    #[default(2_000_000)]
    pub numbers: usize,
    /// Requests of a service in progress, a quarter of them reserved for checks. Beyond it 503.
    ///
    /// All services together may have a quarter more.
    #[serde(rename = "max-commands", with = "As::<Whole<1, 1_000_000>>")]
    #[default(20_000)]
    pub commands: usize,
    /// Requests for one number in progress. Beyond it 429.
    #[serde(rename = "max-commands-per-number", with = "As::<Whole<1, 10_000>>")]
    #[default(64)]
    pub commands_per_number: usize,
    /// Messages of a service at one gateway at once.
    ///
    /// All services together may have a quarter more.
    #[serde(rename = "max-sends", with = "As::<Whole<1, 100_000>>")]
    #[default(512)]
    pub sends: usize,
    /// Messages of a service that wait for one gateway. Beyond it 503.
    ///
    /// All services together may have a quarter more.
    #[serde(rename = "max-sends-waiting", with = "As::<Whole<0, 1_000_000>>")]
    #[default(10_000)]
    pub sends_waiting: usize,
    /// Time for one send, waiting included.
    #[serde(with = "As::<Span<10, MINUTE>>")]
    #[default(Duration::from_secs(10))]
    pub send_budget: Duration,
    /// Time until a write to the disk counts as failed.
    #[serde(with = "As::<Span<10, MINUTE>>")]
    #[default(Duration::from_secs(5))]
    pub commit_timeout: Duration,
    /// Time from the first stop signal to the end. A stop shorter than `send-budget` can cut off a send (warning).
    #[serde(with = "As::<Span<0, { 10 * MINUTE }>>")]
    #[default(Duration::from_secs(30))]
    pub graceful_stop: Duration,
}
