//! Checks of keys against each other: the address to listen on, the texts of messages, and settings that are weaker than they
//! look.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::guard::{GuardSettings, Prices, Pricing};
use super::load::{ConfigErrors, quoted};
use super::settings::{DeliverySettings, GatewaySettings, Inputs, Texts};
use super::sources::{Config, LISTEN_FLAG};
use super::values::ListenAddress;
use crate::domain::{Channel, CodeLength, GatewayName, Locale};
use crate::engine::{Policy, SendOptions};
use crate::gateway::ProviderSettings;
use crate::template::{Finding, LocalText, TemplateSettings, Templates};

/// Refuses prices of gateways that do not exist.
pub fn prices_of_gateways(gateways: &GatewaySettings, pricing: &Pricing, c: &mut Config) {
    let configured = gateways.providers.iter().map(ProviderSettings::name);
    let configured: Vec<_> = configured.chain(gateways.own.iter().map(|own| own.name)).collect();
    for name in pricing.prices.iter().flat_map(Prices::gateways) {
        let is_known = configured.contains(&name) || GatewayName::ALL.contains(&name);
        c.wrong_if(!is_known, "prices", format!("it has prices of {name}, which is no configured gateway"));
    }
}

/// Refuses the simulator where other machines reach the server, unless the operator allows it: after the loss of a
/// provider's variable it would show them codes. `listen` is the address and where it came from.
pub fn simulator(
    gateways: &GatewaySettings,
    keys: &Inputs,
    listen: Option<&(ListenAddress, String)>,
    c: &mut Config,
) {
    let is_reached = |of: &&(ListenAddress, String)| keys.production || !of.0.is_loopback();
    let Some((_, from)) = listen.filter(is_reached).filter(|_| gateways.has_simulator()) else { return };
    if keys.simulator_in_production {
        c.found.warn("the simulator runs where others reach the server, as simulator-in-production says");
        return;
    }
    let problem = "others reach the server, and it would only pretend to send. Set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and \
                   TWILIO_PHONE_NUMBER in the environment or .env, or name other gateways in otp-sms-provider; or add the line \
                   \"simulator-in-production\": true to config.json";
    c.found.wrong("the simulator", problem, Some(from));
}

pub fn warn_of_redis(c: &mut Config) {
    let names = ["REDIS_DB_PASSWORD", "REDIS_URL", "redis-db-address"];
    let given: Vec<&str> = names.into_iter().filter(|name| c.is_given(name)).collect();
    if !given.is_empty() {
        c.found.warn(format!(
            "{} ignored: onceward needs no Redis; its guard refuses some messages that your old server sent \
             (docs/guides/older-servers.md)",
            given.join(", ")
        ));
    }
}

/// Refuses a currency that is none, and `max-price` without prices.
pub fn prices<'a>(mut rules: impl Iterator<Item = &'a GuardSettings>, pricing: &Pricing, c: &mut Config) {
    let Pricing { prices, currency, .. } = pricing;
    let is_code = currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_alphabetic());
    c.wrong_if(!is_code, "currency", "it must be three letters of ISO 4217, such as EUR");
    let is_bounded = prices.is_none() && rules.any(|rules| rules.max_price.is_some());
    c.wrong_if(is_bounded, "guard.max-price", "needs the key prices: a message without a price is refused");
}

/// Refuses a lockout that leaves an attacker too many guesses. Warns of codes that are weaker than the standards ask for.
pub fn policy(policy: &Policy, c: &mut Config) {
    let SendOptions { length, life } = policy.code;
    // The codes of /send-code always have six digits.
    let code = SendOptions { length: length.min(CodeLength::SIX), life };
    if let Err(why) = (Policy { code, ..*policy }).check_strength() {
        c.wrong("otp-lock-timeout", format!("it {why}"));
    }
    let few_digits = "otp-length is below the 6 digits that NIST SP 800-63B-4 (3.1.3.2) asks for";
    c.warn_if(length < CodeLength::SIX, few_digits);
    let long_life = "otp-timeout is above the 10 minutes that NIST SP 800-63B-4 (3.1.3.2) allows";
    c.warn_if(life > SendOptions::DEFAULT.life, long_life);
}

/// Says what it means to keep attempts for less than the life of a code.
pub fn attempts(kept: Duration, mut lives: impl Iterator<Item = Duration>, c: &mut Config) {
    let until = "tracker-keep-for is below the life of a code: an attempt stays until its code ends";
    c.warn_if(lives.any(|life| kept < life), until);
}

