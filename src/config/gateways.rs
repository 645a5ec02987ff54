//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is missing: a message
//! that silently goes nowhere is the worst outcome of a forgotten variable.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::context::Context;
use super::http_gateway;
use super::kind::{As, Choice, Kind as _};
use super::schema::{properties, schema_of};
use super::settings::{GatewaySettings, Inputs};
use super::sources::OwnGateway;
use super::traces::TraceSampler;
use super::values::{
    AccountSid, AccountToken, BaseUrl, OtlpHeaders, OwnNumber, Password, SenderNumber, Share, SpansUrl,
    Token, TraceName, TwilioSid, is_32_hex, is_exposed, is_host_of, is_twilio_host, is_twilio_sender,
    is_twilio_sid, own_number,
};
use crate::domain::{Channel, GatewayName, PhoneNumber, ProviderName, Routing, RoutingEntry, Sid};
use crate::gateway::{
    ProviderSettings, TwilioAccount, TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings,
    VariableReader, WhatsAppSender,
};

/// The prefixes of gateways' variables, and whose they are.
pub static PREFIXES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let own = |(gateway, _): (GatewayName, Value)| {
        (format!("{gateway}_").to_ascii_uppercase(), gateway.to_string())
    };
    let pair = |prefix: &str, owner: &str| (prefix.to_owned(), owner.to_owned());
    let custom = pair("HTTP_GATEWAY_", "[custom gateway](../guides/custom-gateway.md)");
    std::iter::once(pair("TWILIO_", "Twilio"))
        .chain(declared().into_iter().map(own))
        .chain([custom])
        .collect()
});

/// The gateways that have variables and nothing else, each with the schema of its settings.
pub fn declared() -> Vec<(GatewayName, Value)> {
    struct Schemas(Vec<(GatewayName, Value)>);

    impl VariableReader for Schemas {
        fn read<T: JsonSchema>(&mut self, gateway: GatewayName) -> Option<T> {
            self.0.push((gateway, schema_of::<T>().to_value()));
            None
        }
    }

    let mut schemas = Schemas(Vec::new());
    ProviderSettings::of_variables(&mut schemas);
    schemas.0
}

impl VariableReader for Context {
    fn read<T: DeserializeOwned + Serialize + JsonSchema>(&mut self, _: GatewayName) -> Option<T> {
        let is_begun = properties::<T>().keys().any(|name| self.is_given(name));
        if is_begun { self.read_given() } else { None }
    }
}

/// The variables that a gateway needs, and those that it may have.
fn variables_of(schema: &Value) -> (Vec<&str>, Vec<&str>) {
    let needed =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    let all = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let further = all.filter(|name| !needed.contains(name)).collect();
    (needed, further)
}

