//! Checks the values that the stacked sources agree on, one by one and against each other.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use serde::de::DeserializeOwned;

use super::effective::Effective;
use super::keys::Keys;
use super::kinds::{Brand, Flag, Text};
use super::listen::{self, FlagKeys, ListenKeys};
use super::message::MessageText;
use super::reader::{Reader, Taken};
use super::report::{ConfigError, Report};
use super::settings::{Bounds, DeliverySettings, LogSettings, Settings, TrackerSettings};
use super::twilio::{self, TwilioKeys};
use super::value::{Given, Setting, quoted};
use crate::domain::CodeLength;
use crate::engine::{Policy, SendOptions};
use crate::template::{Finding, TemplateSettings, Templates, TextSource};

/// What the code of the tutorial's `/send-code` is like: `docs/api.md`.
const TUTORIAL_CODE: SendOptions = SendOptions { life: Duration::from_secs(600), length: CodeLength::SIX };

/// The settings and where each came from. `None` only after an error.
pub fn resolve(
    figment: &Figment,
    redis: BTreeSet<&'static str>,
    directory: &Path,
    report: &mut Report,
) -> Option<(Settings, Vec<Effective>)> {
    let keys: Keys = extract(figment, report)?;
    let twilio: TwilioKeys = extract(figment, report)?;
    let flags: FlagKeys = extract(figment, report)?;
    warn_of_redis(&keys, redis, report);
    let mut reader = Reader::new(figment, report);
    let r = &mut reader;

    let production = r.take("production", keys.production);
    let addresses = ListenKeys {
        flag: flags.listen,
        prod_domain: keys.prod_domain,
        test_hostname: keys.test_hostname,
        test_port: keys.test_port,
    };
    let strangers = r.take("allow-unauthenticated", keys.allow_unauthenticated).map(|taken| taken.value.0);
    let listen = listen::choose(addresses, production.as_ref().map(|taken| taken.value.0), strangers, r);
    let gateways = twilio::gateways(twilio, r);
    let simulate = r.take("simulator-in-production", keys.simulator_in_production);
    if let (Some(gateways), Some(production), Some(simulate)) = (&gateways, &production, simulate)
        && gateways.has_simulator()
    {
        guard_simulator(production, simulate.value.0, r.report);
    }
    let brand = brand(keys.brand, keys.service_name, r);
    let message = r.take("otp-message", keys.otp_message);
    let tutorial_message = r.take("tutorial-message", keys.tutorial_message);

    let policy = Policy {
        max_attempts: u8::try_from(r.value("otp-max-attempts", keys.otp_max_attempts).get()).ok()?,
        lockout: r.value("otp-lock-timeout", keys.otp_lock_timeout).get(),
        code: SendOptions {
            life: r.value("otp-timeout", keys.otp_timeout).get(),
            length: CodeLength::new(u8::try_from(r.value("otp-length", keys.otp_length).get()).ok()?)?,
        },
    };
    let templates = templates([message, tutorial_message], &brand, policy.code, r);
    let bounds = Bounds {
        body_bytes: r.value("max-body-bytes", keys.max_body_bytes).as_usize(),
        header_timeout: r.value("header-timeout", keys.header_timeout).get(),
        body_timeout: r.value("body-timeout", keys.body_timeout).get(),
        idle_timeout: r.value("idle-timeout", keys.idle_timeout).get(),
        connections: r.value("max-connections", keys.max_connections).as_usize(),
        commands: r.value("max-commands", keys.max_commands).as_usize(),
        commands_per_number: r.value("max-commands-per-number", keys.max_commands_per_number).as_usize(),
        sends: r.value("max-sends", keys.max_sends).as_usize(),
        sends_waiting: r.value("max-sends-waiting", keys.max_sends_waiting).as_usize(),
        send_budget: r.value("send-budget", keys.send_budget).get(),
        commit_timeout: r.value("commit-timeout", keys.commit_timeout).get(),
        graceful_stop: r.value("graceful-stop", keys.graceful_stop).get(),
    };
    warn_of_weakness(&policy, &bounds, r.report);
    let log = LogSettings {
        level: r.value("log-level", keys.log_level).0,
        format: r.value("log-format", keys.log_format).0,
    };
    let answers = r.value("redis-version-answers", keys.redis_version_answers).0;
    let data_dir = directory.join(r.value("data-dir", keys.data_dir).0);
    if keys.key_file.is_absent() {
        r.row(
            "key-file",
            "(not set)".to_owned(),
            "the default: server.key in data-dir, made at the first start",
        );
    }
    let server_key_file = r.take("key-file", keys.key_file).map(|file| directory.join(file.value.0));
    let default_region = r.value("default-region", keys.default_region).region;
    let shards = r.value("shards", keys.shards).as_usize();

    let (listen, gateways) = (listen?, gateways?);
    let (provider, why) = if gateways.has_simulator() {
        ("simulator", "no provider is configured")
    } else {
        ("Twilio Messages", "Twilio's variables are set")
    };
    r.row("provider", provider.to_owned(), why);
    r.row("listen address", listen.value.to_string(), &listen.origin);
    let settings = Settings {
        listen: listen.value,
        production: production?.value.0,
        log,
        policy,
        tutorial_code: TUTORIAL_CODE,
        answers,
        templates,
        brand: brand.0,
        data_dir,
        server_key_file,
        gateways,
        delivery: DeliverySettings::default(),
        tracker: TrackerSettings::default(),
        default_region,
        bounds,
        shards,
    };
    Some((settings, reader.into_rows()))
}

