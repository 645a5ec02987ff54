//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is missing: a message
//! that silently goes nowhere is the worst outcome of a forgotten variable.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::load::hint;
use super::settings::{GatewaySettings, Inputs};
use super::sources::{Config, GATEWAYS_PREFIX as PREFIX, OwnGateway, within_ends};
use super::values::{
    account_sid, account_token, base_url, is_twilio_host, own_number, read_number, token, url_part,
};
use crate::domain::{Channel, GatewayName, PhoneNumber, Routing, RoutingEntry, Sid, optional, text_of};
use crate::gateway::older::{self, OLDER};
use crate::gateway::{
    CodeClass, HttpGatewaySettings, ProviderSettings, Recipe, RecipeSetting, TwilioAccount, TwilioSender,
    TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};

/// The variables of this server's own account, of Twilio and of the challenge service. Their values may be in files.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Variables {
    /// SID of this server's own account, which API clients may authenticate with.
    #[serde(deserialize_with = "account_sid")]
    pub onceward_account_sid: Option<Sid>,
    /// Auth token of this server's own account.
    #[serde(deserialize_with = "account_token")]
    pub onceward_auth_token: Option<SecretString>,
    /// Secret key of the challenge service in `captcha`.
    #[serde(deserialize_with = "token")]
    pub captcha_secret: Option<SecretString>,
    /// The account's SID.
    #[serde(deserialize_with = "url_part")]
    twilio_account_sid: Option<String>,
    /// The account's auth token.
    #[serde(deserialize_with = "token")]
    twilio_auth_token: Option<SecretString>,
    /// Whom messages come from.
    #[serde(deserialize_with = "sender")]
    twilio_phone_number: Option<String>,
    /// A messaging service instead of a number.
    #[serde(deserialize_with = "url_part")]
    twilio_messaging_service_sid: Option<String>,
    /// The SID of a Verify service.
    #[serde(deserialize_with = "url_part")]
    twilio_services_id: Option<String>,
    /// The number that calls.
    #[serde(deserialize_with = "own_number")]
    twilio_voice_number: Option<PhoneNumber>,
    /// The number of WhatsApp messages.
    #[serde(deserialize_with = "own_number")]
    twilio_whatsapp_number: Option<PhoneNumber>,
    /// Where Twilio's APIs answer.
    #[serde(deserialize_with = "base_url")]
    twilio_base_url: Option<String>,
}

/// Whom messages of Twilio come from.
fn sender<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let accepted =
        "a phone number, a short code or an alphanumeric sender, without \"whatsapp:\" or another prefix";
    optional(from, accepted, |text| (text.len() <= 40 && !text.contains(':')).then(|| text.to_owned()))
}

