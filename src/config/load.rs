//! From the sources to the settings.

use std::mem;
use std::path::Path;
use std::time::Duration;

use super::checks;
use super::cluster::{self, ClusterSettings};
use super::context::{ConfigErrors, Context, Effective, NOT_SET};
use super::gateways::{self, Variables};
use super::guard::{self, GuardSettings};
use super::kind::{Kind, Range, Shards, quoted};
use super::schema::Names;
use super::services::{self, AccountSettings, RegistrySettings};
use super::settings::{
    Inputs, Keys, ListenSettings, OWN_BRAND, Pricing, Settings, StorageSettings, TlsFiles,
};
use super::sources::{LISTEN_FLAG, Sources};
use super::values::Brand;
use super::{dotenv, templates, traces};
use crate::domain::ApiSecret;
use crate::engine::Policy;
use crate::template::{DEFAULT_MESSAGE_WITH_MINUTES, REDIS_VERSION_MESSAGE, Templates};

#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Warnings, one sentence each. The start logs them once.
    pub warnings: Vec<String>,
    /// Every value and where it came from; secrets are masked.
    pub effective: Vec<Effective>,
    /// Whether there are settings of the Redis version.
    pub is_from_redis: bool,
}

#[derive(Debug, Clone)]
pub struct KeysSettings {
    pub storage: StorageSettings,
    pub registry: RegistrySettings,
    /// The name of the service of the compatible routes.
    pub brand: String,
    pub policy: Policy,
    /// Whether the records are in etcd.
    pub is_clustered: bool,
}

const ACCOUNT_SID: &str = "ONCEWARD_ACCOUNT_SID";
const AUTH_TOKEN: &str = "ONCEWARD_AUTH_TOKEN";

/// Keys that say where the data is.
const OF_STORAGE: [&str; 4] = ["data-dir", "scratch", "key-file", "default-region"];

/// Keys and variables that define services.
const OF_SERVICES: [&str; 12] = [
    "otp-timeout",
    "otp-max-attempts",
    "otp-lock-timeout",
    "otp-length",
    "brand",
    "service_name",
    "services",
    "templates",
    "audit-retention",
    "cluster",
    ACCOUNT_SID,
    AUTH_TOKEN,
];

/// Keys that say where the server listens.
const OF_LISTENING: [&str; 7] =
    [LISTEN_FLAG, "test-hostname", "test-port", "production", "prod-domain", "tls-cert", "tls-key"];

/// Reads all sources: the command line, then the environment (`.env` below the variables of the process), then
/// config.json, then the defaults. Fails with everything that is wrong at once.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut c = Context::of(sources, Names::known());
    if dotenv::is_denied(&sources.working_dir) {
        // Any value that seems to be missing may be in the file.
        mem::take(&mut c.report).finish()?;
    }
    let shards = u64::try_from(default_shards(sources.parallelism)).unwrap_or(Shards::MAX);
    if !c.is_set("shards") {
        c.raw.put(
            "shards",
            shards.clamp(Shards::MIN, Shards::MAX),
            "the default, half the number of processors",
        );
    }
    let keys: Keys = c.read(|names| &names.keys);
    checks::name_wrong_price(&mut c);
    let variables: Variables = c.read(|names| &names.variables);
    let settings = resolve(keys, &variables, &sources.working_dir, &mut c);
    let warnings = c.report.finish()?;
    let is_from_redis = !c.raw.redis.is_empty();
    Ok(Loaded { settings, warnings, effective: c.rows, is_from_redis })
}

/// Reads only the location of the data, for commands that read it next to a server: they need no credentials of the
/// server, and may not be allowed to read them.
pub fn load_storage(sources: &Sources) -> Result<StorageSettings, ConfigErrors> {
    let mut c = Context::of_some(sources, &OF_STORAGE);
    let mut keys: Keys = c.read(|names| &names.keys);
    c.report.finish()?;
    keys.settings.storage.below(&sources.working_dir);
    Ok(keys.settings.storage)
}

/// Reads only where the records are, for an import.
pub fn load_records(sources: &Sources) -> Result<(StorageSettings, Option<ClusterSettings>), ConfigErrors> {
    let mut c = Context::of_some(sources, &[&OF_STORAGE[..], &["cluster"]].concat());
    let Keys { mut settings, inputs } = c.read(|names| &names.keys);
    let mut cluster = cluster::read(inputs.cluster, &mut c.part("cluster"));
    c.report.finish()?;
    settings.storage.below(&sources.working_dir);
    if let Some(cluster) = &mut cluster {
        cluster.below(&sources.working_dir);
    }
    Ok((settings.storage, cluster))
}

