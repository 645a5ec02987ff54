//! From the sources to the settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::gateways::{self, Variables};
use super::guard::{GuardSettings, Pricing};
use super::read::members;
use super::sections::{self, CaptchaKeys, ClusterSettings, HookSettings};
use super::services::{self, AccountSettings, RegistrySettings};
use super::settings::{
    AttemptLogSettings, Bounds, DeliverySettings, GatewaySettings, Inputs, LogSettings, NumberRule,
    OWN_BRAND, ProxySettings, Settings, StorageSettings, TlsFiles,
};
use super::sources::{Config, Given, Sources, aliases, variable};
use super::{checks, templates};
use crate::domain::short_name;
use crate::gateway::older::OLDER;
use crate::template::{DEFAULT_MESSAGE, DEFAULT_MESSAGE_WITH_MINUTES, REDIS_VERSION_MESSAGE};

#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Warnings, one sentence each. The start logs them once.
    pub warnings: Vec<String>,
    /// Every value that is given and where it came from, without secrets.
    pub given: Vec<Given>,
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
    Ok(Loaded { settings, warnings, given: c.given() })
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
    }
}

/// `credentials` says whether errors in the environment count.
fn read(sources: &Sources, credentials: bool) -> Result<(Config, Keys), ConfigErrors> {
    let mut c = Config::of(sources, names(), credentials);
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

/// The text where none is given.
fn default_message(inputs: &Inputs, c: &Config) -> &'static str {
    if c.is_given("redis-db-address") {
        REDIS_VERSION_MESSAGE
    } else if inputs.otp_timeout >= Duration::from_secs(60) {
        DEFAULT_MESSAGE_WITH_MINUTES
    } else {
        DEFAULT_MESSAGE
    }
}

/// Works out what follows from several keys, and checks them against each other.
fn resolve(keys: Keys, sources: &Sources, c: &mut Config) -> Settings {
    let directory = sources.working_dir.as_path();
    let Keys { mut inputs, mut storage, delivery, pricing, proxies, bounds, .. } = keys;
    let (variables, hooks, production) = (keys.variables, keys.hooks, inputs.production);
    checks::warn_of_redis(c);
    let cluster = inputs.cluster.take().map(|cluster| cluster.checked(directory, c));
    let captcha = sections::read_captcha(inputs.captcha.take(), variables.captcha_secret.clone(), c);
    if !c.is_given("otp-message") {
        default_message(&inputs, c).clone_into(&mut inputs.otp_message);
    }
    let listen = checks::listen_address(&inputs, c);
    if inputs.prod_domain.is_some() && !c.is_given("production") {
        let origin = c.origin("prod-domain");
        c.ignored(&origin, "it has no effect without \"production\": true");
    }
    proxies.validate(c);
    let errors = c.found.errors.len();
    let gateways = gateways::assemble(&mut inputs, &variables, delivery.voice, c);
    if let Some(gateways) = &gateways {
        checks::simulator(gateways, &inputs, listen.as_ref(), c);
        checks::prices_of_gateways(gateways, &pricing, c);
    }
    if !c.credentials {
        c.found.errors.truncate(errors);
    }
    let gateways = gateways.unwrap_or_else(GatewaySettings::simulator);
    checks::delivery(&delivery, &inputs, &gateways, c);
    let policy = inputs.policy();
    checks::policy(&policy, c);
    let brand = brand(&inputs, c);
    let templates = checks::templates(&inputs, &brand, c);
    let catalog = templates::check(std::mem::take(&mut inputs.templates), &templates, c);
    let services = services::check(std::mem::take(&mut inputs.services), &catalog, c);
    let lives = services.iter().map(|service| service.settings.code_life).chain([policy.code.life]);
    checks::attempts(keys.attempt_log.keep_for, lives, c);
    let account = account_of(&variables, c);
    checks::prices(services.iter().map(|service| &service.guard).chain([&inputs.guard]), &pricing, c);
    // Without an address there was an error.
    let (listen, origin) = listen.unwrap_or_default();
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
    };
    c.wrong_if(storage.data_dir.as_os_str().is_empty(), "data-dir", "it must be the path of a directory");
    storage.below(directory);
    Settings {
        listen,
        tls: tls(&inputs, directory, c),
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
    brand.to_owned()
}

