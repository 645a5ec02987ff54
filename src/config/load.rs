//! From the sources to the settings.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::checks;
use super::cluster::{self, ClusterSettings};
use super::context::Context;
use super::forms::{BRAND, is_brand};
use super::gateways::{self, Variables, declared_variables};
use super::guard::GuardSettings;
use super::hooks::HookSettings;
use super::layers::{Names, Sources};
use super::read::members;
use super::report::{ConfigErrors, Effective, quoted};
use super::services::{self, AccountSettings, RegistrySettings};
use super::settings::{
    AttemptLogSettings, Bounds, DeliverySettings, Inputs, ListenAddress, ListenSettings, LogSettings,
    NumberRule, OWN_BRAND, Pricing, ProxySettings, RetrySettings, Settings, StorageSettings, TlsFiles,
};
use super::traces::TraceVariables;
use super::{dotenv, templates, traces};
use crate::domain::ApiSecret;
use crate::engine::{Policy, SendOptions};
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
    let (mut c, keys) = read(sources, true)?;
    let settings = resolve(keys, &sources.working_dir, sources.parallelism, &mut c);
    #[cfg(debug_assertions)]
    let settings = settings.with_bounds_of_test(sources);
    let warnings = c.report.finish()?;
    let is_from_redis = !c.layers.redis.is_empty();
    Ok(Loaded { settings, warnings, effective: c.rows, is_from_redis })
}

/// Every section by itself.
struct Keys {
    inputs: Inputs,
    log: LogSettings,
    storage: StorageSettings,
    delivery: DeliverySettings,
    attempt_log: AttemptLogSettings,
    pricing: Pricing,
    proxies: ProxySettings,
    bounds: Bounds,
    variables: Variables,
    hooks: HookSettings,
    traces: TraceVariables,
    providers: Vec<ProviderSettings>,
}

/// The names that all sections have.
pub fn names() -> Names {
    let of_gateways = declared_variables();
    let keys = [
        members::<Inputs>(),
        members::<LogSettings>(),
        members::<StorageSettings>(),
        members::<DeliverySettings>(),
        members::<AttemptLogSettings>(),
        members::<Pricing>(),
        members::<ProxySettings>(),
        members::<Bounds>(),
    ];
    let variables =
        [members::<Variables>(), members::<HookSettings>(), members::<TraceVariables>(), &of_gateways];
    Names {
        keys: keys.concat(),
        objects: vec![("guard", members::<GuardSettings>()), ("cluster", members::<ClusterSettings>())],
        variables: variables.concat(),
    }
}

/// Reads every section. `credentials` says whether errors in the environment count.
fn read(sources: &Sources, credentials: bool) -> Result<(Context, Keys), ConfigErrors> {
    let mut c = Context::of(sources, names(), credentials);
    if credentials && dotenv::is_denied(&sources.working_dir) {
        // Any value that seems to be missing may be in the file.
        c.check()?;
    }
    let keys = Keys {
        inputs: c.section(),
        log: c.section(),
        storage: c.section(),
        delivery: c.section(),
        attempt_log: c.section(),
        pricing: c.section(),
        proxies: c.section(),
        bounds: c.section(),
        variables: c.section(),
        hooks: c.section(),
        traces: c.section(),
        providers: ProviderSettings::of_variables(&mut c),
    };
    // Nothing follows from values that are wrong.
    c.check()?;
    Ok((c, keys))
}

/// Reads the location of the data, whatever is wrong with other keys: `doctor` examines it all the same.
pub fn load_storage(sources: &Sources) -> Result<StorageSettings, ConfigErrors> {
    let mut c = Context::of(sources, names(), false);
    let mut storage: StorageSettings = c.section();
    c.report.finish()?;
    storage.below(&sources.working_dir);
    Ok(storage)
}

/// Reads where the records are, for an import.
pub fn load_records(sources: &Sources) -> Result<(StorageSettings, Option<ClusterSettings>), ConfigErrors> {
    let (mut c, Keys { mut storage, mut inputs, .. }) = read(sources, false)?;
    let cluster = cluster(&mut inputs, &sources.working_dir, &mut c);
    c.report.finish()?;
    storage.below(&sources.working_dir);
    Ok((storage, cluster))
}

/// Reads the location of the data and the services, for a command that changes keys next to a server.
pub fn load_keys(sources: &Sources) -> Result<KeysSettings, ConfigErrors> {
    let (mut c, Keys { mut storage, mut inputs, variables, .. }) = read(sources, false)?;
    let (policy, brand) = (inputs.policy(), brand(&inputs, &mut c));
    let (is_clustered, audit_retention) = (inputs.cluster.is_some(), inputs.audit_retention);
    // The texts were checked when the server started.
    let mut registry = registry(&mut inputs, &variables, &Templates::new("", ""), &mut c);
    registry.audit_retention = audit_retention;
    c.report.finish()?;
    storage.below(&sources.working_dir);
    Ok(KeysSettings { storage, registry, brand, policy, is_clustered })
}

/// Reads where the server listens, for a command that asks it.
pub fn load_listen(sources: &Sources) -> Result<ListenSettings, ConfigErrors> {
    let (mut c, Keys { inputs, .. }) = read(sources, false)?;
    let listen = checks::listen_address(inputs.production, &inputs, &mut c);
    let tls = tls(&inputs, &sources.working_dir, &mut c).is_some();
    c.report.finish()?;
    let listen = listen.map_or_else(default_listen, |(listen, _)| listen);
    Ok(ListenSettings { listen, tls })
}

/// One shard for two processors: a decision takes far less than the rest of a request, and the fewer shards there are,
/// the more of them one message and one commit carry (`docs/internals/performance.md`).
pub const fn default_shards(parallelism: usize) -> usize {
    parallelism.div_ceil(2)
}

