//! What Twilio needs: an account, and a sender of text messages, a Verify service or a number that
//! calls.

use serde::Deserialize;

use secrecy::SecretString;

use super::super::reader::{Reader, Taken};
use super::super::report::Report;
use super::super::urls::BaseUrl;
use super::super::value::Given;
use super::assemble::Wishes;
use super::kinds::OwnNumber;
use super::offer::{Extent, Need, Offer, extent};
use super::twilio_checks::{Address, sender_fits, sid_fits, token_fits};
use super::twilio_kinds::{SenderNumber, Sid, Token};
use crate::domain::PhoneNumber;
use crate::gateway::{
    TwilioAccount, TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};

/// What the sources say about Twilio.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TwilioKeys {
    #[serde(rename = "TWILIO_ACCOUNT_SID")]
    account_sid: Given<Sid<'A', 'C'>>,
    #[serde(rename = "TWILIO_AUTH_TOKEN")]
    auth_token: Given<Token>,
    #[serde(rename = "TWILIO_PHONE_NUMBER")]
    phone_number: Given<SenderNumber>,
    #[serde(rename = "TWILIO_MESSAGING_SERVICE_SID")]
    messaging_service_sid: Given<Sid<'M', 'G'>>,
    #[serde(rename = "TWILIO_SERVICES_ID")]
    services_id: Given<Sid<'V', 'A'>>,
    #[serde(rename = "TWILIO_VOICE_NUMBER")]
    voice_number: Given<OwnNumber>,
    #[serde(rename = "TWILIO_WHATSAPP_NUMBER")]
    whatsapp_number: Given<OwnNumber>,
    #[serde(rename = "TWILIO_BASE_URL")]
    base_url: Given<BaseUrl>,
}

/// What Twilio can do with what is given.
pub struct TwilioOffers {
    /// Text messages and `WhatsApp`.
    pub messages: Offer<TwilioSettings>,
    /// Calls.
    pub voice: Offer<TwilioVoiceSettings>,
    /// Codes that Twilio makes itself.
    pub verify: Offer<Verify>,
}

/// Twilio Verify, whose id is checked against Twilio's form only where it is used: the Redis
/// version's files have one that nothing uses.
pub struct Verify {
    account: TwilioAccount,
    service: Taken<Sid<'V', 'A'>>,
    strict: bool,
}

impl Verify {
    /// The settings. `None` when Twilio cannot have such a service; an error when `used`.
    pub fn settle(self, used: bool, reader: &mut Reader<'_>) -> Option<TwilioVerifySettings> {
        let fits = !self.strict
            || if used {
                sid_fits("TWILIO_SERVICES_ID", &self.service, reader)
            } else {
                self.service.value.is_twilios()
            };
        fits.then(|| TwilioVerifySettings { account: self.account, service_sid: self.service.value.0 })
    }
}

pub(super) const VARIABLES: [&str; 9] = [
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTHTOKEN",
    "TWILIO_PHONE_NUMBER",
    "TWILIO_MESSAGING_SERVICE_SID",
    "TWILIO_SERVICES_ID",
    "TWILIO_VOICE_NUMBER",
    "TWILIO_WHATSAPP_NUMBER",
    "TWILIO_BASE_URL",
];

const NO_SENDER: &str = "it needs a TWILIO_PHONE_NUMBER or a TWILIO_MESSAGING_SERVICE_SID";