/// Reads only the location of the data and the services, for a command that changes keys next to a server. It reads
/// nothing about gateways, because it needs none of their credentials.
pub fn load_keys(sources: &Sources) -> Result<KeysSettings, ConfigErrors> {
    let mut c = Context::of_some(sources, &[&OF_STORAGE[..], &OF_SERVICES].concat());
    let Keys { mut settings, inputs } = c.read(|names| &names.keys);
    let variables: Variables = c.read(|names| &names.variables);
    let (policy, brand) = (inputs.policy(), brand(&inputs, &mut c));
    let is_clustered = inputs.cluster.is_some();
    // The texts were checked when the server started.
    let mut registry = registry(inputs, &variables, &Templates::new("", ""), &mut c);
    registry.audit_retention = settings.audit_retention;
    c.report.finish()?;
    settings.storage.below(&sources.working_dir);
    Ok(KeysSettings { storage: settings.storage, registry, brand, policy, is_clustered })
}

/// Reads only the prices of messages and the guard's rules, for a replay.
pub fn load_guard(sources: &Sources) -> Result<(Pricing, GuardSettings), ConfigErrors> {
    let mut c = Context::of_some(sources, &["prices", "currency", "guard"]);
    let Keys { settings, mut inputs } = c.read(|names| &names.keys);
    checks::name_wrong_price(&mut c);
    let guard = guard::read("guard", inputs.guard.take().unwrap_or_default(), &mut c.part("guard"));
    c.report.finish()?;
    Ok((settings.history, guard))
}

/// Reads only where the server listens, for a command that asks it.
pub fn load_listen(sources: &Sources) -> Result<ListenSettings, ConfigErrors> {
    let mut c = Context::of_some(sources, &OF_LISTENING);
    let Keys { settings, inputs } = c.read(|names| &names.keys);
    let listen = checks::listen_address(settings.production, &inputs, &mut c);
    let tls = tls(&inputs, &sources.working_dir, &mut c).is_some();
    c.report.finish()?;
    let listen = listen.map_or(settings.listen, |(listen, _)| listen);
    Ok(ListenSettings { listen, tls })
}

/// One shard for two processors: a decision takes far less than the rest of a request, and the fewer shards there are,
/// the more of them one message and one commit carry (`docs/internals/decisions/0018-speed.md`).
pub const fn default_shards(parallelism: usize) -> usize {
    parallelism.div_ceil(2)
}

/// The default text where it is not [`DEFAULT_MESSAGE`](crate::template::DEFAULT_MESSAGE), and why.
fn default_message(inputs: &Inputs, c: &Context) -> Option<(&'static str, String)> {
    if let Some(origin) = c.raw.origin("redis-db-address") {
        return Some((REDIS_VERSION_MESSAGE, format!("the default with redis-db-address: {origin}")));
    }
    let origin = c.raw.origin("otp-timeout").filter(|_| inputs.otp_timeout >= Duration::from_secs(60))?;
    Some((DEFAULT_MESSAGE_WITH_MINUTES, format!("the default with an otp-timeout from 60 s on: {origin}")))
}

/// Works out what follows from several keys, and checks them against each other.
fn resolve(keys: Keys, variables: &Variables, directory: &Path, c: &mut Context) -> Settings {
    let Keys { mut settings, mut inputs } = keys;
    checks::warn_of_redis(c);
    settings.cluster = cluster::read(inputs.cluster.take(), &mut c.part("cluster"));
    if let Some((message, origin)) = default_message(&inputs, c).filter(|_| !c.is_set("otp-message")) {
        message.clone_into(&mut inputs.otp_message);
        c.row("otp-message", message, &origin);
    }
    let listen = checks::listen_address(settings.production, &inputs, c);
    if inputs.prod_domain.is_some() && !c.is_set("production") {
        let origin = c.origin("prod-domain");
        c.report.ignored(
            &origin,
            "it has no effect without \"production\": true. Set \"production\", or remove \"prod-domain\"",
        );
    }
    settings.tls = tls(&inputs, directory, c);
    settings.traces = traces::read(variables, c);
    settings.policy = inputs.policy();
    settings.guard = guard::read("guard", inputs.guard.take().unwrap_or_default(), &mut c.part("guard"));
    let headers = [
        ("client-address-header", &settings.proxies.client_address_header),
        ("risk-check-header", &settings.proxies.risk_check_header),
    ];
    for (key, header) in headers {
        if let Some(header) = header
            && settings.proxies.trusted_proxies.is_empty()
            && !c.is_wrong("trusted-proxies")
        {
            let problem = "it is believed only from trusted-proxies, and there are none. List the addresses of your \
                           proxies in trusted-proxies, such as [\"127.0.0.1\"], or take it out";
            c.wrong(key, Some(quoted(header.as_str())), problem);
        }
    }
    settings.delivery.retry = inputs.sms_retry.then_some(inputs.retries);
    checks::delivery(&mut settings.delivery, &inputs, c);
    let gateways = gateways::assemble(&inputs, variables, settings.delivery.voice, c);
    if settings.production {
        gateways::warn_of_stand_ins(variables, c);
    }
    if let Some((gateways, origin)) = gateways {
        if let Some(exposure) = checks::exposure(settings.production, listen.as_ref(), c) {
            checks::simulator(&gateways, &origin, exposure, inputs.simulator_in_production, c);
        }
        checks::delivery_with(&gateways, &settings.delivery, inputs.otp_timeout, c);
        c.row("gateways", gateways.routing.to_string(), &origin);
        settings.gateways = gateways;
    }
    checks::lockout(&settings.policy, c);
    checks::warn_of_weakness(&settings.policy, &settings.bounds, c);
    settings.brand = brand(&inputs, c);
    settings.templates = checks::templates(&inputs, &settings.brand, settings.policy.code, c);
    let allows_unauthenticated = inputs.allow_unauthenticated;
    settings.registry = registry(inputs, variables, &settings.templates, c);
    settings.registry.allows_unauthenticated = allows_unauthenticated;
    settings.registry.audit_retention = settings.audit_retention;
    if let Some((listen, origin)) = listen {
        settings.registry.local_only = listen.is_loopback() && !settings.production;
        if !allows_unauthenticated && settings.registry.account.is_none() {
            settings.registry.unless_keys = checks::unless_keys(&listen, settings.production, &origin);
        }
        c.row("listen address", listen.to_string(), &origin);
        settings.listen = listen;
    }
    if settings.storage.server_key_file.is_none() {
        let origin = "the default: server.key in data-dir, made at the first start";
        c.row("key-file", NOT_SET, origin);
    }
    if settings.storage.scratch.is_none() {
        c.row("scratch", NOT_SET, "the default: the directory that TMPDIR names");
    }
    settings.storage.below(directory);
    if let Some(cluster) = &mut settings.cluster {
        cluster.below(directory);
    }
    settings
}