/// The variables whose values may be in files. A field is a variable.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Variables {
    /// The gateways that have variables and nothing else.
    #[serde(skip)]
    pub providers: Vec<ProviderSettings>,
    /// SID of this server's own account, which API clients may authenticate with.
    #[serde(with = "As::<Option<AccountSid>>")]
    pub onceward_account_sid: Option<Sid>,
    /// Auth token of this server's own account.
    #[serde(with = "As::<Option<AccountToken>>")]
    pub onceward_auth_token: Option<SecretString>,
    /// The account's SID.
    #[serde(with = "As::<Option<TwilioSid<'A', 'C'>>>")]
    twilio_account_sid: Option<String>,
    /// The account's auth token.
    #[serde(with = "As::<Option<Token>>")]
    twilio_auth_token: Option<SecretString>,
    /// Whom messages come from.
    #[serde(with = "As::<Option<SenderNumber>>")]
    twilio_phone_number: Option<String>,
    /// A messaging service instead of a number.
    #[serde(with = "As::<Option<TwilioSid<'M', 'G'>>>")]
    twilio_messaging_service_sid: Option<String>,
    /// The SID of a Verify service.
    #[serde(with = "As::<Option<TwilioSid<'V', 'A'>>>")]
    twilio_services_id: Option<String>,
    /// The number that calls.
    #[serde(with = "As::<Option<OwnNumber>>")]
    twilio_voice_number: Option<PhoneNumber>,
    /// The number of WhatsApp messages.
    #[serde(with = "As::<Option<OwnNumber>>")]
    twilio_whatsapp_number: Option<PhoneNumber>,
    /// Where Twilio's APIs answer.
    #[serde(with = "As::<Option<BaseUrl>>")]
    twilio_base_url: Option<Arc<str>>,
    /// Replaces `{username}`.
    #[serde(with = "As::<Option<Password>>")]
    pub http_gateway_username: Option<SecretString>,
    /// Replaces `{password}`.
    #[serde(with = "As::<Option<Password>>")]
    pub http_gateway_password: Option<SecretString>,
    /// Replaces `{token}`.
    #[serde(with = "As::<Option<Password>>")]
    pub http_gateway_token: Option<SecretString>,
    /// Address of an OpenTelemetry collector that takes OTLP over HTTP. Spans of requests are posted to v1/traces below
    /// it. Without it no request is traced.
    #[serde(with = "As::<Option<SpansUrl>>")]
    pub otel_exporter_otlp_endpoint: Option<Url>,
    /// Headers of requests to the collector, such as its key.
    #[serde(with = "As::<Option<OtlpHeaders>>")]
    pub otel_exporter_otlp_headers: Option<HeaderMap>,
    /// Name of this server in traces. Without it `onceward`.
    #[serde(with = "As::<Option<TraceName>>")]
    pub otel_service_name: Option<String>,
    /// Which requests are traced. Without it `parentbased_always_on`: the caller decides for its own traces.
    #[serde(with = "As::<Option<Choice<TraceSampler>>>")]
    pub otel_traces_sampler: Option<TraceSampler>,
    /// Share of requests that `traceidratio` and `parentbased_traceidratio` trace. Without it 1.
    #[serde(with = "As::<Option<Share>>")]
    pub otel_traces_sampler_arg: Option<f64>,
}

/// Where APIs answer, unless another address is given.
const API_URL: &str = "https://api.twilio.com";
const VERIFY_URL: &str = "https://verify.twilio.com";

const PHONE_NUMBER: &str = "TWILIO_PHONE_NUMBER";
const MESSAGING_SERVICE_SID: &str = "TWILIO_MESSAGING_SERVICE_SID";
const SERVICES_ID: &str = "TWILIO_SERVICES_ID";
const VOICE_NUMBER: &str = "TWILIO_VOICE_NUMBER";
const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
const BASE_URL: &str = "TWILIO_BASE_URL";

