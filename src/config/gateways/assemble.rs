//! Puts the gateways together: who is configured, who is tried in which order, who may call.

use std::time::Duration;

use super::super::kinds::Text;
use super::super::reader::{Reader, Taken};
use super::super::settings::GatewaySettings;
use super::super::value::Given;
use super::credentials::{self, HttpKeys};
use super::http::HttpGateway;
use super::mada::{self, MadaKeys};
use super::offer::Offer;
use super::sinch::{self, SinchKeys};
use super::twilio::{self, TwilioKeys, TwilioOffers};
use super::twilio_kinds::Sid;
use crate::domain::{Channel, GatewayName, ProviderName, Routing};
use crate::gateway::{HttpGatewaySettings, MadaSettings, SinchSettings};

/// What the variables say.
#[derive(Debug)]
pub struct VariableKeys {
    /// Of Twilio.
    pub twilio: TwilioKeys,
    /// Of Sinch.
    pub sinch: SinchKeys,
    /// Of Mada.
    pub mada: MadaKeys,
    /// Of the gateway that is described.
    pub http: HttpKeys,
}

/// What the keys of config.json say.
#[derive(Debug)]
pub struct GatewayKeys {
    /// `otp-sms-provider`.
    pub order: Given<Text>,
    /// `http-gateway`.
    pub http: Given<HttpGateway>,
}

/// What gateways are to do besides, where they can.
#[derive(Debug)]
pub struct Wishes {
    /// Calls are allowed; where that came from. `None` when they are not.
    pub voice: Option<String>,
    /// Whether a key must be pressed first.
    pub gate: bool,
    /// How long the telephone rings.
    pub ring_for: Duration,
    /// Whether Twilio is told what became of a message.
    pub feedback: bool,
    /// `whatsapp-content-sid`.
    pub content_sid: Option<Taken<Sid<'H', 'X'>>>,
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
    keys: GatewayKeys,
    variables: VariableKeys,
    wishes: &Wishes,
    reader: &mut Reader<'_>,
) -> Option<Taken<GatewaySettings>> {
    let offers = Offers {
        twilio: twilio::offers(variables.twilio, wishes, reader),
        sinch: sinch::offer(variables.sinch, reader),
        mada: mada::offer(variables.mada, reader),
        http: credentials::offer(keys.http, variables.http, reader),
        calls: wishes.voice.is_some(),
    };
    let routing = offers.order(keys.order, reader)?;
    offers.warn_of_idle(&routing.value, reader);
    let settings = offers.settle(routing.value, reader);
    check_channels(&settings, wishes, reader);
    Some(Taken { value: settings, origin: routing.origin })
}

impl Offers {
    /// Who is tried in which order, and where that came from.
    fn order(&self, given: Given<Text>, reader: &mut Reader<'_>) -> Option<Taken<Routing>> {
        // An empty text orders nothing.
        let blank = matches!(&given, Given::Read(Text(text), _) if text.trim().is_empty());
        if given.is_absent() || blank {
            let (gateway, origin) = if self.has_twilio() {
                match self.stands_for(ProviderName::Twilio) {
                    Ok(gateway) => (gateway, "Twilio's variables are set"),
                    Err(problem) => {
                        reader.report.problem(
                            "Twilio",
                            format!("it cannot send text messages: {problem}"),
                            None,
                        );
                        return None;
                    }
                }
            } else {
                (GatewayName::Simulator, "no provider is configured")
            };
            return Some(Taken { value: Routing::only(gateway), origin: origin.to_owned() });
        }
        let Taken { value: Text(text), origin } = reader.take("otp-sms-provider", given)?;
        let read = Routing::parse(&text).and_then(|parsed| parsed.resolve(|name| self.stands_for(name)));
        match read {
            Ok(routing) => Some(Taken { value: routing, origin }),
            Err(problem) => {
                reader.report.problem(
                    "otp-sms-provider",
                    problem.to_string().replace('\n', "\n    "),
                    origin,
                );
                None
            }
        }
    }

    const fn has_twilio(&self) -> bool {
        self.twilio.messages.is_given() || self.twilio.verify.is_given() || self.twilio.voice.is_given()
    }