/// Where the server's certificate and its key are. One alone is an error.
fn tls(inputs: &Inputs, directory: &Path, c: &mut Context) -> Option<TlsFiles> {
    // A value that cannot be used has its own error, and nothing is missing then.
    for (given, missing, file) in [
        ("tls-cert", "tls-key", "the certificate's private key"),
        ("tls-key", "tls-cert", "the certificate chain"),
    ] {
        if let Some(origin) = c.raw.origin(given).filter(|_| !c.is_wrong(given) && !c.is_set(missing)) {
            let problem = format!(
                "it is missing, and {given} alone is not enough for TLS. Name the file of {file}, or take {given} out to \
                 serve cleartext"
            );
            let origin = format!("{given}: {origin}");
            c.report.wrong(missing, None, problem, origin);
        }
    }
    let (certificate, key) = (inputs.tls_cert.as_ref()?, inputs.tls_key.as_ref()?);
    Some(TlsFiles { certificate: directory.join(certificate), key: directory.join(key) })
}

/// `brand`, or else `service_name`, or else our own name. Empty counts as not given.
fn brand(inputs: &Inputs, c: &mut Context) -> String {
    match &inputs.brand {
        Some(brand) if !brand.is_empty() => return brand.clone(),
        None if c.is_set("brand") => return OWN_BRAND.to_owned(),
        _ => {}
    }
    let service = inputs.service_name.as_deref().filter(|name| !name.trim().is_empty());
    let Some(service) = service else {
        c.row("brand", OWN_BRAND, "the default");
        return OWN_BRAND.to_owned();
    };
    let Some(brand) = Brand::read(service) else {
        let problem = format!("without a \"brand\" it is the brand, and that must be {}", Brand::accepted());
        c.wrong("service_name", Some(quoted(service)), problem);
        return OWN_BRAND.to_owned();
    };
    let origin = c.origin("service_name");
    c.row("brand", brand.as_str(), &origin);
    brand
}

/// Services, templates and the account, without what follows from the address.
fn registry(inputs: Inputs, variables: &Variables, checks: &Templates, c: &mut Context) -> RegistrySettings {
    let templates = inputs.templates.unwrap_or_default();
    let templates = templates::read(templates, checks, &mut c.part("templates"));
    let services = inputs.services.unwrap_or_default();
    let services = services::read(services, &templates, &mut c.part("services"));
    RegistrySettings { services, templates, account: account_of(variables, c), ..RegistrySettings::default() }
}

/// The account's credentials: both, or neither.
fn account_of(variables: &Variables, c: &mut Context) -> Option<AccountSettings> {
    for (name, other) in [(ACCOUNT_SID, AUTH_TOKEN), (AUTH_TOKEN, ACCOUNT_SID)] {
        // The error about an unreadable file was already reported.
        if let Some(origin) = c.raw.origin(other).map(str::to_owned).filter(|_| !c.is_set(name)) {
            let problem = format!("it is missing, and {other} is given. Set both, or neither");
            c.report.wrong(name, None, problem, origin);
        }
    }
    let token = gateways::exposed(variables.onceward_auth_token.as_ref()?);
    Some(AccountSettings { sid: variables.onceward_account_sid?, token: ApiSecret::new(token) })
}