/// Without what a gateway cannot be used.
fn needs(name: GatewayName) -> String {
    let beside = |what| format!("a {what} beside TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN");
    match name {
        GatewayName::Simulator => "nothing".to_owned(),
        GatewayName::TwilioMessages => beside("TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
        GatewayName::TwilioVoice => {
            beside("TWILIO_VOICE_NUMBER, or a TWILIO_PHONE_NUMBER with + and country code,")
        }
        GatewayName::TwilioVerify => beside("TWILIO_SERVICES_ID"),
        GatewayName::Http | GatewayName::Named(_) => format!("\"{name}\" in \"gateways\" of config.json"),
        GatewayName::Sinch | GatewayName::Mada => needed_variables(name).collect::<Vec<_>>().join(", "),
    }
}

/// The gateways that have no recipe, with what each needs.
pub fn built_in_gateways() -> Vec<(GatewayName, String)> {
    GatewayName::ALL.into_iter().map(|name| (name, needs(name))).collect()
}

/// The remedy where no gateway of Twilio's is configured.
const SENDER: &str =
    "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify)";

impl Variables {
    fn twilio(&self, inputs: &Inputs, calls: bool, c: &mut Config) -> Vec<ProviderSettings> {
        let senders = ["PHONE_NUMBER", "MESSAGING_SERVICE_SID", "SERVICES_ID"];
        let is_given = |name: &str| c.is_given(&format!("TWILIO_{name}"));
        let has_sender = senders.into_iter().any(is_given) || calls && is_given("VOICE_NUMBER");
        let (sid, token) = (&self.twilio_account_sid, &self.twilio_auth_token);
        let needed = [
            (sid.is_some(), "TWILIO_ACCOUNT_SID"),
            (token.is_some(), "TWILIO_AUTH_TOKEN"),
            (has_sender, SENDER),
        ];
        let missing = needed.into_iter().filter(|(is_given, _)| !is_given).map(|(_, name)| name);
        let is_usable = is_complete("Twilio", &missing.collect::<Vec<_>>(), inputs, c);
        let (true, Some(sid), Some(token)) = (is_usable, sid, token) else { return Vec::new() };
        let api = self.twilio_base_url.as_deref().unwrap_or("https://api.twilio.com");
        // Twilio's own APIs have different hosts; a replacement of Twilio has one for all.
        let is_twilio = self.twilio_base_url.as_deref().is_none_or(is_twilio_host);
        let host = if is_twilio { "://verify." } else { "://api." };
        let of_verify = api.replacen("://api.", host, 1);
        // A messaging service comes before a number.
        let service = self.twilio_messaging_service_sid.clone().map(TwilioSender::MessagingService);
        let sender = service.or_else(|| self.twilio_phone_number.clone().map(TwilioSender::Number));
        let content_sid = inputs.whatsapp_content_sid.clone();
        let whatsapp =
            self.twilio_whatsapp_number.map(|number| WhatsAppSender { number: number.e164(), content_sid });
        let account =
            |base_url| TwilioAccount { account_sid: sid.clone(), auth_token: token.clone(), base_url };
        let messages = sender.map(|sender| {
            let account = account(api.to_owned());
            ProviderSettings::TwilioMessages(TwilioSettings { account, sender, whatsapp })
        });
        let of_texts = || read_number(self.twilio_phone_number.as_deref()?);
        let voice = self.twilio_voice_number.or_else(of_texts).filter(|_| calls).map(|from| {
            let (account, from, gate) = (account(api.to_owned()), from.e164(), inputs.voice_gate);
            ProviderSettings::TwilioVoice(TwilioVoiceSettings { account, from, gate })
        });
        let verify = self.twilio_services_id.clone().map(|service_sid| {
            let account = account(of_verify);
            ProviderSettings::TwilioVerify(TwilioVerifySettings { account, service_sid })
        });
        [messages, voice, verify].into_iter().flatten().collect()
    }
}

/// The variables that a gateway of older servers needs.
fn needed_variables(gateway: GatewayName) -> impl Iterator<Item = &'static str> {
    let settings = older::recipe(gateway).settings;
    let is_needed = move |setting: &str| settings.get(setting).is_some_and(|about| about.default.is_none());
    let all = OLDER.iter().filter(move |(name, _)| *name == gateway).flat_map(|(_, variables)| *variables);
    all.filter(move |(_, setting)| is_needed(setting)).map(|(variable, _)| *variable)
}

/// The gateways of older servers whose variables are given.
fn older(inputs: &Inputs, c: &mut Config) -> Vec<ProviderSettings> {
    let mut providers = Vec::new();
    for (gateway, variables) in OLDER {
        let missing: Vec<&str> = needed_variables(gateway).filter(|name| !c.is_given(name)).collect();
        if !is_complete(gateway.as_str(), &missing, inputs, c) {
            continue;
        }
        let mut values = BTreeMap::new();
        for (variable, setting) in variables {
            let Some(value) = c.value(variable).and_then(text_of) else { continue };
            values.insert((*setting).to_owned(), value.trim().to_owned());
        }
        let settings = older::filled_in(gateway, values);
        if let Err(problem) = settings.examine() {
            c.wrong(&problem.setting, format!("it {}", problem.problem));
        }
        providers.push(ProviderSettings::Http(settings));
    }
    providers
}

/// Whether a gateway has some of its variables, and all that it needs. What is missing is only a warning if
/// `otp-sms-provider` names other gateways: a shell often has some of Twilio's variables.
fn is_complete(gateway: &str, missing: &[&str], inputs: &Inputs, c: &mut Config) -> bool {
    let prefix = gateway.to_ascii_uppercase() + "_";
    let given = c.names().filter(|name| name.starts_with(&prefix));
    let mut origins: Vec<&str> = given.filter_map(|name| c.given_by(name)).collect();
    origins.dedup();
    if origins.is_empty() || missing.is_empty() {
        return !origins.is_empty();
    }
    let (missing, origin) = (missing.join(" and "), origins.join("; "));
    let problem = format!("some of its settings are given, and not {missing}");
    let order = inputs.otp_sms_provider.as_deref().unwrap_or_default().trim();
    if !order.is_empty() && !order.contains(gateway) {
        c.found.warn(format!("{gateway} cannot be used: {problem}. otp-sms-provider does not name it"));
    } else {
        let remedy = format!("Set all of them, or none of them to do without {gateway}");
        c.found.wrong(gateway, &format!("{problem}. {remedy}"), Some(&origin));
    }
    false
}

