//! The settings. A field with a kind is a key of config.json and a variable: `"name" pub field: Type as "kind" = default`.
//! Its doc comment describes the key, its kind says what is accepted. Without a name in front, the key is the field's
//! name in kebab-case; without a default, the type's default applies. `ARCHITECTURE.md` has the further steps.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::cluster::ClusterSettings;
use super::guard::GuardSettings;
use super::kind::{
    As, Choice, CodeTime, DAY, Digits, Flag, HOUR, LockoutTime, MINUTE, MaxChecks, Messages, SECOND, Span,
    Spelled, Text, Whole, settings,
};
use super::prices::Prices;
use super::services::{RegistrySettings, ServiceObject};
use super::sources::OwnGateway;
use super::templates::Template;
use super::traces::TraceSettings;
use super::values::{
    BaseUrl, Brand, Currency, FilePath, Header, HookKey, Host, HostPort, Ignored, LocaleTag, MessageText,
    MessageTexts, Networks, Origins, RegionChoice, TwilioSid, WebDomain, Workflow,
};
pub use super::values::{ListenAddress, WorkflowStep};
use crate::domain::{Channel, CodeLength, GatewayName, Locale, Region, Routing};
use crate::engine::{LockoutRule, Policy, SendOptions, SendRules};
use crate::gateway::{HttpGatewaySettings, ProviderSettings, TwilioSettings, TwilioVoiceSettings};
use crate::template::{DEFAULT_MESSAGE, Templates};

