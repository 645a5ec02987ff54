//! The keys: what config.json may say. The JSON Schema, the names of the environment variables and
//! the list of known keys are made from this type.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tracing::Level;

use super::gateways::HttpGateway;
use super::gateways::twilio_kinds::Sid;
use super::kinds::{Brand, Choice, Flag, PathText, RegionChoice, Text};
use super::layer::Layer;
use super::listen::{Host, HostPort};
use super::message::{LocaleTag, MessageText, MessageTexts, WebDomain};
use super::nested::Root;
use super::ranges::{
    Attempts, BodyBytes, BreakerFailures, BreakerWait, CodeLife, Commands, CommandsPerNumber, Connections,
    Digits, IdleWait, Lockout, Numbers, Port, RequestWait, Retries, RetryWait, RingTime, Sends, SendsWaiting,
    Shards, Span, StopBudget, TrackerAge, TrackerSize, Whole, WholeRange, WorkBudget, WorkflowSends,
};
use super::services::{ServicesObject, TemplatesObject};
use super::settings::{
    AnswerSet, Bounds, BreakerSettings, DeliverySettings, LogFormat, RetrySettings, TrackerSettings,
};
use super::urls::BaseUrl;
use super::value::Given;
use super::workflow::Workflow;
use crate::engine::Policy;