/// The default text where it is not [`DEFAULT_MESSAGE`](crate::template::DEFAULT_MESSAGE), and why.
fn default_message(inputs: &Inputs, c: &Context) -> Option<(&'static str, String)> {
    if let Some(origin) = c.layers.origin("redis-db-address") {
        return Some((REDIS_VERSION_MESSAGE, format!("the default with redis-db-address: {origin}")));
    }
    let origin = c.layers.origin("otp-timeout").filter(|_| inputs.otp_timeout >= Duration::from_secs(60))?;
    Some((DEFAULT_MESSAGE_WITH_MINUTES, format!("the default with an otp-timeout from 60 s on: {origin}")))
}

fn default_listen() -> ListenAddress {
    let Inputs { test_hostname, test_port, .. } = Inputs::default();
    ListenAddress { host: test_hostname, port: test_port }
}

/// Works out what follows from several keys, and checks them against each other.
fn resolve(keys: Keys, directory: &Path, parallelism: usize, c: &mut Context) -> Settings {
    let Keys { mut inputs, log, mut storage, mut delivery, attempt_log, pricing, proxies, bounds, .. } = keys;
    let (variables, hooks, production) = (keys.variables, keys.hooks, inputs.production);
    checks::warn_of_redis(c);
    let cluster = cluster(&mut inputs, directory, c);
    if let Some((message, origin)) = default_message(&inputs, c).filter(|_| !c.is_given("otp-message")) {
        message.clone_into(&mut inputs.otp_message);
        c.row("otp-message", message, &origin);
    }
    let listen = checks::listen_address(production, &inputs, c);
    if inputs.prod_domain.is_some() && !c.is_given("production") {
        let origin = c.origin("prod-domain");
        c.report.ignored(
            &origin,
            "it has no effect without \"production\": true. Set \"production\", or remove \"prod-domain\"",
        );
    }
    proxies.validate(c);
    let retry = RetrySettings { max_retries: inputs.max_retries, ..RetrySettings::default() };
    delivery.retry = inputs.sms_retry.then_some(retry);
    checks::delivery(&mut delivery, &inputs, c);
    let gateways = gateways::assemble(&mut inputs, (&variables, keys.providers), delivery.voice, c);
    if production {
        gateways::warn_of_stand_ins(c);
    }
    let gateways = gateways.map(|(gateways, origin)| {
        let allowed = inputs.simulator_in_production;
        checks::simulator(&gateways, &origin, production, listen.as_ref(), allowed, c);
        checks::delivery_with(&gateways, &delivery, inputs.otp_timeout, c);
        c.row("gateways", gateways.routing.to_string(), &origin);
        gateways
    });
    let gateways = gateways.unwrap_or_else(super::settings::GatewaySettings::simulator);
    let policy = inputs.policy();
    checks::lockout(&policy, c);
    checks::warn_of_weakness(&policy, &bounds, c);
    let brand = brand(&inputs, c);
    let templates = checks::templates(&inputs, &brand, policy.code, c);
    let registry = registry(&mut inputs, &variables, &templates, c);
    hooks.validate(&registry.services, c);
    let guards = registry.services.iter().map(|service| &service.guard).chain([&inputs.guard]);
    checks::warn_of_built_in_prices(guards, &pricing, c);
    let mut registry = RegistrySettings {
        allows_unauthenticated: inputs.allow_unauthenticated,
        audit_retention: inputs.audit_retention,
        numbers: if gateways.only_simulator() { NumberRule::Possible } else { inputs.numbers },
        ..registry
    };
    if let Some((listen, origin)) = &listen {
        registry.local_only = listen.is_loopback() && !production;
        if !inputs.allow_unauthenticated && registry.account.is_none() {
            registry.unless_keys = checks::unless_keys(listen, production, origin, &storage.data_dir);
        }
        c.row("listen address", listen.to_string(), origin);
    }
    if storage.server_key_file.is_none() {
        let origin = "the default: server.key in data-dir, created at the first start";
        c.row("key-file", Value::Null, origin);
    }
    storage.below(directory);
    Settings {
        listen: listen.map_or_else(default_listen, |(listen, _)| listen),
        tls: tls(&inputs, directory, c),
        traces: traces::read(&keys.traces, c),
        metrics_listen: inputs.metrics_listen,
        production,
        log,
        policy,
        tutorial_code: SendOptions::DEFAULT,
        answers: inputs.answers,
        templates,
        brand,
        storage,
        cluster,
        gateways,
        delivery,
        attempt_log,
        history: pricing,
        guard: inputs.guard,
        proxies,
        audit_retention: inputs.audit_retention,
        hooks,
        registry,
        private_webhooks: inputs.private_webhooks,
        cors_origins: inputs.cors_origins,
        bounds,
        shards: default_shards(parallelism).max(1),
    }
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
    let brand = service.map(str::trim).filter(|name| is_brand(name)).map(str::to_owned);
    if let (Some(service), None) = (service, &brand) {
        let problem = format!("without a \"brand\" it is the brand, and that must be {BRAND}");
        c.wrong("service_name", Some(quoted(service)), problem);
    }
    let origin = if brand.is_some() { c.origin("service_name") } else { "the default".to_owned() };
    let brand = brand.unwrap_or_else(|| OWN_BRAND.to_owned());
    c.row("brand", brand.as_str(), &origin);
    brand
}

/// Services, templates and the account, without what follows from the address.
fn registry(
    inputs: &mut Inputs,
    variables: &Variables,
    checks: &Templates,
    c: &mut Context,
) -> RegistrySettings {
    let templates = templates::check(std::mem::take(&mut inputs.templates), checks, c);
    let services = services::check(std::mem::take(&mut inputs.services), &templates, c);
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