settings! {
    /// Everything the program needs to know before it starts. Fields without a kind follow from several keys.
    #[derive(Debug, Clone)]
    pub struct Settings {
        /// Where to listen: host (name or address) and port. Port 0 lets the system choose.
        #[serde(skip)]
        pub listen: ListenAddress = ListenAddress { host: "localhost".to_owned(), port: 3000 },
        #[serde(skip)]
        pub tls: Option<TlsFiles>,
        /// Where spans go; `None` if no request is traced.
        #[serde(skip)]
        pub traces: Option<TraceSettings>,
        /// A further address that serves only /metrics, without credentials and TLS: host:port or :port.
        pub metrics_listen: Option<ListenAddress> as "As::<HostPort>",
        /// `true` listens on `prod-domain`, refuses the simulator, and requires keys on loopback too.
        pub production: bool as "As::<Flag>",
        #[serde(flatten)]
        pub log: LogSettings,
        /// Rules of the default service (`/api/*`).
        #[serde(skip)]
        pub policy: Policy = Inputs::default().policy(),
        /// The rules of a code sent through the tutorial's `/send-code`: 600 s, 6 digits.
        #[serde(skip)]
        pub tutorial_code: SendOptions = SendOptions::DEFAULT,
        /// The answers of /api/*: those that the Redis version documents, or those of its code.
        "redis-version-answers" pub answers: AnswerSet as "As::<Choice<AnswerSet>>" = AnswerSet::Documented,
        #[serde(skip)]
        pub templates: Templates = Templates::new("", ""),
        /// The value of `{brand}`.
        #[serde(skip)]
        pub brand: String = OWN_BRAND.to_owned(),
        #[serde(flatten)]
        pub storage: StorageSettings,
        #[serde(skip)]
        pub cluster: Option<ClusterSettings>,
        #[serde(skip)]
        pub gateways: GatewaySettings = GatewaySettings::simulator(),
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
        "audit-retention" pub audit_retention: Duration as "As::<Span<DAY, { 3_660 * DAY }>>" = DEFAULT_AUDIT_RETENTION,
        /// The keys of hooks.
        #[serde(skip)]
        pub hooks: HookSettings,
        /// Services beside the default one, templates, and who may ask.
        #[serde(skip)]
        pub registry: RegistrySettings,
        /// `true` lets webhooks lead to this machine and to private networks.
        ///
        /// Link-local addresses are always refused.
        "webhook-private-addresses" pub private_webhooks: bool as "As::<Flag>",
        /// Origins of web pages that may call the API from a browser (CORS), such as `https://app.example.com`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub cors_origins: Vec<String> as "As::<Origins>",
        #[serde(flatten)]
        pub bounds: Bounds,
        /// Shards that the numbers are spread over. Without it, half the number of processors; in a cluster always 1.
        #[serde(skip_serializing_if = "is_zero")]
        pub shards: usize as "As::<Shards>",
    }
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

settings! {
    /// Keys from which other settings are worked out together.
    pub struct Inputs {
        /// Where an editor finds the schema.
        "$schema" schema: String as "As::<Ignored>",
        /// Host to listen on without `production`. Empty means every address of the machine.
        pub test_hostname: String as "As::<Host>" = "localhost".into(),
        /// Port to listen on without `production`. 0 lets the system choose.
        pub test_port: u16 as "As::<Whole<0, 65_535>>" = 3000,
        /// Address to listen on with `production`, which requires it: host:port, or :port for every address of the machine.
        pub prod_domain: Option<ListenAddress> as "As::<HostPort>",
        /// `true` serves /api/*, /send-code and /verify-code without a key to every client.
        pub allow_unauthenticated: bool as "As::<Flag>",
        /// `true` allows the simulator with `production` and on an address that is not loopback.
        ///
        /// The inbox then requires credentials.
        pub simulator_in_production: bool as "As::<Flag>",
        /// PEM file of the certificate chain, the server's own first.
        ///
        /// The port then speaks only TLS.
        pub tls_cert: Option<PathBuf> as "As::<Option<FilePath>>",
        /// PEM file of the private key of `tls-cert`: PKCS#8, PKCS#1 or SEC1, without a password.
        pub tls_key: Option<PathBuf> as "As::<Option<FilePath>>",
        /// The lifetime of a code. The start warns above 10 minutes (NIST SP 800-63B-4).
        pub otp_timeout: Duration as "As::<CodeTime>" = Duration::from_secs(30),
        /// Wrong codes in a row until a number is locked.
        ///
        /// NIST SP 800-63B-4 (3.2.2) allows at most 100.
        pub otp_max_attempts: u8 as "As::<MaxChecks>" = Policy::DEFAULT_MAX_ATTEMPTS,
        /// The duration of a lockout.
        pub otp_lock_timeout: Duration as "As::<LockoutTime>" = Duration::from_secs(30 * 60),
        /// Digits of a code. The start warns below 6.
        ///
        /// Codes of /send-code always have 6 digits and live 10 minutes.
        pub otp_length: u8 as "As::<Digits>" = CodeLength::SIX.get(),
        /// Text of the message of /api/send-otp, with {code} or _CODE_, optionally {brand} and {minutes}; at most 1600
        /// characters. With an `otp-timeout` of 60 s or longer the default ends with `It is valid for {minutes} min.`
        ///
        /// With `redis-db-address` the default is `OTP message is {code}`.
        pub otp_message: String as "As::<MessageText>" = DEFAULT_MESSAGE.to_owned(),
        /// Text of the message of /send-code.
        pub tutorial_message: String as "As::<MessageText>" = "Hello from {brand}! Your verification code is: {code}".into(),
        /// Texts by channel (sms, call, whatsapp, telegram, or any) and language, in place of `otp-message`.
        pub otp_messages: Option<Map<String, Value>> as "As::<Option<MessageTexts>>",
        /// Language where neither the request nor the number's country leads to one of the texts.
        pub default_locale: Option<Locale> as "As::<Option<LocaleTag>>",
        /// Whether the number's country chooses the language of the standard message, where neither the request nor the service
        /// does.
        pub locale_by_country: bool as "As::<Flag>",
        /// Numbers that /v2 sends to: "valid" ones, which a numbering plan has, or all "possible" ones, by their length.
        ///
        /// The older routes, and the simulator as the only gateway, always accept possible ones.
        pub numbers: NumberRule as "As::<Choice<NumberRule>>" = NumberRule::Valid,
        /// Host name of the web site whose form browsers fill in.
        ///
        /// Text messages then end with @domain #code.
        pub webotp_domain: Option<String> as "As::<Option<WebDomain>>",
        /// Value of {brand}, at most 100 characters. Without it `service_name`; without both, onceward.
        pub brand: Option<String> as "As::<Option<Brand>>",
        /// Gateways in their order, optionally with prefixes, such as Twilio;Mada:+35987,+35988;Sinch. Without it Twilio
        /// where its credentials are given, else the simulator.
        pub otp_sms_provider: Option<String> as "As::<Option<Text>>",
        /// The gateway `Http`: how it takes a message, and what it answers.
        #[schemars(with = "HttpGatewaySettings")]
        #[schemars(extend("x-accepted" = "an object such as {\"method\": \"POST\", \"url\": \"https://sms.example.com/send\", \
        \"json\": {\"to\": \"{to}\", \"text\": \"{text}\"}}"))]
        pub http_gateway: Option<HttpGatewaySettings>,
        /// Gateways by their names, each with a recipe. At most 1,000.
        ///
        /// The recipe is the name of one that comes with the program, or an object. Beside it is what the recipe needs.
        #[serde(serialize_with = "names")]
        #[schemars(extend("propertyNames" = { "pattern": NAMES }, "additionalProperties" = { "writeOnly": true },
        "x-accepted" = "an object of gateways by name, such as {\"acme-sms\": {\"recipe\": \"vonage\", \"key\": \"k3y\", \
        \"from\": \"Acme\"}}"))]
        pub gateways: BTreeMap<String, Value>,
        /// `true`: a call through Twilio tells the code only after a key was pressed. Needs `public-url`.
        pub voice_gate: bool as "As::<Flag>",
        /// The time the phone rings.
        pub voice_ring_for: Duration as "As::<Span<{ 5 * SECOND }, { 10 * MINUTE }>>" = Duration::from_secs(25),
        /// Approved WhatsApp template of Twilio (HX...), whose first variable is the code.
        ///
        /// Without it WhatsApp delivers only to people who have written within the last day.
        pub whatsapp_content_sid: Option<String> as "As::<Option<TwilioSid<'H', 'X'>>>",
        /// `true` tells Twilio which messages led to a verified number.
        pub conversion_feedback: bool as "As::<Flag>",
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
        "service_name" pub service_name: Option<String> as "As::<Option<Text>>",
        /// Ignored with a warning; with it the default of `otp-message` is `OTP message is {code}`.
        redis_db_address: String as "As::<Ignored>",
        /// Ignored, as is the variable `REDIS_URL`.
        "REDIS_DB_PASSWORD" redis_db_password: String as "As::<Ignored>",
        /// `true`: a message that no gateway takes is retried in the background and answered as sent.
        "sms.retry" pub sms_retry: bool as "As::<Flag>",
        #[serde(flatten)]
        pub retries: RetrySettings,
    }
}

