//! The gateways: their variables, what each needs, and in which order they are tried.
//!
//! A gateway is used when it has all it needs. Half a configuration is an error that names what is missing: a message that
//! silently goes nowhere is the worst outcome of a forgotten variable.

mod described;
mod twilio;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::kind::As;
use super::load::Context;
use super::settings::{GatewaySettings, Inputs};
use super::values::{
    AccountSid, AccountToken, BaseUrl, Identifier, Login, Password, PlainUrl, SourceName, is_exposed,
};
use crate::domain::{Channel, GatewayName, ProviderName, Routing, Sid};
use crate::gateway::{HttpGatewaySettings, MadaSettings, SinchSettings};

pub use described::HttpGateway;
use described::HttpKeys;
use twilio::{TwilioKeys, TwilioOffers};

/// The variables whose values may be in files.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
pub struct Variables {
    /// Of gateways.
    #[serde(flatten)]
    pub gateways: GatewayKeys,
    /// Of this server's account.
    #[serde(flatten)]
    pub account: AccountKeys,
}

/// Variables of gateways.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
pub struct GatewayKeys {
    #[serde(flatten)]
    twilio: TwilioKeys,
    #[serde(flatten)]
    sinch: SinchKeys,
    #[serde(flatten)]
    mada: MadaKeys,
    #[serde(flatten)]
    http: HttpKeys,
}

/// Variables of the account.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct AccountKeys {
    #[serde(rename = "ONCEWARD_ACCOUNT_SID", with = "As::<Option<AccountSid>>")]
    pub sid: Option<Sid>,
    #[serde(rename = "ONCEWARD_AUTH_TOKEN", with = "As::<Option<AccountToken>>")]
    pub token: Option<SecretString>,
}

impl AccountKeys {
    pub const SID: &str = "ONCEWARD_ACCOUNT_SID";
    pub const TOKEN: &str = "ONCEWARD_AUTH_TOKEN";
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct SinchKeys {
    /// The application's key.
    #[serde(rename = "SINCH_APP_ID", with = "As::<Option<Identifier>>")]
    app_id: Option<SecretString>,
    /// The application's secret.
    #[serde(rename = "SINCH_APP_SECRET", with = "As::<Option<Password>>")]
    app_secret: Option<SecretString>,
    /// Where verifications are posted.
    #[serde(rename = "SINCH_VERIFICATION_URL", with = "As::<BaseUrl>")]
    verification_url: Arc<str>,
}

impl Default for SinchKeys {
    fn default() -> Self {
        let verification_url = "https://verification.api.sinch.com/verification/v1/verifications".into();
        Self { app_id: None, app_secret: None, verification_url }
    }
}

impl SinchKeys {
    fn complete(self, c: &mut Context) -> Offer<SinchSettings> {
        let needs = [Need::of("SINCH_APP_ID"), Need::of("SINCH_APP_SECRET")];
        let variables = ["SINCH_APP_ID", "SINCH_APP_SECRET", "SINCH_VERIFICATION_URL"];
        if extent("Sinch", &variables, &needs, c) == Extent::Nothing {
            return Offer::Lacking("it needs SINCH_APP_ID and SINCH_APP_SECRET".to_owned());
        }
        warn_if_exposed("SINCH_VERIFICATION_URL begins with", &self.verification_url, c);
        if !c.is_given("SINCH_VERIFICATION_URL") {
            c.row("SINCH_VERIFICATION_URL", self.verification_url.to_string(), "the default");
        }
        Offer::unless_broken(self.app_id.zip(self.app_secret).map(|(id, secret)| SinchSettings {
            app_id: exposed(&id),
            app_secret: credential(&secret),
            verification_url: self.verification_url.to_string(),
        }))
    }
}

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct MadaKeys {
    /// The account's name.
    #[serde(rename = "MADA_USERNAME", with = "As::<Option<Login>>")]
    username: Option<SecretString>,
    /// Its password.
    #[serde(rename = "MADA_PASSWORD", with = "As::<Option<Password>>")]
    password: Option<SecretString>,
    /// Where messages are posted.
    #[serde(rename = "MADA_URL", with = "As::<Option<PlainUrl>>")]
    url: Option<String>,
    /// Whom messages come from.
    #[serde(rename = "MADA_SOURCE_NAME", with = "As::<Option<SourceName>>")]
    source_name: Option<String>,
}

impl MadaKeys {
    fn complete(self, c: &mut Context) -> Offer<MadaSettings> {
        let variables = ["MADA_USERNAME", "MADA_PASSWORD", "MADA_URL", "MADA_SOURCE_NAME"];
        if extent("Mada", &variables, &variables.map(Need::of), c) == Extent::Nothing {
            let needs = "it needs MADA_USERNAME, MADA_PASSWORD, MADA_URL and MADA_SOURCE_NAME";
            return Offer::Lacking(needs.to_owned());
        }
        if let Some(url) = &self.url {
            warn_if_exposed("MADA_URL means", url, c);
        }
        let both = self.username.zip(self.password).zip(self.url.zip(self.source_name));
        Offer::unless_broken(both.map(|((username, password), (url, source_name))| MadaSettings {
            username: exposed(&username),
            password: credential(&password),
            url,
            source_name,
        }))
    }
}

/// A secret on its way to its user.
pub fn exposed(secret: &SecretString) -> String {
    secret.expose_secret().to_owned()
}

fn credential(secret: &SecretString) -> SecretString {
    secret.clone()
}

fn warn_if_exposed(what: &str, url: &str, c: &mut Context) {
    if is_exposed(url) {
        c.report.warn(format!("{what} http: credentials and codes travel unencrypted"));
    }
}

/// What the sources have to offer for one gateway.
enum Offer<T> {
    /// Everything.
    Ready(T),
    /// Too little, which matters only if the gateway is asked for: the end of a sentence that begins with its name.
    Lacking(String),
    /// Something wrong, which was noted.
    Broken,
}

impl<T> Offer<T> {
    /// Of settings that are absent after an error only.
    fn unless_broken(settings: Option<T>) -> Self {
        settings.map_or(Self::Broken, Self::Ready)
    }

