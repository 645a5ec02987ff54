//! From the sources to the settings.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::checks;
use super::cluster::{self, ClusterSettings};
use super::context::{ConfigErrors, Context, Effective};
use super::gateways::{self, Variables};
use super::kind::{Kind, quoted};
use super::services::{self, AccountSettings, RegistrySettings};
use super::settings::{
    Inputs, Keys, ListenSettings, MOST_SHARDS, NumberRule, OWN_BRAND, Settings, StorageSettings, TlsFiles,
};
use super::sources::Sources;
use super::values::Brand;
use super::{dotenv, templates, traces};
use crate::domain::ApiSecret;
use crate::engine::Policy;
use crate::gateway::ProviderSettings;
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

/// Reads all sources: the command line, then the environment (`.env` below the variables of the process), then
/// config.json, then the defaults. Fails with everything that cannot be read at once, else with everything that does not
/// fit together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (mut c, keys, variables) = read(sources, true)?;
    let settings = resolve(keys, variables, &sources.working_dir, &mut c);
    let warnings = c.report.finish()?;
    let is_from_redis = !c.raw.redis.is_empty();
    Ok(Loaded { settings, warnings, effective: c.rows, is_from_redis })
}

/// Every key and variable by itself. `credentials` says whether errors in the environment count.
fn read(sources: &Sources, credentials: bool) -> Result<(Context, Keys, Variables), ConfigErrors> {
    let mut c = Context::of(sources, credentials);
    if credentials && dotenv::is_denied(&sources.working_dir) {
        // Any value that seems to be missing may be in the file.
        c.report.check()?;
    }
    let shards = u64::try_from(default_shards(sources.parallelism)).unwrap_or(MOST_SHARDS);
    if !c.is_given("shards") {
        c.raw.put("shards", shards.clamp(1, MOST_SHARDS), "the default, half the number of processors");
    }
    let keys = Keys { settings: c.read(), inputs: c.read() };
    let mut variables: Variables = c.read();
    variables.providers = ProviderSettings::of_variables(&mut c);
    c.report.check()?;
    Ok((c, keys, variables))
}

/// Reads the location of the data, whatever is wrong with other keys: `doctor` examines it all the same.
pub fn load_storage(sources: &Sources) -> Result<StorageSettings, ConfigErrors> {
    let mut c = Context::of(sources, false);
    let mut storage: StorageSettings = c.read();
    c.report.finish()?;
    storage.below(&sources.working_dir);
    Ok(storage)
}

/// Reads where the records are, for an import.
pub fn load_records(sources: &Sources) -> Result<(StorageSettings, Option<ClusterSettings>), ConfigErrors> {
    let (mut c, Keys { mut settings, mut inputs }, _) = read(sources, false)?;
    let cluster = cluster(&mut inputs, &sources.working_dir, &mut c);
    c.report.finish()?;
    settings.storage.below(&sources.working_dir);
    Ok((settings.storage, cluster))
}

/// Reads the location of the data and the services, for a command that changes keys next to a server.
pub fn load_keys(sources: &Sources) -> Result<KeysSettings, ConfigErrors> {
    let (mut c, Keys { mut settings, inputs }, variables) = read(sources, false)?;
    let (policy, brand) = (inputs.policy(), brand(&inputs, &mut c));
    let is_clustered = inputs.cluster.is_some();
    // The texts were checked when the server started.
    let mut registry = registry(inputs, &variables, &Templates::new("", ""), &mut c);
    registry.audit_retention = settings.audit_retention;
    c.report.finish()?;
    settings.storage.below(&sources.working_dir);
    Ok(KeysSettings { storage: settings.storage, registry, brand, policy, is_clustered })
}

/// Reads where the server listens, for a command that asks it.
pub fn load_listen(sources: &Sources) -> Result<ListenSettings, ConfigErrors> {
    let (mut c, Keys { settings, inputs }, _) = read(sources, false)?;
    let listen = checks::listen_address(settings.production, &inputs, &mut c);
    let tls = tls(&inputs, &sources.working_dir, &mut c).is_some();
    c.report.finish()?;
    let listen = listen.map_or(settings.listen, |(listen, _)| listen);
    Ok(ListenSettings { listen, tls })
}

