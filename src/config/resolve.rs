//! Checks the values that the stacked sources agree on, one by one and against each other.

mod delivery;
mod policy;
mod texts;
mod tls;

use std::collections::BTreeSet;
use std::mem::take;
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use serde::de::DeserializeOwned;

use super::effective::Effective;
use super::gateways::{GatewayKeys, VariableKeys, assemble};
use super::keys::Keys;
use super::kinds::Flag;
use super::listen::{self, FlagKeys, ListenKeys};
use super::load::KeysSettings;
use super::reader::{Reader, Taken};
use super::report::{ConfigError, Report};
use super::services::{self, AccountKeys, RegistrySettings};
use super::settings::{GatewaySettings, LogSettings, Settings, StorageSettings};
use super::value::Given;
use crate::domain::GatewayName;
use crate::engine::SendOptions;
use crate::template::Templates;

/// The settings and where each came from. `None` only after an error.
pub fn resolve(
    figment: &Figment,
    redis: BTreeSet<&'static str>,
    directory: &Path,
    report: &mut Report,
) -> Option<(Settings, Vec<Effective>)> {
    let mut keys: Keys = extract(figment, report)?;
    let variables = VariableKeys {
        twilio: extract(figment, report)?,
        sinch: extract(figment, report)?,
        mada: extract(figment, report)?,
        http: extract(figment, report)?,
    };
    let flags: FlagKeys = extract(figment, report)?;
    let account: AccountKeys = extract(figment, report)?;
    warn_of_redis(&keys, redis, report);
    let mut reader = Reader::new(figment, report);
    let r = &mut reader;

    let production = r.take("production", take(&mut keys.production));
    let listen = listen_address(flags, &mut keys, production.as_ref(), r);
    let allows_unauthenticated = r.value("allow-unauthenticated", take(&mut keys.allow_unauthenticated)).0;
    let tls = tls::files(&mut keys, directory, r);
    let asked = delivery::ask(&mut keys, r);
    let gateway_keys =
        GatewayKeys { order: take(&mut keys.otp_sms_provider), http: take(&mut keys.http_gateway) };
    let gateways = assemble(gateway_keys, variables, &asked.wishes, r);
    let simulate = r.take("simulator-in-production", take(&mut keys.simulator_in_production));
    if let (Some(gateways), Some(production), Some(simulate)) = (&gateways, &production, simulate) {
        guard_simulator(gateways, production, simulate.value.0, r.report);
    }
    // Of a life that cannot be read nothing else follows.
    let life_wrong = matches!(keys.otp_timeout, Given::Wrong { .. });
    let policy = policy::policy(&mut keys, r)?;
    let life = if life_wrong { Duration::MAX } else { policy.code.life };
    let brand = texts::brand(take(&mut keys.brand), take(&mut keys.service_name), r);
    let templates = texts::templates(&mut keys, &brand, policy.code, r);
    let mut registry = registry(&mut keys, account, &templates, r);
    let bounds = policy::bounds(&mut keys, r);
    policy::warn_of_weakness(&policy, &bounds, r.report);
    let delivery = gateways.as_ref().map(|gateways| asked.settle(&gateways.value, life, r.report));
    let tracker = delivery::tracker(&mut keys, r);
    let log = LogSettings {
        level: r.value("log-level", take(&mut keys.log_level)).0,
        format: r.value("log-format", take(&mut keys.log_format)).0,
    };
    let private_webhooks = r.value("webhook-private-addresses", take(&mut keys.webhook_private_addresses)).0;
    let answers = r.value("redis-version-answers", take(&mut keys.redis_version_answers)).0;
    let StorageSettings { data_dir, server_key_file, default_region } = take_storage(&mut keys, directory, r);
    let shards = r.value("shards", keys.shards).as_usize();

    let (listen, gateways) = (listen?, gateways?);
    registry.loopback = listen.value.is_loopback();
    registry.allows_unauthenticated = allows_unauthenticated;
    if !allows_unauthenticated && registry.account.is_none() {
        registry.unless_keys = listen::unless_keys(&listen);
    }
    r.row("gateways", gateways.value.routing.to_string(), &gateways.origin);
    r.row("listen address", listen.value.to_string(), &listen.origin);
    let settings = Settings {
        listen: listen.value,
        tls,
        production: production?.value.0,
        log,
        policy,
        tutorial_code: SendOptions::DEFAULT,
        answers,
        templates,
        brand: brand.0,
        data_dir,
        server_key_file,
        gateways: gateways.value,
        delivery: delivery?,
        tracker,
        registry,
        private_webhooks,
        default_region,
        bounds,
        shards,
    };
    Some((settings, reader.into_rows()))
}