/// Checks what `public-url` is needed for, and that each channel of the workflow has a gateway.
pub fn delivery(delivery: &DeliverySettings, inputs: &Inputs, gateways: &GatewaySettings, c: &mut Config) {
    let problem = "it needs \"public-url\": Twilio asks there for what it is to say once a key was pressed";
    c.wrong_if(inputs.voice_gate && delivery.public_url.is_none(), "voice-gate", problem);
    // Providers that hold the code let it live for minutes, and people see messages that they were sent 20 s ago.
    let holders = [GatewayName::TwilioVerify, GatewayName::Sinch];
    let life = Some(inputs.otp_timeout).filter(|life| *life < Duration::from_secs(60));
    if let (Some(holder), Some(life)) = (holders.iter().find(|name| gateways.routing.names(**name)), life) {
        c.found.warn(format!(
            "{holder} makes codes that live for minutes, and after {} (otp-timeout) they are wrong here; otp-timeout = \
             \"10m\" lets both end together",
            humantime::format_duration(life)
        ));
    }
    // A call that no gateway makes is an error of `voice`.
    let serves = |channel| if channel == Channel::Call { delivery.voice } else { gateways.serves(channel) };
    if let Some(step) = delivery.workflow.iter().find(|step| !serves(step.channel)) {
        let channel = step.channel.as_str();
        let remedy = "no gateway of otp-sms-provider serves it; \"call\" also needs \"voice\": true";
        c.wrong("workflow", format!("it has the channel {channel:?}: {remedy}"));
    }
}

/// Advice about an address that unauthenticated clients can reach.
const ALLOW: &str = "any client that reaches it could send messages at your cost and try codes. Create an API key with \
     `onceward keys create`, or set ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN: callers then have to show a key. To serve \
     them without one all the same (behind a firewall or a proxy that checks who calls), add the line \
     \"allow-unauthenticated\": true to config.json or set ONCEWARD_ALLOW_UNAUTHENTICATED=true";

/// The address to listen on and where it came from. `None` after an error.
pub fn listen_address(keys: &Inputs, c: &mut Config) -> Option<(ListenAddress, String)> {
    if let Some(flag) = c.value(LISTEN_FLAG).cloned() {
        let address = c.object(LISTEN_FLAG, flag)?;
        return Some((address, c.origin(LISTEN_FLAG)));
    }
    if keys.production {
        if keys.prod_domain.is_none() {
            let problem = "it is empty, but \"production\" is true and the server then listens there. Set it to host:port \
                           or :port";
            let origin = c.origin("prod-domain");
            c.found.wrong("prod-domain", problem, Some(&origin));
        }
        return Some((keys.prod_domain.clone()?, c.origin("prod-domain")));
    }
    let origin = c.origin("test-hostname");
    Some((ListenAddress { host: keys.test_hostname.clone(), port: keys.test_port }, origin))
}

/// The error of an address that unauthenticated clients can reach while no caller has to show a key. It stops a start, but only
/// the data directory says whether there is a key. `None` for a server that only this machine reaches.
pub fn unless_keys(
    listen: &ListenAddress,
    production: bool,
    origin: &str,
    data_dir: &Path,
) -> Option<ConfigErrors> {
    if listen.is_loopback() && !production {
        return None;
    }
    let mut found = ConfigErrors::default();
    let data_dir = data_dir.display();
    let problem = format!(
        "others reach it, no API key is known (data-dir: {data_dir}), and {ALLOW}; else listen on localhost, not in production"
    );
    found.wrong(&format!("listen address {listen}"), &problem, Some(origin));
    found.finish().err()
}

/// Stands for every channel in `otp-messages`.
const ANY: &str = "any";

/// Checks every text. After an error, which stops the start anyway, empty ones.
pub fn templates(inputs: &Inputs, brand: &str, c: &mut Config) -> Templates {
    let code = inputs.policy().code;
    let settings = TemplateSettings {
        brand: brand.to_owned(),
        code_length: code.length,
        life: code.life,
        message: inputs.otp_message.clone(),
        messages: local_texts(&inputs.otp_messages, c),
        default_locale: inputs.default_locale,
        locale_by_country: inputs.locale_by_country,
        webotp_domain: inputs.webotp_domain.clone(),
    };
    let checked = Templates::check(&settings);
    for Finding { path, text, words } in checked.as_ref().map_or_else(|findings| findings, |(_, found)| found)
    {
        if checked.is_ok() {
            let origin = c.origin(path);
            c.found.warn(format!("{path} = {}: {words}; given by {origin}", quoted(text)));
        } else {
            c.wrong(path, words);
        }
    }
    checked.map_or_else(|_| Templates::new(""), |(templates, _)| templates)
}

/// The texts of `otp-messages`. Wrong ones are reported and omitted, and the rest is still checked.
fn local_texts(channels: &BTreeMap<String, Texts>, c: &mut Config) -> Vec<LocalText> {
    let mut local = Vec::new();
    for (name, texts) in channels {
        let path = format!("otp-messages.{name}");
        let channel = Channel::parse(name);
        if channel.is_none() && !name.eq_ignore_ascii_case(ANY) {
            c.wrong(&path, format!("a channel is one of {}, {ANY}", Channel::names(", ")));
            continue;
        }
        let texts = match texts {
            Texts::One(text) => {
                local.push(LocalText { path, channel, locale: None, text: text.clone() });
                continue;
            }
            Texts::ByLanguage(texts) => texts,
        };
        for (tag, text) in texts {
            let (path, locale) = (format!("{path}.{tag}"), Locale::parse(tag));
            if locale.is_some() {
                local.push(LocalText { path, channel, locale, text: text.clone() });
            } else {
                c.wrong(
                    &path,
                    "it must be named by a language such as \"de\", \"pt-BR\" or \"zh-Hant\" (BCP 47)",
                );
            }
        }
    }
    local
}