/// One shard for two processors: a decision takes far less than the rest of a request, and the fewer shards there are,
/// the more of them one message and one commit carry (`docs/internals/performance.md`).
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
fn resolve(keys: Keys, mut variables: Variables, directory: &Path, c: &mut Context) -> Settings {
    let Keys { mut settings, mut inputs } = keys;
    checks::warn_of_redis(c);
    settings.cluster = cluster(&mut inputs, directory, c);
    if let Some((message, origin)) = default_message(&inputs, c).filter(|_| !c.is_given("otp-message")) {
        message.clone_into(&mut inputs.otp_message);
        c.row("otp-message", message, &origin);
    }
    let listen = checks::listen_address(settings.production, &inputs, c);
    if inputs.prod_domain.is_some() && !c.is_given("production") {
        let origin = c.origin("prod-domain");
        c.report.ignored(
            &origin,
            "it has no effect without \"production\": true. Set \"production\", or remove \"prod-domain\"",
        );
    }
    settings.tls = tls(&inputs, directory, c);
    settings.traces = traces::read(&variables, c);
    settings.hooks = variables.hooks();
    settings.policy = inputs.policy();
    settings.guard = std::mem::take(&mut inputs.guard);
    for key in ["client-address-header", "risk-check-header"] {
        if let Some(header) = c.raw.given(key).filter(|_| settings.proxies.trusted_proxies.is_empty()) {
            let problem = "it is believed only from trusted-proxies, and there are none. List the addresses of your \
                           proxies in trusted-proxies, such as [\"127.0.0.1\"], or take it out";
            c.wrong(key, header, problem);
        }
    }
    settings.delivery.retry = inputs.sms_retry.then_some(inputs.retries);
    checks::delivery(&mut settings.delivery, &inputs, c);
    let gateways = gateways::assemble(&mut inputs, &mut variables, settings.delivery.voice, c);
    if settings.production {
        gateways::warn_of_stand_ins(c);
    }
    if let Some((gateways, origin)) = gateways {
        let allowed = inputs.simulator_in_production;
        checks::simulator(&gateways, &origin, settings.production, listen.as_ref(), allowed, c);
        checks::delivery_with(&gateways, &settings.delivery, inputs.otp_timeout, c);
        c.row("gateways", gateways.routing.to_string(), &origin);
        settings.gateways = gateways;
    }
    checks::lockout(&settings.policy, c);
    checks::warn_of_weakness(&settings.policy, &settings.bounds, c);
    settings.brand = brand(&inputs, c);
    settings.templates = checks::templates(&inputs, &settings.brand, settings.policy.code, c);
    let allows_unauthenticated = inputs.allow_unauthenticated;
    let numbers = if settings.gateways.only_simulator() { NumberRule::Possible } else { inputs.numbers };
    settings.registry = registry(inputs, &variables, &settings.templates, c);
    variables.check_hooks(&settings.registry.services, c);
    let rules = settings.registry.services.iter().map(|service| &service.guard);
    checks::warn_of_built_in_prices(rules.chain([&settings.guard]), &settings.history, c);
    settings.registry.allows_unauthenticated = allows_unauthenticated;
    settings.registry.audit_retention = settings.audit_retention;
    settings.registry.numbers = numbers;
    if let Some((listen, origin)) = listen {
        settings.registry.local_only = listen.is_loopback() && !settings.production;
        if !allows_unauthenticated && settings.registry.account.is_none() {
            settings.registry.unless_keys =
                checks::unless_keys(&listen, settings.production, &origin, &settings.storage.data_dir);
        }
        c.row("listen address", listen.to_string(), &origin);
        settings.listen = listen;
    }
    if settings.storage.server_key_file.is_none() {
        let origin = "the default: server.key in data-dir, created at the first start";
        c.row("key-file", Value::Null, origin);
    }
    settings.storage.below(directory);
    settings
}

/// This node's part in a cluster.
fn cluster(inputs: &mut Inputs, directory: &Path, c: &mut Context) -> Option<ClusterSettings> {
    let mut cluster = inputs.cluster.take()?;
    cluster::check(&cluster, c);
    cluster.below(directory);
    Some(cluster)
}

/// Where the server's certificate and its key are. One alone is an error.
fn tls(inputs: &Inputs, directory: &Path, c: &mut Context) -> Option<TlsFiles> {
    for (given, missing, file) in [
        ("tls-cert", "tls-key", "the certificate's private key"),
        ("tls-key", "tls-cert", "the certificate chain"),
    ] {
        c.needs(given, missing, || {
            format!(
                "it is missing, and {given} alone is not enough for TLS. Name the file of {file}, or take {given} out to \
                 serve cleartext"
            )
        });
    }
    let (certificate, key) = (inputs.tls_cert.as_ref()?, inputs.tls_key.as_ref()?);
    Some(TlsFiles { certificate: directory.join(certificate), key: directory.join(key) })
}

/// `brand`, or else `service_name`, or else our own name. Empty counts as not given.
fn brand(inputs: &Inputs, c: &mut Context) -> String {
    if let Some(brand) = inputs.brand.as_ref().filter(|brand| !brand.is_empty()) {
        return brand.clone();
    }
    let service = inputs.service_name.as_deref().filter(|name| !name.trim().is_empty());
    let brand = service.and_then(Brand::read);
    if let (Some(service), None) = (service, &brand) {
        let problem = format!("without a \"brand\" it is the brand, and that must be {}", Brand::accepted());
        c.wrong("service_name", Some(quoted(service)), problem);
    }
    let origin = if brand.is_some() { c.origin("service_name") } else { "the default".to_owned() };
    let brand = brand.unwrap_or_else(|| OWN_BRAND.to_owned());
    c.row("brand", brand.as_str(), &origin);
    brand
}

/// Services, templates and the account, without what follows from the address.
fn registry(inputs: Inputs, variables: &Variables, checks: &Templates, c: &mut Context) -> RegistrySettings {
    let templates = templates::check(inputs.templates, checks, c);
    let services = services::check(inputs.services, &templates, c);
    RegistrySettings { services, templates, account: account_of(variables, c), ..RegistrySettings::default() }
}

/// The account's credentials: both, or neither.
fn account_of(variables: &Variables, c: &mut Context) -> Option<AccountSettings> {
    for (name, other) in [(ACCOUNT_SID, AUTH_TOKEN), (AUTH_TOKEN, ACCOUNT_SID)] {
        c.needs(other, name, || format!("it is missing, and {other} is given. Set both, or neither"));
    }
    let token = ApiSecret::new(variables.onceward_auth_token.as_ref()?.expose_secret().to_owned());
    Some(AccountSettings { sid: variables.onceward_account_sid?, token })
}
