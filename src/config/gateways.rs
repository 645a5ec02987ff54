//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is missing: a message
//! that silently goes nowhere is the worst outcome of a forgotten variable.

use std::sync::Arc;

use http::HeaderMap;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::context::Context;
use super::http_gateway;
use super::kind::{As, Choice, Kind as _};
use super::settings::{GatewaySettings, Inputs};
use super::sources::OwnGateway;
use super::traces::TraceSampler;
use super::values::{
    AccountSid, AccountToken, BaseUrl, Identifier, Login, OtlpHeaders, OwnNumber, Password, PlainUrl,
    SenderNumber, Share, SourceName, SpansUrl, Token, TraceName, TwilioSid, is_32_hex, is_exposed,
    is_host_of, is_twilio_host, is_twilio_sender, is_twilio_sid, own_number,
};
use crate::domain::{Channel, GatewayName, PhoneNumber, ProviderName, Routing, RoutingEntry, Sid};
use crate::gateway::{
    HttpGatewaySettings, MadaSettings, SinchSettings, TwilioAccount, TwilioSender, TwilioSettings,
    TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};

/// The variables whose values may be in files. A field is a variable.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct Variables {
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
    /// The application's key.
    #[serde(with = "As::<Option<Identifier>>")]
    sinch_app_id: Option<SecretString>,
    /// The application's secret.
    #[serde(with = "As::<Option<Password>>")]
    sinch_app_secret: Option<SecretString>,
    /// Where verifications are posted.
    #[serde(with = "As::<Option<BaseUrl>>")]
    sinch_verification_url: Option<Arc<str>>,
    /// The account's name.
    #[serde(with = "As::<Option<Login>>")]
    mada_username: Option<SecretString>,
    /// Its password.
    #[serde(with = "As::<Option<Password>>")]
    mada_password: Option<SecretString>,
    /// Where messages are posted.
    #[serde(with = "As::<Option<PlainUrl>>")]
    mada_url: Option<String>,
    /// Whom messages come from.
    #[serde(with = "As::<Option<SourceName>>")]
    mada_source_name: Option<String>,
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
const SINCH_URL: &str = "https://verification.api.sinch.com/verification/v1/verifications";

const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
const PHONE_NUMBER: &str = "TWILIO_PHONE_NUMBER";
const MESSAGING_SERVICE_SID: &str = "TWILIO_MESSAGING_SERVICE_SID";
const SERVICES_ID: &str = "TWILIO_SERVICES_ID";
const VOICE_NUMBER: &str = "TWILIO_VOICE_NUMBER";
const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
const BASE_URL: &str = "TWILIO_BASE_URL";
const SINCH_VERIFICATION: &str = "SINCH_VERIFICATION_URL";

/// Twilio as far as it is configured.
struct Twilio {
    messages: Complete<TwilioSettings>,
    voice: Complete<TwilioVoiceSettings>,
    /// Codes that Twilio makes itself.
    verify: Complete<TwilioVerifySettings>,
    /// Whether ids and senders must be of Twilio's own forms: a private gateway may have others.
    strict: bool,
}

impl Twilio {
    const fn is_set(&self) -> bool {
        is_set(&self.messages) || is_set(&self.verify) || is_set(&self.voice)
    }
}

/// Whether a Verify service looks as Twilio's do: an error where it is used. The Redis version's files have one that
/// nothing uses.
fn verify_fits(verify: &TwilioVerifySettings, used: bool, c: &mut Context) -> bool {
    if used {
        sid_fits::<'V', 'A'>(SERVICES_ID, &verify.service_sid, c)
    } else {
        is_twilio_sid("VA", &verify.service_sid)
    }
}

/// The remedy where no gateway is configured.
const SENDER: &str =
    "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify)";