/// The keys by which identity systems sign their hooks.
#[derive(Debug, Clone, Default)]
pub struct HookSettings {
    pub supabase: Vec<HookKey>,
    pub zitadel: Vec<HookKey>,
    pub logto: Vec<HookKey>,
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

settings! {
    /// Where the data is, and how numbers are spelled in questions about it.
    #[derive(Debug, Clone)]
    pub struct StorageSettings {
        /// Directory of the embedded store.
        pub data_dir: PathBuf as "As::<FilePath>" = "data".into(),
        /// File of the server key (`openssl rand -hex 32 > FILE`).
        ///
        /// Without it server.key in the data directory, created at the first start.
        "key-file" pub server_key_file: Option<PathBuf> as "As::<Option<FilePath>>",
        /// Country of numbers without +, by its two letters. `off` refuses them.
        pub default_region: Option<Region> as "As::<RegionChoice>",
    }
}

impl StorageSettings {
    /// Relative paths begin in `directory`.
    pub(super) fn below(&mut self, directory: &Path) {
        for path in self.server_key_file.iter_mut().chain([&mut self.data_dir]) {
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

settings! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct LogSettings {
        /// The least severe level that is logged.
        "log-level" pub level: tracing::Level as "As::<Choice<tracing::Level>>" = tracing::Level::INFO,
        /// Form of the log.
        "log-format" pub format: LogFormat as "As::<Choice<LogFormat>>" = LogFormat::Text,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Spelled for LogFormat {
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

impl Spelled for NumberRule {
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

impl Spelled for AnswerSet {
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

impl Spelled for OnAmbiguous {
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

settings! {
    /// Fallback and retries: `docs/reference/gateways.md`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DeliverySettings {
        /// Trying again in the background; `None` when it is off.
        #[serde(skip)]
        pub retry: Option<RetrySettings>,
        /// After a failure that may have sent the message, `next` asks the next gateway with the same code, `stop` ends
        /// the send.
        pub gateway_silent: OnAmbiguous as "As::<Choice<OnAmbiguous>>" = OnAmbiguous::Next,
        /// `true` allows calls. Needs a gateway that can call.
        pub voice: bool as "As::<Flag>",
        /// Whether, with `voice`, a number that text messages do not reach is called.
        // Never without `voice`, once it is settled.
        #[serde(default = "enabled")]
        pub voice_fallback: bool as "As::<Flag>",
        /// Channels that are tried one after another until a message arrives, at most 10: `["sms:30s", "call"]`.
        ///
        /// A step waits 20 s for a receipt, or as long as it says.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub workflow: Vec<WorkflowStep> as "As::<Workflow>",
        /// Messages that one verification may cost in all.
        "workflow-max-sends" pub workflow_sends: u8 as "As::<Messages>" = 5,
        #[serde(flatten)]
        pub breaker: BreakerSettings,
        /// URL at which gateways reach this server (receipts, call gates).
        pub public_url: Option<Arc<str>> as "As::<Option<BaseUrl>>",
    }
}

const fn enabled() -> bool {
    true
}

settings! {
    /// Trying again in the background.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct RetrySettings {
        /// Retries of a message.
        ///
        /// The waits begin at half a second and double.
        "sms.max_retries" pub max_retries: u32 as "As::<Whole<1, 100>>" = 20,
        /// The wait before the first of them; each further wait doubles.
        #[serde(skip)]
        pub first_wait: Duration = Duration::from_millis(500),
        /// The longest wait between two retries.
        // Unless the provider itself asks for a longer one.
        "sms.longest_wait" pub longest_wait: Duration as "As::<Span<SECOND, HOUR>>" = Duration::from_secs(60),
    }
}

settings! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct BreakerSettings {
        /// Failures in a row that open a gateway's circuit breaker.
        "breaker-failures" pub failures: u32 as "As::<Whole<1, 1_000>>" = 5,
        /// The time that an open circuit breaker first stays open.
        ///
        /// It doubles with each failed probe.
        "breaker-open-for" pub open_for: Duration as "As::<Span<100, DAY>>" = Duration::from_secs(10),
        /// The longest time that a circuit breaker stays open, not shorter than `breaker-open-for`.
        "breaker-longest" pub longest: Duration as "As::<Span<100, DAY>>" = Duration::from_secs(120),
    }
}

settings! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct AttemptLogSettings {
        /// Retention of delivery attempts.
        "tracker-keep-for" pub keep_for: Duration as "As::<Span<MINUTE, { 366 * DAY }>>" = Duration::from_secs(7 * 24 * 60 * 60),
        /// Verifications whose delivery attempts are kept, the newest.
        ///
        /// 0 keeps only what background work needs.
        "tracker-keep-at-most" pub keep_at_most: usize as "As::<Whole<0, 10_000_000>>" = 100_000,
    }
}

settings! {
    /// What messages cost, for budgets of money and the estimated cost in the history.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Pricing {
        /// Price of a message by country (`*` for all others) and channel.
        ///
        /// Without it, list prices in US dollars; a country or channel without one has the highest.
        #[schemars(with = "Prices", extend("x-accepted" = "an object such as {\"DE\": {\"sms\": 0.08, \"call\": 0.05}, \
        \"*\": {\"sms\": 0.1}}"))]
        pub prices: Option<Prices>,
        /// Currency of `prices`, in three letters. Change both together.
        pub currency: String as "As::<Currency>" = "USD".into(),
    }
}

settings! {
    /// Where the address of a client of the compatible routes comes from, for the pumping guard.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProxySettings {
        /// Header with the person's address, for the guard of `/api/*` and `/send-code` and for limits by address.
        /// Needs `trusted-proxies`.
        pub client_address_header: Option<HeaderName> as "As::<Option<Header>>",
        /// Header of `/api/*` and `/send-code` whose value `disable` has the effect of `RiskCheck=disable` below `/v2`.
        /// Needs `trusted-proxies`, which must remove a client's own.
        pub risk_check_header: Option<HeaderName> as "As::<Option<Header>>",
        /// Networks of proxies, such as 10.0.0.0/8. From them `client-address-header` and `risk-check-header` are believed, and
        /// the dashboard is shown when they send `X-Forwarded-Proto: https`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub trusted_proxies: Vec<IpNet> as "As::<Networks>",
    }
}

