//! Checks of keys against each other: the address to listen on, the texts of messages, and settings that are weaker than they
//! look.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::forms::{Form as _, ListenAddress, is_exposed, workflow_text};
use super::guard::GuardSettings;
use super::layers::{Context, LISTEN_FLAG};
use super::prices::Pricing;
use super::report::{ConfigErrors, Report, quoted};
use super::settings::{Bounds, CodeKeys, DeliverySettings, GatewaySettings, Inputs, ListenKeys, Texts};
use crate::domain::{Channel, CodeLength, GatewayName, Locale};
use crate::engine::{Policy, SendOptions};
use crate::template::{Finding, LocalText, TemplateSettings, Templates};

/// Refuses the simulator where other machines reach the server, unless the operator allows it: after the loss of a
/// provider's variable it would show them codes. `origin` is that of the gateways, and `listen` the address with its own.
pub fn simulator(
    gateways: &GatewaySettings,
    origin: &str,
    keys: &Inputs,
    listen: Option<&(ListenAddress, String)>,
    c: &mut Context,
) {
    let (place, from) = match listen {
        _ if !gateways.has_simulator() => return,
        _ if keys.production => ("in production", c.origin("production")),
        Some((listen, from)) if !listen.is_loopback() => ("on an address that is not loopback", from.clone()),
        _ => return,
    };
    if keys.simulator_in_production {
        let messages =
            if gateways.only_simulator() { "no message leaves" } else { "some messages do not leave" };
        let why = "as simulator-in-production says";
        c.report.warn(format!("the simulator runs {place}, {why}: {messages} this machine"));
        return;
    }
    let problem = format!(
        "{place} it would only pretend to send. Set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER in the \
         environment or .env, or name other gateways in otp-sms-provider; or add the line \"simulator-in-production\": true to \
         config.json"
    );
    c.report.wrong("the simulator", None, problem, format!("{from}; {origin}"));
}

pub fn warn_of_redis(c: &mut Context) {
    let names = ["REDIS_DB_PASSWORD", "REDIS_URL", "redis-db-address"];
    let given: Vec<&str> = names.into_iter().filter(|name| c.is_given(name)).collect();
    if !given.is_empty() {
        c.report.warn(format!(
            "{} ignored: onceward needs no Redis; its guard refuses some messages that your old server sent \
             (docs/guides/older-servers.md)",
            given.join(", ")
        ));
    }
}

/// Refuses a lockout that leaves an attacker too many guesses.
pub fn lockout(policy: &Policy, c: &mut Context) {
    // The codes of /send-code always have six digits.
    let length = policy.code.length.min(CodeLength::SIX);
    let weakest = Policy { code: SendOptions { length, ..policy.code }, ..*policy };
    if let Err(why) = weakest.check_strength() {
        let given = humantime::format_duration(policy.lockout_time()).to_string();
        c.wrong("otp-lock-timeout", Some(given), format!("it {why}"));
    }
}

/// Refuses a currency that is none. Warns of `money-per-day` without `prices`; `max-price` needs them.
pub fn prices<'a>(
    mut rules: impl Iterator<Item = &'a GuardSettings> + Clone,
    pricing: &Pricing,
    c: &mut Context,
) {
    let Pricing { prices, currency } = pricing;
    if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        c.wrong("currency", Some(currency.clone()), "it must be three letters of ISO 4217, such as EUR");
    }
    if prices.is_some() {
        return;
    }
    if rules.clone().any(|rules| rules.max_price.is_some()) {
        c.wrong("guard.max-price", None, "needs the key prices: a message without a price is refused");
    }
    if rules.any(|rules| rules.money_per_day.is_some()) {
        c.report.warn("money-per-day counts the built-in prices, which are not your provider's. Set prices to what you pay");
    }
}

/// Warns of settings that are weaker than the standards ask for or than they look.
pub fn warn_of_weakness(policy: &Policy, bounds: &Bounds, c: &mut Context) {
    /// A longer lockout is probably one that was meant in seconds.
    const LONG_LOCKOUT: Duration = Duration::from_secs(24 * 3_600);
    let mut warn_if = |is_weak: bool, words: &str| {
        if is_weak {
            c.report.warn(words);
        }
    };
    let SendOptions { length, life } = policy.code;
    let few_digits = "otp-length is below the 6 digits that NIST SP 800-63B-4 (3.1.3.2) asks for";
    warn_if(length < CodeLength::SIX, few_digits);
    let long_life = "otp-timeout is above the 10 minutes that NIST SP 800-63B-4 (3.1.3.2) allows";
    warn_if(life > SendOptions::DEFAULT.life, long_life);
    let long_lockout = "otp-lock-timeout locks a number for more than a day; a bare number is minutes";
    warn_if(policy.lockout_time() > LONG_LOCKOUT, long_lockout);
    let short_stop = "graceful-stop is shorter than send-budget: a stop can cut off a send that is under way";
    warn_if(bounds.graceful_stop < bounds.send_budget, short_stop);
}

/// Checks what does not depend on the gateways.
pub fn delivery(delivery: &mut DeliverySettings, inputs: &Inputs, c: &mut Context) {
    delivery.voice_fallback &= delivery.voice;
    if delivery.public_url.as_deref().is_some_and(is_exposed) {
        c.report.warn("public-url begins with http: what gateways report, and codes that they ask for, travel unencrypted");
    }
    if inputs.voice_gate && delivery.public_url.is_none() {
        let problem =
            "it needs \"public-url\": Twilio asks there for what it is to say once a key was pressed";
        c.wrong("voice-gate", None, problem);
    }
    if !delivery.workflow.is_empty() && delivery.public_url.is_none() {
        c.report.warn(
            "workflow is given without public-url: gateways cannot report what arrived, so every step waits for the whole of its time",
        );
    }
}