impl TwilioKeys {
    /// Where everything that is given came from.
    fn origins(&self, reader: &Reader<'_>) -> Vec<String> {
        [
            reader.origin_of("TWILIO_ACCOUNT_SID", &self.account_sid),
            reader.origin_of("TWILIO_AUTH_TOKEN", &self.auth_token),
            reader.origin_of("TWILIO_PHONE_NUMBER", &self.phone_number),
            reader.origin_of("TWILIO_MESSAGING_SERVICE_SID", &self.messaging_service_sid),
            reader.origin_of("TWILIO_SERVICES_ID", &self.services_id),
            reader.origin_of("TWILIO_VOICE_NUMBER", &self.voice_number),
            reader.origin_of("TWILIO_WHATSAPP_NUMBER", &self.whatsapp_number),
            reader.origin_of("TWILIO_BASE_URL", &self.base_url),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn needs(&self) -> [Need; 3] {
        let sender = self.phone_number.is_absent() && self.messaging_service_sid.is_absent();
        [
            Need {
                shown: "TWILIO_ACCOUNT_SID",
                names: &["TWILIO_ACCOUNT_SID"],
                absent: self.account_sid.is_absent(),
            },
            Need {
                shown: "TWILIO_AUTH_TOKEN",
                names: &["TWILIO_AUTH_TOKEN", "TWILIO_AUTHTOKEN"],
                absent: self.auth_token.is_absent(),
            },
            Need {
                shown: "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify)",
                names: &[
                    "TWILIO_PHONE_NUMBER",
                    "TWILIO_MESSAGING_SERVICE_SID",
                    "TWILIO_SERVICES_ID",
                    "TWILIO_VOICE_NUMBER",
                ],
                absent: sender && self.services_id.is_absent() && self.voice_number.is_absent(),
            },
        ]
    }
}

/// Reads all of it.
pub fn offers(keys: TwilioKeys, wishes: &Wishes, reader: &mut Reader<'_>) -> TwilioOffers {
    let origins = keys.origins(reader);
    let extent = extent("Twilio", &origins, &VARIABLES, &keys.needs(), reader.report);
    if extent == Extent::Nothing {
        let account = "it needs TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and";
        return TwilioOffers {
            messages: Offer::Lacking(format!(
                "{account} TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID"
            )),
            voice: Offer::Lacking(format!("{account} TWILIO_VOICE_NUMBER")),
            verify: Offer::Lacking(format!("{account} TWILIO_SERVICES_ID")),
        };
    }
    let sid = reader.take("TWILIO_ACCOUNT_SID", keys.account_sid);
    let token = reader.take("TWILIO_AUTH_TOKEN", keys.auth_token);
    // A variable whose file is missing is given too.
    let given = |absent: bool, name: &str, report: &Report| !absent || report.is_about(&[name]);
    let number_given = given(keys.phone_number.is_absent(), "TWILIO_PHONE_NUMBER", reader.report);
    let number = reader.take("TWILIO_PHONE_NUMBER", keys.phone_number);
    let messaging_given =
        given(keys.messaging_service_sid.is_absent(), "TWILIO_MESSAGING_SERVICE_SID", reader.report);
    let messaging = reader.take("TWILIO_MESSAGING_SERVICE_SID", keys.messaging_service_sid);
    let verify_given = given(keys.services_id.is_absent(), "TWILIO_SERVICES_ID", reader.report);
    let service = reader.take("TWILIO_SERVICES_ID", keys.services_id);
    let voice_given = given(keys.voice_number.is_absent(), "TWILIO_VOICE_NUMBER", reader.report);
    let voice = reader.take("TWILIO_VOICE_NUMBER", keys.voice_number);
    let whatsapp_given = !keys.whatsapp_number.is_absent();
    let whatsapp = reader.take("TWILIO_WHATSAPP_NUMBER", keys.whatsapp_number);
    let address = Address::read(keys.base_url, reader);
    // Only Twilio's own values are known to look like this; a private gateway may have others.
    let strict = address.is_twilio;
    let sid = sid.filter(|sid| !strict || sid_fits("TWILIO_ACCOUNT_SID", sid, reader));
    let token = token.filter(|token| !strict || token_fits(token, reader));
    let messaging = messaging.filter(|sid| !strict || sid_fits("TWILIO_MESSAGING_SERVICE_SID", sid, reader));
    let number = number.filter(|number| !strict || messaging_given || sender_fits(number, reader));
    let account = |base: &Option<String>| {
        Some(TwilioAccount {
            account_sid: sid.as_ref()?.value.0.clone(),
            auth_token: SecretString::from(token.as_ref()?.value.0.clone()),
            base_url: base.clone()?,
        })
    };

    let calls_from = match (&voice, voice_given) {
        (Some(voice), _) => voice.value.0,
        (None, true) => None,
        (None, false) => number.as_ref().and_then(|number| PhoneNumber::parse(&number.value.0, None).ok()),
    };
    let voice = if calls_from.is_none() && !voice_given {
        let problem = "it needs a TWILIO_VOICE_NUMBER, or a TWILIO_PHONE_NUMBER with + and country code";
        Offer::Lacking(problem.to_owned())
    } else {
        Offer::unless_broken(account(&address.api).zip(calls_from).map(|(account, from)| {
            TwilioVoiceSettings { account, from: from.e164(), gate: wishes.gate, ring_for: wishes.ring_for }
        }))
    };
    let verify = if verify_given {
        let verify = account(&address.verify).zip(service);
        Offer::unless_broken(verify.map(|(account, service)| Verify { account, service, strict }))
    } else {
        Offer::Lacking("it needs a TWILIO_SERVICES_ID".to_owned())
    };
    let whatsapp = whatsapp_sender(whatsapp, whatsapp_given, strict, wishes, reader);
    if !(number_given || messaging_given) {
        if whatsapp_given {
            reader.report.warn(
                "TWILIO_WHATSAPP_NUMBER is not used: it belongs to Twilio Messages, and there is \
                                neither a TWILIO_PHONE_NUMBER nor a TWILIO_MESSAGING_SERVICE_SID",
            );
        }
        // What nothing at all can be sent with was noted above.
        let noted = extent == Extent::Half && !verify_given && !voice_given;
        let messages = if noted { Offer::Broken } else { Offer::Lacking(NO_SENDER.to_owned()) };
        return TwilioOffers { messages, voice, verify };
    }
    let sender = match (messaging, messaging_given) {
        (Some(service), _) => Some(TwilioSender::MessagingService(service.value.0)),
        (None, true) => None,
        (None, false) => number.map(|number| TwilioSender::Number(number.value.0)),
    };
    let messages = account(&address.api).zip(sender).map(|(account, sender)| TwilioSettings {
        account,
        sender,
        whatsapp,
        feedback: wishes.feedback,
    });
    TwilioOffers { messages: Offer::unless_broken(messages), voice, verify }
}

fn whatsapp_sender(
    number: Option<Taken<OwnNumber>>,
    given: bool,
    strict: bool,
    wishes: &Wishes,
    reader: &mut Reader<'_>,
) -> Option<WhatsAppSender> {
    let content = wishes.content_sid.as_ref();
    let content = content.filter(|sid| !strict || sid_fits("whatsapp-content-sid", sid, reader));
    if given && wishes.content_sid.is_none() {
        reader.report.warn(
            "TWILIO_WHATSAPP_NUMBER is given without whatsapp-content-sid: WhatsApp delivers texts of one's own only to \
             people who have written within the last day",
        );
    }
    if !given && wishes.content_sid.is_some() {
        reader.report.warn("whatsapp-content-sid is not used: there is no TWILIO_WHATSAPP_NUMBER");
    }
    let number = number?.value.0?.e164();
    Some(WhatsAppSender { number, content_sid: content.map(|sid| sid.value.0.clone()) })
}