impl Variables {
    fn twilio(&self, inputs: &Inputs, c: &mut Context) -> Twilio {
        let needs: [&[&str]; 3] = [
            &["TWILIO_ACCOUNT_SID"],
            &[AUTH_TOKEN, "TWILIO_AUTHTOKEN"],
            &[PHONE_NUMBER, MESSAGING_SERVICE_SID, SERVICES_ID, VOICE_NUMBER],
        ];
        let begun = is_begun("Twilio", &needs, &[WHATSAPP_NUMBER, BASE_URL], inputs, c);
        if matches!(begun, Ok(false)) {
            return Twilio { messages: Ok(None), voice: Ok(None), verify: Ok(None), strict: true };
        }
        let strict = !c.is_wrong(BASE_URL) && self.twilio_base_url.as_deref().is_none_or(is_twilio_host);
        let (api, of_verify) = self.addresses(c);
        let account = self.account(strict, c);
        let at = |base_url: String| account.clone().map(|account| TwilioAccount { base_url, ..account });
        let verify = at(of_verify).zip(self.twilio_services_id.clone());
        let verify = verify.map(|(account, service_sid)| TwilioVerifySettings { account, service_sid });
        let sender = self.sender(strict, c);
        let calls_from = self.calls_from(c);
        let voice = at(api.clone()).zip(calls_from).map(|(account, from)| TwilioVoiceSettings {
            account,
            from: from.e164(),
            gate: inputs.voice_gate,
            ring_for: inputs.voice_ring_for,
        });
        let whatsapp = self.whatsapp(strict, inputs.whatsapp_content_sid.as_deref(), c);
        let messages = at(api).zip(sender).map(|(account, sender)| TwilioSettings {
            account,
            sender,
            whatsapp,
            feedback: inputs.conversion_feedback,
        });
        let has_sender = c.is_set(PHONE_NUMBER) || c.is_set(MESSAGING_SERVICE_SID);
        if c.is_set(WHATSAPP_NUMBER) && !has_sender {
            c.report.warn(
                "TWILIO_WHATSAPP_NUMBER is not used: it belongs to Twilio Messages, and there is neither a \
                 TWILIO_PHONE_NUMBER nor a TWILIO_MESSAGING_SERVICE_SID",
            );
        }
        let [has_verify, has_voice] = [SERVICES_ID, VOICE_NUMBER].map(|name| c.is_set(name));
        // Without any sender, that error was already reported.
        let has_messages = has_sender || begun.is_err() && !has_verify && !has_voice;
        Twilio {
            messages: complete(messages, has_messages),
            voice: complete(voice, has_voice || calls_from.is_some()),
            verify: complete(verify, has_verify),
            strict,
        }
    }

    /// The base URLs of messages and calls, and of Verify. Twilio's own APIs have different hosts; a replacement of
    /// Twilio has one for all.
    fn addresses(&self, c: &mut Context) -> (String, String) {
        let Some(url) = &self.twilio_base_url else {
            if !c.is_set(BASE_URL) {
                c.row(BASE_URL, format!("{API_URL} and {VERIFY_URL}"), "the default");
            }
            return (API_URL.to_owned(), VERIFY_URL.to_owned());
        };
        warn_if_exposed("TWILIO_BASE_URL begins with", url, c);
        let verify =
            if is_twilio_host(url) { url.replacen("://api.", "://verify.", 1) } else { url.to_string() };
        (url.to_string(), verify)
    }

    /// The account without its address. `None` after an error.
    fn account(&self, strict: bool, c: &mut Context) -> Option<TwilioAccount> {
        let sid = self.twilio_account_sid.clone();
        let sid = sid.filter(|sid| !strict || sid_fits::<'A', 'C'>("TWILIO_ACCOUNT_SID", sid, c));
        let token = self.twilio_auth_token.clone();
        let token = token.filter(|token| !strict || token_fits(token.expose_secret(), c));
        Some(TwilioAccount { account_sid: sid?, auth_token: token?, base_url: String::new() })
    }

    /// Where text messages come from: a messaging service before a number. `None` after an error, or when there is
    /// neither.
    fn sender(&self, strict: bool, c: &mut Context) -> Option<TwilioSender> {
        if c.is_set(MESSAGING_SERVICE_SID) {
            let sid = self.twilio_messaging_service_sid.clone();
            let sid = sid.filter(|sid| !strict || sid_fits::<'M', 'G'>(MESSAGING_SERVICE_SID, sid, c));
            return sid.map(TwilioSender::MessagingService);
        }
        let number = self.twilio_phone_number.clone()?;
        if strict && !is_twilio_sender(&number) {
            let problem = "it must be a phone number such as +14155552671 that can exist, a short code of 3 to 8 digits, or \
                           a name of at most 11 letters, digits, spaces, +, -, _ and &, one of them a letter";
            c.wrong(PHONE_NUMBER, None, problem);
            return None;
        }
        Some(TwilioSender::Number(number))
    }

    /// The number of calls: its own, or that of text messages.
    fn calls_from(&self, c: &Context) -> Option<PhoneNumber> {
        if c.is_set(VOICE_NUMBER) {
            return self.twilio_voice_number;
        }
        self.twilio_phone_number.as_ref().and_then(|number| own_number(number))
    }