/// The configuration file of onceward. Every value may be a string or the proper JSON type. Any key
/// can also be given in the environment as ONCEWARD_ and the key in capitals with underscores.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
#[schemars(title = "config.json of onceward")]
pub struct Keys {
    /// Where an editor finds this schema. Not used otherwise.
    #[serde(rename = "$schema")]
    pub schema: Given<Text>,
    /// Host name or address to listen on while `production` is false. Empty means every address.
    pub test_hostname: Given<Host>,
    /// Port to listen on while `production` is false. 0 lets the system choose.
    pub test_port: Given<Whole<Port>>,
    /// Whether this is a production installation: it listens on `prod-domain` and refuses the
    /// simulator.
    pub production: Given<Flag>,
    /// Where to listen while `production` is true: host:port, or :port for every address.
    pub prod_domain: Given<HostPort>,
    /// Listen on other addresses than loopback although callers are not asked for a key.
    pub allow_unauthenticated: Given<Flag>,
    /// Use the simulator although `production` is true: no message leaves the machine.
    pub simulator_in_production: Given<Flag>,
    /// File of the certificate with which the server speaks TLS, and then only that: PEM, the server's own certificate
    /// first, then those that signed it. Needs `tls-key`.
    pub tls_cert: Given<PathText>,
    /// File of the certificate's private key: PEM, PKCS#8, PKCS#1 or SEC1, without a password. Needs `tls-cert`.
    pub tls_key: Given<PathText>,
    /// The least severe level that is logged.
    pub log_level: Given<Choice<Level>>,
    /// Form of the log: text for people, json for machines.
    pub log_format: Given<Choice<LogFormat>>,
    /// How long a code can be used. A bare number is seconds.
    pub otp_timeout: Given<Span<CodeLife>>,
    /// Wrong codes until a number is locked out.
    pub otp_max_attempts: Given<Whole<Attempts>>,
    /// Another name of `otp-max-attempts`.
    // Its value is moved to otp-max-attempts before the keys are read.
    pub otp_max_trials: Given<Whole<Attempts>>,
    /// How long a lockout lasts. A bare number is minutes.
    pub otp_lock_timeout: Given<Span<Lockout>>,
    /// How many digits a code has.
    pub otp_length: Given<Whole<Digits>>,
    /// Text of the message of /api/send-otp. {code} or _CODE_ is the code, {brand} the brand.
    pub otp_message: Given<MessageText>,
    /// Text of the message of /send-code. {code} or _CODE_ is the code, {brand} the brand.
    pub tutorial_message: Given<MessageText>,
    /// Texts of single channels and languages: sms, call, whatsapp or any, each with one text, or with
    /// one for each language.
    pub otp_messages: Given<MessageTexts>,
    /// Language of messages where neither the request nor the number's country leads to one.
    pub default_locale: Given<LocaleTag>,
    /// Web site whose form the browser fills in: text messages then end with @domain #code.
    pub webotp_domain: Given<WebDomain>,
    /// What {brand} in messages stands for. Without it, `service_name`; without both, onceward.
    pub brand: Given<Brand>,
    /// Which answers /api/* gives: those that the Redis version documents, or those of its code.
    pub redis_version_answers: Given<Choice<AnswerSet>>,
    /// Country of numbers that are given without +. `off` refuses them.
    pub default_region: Given<RegionChoice>,
    /// Gateways in the order in which they are tried, such as Twilio;Mada:+35987,+35988;Sinch. A gateway
    /// with prefixes takes the numbers that begin with one of them.
    pub otp_sms_provider: Given<Text>,
    /// A gateway that is described here: method, url, headers, json or form, success, channels.
    pub http_gateway: Given<HttpGateway>,
    /// Whether codes are sent by calls at all.
    pub voice: Given<Flag>,
    /// Whether a number that text messages do not reach is called, when `voice` is true.
    pub voice_fallback: Given<Flag>,
    /// Whether a key must be pressed before a call tells the code. Needs `public-url`.
    pub voice_gate: Given<Flag>,
    /// How long the telephone rings. A bare number is seconds.
    pub voice_ring_for: Given<Span<RingTime>>,
    /// Approved `WhatsApp` template of Twilio, HX..., whose first variable is the code.
    pub whatsapp_content_sid: Given<Sid<'H', 'X'>>,
    /// Address under which gateways reach this server: http or https, host, perhaps a path.
    pub public_url: Given<BaseUrl>,
    /// Whether Twilio is told which messages led to a verified number.
    pub conversion_feedback: Given<Flag>,
    /// Whether webhooks may be on this machine and in private networks.
    pub webhook_private_addresses: Given<Flag>,
    /// Channels that are tried one after another until a message arrives, each perhaps with the time to
    /// wait for it: sms:20s, call, whatsapp.
    pub workflow: Given<Workflow>,
    /// Messages that one verification may cost in all.
    pub workflow_max_sends: Given<Whole<WorkflowSends>>,
    /// Failures in a row after which a gateway is left alone for a while.
    pub breaker_failures: Given<Whole<BreakerFailures>>,
    /// How long it is left alone at first. A bare number is seconds.
    pub breaker_open_for: Given<Span<BreakerWait>>,
    /// How long at most. A bare number is seconds.
    pub breaker_longest: Given<Span<BreakerWait>>,
    /// How long sends are remembered. A bare number is seconds.
    pub tracker_keep_for: Given<Span<TrackerAge>>,
    /// Verifications whose sends are remembered.
    pub tracker_keep_at_most: Given<Whole<TrackerSize>>,
    /// Services beside the default one, by name: rules of codes, a name for messages, test numbers.
    pub services: Given<ServicesObject>,
    /// Texts that services and requests choose by id, by name: channels, and a text for each language.
    pub templates: Given<TemplatesObject>,
    /// Directory of the embedded store.
    pub data_dir: Given<PathText>,
    /// File of the server key: 64 hexadecimal digits, as `openssl rand -hex 32 > FILE` makes them. It
    /// must exist. Without this key, server.key in the data directory, made at the first start.
    pub key_file: Given<PathText>,
    /// How many queues the numbers are spread over. Without it, half the number of processors.
    pub shards: Given<Whole<Shards>>,
    /// Largest request body, in bytes.
    pub max_body_bytes: Given<Whole<BodyBytes>>,
    /// Time for a client to send the head of a request. A bare number is seconds.
    pub header_timeout: Given<Span<RequestWait>>,
    /// Time for a client to send the body of a request. A bare number is seconds.
    pub body_timeout: Given<Span<RequestWait>>,
    /// How long a connection may stay open with nothing to do. A bare number is seconds.
    pub idle_timeout: Given<Span<IdleWait>>,
    /// Open connections.
    pub max_connections: Given<Whole<Connections>>,
    /// Numbers of which something is remembered: an outstanding code, a count, a lockout. Beyond it new
    /// numbers are refused, known ones are not.
    pub max_numbers: Given<Whole<Numbers>>,
    /// Commands accepted and not yet answered.
    pub max_commands: Given<Whole<Commands>>,
    /// Commands accepted and not yet answered for one number.
    pub max_commands_per_number: Given<Whole<CommandsPerNumber>>,
    /// Messages handed to the provider and not yet answered by it.
    pub max_sends: Given<Whole<Sends>>,
    /// Messages that wait for one of those places.
    pub max_sends_waiting: Given<Whole<SendsWaiting>>,
    /// Time for one send, waiting included. A bare number is seconds.
    pub send_budget: Given<Span<WorkBudget>>,
    /// Time for one write to the disk before it counts as failed. A bare number is seconds.
    pub commit_timeout: Given<Span<WorkBudget>>,
    /// Time from the first stop signal to the end. A bare number is seconds.
    pub graceful_stop: Given<Span<StopBudget>>,
    /// Name of the installation in the Redis version. It is the `brand` where that is not given.
    #[serde(rename = "service_name")]
    pub service_name: Given<Text>,
    /// Address of Redis in the Redis version. Ignored.
    pub redis_db_address: Given<Text>,
    /// Password of Redis in the Redis version. Ignored.
    #[serde(rename = "REDIS_DB_PASSWORD")]
    pub redis_db_password: Given<Text>,
    /// Gateways and retries, as the Go framework spells them. Credentials are better given in the
    /// environment.
    // Its members are put into the layer one by one.
    pub sms: Given<Root<0>>,
    /// What the Go framework says about codes.
    pub authentication: Given<Root<1>>,
    /// Whether a message that a gateway does not take is tried again in the background.
    #[serde(rename = "sms.retry")]
    #[schemars(skip)]
    pub sms_retry: Given<Flag>,
    /// Attempts in the background.
    #[serde(rename = "sms.max_retries")]
    #[schemars(skip)]
    pub sms_max_retries: Given<Whole<Retries>>,
    /// The longest wait between two attempts.
    #[serde(rename = "sms.longest_wait")]
    #[schemars(skip)]
    pub sms_longest_wait: Given<Span<RetryWait>>,
}