    /// The gateway that a name of the setting stands for, or why it cannot be used.
    fn stands_for(&self, provider: ProviderName) -> Result<GatewayName, String> {
        let name = match provider {
            ProviderName::Gateway(name) => name,
            ProviderName::Twilio if self.twilio.messages.is_given() => GatewayName::TwilioMessages,
            ProviderName::Twilio if self.twilio.verify.is_given() => GatewayName::TwilioVerify,
            ProviderName::Twilio => {
                return Err(match &self.twilio.messages {
                    Offer::Lacking(problem) => {
                        format!("Twilio is not configured: {problem}, or a TWILIO_SERVICES_ID for Verify")
                    }
                    Offer::Ready(_) | Offer::Broken => String::new(),
                });
            }
        };
        let lacking = match name {
            GatewayName::Simulator => None,
            GatewayName::TwilioMessages => lack(&self.twilio.messages),
            GatewayName::TwilioVoice if !self.calls => {
                Some("it calls, and calls are not allowed: set \"voice\" to true")
            }
            GatewayName::TwilioVoice => lack(&self.twilio.voice),
            GatewayName::TwilioVerify => lack(&self.twilio.verify),
            GatewayName::Sinch => lack(&self.sinch),
            GatewayName::Mada => lack(&self.mada),
            GatewayName::Http => lack(&self.http),
        };
        lacking.map_or(Ok(name), |problem| Err(format!("{name} is not configured: {problem}")))
    }

    /// Says which gateways are configured and never asked.
    fn warn_of_idle(&self, routing: &Routing, reader: &mut Reader<'_>) {
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
                reader.report.warn(format!(
                    "{name} is configured ({what}) but sends nothing: otp-sms-provider does not name it"
                ));
            }
        }
    }

    /// The settings. What is configured and not named is kept: codes that it holds can still be checked.
    fn settle(self, routing: Routing, reader: &mut Reader<'_>) -> GatewaySettings {
        let TwilioOffers { messages, voice, verify } = self.twilio;
        let verify = verify.ready();
        let twilio_verify =
            verify.and_then(|verify| verify.settle(routing.names(GatewayName::TwilioVerify), reader));
        let calls_through_twilio = self.calls
            && (routing.names(GatewayName::TwilioMessages) || routing.names(GatewayName::TwilioVoice));
        GatewaySettings {
            twilio_messages: messages.ready(),
            twilio_voice: voice.ready().filter(|_| calls_through_twilio),
            twilio_verify,
            sinch: self.sinch.ready(),
            mada: self.mada.ready(),
            http: self.http.ready(),
            routing,
        }
    }
}

fn lack<T>(offer: &Offer<T>) -> Option<&str> {
    match offer {
        Offer::Lacking(problem) => Some(problem),
        Offer::Ready(_) | Offer::Broken => None,
    }
}

/// Whether the ways in which codes are to be sent have a gateway.
fn check_channels(gateways: &GatewaySettings, wishes: &Wishes, reader: &mut Reader<'_>) {
    let report = &mut *reader.report;
    if !gateways.serves(Channel::Sms) {
        report.warn(
            "no gateway of otp-sms-provider sends text messages: /api/send-otp and /send-code cannot succeed",
        );
    }
    let entries = gateways.routing.entries();
    if entries.iter().all(|entry| !entry.prefixes.is_empty()) {
        report.warn(
            "every gateway of otp-sms-provider has prefixes: numbers that begin with none of them get no message",
        );
    }
    let messages_cannot_call =
        gateways.routing.names(GatewayName::TwilioMessages) && gateways.twilio_voice.is_none();
    let how = "set TWILIO_VOICE_NUMBER (or a TWILIO_PHONE_NUMBER with + and country code)";
    if let Some(origin) = &wishes.voice {
        if gateways.serves(Channel::Call) {
            if messages_cannot_call {
                report.warn(format!("voice is true, and Twilio does not call: {how}. Other gateways do"));
            }
        } else if !report.is_about(&["TWILIO_VOICE_NUMBER", "VOICE"]) {
            let problem = format!(
                "it is true, and no gateway of otp-sms-provider can call. For Twilio {how}; or name TwilioVerify or \
                 Sinch; or give http-gateway the channel \"call\""
            );
            report.problem("voice", problem, origin.clone());
        }
    }
    if wishes.gate && gateways.twilio_voice.is_none() {
        report.warn("voice-gate has no effect: only calls through TwilioVoice can wait for a key");
    }
}