/// The account's credentials: both, or neither.
fn account_of(variables: &Variables, c: &mut Config) -> Option<AccountSettings> {
    let problem = "it is missing beside the other part of the account. Set both, or neither";
    c.both(["ONCEWARD_ACCOUNT_SID", "ONCEWARD_AUTH_TOKEN"], problem);
    Some(AccountSettings {
        sid: variables.onceward_account_sid?,
        token: variables.onceward_auth_token.clone()?,
    })
}

// What is found while the settings are read: errors, which stop the start, and warnings.

/// The prefix of this server's variables.
pub const PREFIX: &str = "ONCEWARD_";

/// All errors that stop the start, and the warnings beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} error{}\n  {}", errors.len(), if errors.len() == 1 { "" } else { "s" }, errors.join("\n  "))]
pub struct ConfigErrors {
    /// In the order in which they were found: the key or variable, its value unless that may be a secret, what is accepted, and
    /// where the value came from.
    pub errors: Vec<String>,
    /// Often they name the reason of an error, such as a misspelled key.
    pub warnings: Vec<String>,
}

impl ConfigErrors {
    /// Adds that `subject`, perhaps with its value, is wrong, and where it came from.
    pub(super) fn wrong(&mut self, subject: &str, problem: &str, origin: Option<&str>) {
        let origin = origin.map(|origin| format!("\n    given by {origin}")).unwrap_or_default();
        self.errors.push(format!("{subject}: {problem}{origin}"));
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The warnings, if there was no error; else all of it.
    pub(super) fn finish(&mut self) -> Result<Vec<String>, Self> {
        let found = std::mem::take(self);
        if found.errors.is_empty() { Ok(found.warnings) } else { Err(found) }
    }
}

/// The end of a message about an unknown name: the known one that looks most like it, if any looks like it at all.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// Below this, most of the letters differ and a suggestion would confuse.
    const SIMILAR: f64 = 0.5;
    // What all variables begin with makes none of them alike.
    let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).replace('_', "-").to_ascii_lowercase();
    let plain = |name: &str| own(name).trim_start_matches("gateways-").to_owned();
    let likeness = |known| (strsim::normalized_damerau_levenshtein(&plain(name), &plain(known)), known);
    let similar = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= SIMILAR);
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

/// A text in quotes, on one line and not too long.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = format!("{text:?}");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.replace_range(end.., "...");
    }
    text
}

// The JSON Schema of config.json, made from the sections.

/// The schema as a document, with a line break at the end. `docs/reference/config.schema.json` is this text.
pub fn json_schema() -> String {
    let mut root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Keys>().to_value();
    tidy(&mut root);
    // Here a template has a name too; in requests it has an id.
    if let Some(Value::Object(template)) =
        root.pointer_mut("/$defs/ServiceObject/properties/default-template")
    {
        template.remove("pattern");
    }
    root["type"] = json!("object");
    root["title"] = json!("config.json of onceward");
    root["description"] = json!(
        "The configuration file of onceward. Every value may be a string or the proper JSON type. Any key can also be given in the \
         environment as ONCEWARD_ and the key in capitals with underscores."
    );
    // A schema is made of strings, numbers and objects with text keys: it always serializes.
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// Types in whose place a value may be a text.
const NOT_TEXTS: [&str; 5] = ["array", "boolean", "integer", "number", "object"];

/// Accepts texts in place of other types, takes out defaults of nothing, and breaks no lines: doc comments do so for their
/// readers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| {
                let is_nothing = value.is_null() || value.is_object() || *value == json!([]) || *value == "";
                name != "writeOnly" && (name != "default" || !is_nothing)
            });
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
                    }
                    kind if name == "type" => {
                        let mut kinds: Vec<Value> =
                            kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
                        if kinds.iter().any(|kind| NOT_TEXTS.iter().any(|other| *kind == *other))
                            && !kinds.contains(&json!("string"))
                        {
                            kinds.push(json!("string"));
                            *kind = kinds.into();
                        }
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