    fn whatsapp(&self, strict: bool, content_sid: Option<&str>, c: &mut Context) -> Option<WhatsAppSender> {
        if c.is_set(WHATSAPP_NUMBER) && content_sid.is_none() {
            c.report.warn(
                "TWILIO_WHATSAPP_NUMBER is given without whatsapp-content-sid: WhatsApp delivers texts of one's own only to \
                 people who have written within the last day",
            );
        }
        if !c.is_set(WHATSAPP_NUMBER) && content_sid.is_some() {
            c.report.warn("whatsapp-content-sid is not used: there is no TWILIO_WHATSAPP_NUMBER");
        }
        let content_sid =
            content_sid.filter(|sid| !strict || sid_fits::<'H', 'X'>("whatsapp-content-sid", sid, c));
        let number = self.twilio_whatsapp_number?.e164();
        Some(WhatsAppSender { number, content_sid: content_sid.map(str::to_owned) })
    }

    fn sinch(&self, inputs: &Inputs, c: &mut Context) -> Complete<SinchSettings> {
        let needs: [&[&str]; 2] = [&["SINCH_APP_ID"], &["SINCH_APP_SECRET"]];
        if !is_begun("Sinch", &needs, &[SINCH_VERIFICATION], inputs, c)? {
            return Ok(None);
        }
        let url = self.sinch_verification_url.as_deref().unwrap_or(SINCH_URL);
        warn_if_exposed("SINCH_VERIFICATION_URL begins with", url, c);
        let origin = c.origin(SINCH_VERIFICATION);
        c.row(SINCH_VERIFICATION, url.to_owned(), &origin);
        Ok(Some(SinchSettings {
            app_id: exposed(self.sinch_app_id.as_ref().ok_or(Reported)?),
            app_secret: self.sinch_app_secret.clone().ok_or(Reported)?,
            verification_url: url.to_owned(),
        }))
    }

    fn mada(&self, inputs: &Inputs, c: &mut Context) -> Complete<MadaSettings> {
        let needs: [&[&str]; 4] =
            [&["MADA_USERNAME"], &["MADA_PASSWORD"], &["MADA_URL"], &["MADA_SOURCE_NAME"]];
        if !is_begun("Mada", &needs, &[], inputs, c)? {
            return Ok(None);
        }
        let url = self.mada_url.clone().ok_or(Reported)?;
        warn_if_exposed("MADA_URL means", &url, c);
        Ok(Some(MadaSettings {
            username: exposed(self.mada_username.as_ref().ok_or(Reported)?),
            password: self.mada_password.clone().ok_or(Reported)?,
            url,
            source_name: self.mada_source_name.clone().ok_or(Reported)?,
        }))
    }
}

/// Settings that are absent after an error only, where they are `given`.
fn complete<T>(settings: Option<T>, given: bool) -> Complete<T> {
    if given { settings.map(Some).ok_or(Reported) } else { Ok(None) }
}

/// Whether an id looks as Twilio's do; notes it when not.
fn sid_fits<const A: char, const B: char>(variable: &str, sid: &str, c: &mut Context) -> bool {
    let fits = is_twilio_sid(&format!("{A}{B}"), sid);
    if !fits {
        c.wrong(variable, None, format!("it must be {}", TwilioSid::<A, B>::accepted()));
    }
    fits
}

/// Whether it can be a token at all. Twilio promises no form; therefore one that is not of today's form gets a warning
/// only; the commonest reason is a key of another kind, or a piece that was lost.
fn token_fits(token: &str, c: &mut Context) -> bool {
    if !token.bytes().any(|b| b.is_ascii_alphanumeric()) {
        let problem = "it has neither letters nor digits, so it is no token. Twilio's console shows the account's auth \
                       token: 32 hexadecimal digits";
        c.wrong(AUTH_TOKEN, None, problem);
        return false;
    }
    if !is_32_hex(token) {
        let origin = c.origin(AUTH_TOKEN);
        c.report.warn(format!(
            "TWILIO_AUTH_TOKEN is not of 32 hexadecimal digits, as Twilio's console shows auth tokens; if Twilio refuses it, \
             look there (secrets of API keys do not work here); given by {origin}"
        ));
    }
    true
}