    fn ready(self) -> Option<T> {
        match self {
            Self::Ready(settings) => Some(settings),
            Self::Lacking(_) | Self::Broken => None,
        }
    }

    /// Whether the gateway is configured, rightly or not.
    const fn is_given(&self) -> bool {
        !matches!(self, Self::Lacking(_))
    }

    fn lack(&self) -> Option<&str> {
        match self {
            Self::Lacking(problem) => Some(problem),
            Self::Ready(_) | Self::Broken => None,
        }
    }
}

/// Something without which a gateway cannot be used: what to set, and the variables of which any will do.
struct Need<'a> {
    shown: &'a str,
    names: Vec<&'a str>,
}

impl<'a> Need<'a> {
    fn of(name: &'a str) -> Self {
        Self { shown: name, names: vec![name] }
    }
}

/// How much of a gateway's settings is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Nothing,
    /// Too little, which was noted.
    Half,
    /// All that is needed. Some of it may be wrong.
    Whole,
}

/// Notes what is missing when some of a gateway's settings are given. What is given and cannot be read, such as a file that
/// is missing, has an error of its own already.
fn extent(gateway: &str, variables: &[&str], needs: &[Need<'_>], c: &mut Context) -> Extent {
    if !variables.iter().any(|name| c.is_given(name)) {
        return Extent::Nothing;
    }
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !need.names.iter().any(|name| c.is_given(name)))
        .map(|need| need.shown)
        .collect();
    if missing.is_empty() {
        return Extent::Whole;
    }
    let are = if missing.len() == 1 { "is" } else { "are" };
    let problem = format!(
        "some of its settings are given, but {} {are} missing. Set all of them, or none of them to do without {gateway}",
        missing.join(" and ")
    );
    let mut origins: Vec<&str> = variables.iter().filter_map(|name| c.given.origin(name)).collect();
    origins.dedup();
    let origin = (!origins.is_empty()).then(|| origins.join("; "));
    c.report.problem(gateway, problem, origin);
    Extent::Half
}

/// What gateways are to do besides, where they can.
struct Extras<'a> {
    gate: bool,
    ring_for: Duration,
    feedback: bool,
    content_sid: Option<&'a str>,
}

/// What the sources have to offer.
struct Offers {
    twilio: TwilioOffers,
    sinch: Offer<SinchSettings>,
    mada: Offer<MadaSettings>,
    http: Offer<HttpGatewaySettings>,
    calls: bool,
}

/// The gateways and where their order came from, or `None` after an error.
pub fn assemble(
    inputs: &Inputs,
    keys: GatewayKeys,
    calls: bool,
    c: &mut Context,
) -> Option<(GatewaySettings, String)> {
    let extras = Extras {
        gate: inputs.voice_gate,
        ring_for: inputs.voice_ring_for,
        feedback: inputs.conversion_feedback,
        content_sid: inputs.whatsapp_content_sid.as_deref(),
    };
    let offers = Offers {
        twilio: keys.twilio.complete(&extras, c),
        sinch: keys.sinch.complete(c),
        mada: keys.mada.complete(c),
        http: keys.http.complete(inputs.http_gateway.as_ref(), c),
        calls,
    };
    let order = inputs.otp_sms_provider.as_deref().filter(|order| !order.trim().is_empty());
    let (routing, origin) = offers.order(order, c)?;
    offers.warn_of_idle(&routing, c);
    let settings = offers.settle(routing, c);
    check_channels(&settings, calls, inputs.voice_gate, c);
    Some((settings, origin))
}