/// Checks the settings against the gateways and the life of a code.
pub fn delivery_with(
    gateways: &GatewaySettings,
    delivery: &DeliverySettings,
    life: Duration,
    c: &mut Context,
) {
    // Providers that hold the code let it live for minutes, and people see messages that they were sent 20 s ago.
    let holders = [GatewayName::TwilioVerify, GatewayName::Sinch];
    let holder = holders.into_iter().find(|name| gateways.routing.names(*name));
    if let Some(holder) = holder.filter(|_| life < Duration::from_secs(60)) {
        c.report.warn(format!(
            "{holder} makes codes that live for minutes, and after {} (otp-timeout) they are wrong here; otp-timeout = \
             \"10m\" lets both end together",
            humantime::format_duration(life)
        ));
    }
    // A call that no gateway makes is an error of `voice`.
    let serves = |channel| if channel == Channel::Call { delivery.voice } else { gateways.serves(channel) };
    let unserved = delivery.workflow.iter().map(|step| step.channel).find(|channel| !serves(*channel));
    if let Some(channel) = unserved {
        let remedy = if channel == Channel::Call {
            "set \"voice\" to true"
        } else {
            "no gateway of otp-sms-provider serves it"
        };
        let problem = format!("it has the channel {:?}: {remedy}", channel.as_str());
        c.wrong("workflow", Some(quoted(&workflow_text(&delivery.workflow))), problem);
    }
}

/// Advice about an address that unauthenticated clients can reach.
const ALLOW: &str = "any client that reaches it could send messages at your cost and try codes. Create an API key with \
     `onceward keys create`, or set ONCEWARD_ACCOUNT_SID and ONCEWARD_AUTH_TOKEN: callers then have to show a key. To serve \
     them without one all the same (behind a firewall or a proxy that checks who calls), add the line \
     \"allow-unauthenticated\": true to config.json or set ONCEWARD_ALLOW_UNAUTHENTICATED=true";

/// The address to listen on and where it came from. `None` after an error.
pub fn listen_address(at: ListenKeys, keys: &Inputs, c: &mut Context) -> Option<(ListenAddress, String)> {
    if let Some(flag) = c.values.get(LISTEN_FLAG) {
        let address = flag.as_str().and_then(|text| ListenAddress::read(text.trim()));
        if address.is_none() {
            let given = c.given(LISTEN_FLAG);
            c.wrong(LISTEN_FLAG, given, format!("it must be {}", ListenAddress::accepted()));
        }
        return Some((address?, c.origin(LISTEN_FLAG)));
    }
    if keys.production {
        if keys.prod_domain.is_none() {
            let problem = "it is empty, but \"production\" is true and the server then listens there. Set it to host:port \
                           or :port";
            c.report.wrong("prod-domain", None, problem, c.origin("prod-domain"));
        }
        return Some((keys.prod_domain.clone()?, c.origin("prod-domain")));
    }
    let [host, port] = ["test-hostname", "test-port"].map(|key| c.origin(key));
    let origin = if host == port { host } else { format!("{host} and {port}") };
    Some((ListenAddress { host: at.test_hostname, port: at.test_port }, origin))
}

/// The error of an address that unauthenticated clients can reach while no caller has to show a key. It stops a start, but only
/// the data directory says whether there is a key. `None` for a server that only this machine reaches.
pub fn unless_keys(
    listen: &ListenAddress,
    production: bool,
    origin: &str,
    data_dir: &Path,
) -> Option<ConfigErrors> {
    let (reach, otherwise) = match (listen.is_loopback(), production) {
        (true, false) => return None,
        (true, true) => ("in production a proxy is in front of it", "set production to false"),
        // Shells and build tools export a variable of this name.
        (false, _) if origin.contains(", HOST") => ("it is not loopback", "unset HOST"),
        (false, _) => ("it is not loopback", "listen on localhost"),
    };
    let mut report = Report::default();
    let data_dir = data_dir.display();
    let problem =
        format!("{reach}, no API key is known (data-dir: {data_dir}), and {ALLOW}; else {otherwise}");
    report.wrong(format!("listen address {listen}"), None, problem, origin.to_owned());
    report.finish().err()
}

/// Stands for every channel in `otp-messages`.
const ANY: &str = "any";

/// Checks every text. After an error, which stops the start anyway, empty ones.
pub fn templates(inputs: &Inputs, codes: &CodeKeys, brand: &str, c: &mut Context) -> Templates {
    let code = codes.policy().code;
    let settings = TemplateSettings {
        brand: brand.to_owned(),
        code_length: code.length,
        life: code.life,
        message: codes.otp_message.clone(),
        tutorial_message: codes.tutorial_message.clone(),
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
            c.report.warn(format!("{path} = {}: {words}; given by {origin}", quoted(text)));
        } else {
            c.wrong(path, quoted(text), words);
        }
    }
    checked.map_or_else(|_| Templates::new("", ""), |(templates, _)| templates)
}

/// The texts of `otp-messages`. Wrong ones are reported and omitted, and the rest is still checked.
fn local_texts(channels: &BTreeMap<String, Texts>, c: &mut Context) -> Vec<LocalText> {
    let mut local = Vec::new();
    for (name, texts) in channels {
        let path = format!("otp-messages.{name}");
        let channel = Channel::parse(name);
        if channel.is_none() && !name.eq_ignore_ascii_case(ANY) {
            c.wrong(&path, None, format!("a channel is one of {}, {ANY}", Channel::names(", ")));
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
                c.wrong(&path, None, format!("it must be named by {}", Locale::accepted()));
            }
        }
    }
    local
}