/// The gateways, or `None` after an error.
pub fn assemble(
    inputs: &mut Inputs,
    variables: &Variables,
    calls: bool,
    c: &mut Config,
) -> Option<GatewaySettings> {
    let before = c.found.errors.len();
    let mut providers = variables.twilio(inputs, calls, c);
    providers.extend(older(inputs, c));
    let named = read_named(std::mem::take(&mut inputs.gateways), c);
    providers.extend(named.into_iter().map(ProviderSettings::Http));
    let own = c.own_gateways.clone();
    let mut gateways = GatewaySettings { providers, own, ..GatewaySettings::simulator() };
    for (index, own) in gateways.own.iter().enumerate() {
        let others = &gateways.own[..index];
        if gateways.is_configured(own.name) || others.iter().any(|other| other.name == own.name) {
            let problem = "two gateways have this name: give one another name";
            c.found.wrong(&format!("gateway = {}", own.name), problem, Some("the program"));
        }
    }
    // Of a gateway that is wrong nothing else follows.
    if c.found.errors.len() > before {
        return None;
    }
    gateways.route(inputs.otp_sms_provider.as_deref(), calls, c)?;
    let no_call = "no gateway of otp-sms-provider can call. For Twilio set TWILIO_VOICE_NUMBER (or a TWILIO_PHONE_NUMBER with + \
                   and country code); or name Sinch; or give a gateway of \"gateways\" the channel \"call\"";
    c.wrong_if(calls && !gateways.serves(Channel::Call), "voice", no_call);
    Some(gateways)
}

/// Gateways without prefixes. A number's own gateway by prefix and a service's own come before them.
const MOST: usize = Routing::MOST_TRIED - 2;

impl GatewaySettings {
    /// Decides which gateway is tried after which. `None` after an error.
    fn route(&mut self, given: Option<&str>, calls: bool, c: &mut Config) -> Option<()> {
        let twilio = [GatewayName::TwilioMessages, GatewayName::TwilioVoice, GatewayName::TwilioVerify];
        let routing = if let Some(text) = given.filter(|order| !order.trim().is_empty()) {
            let read = Routing::parse(text, |name| self.stands_for(name, calls));
            let noted = read.map_err(|problem| {
                c.wrong("otp-sms-provider", problem.to_string().replace('\n', "\n    "));
            });
            noted.ok()?
        } else if !self.own.is_empty() {
            let entry = |own: &OwnGateway| RoutingEntry { gateway: own.name, prefixes: Vec::new() };
            Routing::new(self.own.iter().map(entry).collect())
        } else if twilio.into_iter().any(|name| self.is_configured(name)) {
            let gateway = self.stands_for(None, calls).map_err(|problem| {
                c.found.wrong("Twilio", &format!("it cannot send text messages: {problem}"), None);
            });
            Routing::only(gateway.ok()?)
        } else {
            Routing::only(GatewayName::Simulator)
        };
        let any = routing.entries().iter().filter(|entry| entry.prefixes.is_empty()).count();
        if any > MOST {
            let problem = format!("it has {any} gateways without prefixes, and may have {MOST}");
            c.wrong("otp-sms-provider", problem);
            return None;
        }
        self.routing = routing;
        Some(())
    }

    /// The gateway that a name in the setting means, `None` being `Twilio`, or why it cannot be used.
    fn stands_for(&self, provider: Option<GatewayName>, calls: bool) -> Result<GatewayName, String> {
        let name = match provider {
            Some(name) => name,
            None if self.has(GatewayName::TwilioMessages) => GatewayName::TwilioMessages,
            None if self.has(GatewayName::TwilioVerify) => GatewayName::TwilioVerify,
            None => {
                let needs = needs(GatewayName::TwilioMessages);
                return Err(format!(
                    "Twilio is not configured: it needs {needs}, or a TWILIO_SERVICES_ID for Verify"
                ));
            }
        };
        let problem = if name == GatewayName::TwilioVoice && !calls {
            "it calls, and calls are not allowed: set \"voice\" to true".to_owned()
        } else if self.has(name) {
            return Ok(name);
        } else {
            format!("it needs {}", needs(name))
        };
        Err(format!("{name} is not configured: {problem}"))
    }