impl Offers {
    /// Which gateway is tried after which, and where that came from.
    fn order(&self, given: Option<&str>, c: &mut Context) -> Option<(Routing, String)> {
        let Some(text) = given else {
            if c.is_wrong("otp-sms-provider") {
                return None;
            }
            if !self.twilio.is_given() {
                let routing = Routing::only(GatewayName::Simulator);
                return Some((routing, "no provider is configured".to_owned()));
            }
            return match self.stands_for(ProviderName::Twilio) {
                Ok(gateway) => Some((Routing::only(gateway), "Twilio's variables are set".to_owned())),
                Err(problem) => {
                    c.report.problem("Twilio", format!("it cannot send text messages: {problem}"), None);
                    None
                }
            };
        };
        let read = Routing::parse(text).and_then(|parsed| parsed.resolve(|name| self.stands_for(name)));
        match read {
            Ok(routing) => Some((routing, c.origin("otp-sms-provider"))),
            Err(problem) => {
                c.wrong("otp-sms-provider", None, problem.to_string().replace('\n', "\n    "));
                None
            }
        }
    }

    /// The gateway that a name of the setting stands for, or why it cannot be used.
    fn stands_for(&self, provider: ProviderName) -> Result<GatewayName, String> {
        let name = match provider {
            ProviderName::Gateway(name) => name,
            ProviderName::Twilio if self.twilio.messages.is_given() => GatewayName::TwilioMessages,
            ProviderName::Twilio if self.twilio.verify.is_given() => GatewayName::TwilioVerify,
            ProviderName::Twilio => {
                let problem = self.twilio.messages.lack().unwrap_or_default();
                return Err(format!(
                    "Twilio is not configured: {problem}, or a TWILIO_SERVICES_ID for Verify"
                ));
            }
        };
        let lacking = match name {
            GatewayName::Simulator => None,
            GatewayName::TwilioMessages => self.twilio.messages.lack(),
            GatewayName::TwilioVoice if !self.calls => {
                Some("it calls, and calls are not allowed: set \"voice\" to true")
            }
            GatewayName::TwilioVoice => self.twilio.voice.lack(),
            GatewayName::TwilioVerify => self.twilio.verify.lack(),
            GatewayName::Sinch => self.sinch.lack(),
            GatewayName::Mada => self.mada.lack(),
            GatewayName::Http => self.http.lack(),
        };
        lacking.map_or(Ok(name), |problem| Err(format!("{name} is not configured: {problem}")))
    }

    /// Says which gateways are configured and never asked.
    fn warn_of_idle(&self, routing: &Routing, c: &mut Context) {
        for (name, given, what) in [
            (
                GatewayName::TwilioMessages,
                self.twilio.messages.is_given(),
                "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID",
            ),
            (GatewayName::TwilioVerify, self.twilio.verify.is_given(), "TWILIO_SERVICES_ID"),
            (GatewayName::Sinch, self.sinch.is_given(), "SINCH_APP_ID"),
            (GatewayName::Mada, self.mada.is_given(), "MADA_URL"),
            (GatewayName::Http, self.http.is_given(), "http-gateway"),
        ] {
            if given && !routing.names(name) {
                c.report.warn(format!(
                    "{name} is configured ({what}) but sends nothing: otp-sms-provider does not name it"
                ));
            }
        }
    }

    /// The settings. What is configured and not named is kept: codes that it holds can still be checked.
    fn settle(self, routing: Routing, c: &mut Context) -> GatewaySettings {
        let TwilioOffers { messages, voice, verify, strict } = self.twilio;
        let verify_used = routing.names(GatewayName::TwilioVerify);
        let verify = verify.ready().filter(|verify| !strict || twilio::verify_fits(verify, verify_used, c));
        let calls_through_twilio = self.calls
            && (routing.names(GatewayName::TwilioMessages) || routing.names(GatewayName::TwilioVoice));
        GatewaySettings {
            twilio_messages: messages.ready(),
            twilio_voice: voice.ready().filter(|_| calls_through_twilio),
            twilio_verify: verify,
            sinch: self.sinch.ready(),
            mada: self.mada.ready(),
            http: self.http.ready(),
            routing,
        }
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