impl ProxySettings {
    /// Whether an address is a proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

settings! {
    /// Limits on everything: `docs/reference/configuration.md`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Bounds {
        /// Largest request body in bytes. Beyond it 413.
        "max-body-bytes" pub body_bytes: usize as "As::<Whole<256, 1_048_576>>" = 16 * 1024,
        /// Time for the head of a request. Beyond it 408.
        pub header_timeout: Duration as "As::<Span<10, { 5 * MINUTE }>>" = Duration::from_secs(10),
        /// Time for the body of a request. Beyond it 408.
        pub body_timeout: Duration as "As::<Span<10, { 5 * MINUTE }>>" = Duration::from_secs(10),
        /// Time without a request until a connection is closed.
        pub idle_timeout: Duration as "As::<Span<10, HOUR>>" = Duration::from_secs(75),
        /// Open connections. Beyond it 503. Needs as many open files (`LimitNOFILE`, 32768 in the unit).
        "max-connections" pub connections: usize as "As::<Whole<1, 1_000_000>>" = 10_000,
        /// Numbers of a service with a code, a count or a lockout. Beyond it a send to a new number is 503.
        ///
        /// All services together may have a quarter more.
        "max-numbers" pub numbers: usize as "As::<Whole<1, 1_000_000_000>>" = 2_000_000,
        /// Hosted sessions of a service, each of at most 512 bytes: a longer one counts for several. Beyond it 503.
        ///
        /// All services together may have a quarter more.
        "max-hosted-sessions" pub hosted_sessions: usize as "As::<Whole<1, 1_000_000>>" = 20_000,
        /// Requests of a service in progress. Beyond it 503.
        ///
        /// A quarter of them is reserved for checks. All services together may have a quarter more.
        "max-commands" pub commands: usize as "As::<Whole<1, 1_000_000>>" = 20_000,
        /// Requests for one number in progress. Beyond it 429.
        "max-commands-per-number" pub commands_per_number: usize as "As::<Whole<1, 10_000>>" = 64,
        /// Messages of a service at one gateway at once.
        ///
        /// All services together may have a fiftieth more.
        "max-sends" pub sends: usize as "As::<Whole<1, 100_000>>" = 512,
        /// Messages of a service that wait for one gateway. Beyond it 503.
        ///
        /// All services together may have a quarter more.
        "max-sends-waiting" pub sends_waiting: usize as "As::<Whole<0, 1_000_000>>" = 10_000,
        /// Time for one send, waiting included.
        pub send_budget: Duration as "As::<Span<10, MINUTE>>" = Duration::from_secs(10),
        /// Time until a write to the disk counts as failed.
        pub commit_timeout: Duration as "As::<Span<10, MINUTE>>" = Duration::from_secs(5),
        /// Time from the first stop signal to the end. A stop shorter than `send-budget` can cut off a send (warning).
        pub graceful_stop: Duration as "As::<Span<0, { 10 * MINUTE }>>" = Duration::from_secs(30),
    }
}
