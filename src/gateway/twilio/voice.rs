//! Twilio Programmable Voice: `POST /2010-04-01/Accounts/{Sid}/Calls.json`, which calls a number and reads a code
//! out.
//!
//! Source: <https://www.twilio.com/docs/voice/api/call-resource>.

use std::sync::Arc;

use reqwest::Request;
use url::Url;

use super::account::{Account, BASE_URL, CALLER, Form, check_sender};
use super::callbacks::CallbackKind;
use super::codes::{ACCOUNT_REFUSED, created};
use super::twiml;
use crate::clock::Clock;
use crate::domain::{Channel, GatewayName, Locale};
use crate::gateway::client::Answer;
use crate::gateway::provider::{HttpProvider, Provider, not_tried};
use crate::gateway::{
    Accepted, Callback, GatewayError, GatewaySettingsError, OutgoingMessage, TwilioVoiceSettings,
};

const NAME: GatewayName = GatewayName::TwilioVoice;

/// The most that `Twiml` may have, in characters.
const TWIML_MAX: usize = 4_000;

const RING_SECONDS: (u64, u64) = (1, 600);

/// The gateway.
pub type TwilioVoice = HttpProvider<VoiceApi>;

pub struct VoiceApi {
    account: Account,
    url: Url,
    /// What all calls begin with: who calls, and how long it rings.
    beginning: Form,
    gate: bool,
}

impl TwilioVoice {
    /// Makes no call.
    pub fn new(settings: &TwilioVoiceSettings, clock: Arc<dyn Clock>) -> Result<Self, GatewaySettingsError> {
        let TwilioVoiceSettings { account, from, gate, ring_for } = settings;
        let account = Account::new(NAME, account)?;
        let url = account.resource("Calls.json")?;
        check_sender(NAME, CALLER, from)?;
        let (shortest, longest) = RING_SECONDS;
        let mut beginning = Form::default();
        beginning.text("From", from).plain("Timeout", ring_for.as_secs().clamp(shortest, longest));
        let base = account.base.clone();
        Self::of(VoiceApi { account, url, beginning, gate: *gate }, &base, clock)
    }
}

impl Provider for VoiceApi {
    const NAME: GatewayName = NAME;
    const URL_SETTING: &'static str = BASE_URL;
    const ACCOUNT_REFUSED: &'static [u32] = &ACCOUNT_REFUSED;

    fn channels(&self) -> &[Channel] {
        &[Channel::Call]
    }

    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let twiml = self.twiml(message)?;
        let length = twiml.chars().count();
        if length > TWIML_MAX {
            let detail = format!(
                "takes {TWIML_MAX} characters of TwiML, and the text read twice makes {length}; shorten the text of calls"
            );
            return Err(not_tried(NAME, detail));
        }
        let callback = message.callback.as_ref();
        let room = 2 * twiml.len() + callback.map_or(0, |callback| callback.public_url.len()) + 200;
        let mut form = Form::continuing(&self.beginning, room);
        form.number("To", "", message.to).text("Twiml", &twiml);
        if let Some(digits) = &message.send_digits {
            form.text("SendDigits", digits);
        }
        if let Some(callback) = callback {
            // Without names Twilio reports the end only. The event "answered" keeps a
            // workflow from going on while the code is being read.
            form.status_callback(callback, CallbackKind::Call)
                .plain("StatusCallbackEvent", "answered")
                .plain("StatusCallbackEvent", "completed");
        }
        Ok(self.account.post(&self.url, &mut form))
    }

    fn classify(&self, answer: &Answer) -> Result<Accepted, GatewayError> {
        created(NAME, answer)
    }
}

impl VoiceApi {
    fn twiml(&self, message: &OutgoingMessage) -> Result<String, GatewayError> {
        match (self.gate, &message.callback) {
            (false, _) => Ok(twiml::reading(&message.text, message.locale)),
            (true, Some(callback)) => {
                Ok(twiml::gate(&gate_address(callback, message.locale), message.locale))
            }
            (true, None) => Err(not_tried(
                NAME,
                "cannot ask for a key without a public address that Twilio tells of it; set public-url or \
                 switch voice-gate off"
                    .to_owned(),
            )),
        }
    }
}

/// Where Twilio asks what to say once a key is pressed. The language goes along, for what is said behind the gate is
/// put together when it opens.
fn gate_address(callback: &Callback, locale: Option<Locale>) -> String {
    let locale = locale.map(|locale| format!("&locale={locale}")).unwrap_or_default();
    format!("{}{}?attempt={}{locale}", callback.public_url, CallbackKind::Gate.path(), callback.attempt)
}