    fn has(&self, name: GatewayName) -> bool {
        self.is_configured(name) || self.own.iter().any(|own| own.name == name)
    }

    fn is_configured(&self, name: GatewayName) -> bool {
        name == GatewayName::Simulator || self.providers.iter().any(|provider| provider.name() == name)
    }
}

// The gateways of `gateways`: each is a recipe with what the recipe needs. Credentials may also be variables.

const KEY: &str = "gateways";

/// The gateways that can be used; what is wrong with others is reported.
pub fn read_named(objects: BTreeMap<String, Value>, c: &mut Config) -> Vec<HttpGatewaySettings> {
    let is_taken = |name: &str| {
        let mut built_in = GatewayName::ALL.map(GatewayName::as_str).into_iter().chain(["Twilio"]);
        // A gateway of its own may have the name of the custom gateway of earlier versions.
        name != "Http" && built_in.any(|known| known.eq_ignore_ascii_case(name))
    };
    let objects = c.named(KEY, objects, "a built-in gateway has this name", is_taken);
    let mut variables = BTreeSet::new();
    let gateways: Vec<_> = objects
        .into_iter()
        .filter_map(|(name, object)| read_gateway(&name, object, &mut variables, c))
        .collect();
    let given = c.names().filter(|name| name.starts_with(PREFIX) && !variables.contains(*name));
    for variable in given.map(str::to_owned).collect::<Vec<_>>() {
        let words =
            "the name of a gateway of gateways and of a setting of its recipe follow ONCEWARD_GATEWAYS_";
        let hint = hint(&variable, variables.iter().map(String::as_str));
        c.ignored(&variable, &format!("it is unknown; {words}{hint}"));
    }
    gateways
}

fn read_gateway(
    name: &str,
    object: Value,
    variables: &mut BTreeSet<String>,
    c: &mut Config,
) -> Option<HttpGatewaySettings> {
    let path = format!("{KEY}.{name}");
    let Value::Object(mut members) = object else {
        c.wrong(&path, "it must be an object such as {\"recipe\": \"vonage\", \"key\": \"k3y\"}");
        return None;
    };
    let prefix = format!("{PREFIX}{name}_").replace('-', "_").to_ascii_uppercase();
    let given_recipe = members.remove("recipe");
    if let Some(Value::Object(recipe)) = &given_recipe {
        for member in ["headers", "json", "form", "url", "account"] {
            let value = recipe.get(member).unwrap_or(&Value::Null);
            check_request((&format!("{path}.{member}"), member), value, c);
        }
    }
    let recipe = read_recipe(&path, given_recipe, c)?;
    let channels = members.remove("channels").map(serde_json::from_value::<Vec<Channel>>);
    let mut values = BTreeMap::new();
    for (setting, about) in &recipe.settings {
        let variable = format!("{prefix}{}", setting.to_ascii_uppercase());
        let in_file = members.remove(setting);
        let words = "works, but credentials are better kept in the environment or .env, as";
        let warning = format!("{path}.{setting}: {words} {variable}");
        c.warn_if(in_file.is_some() && about.secret, warning);
        let given = c.value(&variable).and_then(text_of).or_else(|| text_of(in_file.as_ref()?));
        let value = given.map(|value| within_ends(&value).to_owned()).filter(|value| !value.is_empty());
        if !variables.insert(variable.clone()) && c.is_given(&variable) {
            let problem =
                format!("another gateway has the variable {variable} too; give one of them another name");
            c.wrong(&path, problem);
        }
        if value.is_none() {
            if about.default.is_some() {
                continue;
            }
            let what = &about.about;
            let problem = format!("it needs \"{setting}\" ({what}). Write it here, or set {variable}");
            c.wrong(&path, problem);
        }
        // Of a value that is missing nothing else follows.
        let sample = || if setting == "url" { "https://example.com" } else { "x" }.to_owned();
        values.insert(setting.clone(), value.unwrap_or_else(sample));
    }
    for member in members.keys() {
        let known = recipe.settings.keys().map(String::as_str).chain(["recipe", "channels"]);
        c.ignored(&format!("{path}.{member}"), &format!("it is unknown{}", hint(member, known)));
    }
    let mut settings = recipe.filled_in(GatewayName::of(name)?, &prefix, values);
    match channels {
        Some(Ok(channels)) => {
            // A number that this gateway does not reach may be reached by the next one of the channel that it stands in for.
            if channels.iter().any(|channel| !recipe.channels().contains(channel)) {
                let classes = settings.errors.classes.values_mut();
                let not_reachable = classes.filter(|class| **class == CodeClass::NotReachable);
                not_reachable.for_each(|class| *class = CodeClass::Refused);
            }
            settings.channels = channels;
        }
        Some(Err(_)) => {
            let problem = format!("it must be one or more of \"{}\"", Channel::names("\", \""));
            c.wrong(&format!("{path}.channels"), problem);
        }
        None => {}
    }
    if let Err(problem) = settings.examine() {
        c.wrong(&problem.setting, format!("it {}", problem.problem));
    }
    Some(settings)
}

