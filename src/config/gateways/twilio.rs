//! What Twilio needs: an account, and a sender of text messages, a Verify service or a number that calls.

use std::sync::Arc;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Complete, Reported, is_begun, is_set, warn_if_exposed};
use crate::config::kind::{As, Kind as _};
use crate::config::load::Context;
use crate::config::settings::Inputs;
use crate::config::values::{
    BaseUrl, OwnNumber, SenderNumber, Sid, Token, is_32_hex, is_twilio_host, is_twilio_sender, is_twilio_sid,
    own_number,
};
use crate::domain::PhoneNumber;
use crate::gateway::{
    TwilioAccount, TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};

/// Where Twilio's APIs answer, unless a private gateway stands in.
const API_URL: &str = "https://api.twilio.com";
const VERIFY_URL: &str = "https://verify.twilio.com";

const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
const PHONE_NUMBER: &str = "TWILIO_PHONE_NUMBER";
const MESSAGING_SERVICE_SID: &str = "TWILIO_MESSAGING_SERVICE_SID";
const SERVICES_ID: &str = "TWILIO_SERVICES_ID";
const VOICE_NUMBER: &str = "TWILIO_VOICE_NUMBER";
const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
const BASE_URL: &str = "TWILIO_BASE_URL";

#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct TwilioKeys {
    /// Twilio: the account, AC and 32 hexadecimal digits.
    #[serde(rename = "TWILIO_ACCOUNT_SID", with = "As::<Option<Sid<'A', 'C'>>>")]
    account_sid: Option<String>,
    /// Twilio: the account's auth token. Other than 32 hexadecimal digits gets a warning.
    #[serde(rename = "TWILIO_AUTH_TOKEN", with = "As::<Option<Token>>")]
    auth_token: Option<SecretString>,
    /// Twilio: the sender: a number such as +14155552671, a short code of 3 to 8 digits, or a name of at most 11
    /// letters, digits, spaces, +, -, _ and &, one of them a letter.
    #[serde(rename = "TWILIO_PHONE_NUMBER", with = "As::<Option<SenderNumber>>")]
    phone_number: Option<String>,
    /// Twilio: a messaging service, MG and 32 hexadecimal digits, in place of a number. It wins when both are
    /// given.
    #[serde(rename = "TWILIO_MESSAGING_SERVICE_SID", with = "As::<Option<Sid<'M', 'G'>>>")]
    messaging_service_sid: Option<String>,
    /// Twilio: a Verify service, VA and 32 hexadecimal digits. Enough without a number and a messaging service.
    #[serde(rename = "TWILIO_SERVICES_ID", with = "As::<Option<Sid<'V', 'A'>>>")]
    services_id: Option<String>,
    /// Twilio: the number that calls, with +. Without it `TWILIO_PHONE_NUMBER`.
    #[serde(rename = "TWILIO_VOICE_NUMBER", with = "As::<Option<OwnNumber>>")]
    voice_number: Option<PhoneNumber>,
    /// Twilio: the number of `WhatsApp` messages, with +.
    #[serde(rename = "TWILIO_WHATSAPP_NUMBER", with = "As::<Option<OwnNumber>>")]
    whatsapp_number: Option<PhoneNumber>,
    /// Where Twilio's APIs answer, for tests and private gateways. Default `https://api.twilio.com`, and
    /// `https://verify.twilio.com` for Verify.
    #[serde(rename = "TWILIO_BASE_URL", with = "As::<Option<BaseUrl>>")]
    base_url: Option<Arc<str>>,
}

/// What Twilio can do with what is given.
pub(super) struct Twilio {
    pub(super) messages: Complete<TwilioSettings>,
    pub(super) voice: Complete<TwilioVoiceSettings>,
    /// Codes that Twilio makes itself.
    pub(super) verify: Complete<TwilioVerifySettings>,
    /// Whether ids and senders must be of Twilio's own forms: a private gateway may have others.
    pub(super) strict: bool,
}