fn extract<T: DeserializeOwned>(figment: &Figment, report: &mut Report) -> Option<T> {
    figment
        .extract()
        // Every field accepts whatever it is given; figment may have troubles of its own.
        .map_err(|error| report.problem("configuration", error.to_string(), None))
        .ok()
}

/// `brand`, or else `service_name`, or else our own name. Empty counts as not given.
fn brand(brand: Given<Brand>, service_name: Given<Text>, r: &mut Reader<'_>) -> Brand {
    let service = r.take("service_name", service_name).filter(|name| !name.value.0.trim().is_empty());
    let empty = matches!(&brand, Given::Read(brand, _) if brand.0.is_empty());
    if !brand.is_absent() && !empty {
        return r.value("brand", brand);
    }
    let Some(service) = service else {
        let own = Brand::placeholder();
        r.row("brand", own.shown(), "the default");
        return own;
    };
    if let Some(value) = Brand::read(&service.value.0) {
        r.row("brand", value.shown(), &service.origin);
        return value;
    }
    r.report.error(ConfigError {
        subject: "service_name".to_owned(),
        given: Some(quoted(&service.value.0)),
        problem: format!("without a \"brand\" it is the brand, and that must be {}", Brand::accepted()),
        origin: Some(service.origin),
    });
    Brand::placeholder()
}

/// Checks the texts of messages. After an error, which stops the start anyway, empty ones.
fn templates(
    [message, tutorial]: [Option<Taken<MessageText>>; 2],
    brand: &Brand,
    code: SendOptions,
    r: &mut Reader<'_>,
) -> Templates {
    let (Some(message), Some(tutorial)) = (message, tutorial) else { return Templates::new("", "") };
    let texts = TemplateSettings {
        brand: brand.0.clone(),
        code_length: code.length,
        life: code.life,
        message: message.value.0,
        tutorial_message: tutorial.value.0,
        messages: Vec::new(),
        default_locale: None,
        webotp_domain: None,
    };
    Templates::check(&texts).map(|(templates, _)| templates).unwrap_or_else(|findings| {
        for Finding { source, words } in findings {
            let (key, text, origin) = match source {
                TextSource::TutorialMessage => {
                    ("tutorial-message", &texts.tutorial_message, &tutorial.origin)
                }
                TextSource::Message | TextSource::Local(_) | TextSource::WebOtpDomain => {
                    ("otp-message", &texts.message, &message.origin)
                }
            };
            let (given, origin) = (Some(quoted(text)), Some(origin.clone()));
            r.report.error(ConfigError { subject: key.to_owned(), given, problem: words, origin });
        }
        Templates::new("", "")
    })
}

fn guard_simulator(production: &Taken<Flag>, allowed: bool, report: &mut Report) {
    if !production.value.0 {
        return;
    }
    if allowed {
        report.warn("the simulator runs in production, as simulator-in-production says: no message leaves this machine");
        return;
    }
    report.error(ConfigError {
        subject: "production".to_owned(),
        given: Some("true".to_owned()),
        problem: "no provider is configured, and in production the simulator would pretend to send. Set \
                  TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID) in \
                  the environment or .env; or add the line \"simulator-in-production\": true to config.json"
            .to_owned(),
        origin: Some(production.origin.clone()),
    });
}

/// What works, but is weaker than the standards ask for or than it looks.
fn warn_of_weakness(policy: &Policy, bounds: &Bounds, report: &mut Report) {
    if policy.code.length < CodeLength::SIX {
        report.warn("otp-length is below the 6 digits that NIST SP 800-63B-4 (3.1.3.2) asks for");
    }
    if policy.code.life > TUTORIAL_CODE.life {
        report.warn("otp-timeout is above the 10 minutes that NIST SP 800-63B-4 (3.1.3.2) allows");
    }
    if bounds.graceful_stop < bounds.send_budget {
        report.warn("graceful-stop is shorter than send-budget: a stop can cut off a send that is under way");
    }
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