/// The members of a recipe that are none of its request.
const OF_RECIPE: [&str; 4] = ["about", "sources", "notes", "settings"];

/// The recipe that a gateway names or has.
fn read_recipe(path: &str, given: Option<Value>, c: &mut Config) -> Option<Recipe> {
    let path = format!("{path}.recipe");
    match given {
        Some(Value::String(name)) => {
            let known = Recipe::named(&name).cloned();
            if known.is_none() {
                let hint = hint(&name, Recipe::all().map(|(name, _)| name));
                c.wrong(&path, format!("there is no such recipe{hint}; `onceward gateways` lists them"));
            }
            known
        }
        Some(Value::Object(members)) => {
            // Each part is read by itself: serde hides the paths of flattened members.
            let (own, request): (Map<_, _>, Map<_, _>) =
                members.into_iter().partition(|(name, _)| OF_RECIPE.contains(&name.as_str()));
            let recipe: Option<Recipe> = c.object(&path, own.into());
            let gateway = c.object(&path, request.into());
            let recipe = Recipe { gateway: gateway?, ..recipe? };
            check_settings(&path, &recipe, c);
            Some(recipe)
        }
        _ => {
            let problem = "it must be the name of a recipe, such as \"vonage\", or an object; `onceward gateways` lists them";
            c.wrong(&path, problem);
            None
        }
    }
}

/// Refuses settings of a recipe in the configuration that are credentials in clear, or could be.
fn check_settings(path: &str, recipe: &Recipe, c: &mut Config) {
    for (name, RecipeSetting { default, secret, .. }) in &recipe.settings {
        let path = format!("{path}.settings.{name}");
        if *secret && default.as_ref().is_some_and(|default| !default.is_empty()) {
            c.wrong(&path, "it is a credential with a default, and credentials do not belong in a configuration. Remove the default");
        } else if !*secret && is_named_as_secret(name) {
            c.wrong(&path, "it looks like a credential: add \"secret\": true");
        }
    }
}

/// Refuses credentials that are written out in the request of a recipe: texts, and queries of URLs, without a placeholder.
fn check_request((path, name): (&str, &str), value: &Value, c: &mut Config) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                check_request((&format!("{path}.{name}"), name), value, c);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_request((path, name), item, c)),
        leaf => {
            let text = text_of(leaf).unwrap_or_default();
            let problem = "this looks like a credential, and credentials do not belong in a configuration. Give the recipe a \
                           setting with \"secret\": true, such as token, and put {token} in its place";
            let query = text.split_once('?').filter(|_| text.contains("://")).map_or("", |(_, query)| query);
            let mut pairs =
                form_urlencoded::parse(query.as_bytes()).chain([(name.into(), text.as_str().into())]);
            let is_clear = |text: &str| !text.is_empty() && !text.contains('{');
            let has_secret = pairs.any(|(name, text)| is_named_as_secret(&name) && is_clear(&text));
            c.wrong_if(has_secret, path, problem);
        }
    }
}

/// Whether a field of this name is a credential.
fn is_named_as_secret(name: &str) -> bool {
    /// Names of credentials end with one of these. Only letters count.
    const NAMES: &str = "authorization cookie password passwd pass pwd secret apikey authkey token accesskey";
    let name: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    NAMES.split(' ').any(|secret| name.to_ascii_lowercase().ends_with(secret))
}
