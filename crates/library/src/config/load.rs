//! From the sources to the settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::ExposeSecret as _;

use super::captcha::{self, CaptchaKeys};
use super::checks;
use super::cluster::ClusterSettings;
use super::errors::ConfigErrors;
use super::gateways::{self, Variables};
use super::guard::GuardSettings;
use super::hooks::HookSettings;
use super::prices::Pricing;
use super::read::members;
use super::services::{self, AccountSettings, RegistrySettings};
use super::settings::{
    AttemptLogSettings, Bounds, DeliverySettings, GatewaySettings, Inputs, LogSettings, NumberRule,
    OWN_BRAND, ProxySettings, Settings, StorageSettings, TlsFiles,
};
use super::sources::{Config, Effective, Sources, aliases, variable};
use super::traces::TraceVariables;
use super::{dotenv, templates, traces};
use crate::domain::{ApiSecret, short_name};
use crate::gateway::older::OLDER;
use crate::template::{DEFAULT_MESSAGE_WITH_MINUTES, REDIS_VERSION_MESSAGE};

#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Warnings, one sentence each. The start logs them once.
    pub warnings: Vec<String>,
    /// Every value and where it came from; secrets are masked.
    pub effective: Vec<Effective>,
}

/// Reads all sources: the command line, then the environment (`.env` below the variables of the process), then
/// config.json, then the defaults. Fails with everything that cannot be read at once, else with everything that does not
/// fit together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (mut c, keys) = read(sources, true)?;
    let settings = resolve(keys, sources, &mut c);
    #[cfg(debug_assertions)]
    let settings = settings.with_bounds_of_test(sources);
    let warnings = c.found.finish()?;
    let rows = c.rows.into_iter();
    let effective = rows.map(|(key, (value, origin))| Effective { key, value, origin }).collect();
    Ok(Loaded { settings, warnings, effective })
}

/// Every section. Each is read by itself; the schema has the keys of all in one object.
#[derive(JsonSchema)]
pub struct Keys {
    #[serde(flatten)]
    inputs: Inputs,
    #[serde(flatten)]
    log: LogSettings,
    #[serde(flatten)]
    storage: StorageSettings,
    #[serde(flatten)]
    delivery: DeliverySettings,
    #[serde(flatten)]
    attempt_log: AttemptLogSettings,
    #[serde(flatten)]
    pricing: Pricing,
    #[serde(flatten)]
    proxies: ProxySettings,
    #[serde(flatten)]
    bounds: Bounds,
    #[serde(skip)]
    variables: Variables,
    #[serde(skip)]
    hooks: HookSettings,
    #[serde(skip)]
    traces: TraceVariables,
}

/// The names of settings by every spelling.
pub fn names() -> BTreeMap<String, String> {
    let mut c = Config::default();
    // A section tells its names while it is read.
    sections(&mut c);
    for (object, members) in [
        ("guard", members::<GuardSettings>()),
        ("cluster", members::<ClusterSettings>()),
        ("captcha", members::<CaptchaKeys>()),
    ] {
        let members = members.iter().map(|name| format!("{object}.{name}"));
        members.for_each(|member| c.know(&member));
    }
    let older = OLDER.iter().flat_map(|(_, variables)| *variables).map(|(name, _)| *name);
    older.chain(["REDIS_URL"]).for_each(|name| c.know(name));
    for (alias, name) in aliases() {
        c.known.extend([variable(&alias), alias].map(|spelling| (spelling, name.to_owned())));
    }
    c.known
}

/// Reads every section.
fn sections(c: &mut Config) -> Keys {
    Keys {
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
    }
}

/// `credentials` says whether errors in the environment count.
fn read(sources: &Sources, credentials: bool) -> Result<(Config, Keys), ConfigErrors> {
    let mut c = Config::of(sources, names(), credentials);
    if credentials && dotenv::is_denied(&sources.working_dir) {
        // Any value that seems to be missing may be in the file.
        c.check()?;
    }
    let keys = sections(&mut c);
    // Nothing follows from values that are wrong.
    c.check()?;
    Ok((c, keys))
}

/// Reads the location of the data, whatever is wrong with other keys: `doctor` examines it all the same.
pub fn load_storage(sources: &Sources) -> Result<StorageSettings, ConfigErrors> {
    let mut c = Config::of(sources, names(), false);
    let mut storage: StorageSettings = c.section();
    c.check()?;
    storage.below(&sources.working_dir);
    Ok(storage)
}

/// Reads the settings for a command beside a server. It may not be allowed to read the server's credentials: what is wrong
/// with gateways is not its matter.
pub fn load_beside(sources: &Sources) -> Result<Settings, ConfigErrors> {
    let (mut c, keys) = read(sources, false)?;
    let settings = resolve(keys, sources, &mut c);
    c.found.finish().map(|_| settings)
}

/// The default text where it is not [`DEFAULT_MESSAGE`](crate::template::DEFAULT_MESSAGE), and why.
fn default_message(inputs: &Inputs, c: &Config) -> Option<(&'static str, String)> {
    if let Some(origin) = c.given_by("redis-db-address") {
        return Some((REDIS_VERSION_MESSAGE, format!("the default with redis-db-address: {origin}")));
    }
    let origin = c.given_by("otp-timeout").filter(|_| inputs.otp_timeout >= Duration::from_secs(60))?;
    Some((DEFAULT_MESSAGE_WITH_MINUTES, format!("the default with an otp-timeout from 60 s on: {origin}")))
}