/// Gateways with what configures them, and without what they cannot be used.
const NEEDS: [(GatewayName, &str, &str); 4] = [
    (
        GatewayName::TwilioMessages,
        "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID",
        "a TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID beside TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    ),
    (
        GatewayName::TwilioVoice,
        VOICE_NUMBER,
        "a TWILIO_VOICE_NUMBER, or a TWILIO_PHONE_NUMBER with + and country code, beside TWILIO_ACCOUNT_SID and \
         TWILIO_AUTH_TOKEN",
    ),
    (
        GatewayName::TwilioVerify,
        SERVICES_ID,
        "a TWILIO_SERVICES_ID beside TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    ),
    (GatewayName::Http, "http-gateway", "\"http-gateway\" in config.json"),
];

/// What configures a gateway, and without what it cannot be used.
fn needs(name: GatewayName) -> (String, String) {
    if let Some((_, what, needs)) = NEEDS.iter().find(|(known, ..)| *known == name) {
        return ((*what).to_owned(), (*needs).to_owned());
    }
    let schema = declared().into_iter().find(|(known, _)| *known == name).map(|(_, schema)| schema);
    let schema = schema.unwrap_or_default();
    let (needed, _) = variables_of(&schema);
    let (last, others) = needed.split_last().map_or(("", &[][..]), |(last, others)| (*last, others));
    (needed.first().copied().unwrap_or_default().to_owned(), format!("{} and {last}", others.join(", ")))
}

/// The remedy where no gateway of Twilio's is configured.
const SENDER: &str =
    "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify)";

impl Variables {
    /// Whether Twilio itself answers, whose ids and senders have forms that those of a private gateway need not have.
    fn is_twilio(&self) -> bool {
        self.twilio_base_url.as_deref().is_none_or(is_twilio_host)
    }

    fn twilio(&self, inputs: &Inputs, c: &mut Context) -> Vec<ProviderSettings> {
        let needs: [&[&str]; 3] = [
            &["TWILIO_ACCOUNT_SID"],
            &["TWILIO_AUTH_TOKEN"],
            &[PHONE_NUMBER, MESSAGING_SERVICE_SID, SERVICES_ID, VOICE_NUMBER],
        ];
        if !is_begun("Twilio", &needs, &[WHATSAPP_NUMBER, BASE_URL], inputs, c) {
            return Vec::new();
        }
        if self.is_twilio() {
            self.check_forms(inputs, c);
        }
        let (api, of_verify) = self.addresses(c);
        let whatsapp = self.whatsapp(inputs.whatsapp_content_sid.as_deref(), c);
        let (Some(sid), Some(token)) = (&self.twilio_account_sid, &self.twilio_auth_token) else {
            return Vec::new();
        };
        let account =
            |base_url| TwilioAccount { account_sid: sid.clone(), auth_token: token.clone(), base_url };
        let mut providers = Vec::new();
        if let Some(sender) = self.sender() {
            providers.push(ProviderSettings::TwilioMessages(TwilioSettings {
                account: account(api.clone()),
                sender,
                whatsapp,
                feedback: inputs.conversion_feedback,
            }));
        }
        if let Some(from) = self.calls_from() {
            providers.push(ProviderSettings::TwilioVoice(TwilioVoiceSettings {
                account: account(api),
                from: from.e164(),
                gate: inputs.voice_gate,
                ring_for: inputs.voice_ring_for,
            }));
        }
        if let Some(service_sid) = self.twilio_services_id.clone() {
            let account = account(of_verify);
            providers.push(ProviderSettings::TwilioVerify(TwilioVerifySettings { account, service_sid }));
        }
        providers
    }

    /// The base URLs of messages and calls, and of Verify. Twilio's own APIs have different hosts; a replacement of
    /// Twilio has one for all.
    fn addresses(&self, c: &mut Context) -> (String, String) {
        let Some(url) = &self.twilio_base_url else {
            c.row(BASE_URL, format!("{API_URL} and {VERIFY_URL}"), "the default");
            return (API_URL.to_owned(), VERIFY_URL.to_owned());
        };
        warn_if_exposed(BASE_URL, url, c);
        let verify =
            if is_twilio_host(url) { url.replacen("://api.", "://verify.", 1) } else { url.to_string() };
        (url.to_string(), verify)
    }

    /// Notes what cannot be Twilio's. The id of a Verify service is an error only where it is used: the Redis version's
    /// files have one that nothing uses.
    fn check_forms(&self, inputs: &Inputs, c: &mut Context) {
        check_sid::<'A', 'C'>("TWILIO_ACCOUNT_SID", self.twilio_account_sid.as_deref(), c);
        check_sid::<'M', 'G'>(MESSAGING_SERVICE_SID, self.twilio_messaging_service_sid.as_deref(), c);
        if self.twilio_whatsapp_number.is_some() {
            check_sid::<'H', 'X'>("whatsapp-content-sid", inputs.whatsapp_content_sid.as_deref(), c);
        }
        if let Some(token) = &self.twilio_auth_token {
            check_token(token.expose_secret(), c);
        }
        let number = self.twilio_phone_number.as_deref();
        if self.twilio_messaging_service_sid.is_none()
            && number.is_some_and(|number| !is_twilio_sender(number))
        {
            let problem = "it must be a phone number such as +14155552671 that can exist, a short code of 3 to 8 digits, or \
                           a name of at most 11 letters, digits, spaces, +, -, _ and &, one of them a letter";
            c.wrong(PHONE_NUMBER, None, problem);
        }
    }

    /// Where text messages come from: a messaging service before a number.
    fn sender(&self) -> Option<TwilioSender> {
        let service = self.twilio_messaging_service_sid.clone().map(TwilioSender::MessagingService);
        service.or_else(|| self.twilio_phone_number.clone().map(TwilioSender::Number))
    }

    /// The number of calls: its own, or that of text messages.
    fn calls_from(&self) -> Option<PhoneNumber> {
        let of_texts = || self.twilio_phone_number.as_ref().and_then(|number| own_number(number));
        self.twilio_voice_number.or_else(of_texts)
    }

    fn whatsapp(&self, content_sid: Option<&str>, c: &mut Context) -> Option<WhatsAppSender> {
        let problem = match (self.twilio_whatsapp_number, content_sid) {
            (Some(_), _) if self.sender().is_none() => Some(
                "TWILIO_WHATSAPP_NUMBER is not used: it belongs to Twilio Messages, and there is neither a \
                 TWILIO_PHONE_NUMBER nor a TWILIO_MESSAGING_SERVICE_SID",
            ),
            (Some(_), None) => Some(
                "TWILIO_WHATSAPP_NUMBER is given without whatsapp-content-sid: WhatsApp delivers texts of one's own only to \
                 people who have written within the last day",
            ),
            (None, Some(_)) => Some("whatsapp-content-sid is not used: there is no TWILIO_WHATSAPP_NUMBER"),
            _ => None,
        };
        if let Some(problem) = problem {
            c.report.warn(problem);
        }
        let number = self.twilio_whatsapp_number?.e164();
        Some(WhatsAppSender { number, content_sid: content_sid.map(str::to_owned) })
    }
}

fn check_sid<const A: char, const B: char>(variable: &str, sid: Option<&str>, c: &mut Context) {
    if sid.is_some_and(|sid| !is_twilio_sid(&format!("{A}{B}"), sid)) {
        c.wrong(variable, None, format!("it must be {}", TwilioSid::<A, B>::accepted()));
    }
}

/// Whether it can be a token at all. Twilio promises no form; therefore one that is not of today's form gets a warning
/// only; the commonest reason is a key of another kind, or a piece that was lost.
fn check_token(token: &str, c: &mut Context) {
    if !token.bytes().any(|b| b.is_ascii_alphanumeric()) {
        let problem = "it has neither letters nor digits, so it is no token. Twilio's console shows the account's auth \
                       token: 32 hexadecimal digits";
        c.wrong("TWILIO_AUTH_TOKEN", None, problem);
    } else if !is_32_hex(token) {
        let origin = c.origin("TWILIO_AUTH_TOKEN");
        c.report.warn(format!(
            "TWILIO_AUTH_TOKEN is not of 32 hexadecimal digits, as Twilio's console shows auth tokens; if Twilio refuses it, \
             look there (secrets of API keys do not work here); given by {origin}"
        ));
    }
}

/// A secret on its way to its user.
pub fn exposed(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

fn warn_if_exposed(variable: &str, url: &str, c: &mut Context) {
    if !url.is_empty() && is_exposed(url) {
        c.report.warn(format!("{variable} uses http: credentials and codes travel unencrypted"));
    }
}

/// The same for all URLs among a gateway's variables.
fn warn_of_exposed_urls(schema: &Value, c: &mut Context) {
    for (variable, schema) in schema["properties"].as_object().into_iter().flatten() {
        let is_url = schema["format"].as_str().is_some_and(|format| format.starts_with("uri"));
        let url = c.raw.values.get(variable).and_then(Value::as_str).filter(|_| is_url).map(str::to_owned);
        warn_if_exposed(variable, url.as_deref().unwrap_or_default(), c);
    }
}

/// Warns of addresses for trials that codes and credentials go to in production.
pub fn warn_of_stand_ins(c: &mut Context) {
    for (variable, provider) in [(BASE_URL, "twilio.com"), ("SINCH_VERIFICATION_URL", "sinch.com")] {
        let url = c.raw.values.get(variable).and_then(Value::as_str);
        if let Some(url) = url.filter(|url| !is_host_of(provider, url)) {
            let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
            c.report.warn(format!(
                "{variable} leads to {} and not to {provider}, and production is true: codes and credentials go there. \
                 Remove it if it was for a trial",
                origin.unwrap_or_default()
            ));
        }
    }
}

/// Whether a gateway is configured: anything of it is given. Notes which of its needs are missing then; any variable of a
/// need will do. Missing needs are only a warning if `otp-sms-provider` names other gateways: a shell often has some of
/// Twilio's variables.
fn is_begun(gateway: &str, needs: &[&[&str]], further: &[&str], inputs: &Inputs, c: &mut Context) -> bool {
    let variables = || needs.iter().copied().flatten().chain(further).copied();
    if !variables().any(|name| c.is_given(name)) {
        return false;
    }
    let missing = needs.iter().filter(|need| !need.iter().any(|name| c.is_given(name)));
    let missing: Vec<&str> = missing.map(|need| if need.len() > 1 { SENDER } else { need[0] }).collect();
    if missing.is_empty() {
        return true;
    }
    let are = if missing.len() == 1 { "is" } else { "are" };
    let problem = format!("some of its settings are given, but {} {are} missing", missing.join(" and "));
    let order = inputs.otp_sms_provider.as_deref().unwrap_or_default().trim();
    if !order.is_empty() && !order.contains(gateway) {
        c.report.warn(format!("{gateway} cannot be used: {problem}. otp-sms-provider does not name it"));
        return false;
    }
    let problem = format!("{problem}. Set all of them, or none of them to do without {gateway}");
    let mut origins: Vec<&str> = variables().filter_map(|name| c.raw.origin(name)).collect();
    origins.dedup();
    let origin = origins.join("; ");
    c.report.wrong(gateway, None, problem, origin);
    true
}

/// The gateways that are configured, and whether calls are allowed.
struct Configured {
    providers: Vec<ProviderSettings>,
    own: Vec<OwnGateway>,
    calls: bool,
}

/// The gateways and where their order came from, or `None` after an error.
pub fn assemble(
    inputs: &mut Inputs,
    variables: &mut Variables,
    calls: bool,
    c: &mut Context,
) -> Option<(GatewaySettings, String)> {
    let before = c.report.error_count();
    let mut providers = variables.twilio(inputs, c);
    for (gateway, schema) in declared() {
        let (needed, further) = variables_of(&schema);
        let needs: Vec<&[&str]> = needed.iter().map(std::slice::from_ref).collect();
        if is_begun(gateway.as_str(), &needs, &further, inputs, c) {
            warn_of_exposed_urls(&schema, c);
        }
    }
    providers.append(&mut variables.providers);
    providers
        .extend(http_gateway::read(inputs.http_gateway.take(), variables, c).map(ProviderSettings::Http));
    let configured = Configured { providers, own: c.own_gateways.clone(), calls };
    configured.check_own(c);
    // Of a gateway that is wrong nothing else follows.
    if c.report.error_count() > before {
        return None;
    }
    let (routing, origin) = configured.order(inputs.otp_sms_provider.as_deref(), c)?;
    let settings = configured.routed(routing, variables, c);
    check_channels(&settings, calls, inputs.voice_gate, c);
    Some((settings, origin))
}

impl Configured {
    /// Which gateway is tried after which, and where that came from.
    fn order(&self, given: Option<&str>, c: &mut Context) -> Option<(Routing, String)> {
        if let Some(text) = given.filter(|order| !order.trim().is_empty()) {
            let read = Routing::parse(text).and_then(|parsed| parsed.resolve(|name| self.stands_for(name)));
            let noted = read.map_err(|problem| {
                c.wrong("otp-sms-provider", None, problem.to_string().replace('\n', "\n    "));
            });
            return Some((noted.ok()?, c.origin("otp-sms-provider")));
        }
        if !self.own.is_empty() {
            let entry = |own: &OwnGateway| RoutingEntry { gateway: own.name, prefixes: Vec::new() };
            return Some((Routing::new(self.own.iter().map(entry).collect()), "the program".to_owned()));
        }
        let is_twilio = |provider: &ProviderSettings| {
            let name = provider.name();
            matches!(name, GatewayName::TwilioMessages | GatewayName::TwilioVoice | GatewayName::TwilioVerify)
        };
        if !self.providers.iter().any(is_twilio) {
            return Some((Routing::only(GatewayName::Simulator), "no provider is configured".to_owned()));
        }
        let gateway = self.stands_for(ProviderName::Twilio).map_err(|problem| {
            c.report.wrong("Twilio", None, format!("it cannot send text messages: {problem}"), None);
        });
        Some((Routing::only(gateway.ok()?), "Twilio's variables are set".to_owned()))
    }

    /// The gateway that a name in the setting means, or why it cannot be used.
    fn stands_for(&self, provider: ProviderName) -> Result<GatewayName, String> {
        let name = match provider {
            ProviderName::Gateway(name) => name,
            ProviderName::Twilio if self.has(GatewayName::TwilioMessages) => GatewayName::TwilioMessages,
            ProviderName::Twilio if self.has(GatewayName::TwilioVerify) => GatewayName::TwilioVerify,
            ProviderName::Twilio => {
                let (_, needs) = needs(GatewayName::TwilioMessages);
                return Err(format!(
                    "Twilio is not configured: it needs {needs}, or a TWILIO_SERVICES_ID for Verify"
                ));
            }
        };
        if name == GatewayName::TwilioVoice && !self.calls {
            let problem = "it calls, and calls are not allowed: set \"voice\" to true";
            return Err(format!("{name} is not configured: {problem}"));
        }
        if self.has(name) {
            return Ok(name);
        }
        Err(format!("{name} is not configured: it needs {}", needs(name).1))
    }

    fn has(&self, name: GatewayName) -> bool {
        self.is_configured(name) || self.own.iter().any(|own| own.name == name)
    }

    fn is_configured(&self, name: GatewayName) -> bool {
        name == GatewayName::Simulator || self.providers.iter().any(|provider| provider.name() == name)
    }

    /// Refuses a gateway of the program whose name another one has.
    fn check_own(&self, c: &mut Context) {
        for (index, own) in self.own.iter().enumerate() {
            if self.is_configured(own.name) || self.own[..index].iter().any(|other| other.name == own.name) {
                let problem =
                    "two gateways have this name, and there can be one of each: give one another name";
                c.report.wrong("gateway", own.name.to_string(), problem, "the program".to_owned());
            }
        }
    }

    /// The settings. What is configured and not named is kept: codes that it holds can still be checked.
    fn routed(self, routing: Routing, variables: &Variables, c: &mut Context) -> GatewaySettings {
        let is_idle = |name: &GatewayName| {
            let always = [GatewayName::Simulator, GatewayName::TwilioVoice].contains(name);
            !always && self.is_configured(*name) && !routing.names(*name)
        };
        for name in GatewayName::ALL.into_iter().filter(is_idle) {
            let (what, _) = needs(name);
            c.report.warn(format!(
                "{name} is configured ({what}) but sends nothing: otp-sms-provider does not name it"
            ));
        }
        let calls_through_twilio = self.calls
            && (routing.names(GatewayName::TwilioMessages) || routing.names(GatewayName::TwilioVoice));
        let is_used = |provider: &ProviderSettings| match provider {
            ProviderSettings::TwilioVoice(_) => calls_through_twilio,
            ProviderSettings::TwilioVerify(verify) if variables.is_twilio() => {
                if routing.names(GatewayName::TwilioVerify) {
                    check_sid::<'V', 'A'>(SERVICES_ID, Some(&verify.service_sid), c);
                }
                is_twilio_sid("VA", &verify.service_sid)
            }
            _ => true,
        };
        let providers = self.providers.into_iter().filter(is_used).collect();
        GatewaySettings { routing, providers, own: self.own }
    }
}

/// Whether the ways in which codes are to be sent have a gateway.
fn check_channels(gateways: &GatewaySettings, calls: bool, gate: bool, c: &mut Context) {
    if !gateways.serves(Channel::Sms) {
        c.report.warn(
            "no gateway of otp-sms-provider sends text messages: /api/send-otp and /send-code cannot succeed",
        );
    }
    if gateways.routing.entries().iter().all(|entry| !entry.prefixes.is_empty()) {
        c.report.warn(
            "every gateway of otp-sms-provider has prefixes: numbers that begin with none of them get no message",
        );
    }
    let how = "set TWILIO_VOICE_NUMBER (or a TWILIO_PHONE_NUMBER with + and country code)";
    let messages_cannot_call =
        gateways.routing.names(GatewayName::TwilioMessages) && gateways.twilio_voice().is_none();
    if calls && gateways.serves(Channel::Call) {
        if messages_cannot_call {
            c.report.warn(format!("voice is true, and Twilio does not call: {how}. Other gateways do"));
        }
    } else if calls {
        let problem = format!(
            "it is true, and no gateway of otp-sms-provider can call. For Twilio {how}; or name TwilioVerify or Sinch; or \
             give http-gateway the channel \"call\""
        );
        c.wrong("voice", None, problem);
    }
    if gate && gateways.twilio_voice().is_none() {
        c.report.warn("voice-gate has no effect: only calls through TwilioVoice can wait for a key");
    }
}