fn listen_address(
    flags: FlagKeys,
    keys: &mut Keys,
    production: Option<&Taken<Flag>>,
    r: &mut Reader<'_>,
) -> Option<Taken<super::settings::ListenAddress>> {
    let addresses = ListenKeys {
        flag: flags.listen,
        prod_domain: take(&mut keys.prod_domain),
        test_hostname: take(&mut keys.test_hostname),
        test_port: take(&mut keys.test_port),
    };
    listen::choose(addresses, production.map(|taken| taken.value.0), r)
}

/// Services, templates and the account, without what follows from the address.
fn registry(
    keys: &mut Keys,
    account: AccountKeys,
    checks: &Templates,
    r: &mut Reader<'_>,
) -> RegistrySettings {
    let account = services::account(account, r);
    let templates = r.take("templates", take(&mut keys.templates));
    let templates = templates.map(|given| services::templates(given, checks, r.report)).unwrap_or_default();
    let given = r.take("services", take(&mut keys.services));
    let services = given.map(|given| services::services(given, &templates, r.report)).unwrap_or_default();
    RegistrySettings { services, templates, account, ..RegistrySettings::default() }
}

/// Where the data is. `None` only after an error.
pub fn storage(figment: &Figment, directory: &Path, report: &mut Report) -> Option<StorageSettings> {
    let mut keys: Keys = extract(figment, report)?;
    Some(take_storage(&mut keys, directory, &mut Reader::new(figment, report)))
}

/// What `onceward keys` needs. `None` only after an error.
pub fn keys(figment: &Figment, directory: &Path, report: &mut Report) -> Option<KeysSettings> {
    let mut keys: Keys = extract(figment, report)?;
    let account: AccountKeys = extract(figment, report)?;
    let mut reader = Reader::new(figment, report);
    let r = &mut reader;
    let storage = take_storage(&mut keys, directory, r);
    let policy = policy::policy(&mut keys, r)?;
    let brand = texts::brand(take(&mut keys.brand), take(&mut keys.service_name), r).0;
    // The texts were checked when the server started.
    let registry = registry(&mut keys, account, &Templates::new("", ""), r);
    Some(KeysSettings { storage, registry, brand, policy })
}

fn take_storage(keys: &mut Keys, directory: &Path, r: &mut Reader<'_>) -> StorageSettings {
    let data_dir = directory.join(r.value("data-dir", take(&mut keys.data_dir)).0);
    if keys.key_file.is_absent() {
        r.row(
            "key-file",
            "(not set)".to_owned(),
            "the default: server.key in data-dir, made at the first start",
        );
    }
    let server_key_file =
        r.take("key-file", take(&mut keys.key_file)).map(|file| directory.join(file.value.0));
    let default_region = r.value("default-region", take(&mut keys.default_region)).region;
    StorageSettings { data_dir, server_key_file, default_region }
}

fn extract<T: DeserializeOwned>(figment: &Figment, report: &mut Report) -> Option<T> {
    figment
        .extract()
        // Every field accepts whatever it is given; figment may have troubles of its own.
        .map_err(|error| report.problem("configuration", error.to_string(), None))
        .ok()
}

fn guard_simulator(
    gateways: &Taken<GatewaySettings>,
    production: &Taken<Flag>,
    allowed: bool,
    report: &mut Report,
) {
    if !production.value.0 || !gateways.value.has_simulator() {
        return;
    }
    let only = gateways.value.routing.entries().iter().all(|entry| entry.gateway == GatewayName::Simulator);
    if allowed {
        report.warn(if only {
            "the simulator runs in production, as simulator-in-production says: no message leaves this machine"
        } else {
            "the simulator runs in production, as simulator-in-production says: some messages do not leave this machine"
        });
        return;
    }
    let (why, origin) = if only && gateways.origin.starts_with("no provider") {
        let why = "no provider is configured, and in production the simulator would pretend to send. Set \
                   TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID) in \
                   the environment or .env, or another gateway and otp-sms-provider";
        (why, production.origin.clone())
    } else {
        let why =
            "otp-sms-provider names the Simulator, which in production would pretend to send. Take it out";
        (why, format!("{} and {}", production.origin, gateways.origin))
    };
    report.error(ConfigError {
        subject: "production".to_owned(),
        given: Some("true".to_owned()),
        problem: format!("{why}; or add the line \"simulator-in-production\": true to config.json"),
        origin: Some(origin),
    });
}

fn warn_of_redis(keys: &Keys, mut names: BTreeSet<&'static str>, report: &mut Report) {
    if !keys.redis_db_address.is_absent() {
        names.insert("redis-db-address");
    }
    if !keys.redis_db_password.is_absent() {
        names.insert("REDIS_DB_PASSWORD");
    }
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        report.warn(format!("{} ignored: onceward needs no Redis", names.join(", ")));
    }
}