/// Works out what follows from several keys, and checks them against each other.
fn resolve(keys: Keys, sources: &Sources, c: &mut Config) -> Settings {
    let directory = sources.working_dir.as_path();
    let Keys { mut inputs, mut storage, mut delivery, pricing, proxies, bounds, .. } = keys;
    let (variables, hooks, production) = (keys.variables, keys.hooks, inputs.production);
    checks::warn_of_redis(c);
    let cluster = inputs.cluster.take().map(|cluster| cluster.checked(directory, c));
    let captcha = captcha::read(inputs.captcha.take(), variables.captcha_secret.clone(), c);
    if let Some((message, origin)) = default_message(&inputs, c).filter(|_| !c.is_given("otp-message")) {
        message.clone_into(&mut inputs.otp_message);
        c.row("otp-message", message, &origin);
    }
    let listen = checks::listen_address(&inputs, c);
    if inputs.prod_domain.is_some() && !c.is_given("production") {
        let origin = c.origin("prod-domain");
        c.ignored(&origin, "it has no effect without \"production\": true");
    }
    proxies.validate(c);
    delivery.voice_fallback &= delivery.voice;
    let errors = c.found.errors.len();
    let gateways = gateways::assemble(&mut inputs, &variables, delivery.voice, c);
    let gateways = gateways.map(|(gateways, origin)| {
        checks::simulator(&gateways, &origin, &inputs, listen.as_ref(), c);
        checks::prices_of_gateways(&gateways, &pricing, c);
        c.row("gateways", gateways.routing.to_string(), &origin);
        gateways
    });
    if !c.credentials {
        c.found.errors.truncate(errors);
    }
    let gateways = gateways.unwrap_or_else(GatewaySettings::simulator);
    checks::delivery(&delivery, &inputs, &gateways, c);
    let policy = inputs.policy();
    checks::policy(&policy, &bounds, c);
    let brand = brand(&inputs, c);
    let templates = checks::templates(&inputs, &brand, c);
    let catalog = templates::check(std::mem::take(&mut inputs.templates), &templates, c);
    let services = services::check(std::mem::take(&mut inputs.services), &catalog, c);
    let account = account_of(&variables, c);
    let guards = services.iter().map(|service| &service.guard).chain([&inputs.guard]);
    checks::prices(guards, &pricing, c);
    hooks.validate(&services, c);
    // Without an address there was an error.
    let (listen, origin) = listen.unwrap_or_default();
    c.row("listen address", listen.to_string(), &origin);
    let needs_keys = !inputs.allow_unauthenticated && account.is_none();
    let unless_keys = checks::unless_keys(&listen, production, &origin, &storage.data_dir);
    let registry = RegistrySettings {
        services,
        templates: catalog,
        account,
        unless_keys: unless_keys.filter(|_| needs_keys),
        local_only: listen.is_loopback() && !production,
        allows_unauthenticated: inputs.allow_unauthenticated,
        numbers: if gateways.only_simulator() { NumberRule::Possible } else { inputs.numbers },
        audit_retention: inputs.audit_retention,
    };
    c.wrong_if(storage.data_dir.as_os_str().is_empty(), "data-dir", "it must be the path of a directory");
    storage.below(directory);
    Settings {
        listen,
        tls: tls(&inputs, directory, c),
        traces: traces::read(&keys.traces, c),
        metrics_listen: inputs.metrics_listen,
        production,
        log: keys.log,
        policy,
        answers: inputs.answers,
        templates,
        brand,
        storage,
        cluster,
        captcha,
        gateways,
        delivery,
        attempt_log: keys.attempt_log,
        history: pricing,
        guard: inputs.guard,
        proxies,
        hooks,
        registry,
        private_webhooks: inputs.private_webhooks,
        cors_origins: inputs.cors_origins,
        bounds,
        // One for two processors: a decision takes far less than the rest of a request, and the fewer shards there are, the
        // more of them one message and one commit carry (`docs/internals/performance.md`).
        shards: sources.parallelism.div_ceil(2).max(1),
    }
}

/// Where the server's certificate and its key are. One alone is an error.
fn tls(at: &Inputs, directory: &Path, c: &mut Config) -> Option<TlsFiles> {
    let problem = "it is missing, and TLS needs both files. Take the other one out to serve cleartext";
    c.both(["tls-cert", "tls-key"], problem);
    let (certificate, key) = (at.tls_cert.as_ref()?, at.tls_key.as_ref()?);
    Some(TlsFiles { certificate: directory.join(certificate), key: directory.join(key) })
}

/// `brand`, or else `service_name`, or else our own name. Empty counts as not given.
fn brand(inputs: &Inputs, c: &mut Config) -> String {
    let given = [("brand", &inputs.brand), ("service_name", &inputs.service_name)];
    let given = given.map(|(key, brand)| (key, brand.as_deref().unwrap_or_default().trim()));
    let (key, brand) = given.into_iter().find(|(_, brand)| !brand.is_empty()).unwrap_or(("", OWN_BRAND));
    if let Err(why) = short_name(brand, 100) {
        c.wrong(key, format!("it is put into messages, and {why}"));
    }
    let origin = c.origin(key);
    c.row("brand", brand, &origin);
    brand.to_owned()
}

/// The account's credentials: both, or neither.
fn account_of(variables: &Variables, c: &mut Config) -> Option<AccountSettings> {
    let problem = "it is missing beside the other part of the account. Set both, or neither";
    c.both(["ONCEWARD_ACCOUNT_SID", "ONCEWARD_AUTH_TOKEN"], problem);
    let token = ApiSecret::new(variables.onceward_auth_token.as_ref()?.expose_secret().to_owned());
    Some(AccountSettings { sid: variables.onceward_account_sid?, token })
}