/// A secret on its way to its user.
pub fn exposed(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

fn warn_if_exposed(what: &str, url: &str, c: &mut Context) {
    if is_exposed(url) {
        c.report.warn(format!("{what} http: credentials and codes travel unencrypted"));
    }
}

/// An error was already reported.
pub struct Reported;

/// Warns of addresses for trials that codes and credentials go to in production.
pub fn warn_of_stand_ins(variables: &Variables, c: &mut Context) {
    for (variable, url, provider) in [
        (BASE_URL, &variables.twilio_base_url, "twilio.com"),
        (SINCH_VERIFICATION, &variables.sinch_verification_url, "sinch.com"),
    ] {
        if let Some(url) = url.as_deref().filter(|url| !is_host_of(provider, url)) {
            let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
            c.report.warn(format!(
                "{variable} leads to {} and not to {provider}, and production is true: codes and credentials go there. \
                 Remove it if it was for a trial",
                origin.unwrap_or_default()
            ));
        }
    }
}

/// The settings of a gateway; none when nothing of it is given.
pub type Complete<T> = Result<Option<T>, Reported>;

/// Whether settings are given, rightly or not.
const fn is_set<T>(complete: &Complete<T>) -> bool {
    !matches!(complete, Ok(None))
}

/// Whether anything of a gateway is given. Notes which of its needs are missing then; any variable of a need will do.
/// A given value that cannot be read, such as a missing file, has its own error already.
/// Missing needs are only a warning if `otp-sms-provider` names other gateways: a shell often has some of Twilio's
/// variables.
fn is_begun(
    gateway: &str,
    needs: &[&[&str]],
    further: &[&str],
    inputs: &Inputs,
    c: &mut Context,
) -> Result<bool, Reported> {
    let variables: Vec<&str> = needs.iter().copied().flatten().chain(further).copied().collect();
    if !variables.iter().any(|name| c.is_set(name)) {
        return Ok(false);
    }
    let missing = needs.iter().filter(|need| !need.iter().any(|name| c.is_set(name)));
    let missing: Vec<&str> = missing.map(|need| if need.len() > 2 { SENDER } else { need[0] }).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let are = if missing.len() == 1 { "is" } else { "are" };
    let problem = format!("some of its settings are given, but {} {are} missing", missing.join(" and "));
    let order = inputs.otp_sms_provider.as_deref().unwrap_or_default().trim();
    if !order.is_empty() && !order.contains(gateway) {
        c.report.warn(format!("{gateway} cannot be used: {problem}. otp-sms-provider does not name it"));
        return Ok(false);
    }
    let problem = format!("{problem}. Set all of them, or none of them to do without {gateway}");
    let mut origins: Vec<&str> = variables.iter().filter_map(|name| c.raw.origin(name)).collect();
    origins.dedup();
    let origin = (!origins.is_empty()).then(|| origins.join("; "));
    c.report.wrong(gateway, None, problem, origin);
    Err(Reported)
}

/// The gateways as far as they are configured.
struct Configured {
    twilio: Twilio,
    sinch: Complete<SinchSettings>,
    mada: Complete<MadaSettings>,
    http: Complete<HttpGatewaySettings>,
    own: Vec<OwnGateway>,
    calls: bool,
}

/// Gateways that `otp-sms-provider` has to name, with what configures them.
const NAMED: [(GatewayName, &str); 5] = [
    (GatewayName::TwilioMessages, "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"),
    (GatewayName::TwilioVerify, "TWILIO_SERVICES_ID"),
    (GatewayName::Sinch, "SINCH_APP_ID"),
    (GatewayName::Mada, "MADA_URL"),
    (GatewayName::Http, "http-gateway"),
];

/// The gateways and where their order came from, or `None` after an error.
pub fn assemble(
    inputs: &Inputs,
    variables: &Variables,
    calls: bool,
    c: &mut Context,
) -> Option<(GatewaySettings, String)> {
    let configured = Configured {
        twilio: variables.twilio(inputs, c),
        sinch: variables.sinch(inputs, c),
        mada: variables.mada(inputs, c),
        http: http_gateway::complete(inputs.http_gateway.as_ref(), variables, c),
        own: c.own_gateways.clone(),
        calls,
    };
    configured.check_own(c);
    let (routing, origin) = configured.order(inputs.otp_sms_provider.as_deref(), c)?;
    let is_whole = !NAMED.iter().any(|(name, _)| routing.names(*name) && configured.is_wrong(*name));
    let settings = configured.with_defaults(routing, c);
    // Of a gateway that cannot be read nothing else follows.
    if is_whole {
        check_channels(&settings, calls, inputs.voice_gate, c);
    }
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
        if c.is_wrong("otp-sms-provider") {
            return None;
        }
        if !self.own.is_empty() {
            let entry = |own: &OwnGateway| RoutingEntry { gateway: own.name, prefixes: Vec::new() };
            return Some((Routing::new(self.own.iter().map(entry).collect()), "the program".to_owned()));
        }
        if !self.twilio.is_set() {
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
                let needs = needs(GatewayName::TwilioMessages);
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
        Err(format!("{name} is not configured: it needs {}", needs(name)))
    }

    /// Whether a gateway is configured, rightly or not.
    fn has(&self, name: GatewayName) -> bool {
        self.is_configured(name) || self.own.iter().any(|own| own.name == name)
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

    const fn is_configured(&self, name: GatewayName) -> bool {
        match name {
            GatewayName::Simulator => true,
            GatewayName::TwilioMessages => is_set(&self.twilio.messages),
            GatewayName::TwilioVoice => is_set(&self.twilio.voice),
            GatewayName::TwilioVerify => is_set(&self.twilio.verify),
            GatewayName::Sinch => is_set(&self.sinch),
            GatewayName::Mada => is_set(&self.mada),
            GatewayName::Http => is_set(&self.http),
        }
    }

    const fn is_wrong(&self, name: GatewayName) -> bool {
        match name {
            GatewayName::Simulator => false,
            GatewayName::TwilioMessages => self.twilio.messages.is_err(),
            GatewayName::TwilioVoice => self.twilio.voice.is_err(),
            GatewayName::TwilioVerify => self.twilio.verify.is_err(),
            GatewayName::Sinch => self.sinch.is_err(),
            GatewayName::Mada => self.mada.is_err(),
            GatewayName::Http => self.http.is_err(),
        }
    }

    /// The settings. What is configured and not named is kept: codes that it holds can still be checked.
    fn with_defaults(self, routing: Routing, c: &mut Context) -> GatewaySettings {
        for (name, what) in NAMED {
            if self.is_configured(name) && !self.is_wrong(name) && !routing.names(name) {
                c.report.warn(format!(
                    "{name} is configured ({what}) but sends nothing: otp-sms-provider does not name it"
                ));
            }
        }
        let Twilio { messages, voice, verify, strict } = self.twilio;
        let verify_used = routing.names(GatewayName::TwilioVerify);
        let verify = verify.ok().flatten();
        let calls_through_twilio = self.calls
            && (routing.names(GatewayName::TwilioMessages) || routing.names(GatewayName::TwilioVoice));
        GatewaySettings {
            twilio_messages: messages.ok().flatten(),
            twilio_voice: voice.ok().flatten().filter(|_| calls_through_twilio),
            twilio_verify: verify.filter(|verify| !strict || verify_fits(verify, verify_used, c)),
            sinch: self.sinch.ok().flatten(),
            mada: self.mada.ok().flatten(),
            http: self.http.ok().flatten(),
            own: self.own,
            routing,
        }
    }
}

/// Without what a gateway cannot be used.
const fn needs(gateway: GatewayName) -> &'static str {
    match gateway {
        GatewayName::Simulator => "nothing",
        GatewayName::TwilioMessages => {
            "a TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID beside TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        }
        GatewayName::TwilioVoice => {
            "a TWILIO_VOICE_NUMBER, or a TWILIO_PHONE_NUMBER with + and country code, beside TWILIO_ACCOUNT_SID and \
             TWILIO_AUTH_TOKEN"
        }
        GatewayName::TwilioVerify => "a TWILIO_SERVICES_ID beside TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
        GatewayName::Sinch => "SINCH_APP_ID and SINCH_APP_SECRET",
        GatewayName::Mada => "MADA_USERNAME, MADA_PASSWORD, MADA_URL and MADA_SOURCE_NAME",
        GatewayName::Http => "\"http-gateway\" in config.json",
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
        gateways.routing.names(GatewayName::TwilioMessages) && gateways.twilio_voice.is_none();
    if calls && gateways.serves(Channel::Call) {
        if messages_cannot_call {
            c.report.warn(format!("voice is true, and Twilio does not call: {how}. Other gateways do"));
        }
    } else if calls && !c.is_wrong("TWILIO_VOICE_NUMBER") && !c.is_wrong("voice") {
        let problem = format!(
            "it is true, and no gateway of otp-sms-provider can call. For Twilio {how}; or name TwilioVerify or Sinch; or \
             give http-gateway the channel \"call\""
        );
        c.wrong("voice", None, problem);
    }
    if gate && gateways.twilio_voice.is_none() {
        c.report.warn("voice-gate has no effect: only calls through TwilioVoice can wait for a key");
    }
}