impl Twilio {
    pub(super) const fn is_set(&self) -> bool {
        is_set(&self.messages) || is_set(&self.verify) || is_set(&self.voice)
    }
}

/// Whether a Verify service looks as Twilio's do: an error where it is used. The Redis version's files have one that
/// nothing uses.
pub(super) fn verify_fits(verify: &TwilioVerifySettings, used: bool, c: &mut Context) -> bool {
    if used {
        sid_fits::<'V', 'A'>(SERVICES_ID, &verify.service_sid, c)
    } else {
        is_twilio_sid("VA", &verify.service_sid)
    }
}

/// What to set where nothing can be sent with.
pub(super) const SENDER: &str =
    "TWILIO_PHONE_NUMBER (or TWILIO_MESSAGING_SERVICE_SID, or TWILIO_SERVICES_ID for Verify)";

impl TwilioKeys {
    pub(super) fn complete(self, inputs: &Inputs, c: &mut Context) -> Twilio {
        let needs: [&[&str]; 3] = [
            &["TWILIO_ACCOUNT_SID"],
            &[AUTH_TOKEN, "TWILIO_AUTHTOKEN"],
            &[PHONE_NUMBER, MESSAGING_SERVICE_SID, SERVICES_ID, VOICE_NUMBER],
        ];
        let begun = is_begun("Twilio", &needs, &[WHATSAPP_NUMBER, BASE_URL], c);
        if matches!(begun, Ok(false)) {
            return Twilio { messages: Ok(None), voice: Ok(None), verify: Ok(None), strict: true };
        }
        let strict = !c.is_wrong(BASE_URL) && self.base_url.as_deref().is_none_or(is_twilio_host);
        let (api, of_verify) = self.addresses(c);
        let account = self.account(strict, c);
        let at = |base_url: String| account.clone().map(|account| TwilioAccount { base_url, ..account });
        let verify = at(of_verify).zip(self.services_id.clone());
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
        // That nothing at all can be sent with was noted.
        let has_messages = has_sender || begun.is_err() && !has_verify && !has_voice;
        Twilio {
            messages: complete(messages, has_messages),
            voice: complete(voice, has_voice || calls_from.is_some()),
            verify: complete(verify, has_verify),
            strict,
        }
    }

    /// Where messages and calls go, and where Verify answers. Twilio's own APIs have a host each; what stands in for Twilio
    /// has one for all.
    fn addresses(&self, c: &mut Context) -> (String, String) {
        let Some(url) = &self.base_url else {
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
        let sid = self.account_sid.clone();
        let sid = sid.filter(|sid| !strict || sid_fits::<'A', 'C'>("TWILIO_ACCOUNT_SID", sid, c));
        let token = self.auth_token.clone();
        let token = token.filter(|token| !strict || token_fits(token.expose_secret(), c));
        Some(TwilioAccount { account_sid: sid?, auth_token: token?, base_url: String::new() })
    }

    /// Where text messages come from: a messaging service before a number. `None` after an error, or when there is neither.
    fn sender(&self, strict: bool, c: &mut Context) -> Option<TwilioSender> {
        if c.is_set(MESSAGING_SERVICE_SID) {
            let sid = self.messaging_service_sid.clone();
            let sid = sid.filter(|sid| !strict || sid_fits::<'M', 'G'>(MESSAGING_SERVICE_SID, sid, c));
            return sid.map(TwilioSender::MessagingService);
        }
        let number = self.phone_number.clone()?;
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
            return self.voice_number;
        }
        self.phone_number.as_ref().and_then(|number| own_number(number))
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
        let number = self.whatsapp_number?.e164();
        Some(WhatsAppSender { number, content_sid: content_sid.map(str::to_owned) })
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
        c.wrong(variable, None, format!("it must be {}", Sid::<A, B>::accepted()));
    }
    fits
}

/// Whether it can be a token at all. Twilio promises no form, so one that is not of today's form gets a warning only; the
/// commonest reason is a key of another kind, or a piece that was lost.
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
