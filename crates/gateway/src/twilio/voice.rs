//! Twilio Programmable Voice: `POST /2010-04-01/Accounts/{Sid}/Calls.json`, which calls a number and reads a code
//! out.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource>.

use reqwest::{Request, Url};

use super::callbacks::status_of_call;
use super::{Account, CallbackKind, form, twiml};
use crate::client::GatewayResponse;
use crate::domain::{GatewayName, Locale};
use crate::provider::{Provider, Question};
use crate::template::Wording;
use crate::{Accepted, Callback, GatewayError, OutgoingMessage, ReceiptStatus, TwilioVoiceSettings};

const NAME: GatewayName = GatewayName::TwilioVoice;

/// The most that `Twiml` may have, in characters.
const TWIML_MAX: usize = 4_000;

/// The time that a phone rings.
const RING_SECONDS: &str = "25";

pub struct Voice {
    account: Account,
    settings: TwilioVoiceSettings,
}

impl Voice {
    pub fn new(settings: &TwilioVoiceSettings, base: Url) -> Self {
        let account = Account::new(NAME, &settings.account, base);
        Self { account, settings: settings.clone() }
    }

    fn twiml(&self, message: &OutgoingMessage) -> Result<String, GatewayError> {
        match (self.settings.gate, &message.callback) {
            (false, _) => Ok(twiml::reading(&message.text, message.locale)),
            (true, Some(callback)) => {
                Ok(twiml::gate(&gate_address(callback, &message.wording, message.locale), message.locale))
            }
            (true, None) => Err(GatewayError::not_tried(
                NAME,
                "cannot ask for a key without a public address that Twilio tells of it; set public-url or \
                 switch voice-gate off",
            )),
        }
    }
}

impl Provider for Voice {
    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let twiml = self.twiml(message)?;
        let length = twiml.chars().count();
        if length > TWIML_MAX {
            let detail = format!(
                "takes {TWIML_MAX} characters of TwiML, and the text read twice makes {length}; shorten the text of calls"
            );
            return Err(GatewayError::not_tried(NAME, detail));
        }
        let mut form = form();
        form.append_pair("From", &self.settings.from).append_pair("Timeout", RING_SECONDS);
        form.append_pair("To", &message.to.e164()).append_pair("Twiml", &twiml);
        if let Some(digits) = &message.send_digits {
            form.append_pair("SendDigits", digits);
        }
        if let Some(callback) = &message.callback {
            // Without names Twilio reports the end only. The event "answered" keeps a
            // workflow from going on while the code is being read.
            form.append_pair("StatusCallback", &CallbackKind::Call.address(callback))
                .append_pair("StatusCallbackEvent", "answered")
                .append_pair("StatusCallbackEvent", "completed");
        }
        Ok(self.account.post(&self.account.resource("Calls.json"), &mut form))
    }

    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        self.account.created(response, |status| status_of_call(status) == Some(ReceiptStatus::Failed))
    }

    fn account_question(&self) -> Option<Question<'_, ()>> {
        Some(self.account.question())
    }
}

/// The address at which Twilio requests the text once a key is pressed. It has the language and where the text is from,
/// because the text after the gate is rendered when it opens. Twilio signs the address.
fn gate_address(callback: &Callback, wording: &Wording, locale: Option<Locale>) -> String {
    let locale = locale.map(|locale| format!("&locale={locale}")).unwrap_or_default();
    let mut address = CallbackKind::Gate.address(callback) + &locale;
    match wording {
        Wording::Api => {}
        Wording::Tutorial => address += "&wording=tutorial",
        Wording::Custom(text) => {
            address += "&text=";
            address.extend(url::form_urlencoded::byte_serialize(text.as_bytes()));
        }
    }
    address
}