/// The defaults, as a config.json would spell them. Keys that are not here have no fixed default.
pub fn defaults() -> serde_json::Map<String, serde_json::Value> {
    let bounds = Bounds::default();
    let defaults = json!({
        "test-hostname": "localhost",
        "test-port": 3000,
        "production": false,
        "prod-domain": "",
        "allow-unauthenticated": false,
        "simulator-in-production": false,
        "log-level": "info",
        "log-format": "text",
        "otp-timeout": 30,
        "otp-max-attempts": Policy::DEFAULT_MAX_ATTEMPTS,
        "otp-lock-timeout": 30,
        "otp-length": 6,
        "otp-message": "OTP message is {code}",
        "tutorial-message": "Hello from {brand}! Your verification code is: {code}",
        "redis-version-answers": "documented",
        "default-region": "off",
        "data-dir": "data",
        "max-body-bytes": bounds.body_bytes,
        "header-timeout": time(bounds.header_timeout),
        "body-timeout": time(bounds.body_timeout),
        "idle-timeout": time(bounds.idle_timeout),
        "max-connections": bounds.connections,
        "max-numbers": bounds.numbers,
        "max-commands": bounds.commands,
        "max-commands-per-number": bounds.commands_per_number,
        "max-sends": bounds.sends,
        "max-sends-waiting": bounds.sends_waiting,
        "send-budget": time(bounds.send_budget),
        "commit-timeout": time(bounds.commit_timeout),
        "graceful-stop": time(bounds.graceful_stop),
    });
    [defaults, delivery_defaults()]
        .into_iter()
        .filter_map(|defaults| defaults.as_object().cloned())
        .flatten()
        .collect()
}

/// Those about gateways and what happens when a send fails.
fn delivery_defaults() -> serde_json::Value {
    let (retry, delivery, tracker) =
        (RetrySettings::default(), DeliverySettings::default(), TrackerSettings::default());
    let breaker = BreakerSettings::default();
    json!({
        "voice": false,
        "voice-fallback": true,
        "voice-gate": false,
        "voice-ring-for": 25,
        "conversion-feedback": false,
        "webhook-private-addresses": true,
        "workflow-max-sends": delivery.workflow_sends,
        "sms.retry": false,
        "sms.max_retries": retry.max_retries,
        "sms.longest_wait": time(retry.longest_wait),
        "breaker-failures": breaker.failures,
        "breaker-open-for": time(breaker.open_for),
        "breaker-longest": time(breaker.longest),
        "tracker-keep-for": humantime::format_duration(tracker.keep_for).to_string(),
        "tracker-keep-at-most": tracker.keep_at_most,
    })
}

/// A whole number of seconds, or a text with units.
fn time(span: std::time::Duration) -> serde_json::Value {
    match span.subsec_nanos() {
        0 => json!(span.as_secs()),
        _ => json!(humantime::format_duration(span).to_string()),
    }
}

/// One shard for two processors: a decision takes far less than the rest of a request, and the fewer shards there are, the
/// more of them one message and one commit carry (`docs/decisions/0018-speed.md`).
pub const fn default_shards(parallelism: usize) -> usize {
    parallelism.div_ceil(2)
}

/// The lowest layer.
pub fn default_layer(parallelism: usize) -> Layer {
    let mut layer = Layer::new("defaults");
    for (key, value) in &defaults() {
        layer.put_json(key, value, "the default");
    }
    let shards =
        u64::try_from(default_shards(parallelism)).unwrap_or(Shards::MAX).clamp(Shards::MIN, Shards::MAX);
    layer.put("shards", shards, "the default, half the number of processors");
    layer
}
