//! Twilio Verify: `POST /v2/Services/{VA...}/Verifications` and `.../VerificationCheck`. Twilio makes the code, words
//! the message and holds the code until it is checked.
//!
//! Sources: <https://www.twilio.com/docs/verify/api/verification>,
//! <https://www.twilio.com/docs/verify/api/verification-check>.

use reqwest::{Method, Request};
use serde::Deserialize;
use url::Url;

use super::codes::{CHECKS_USED_UP, NOT_FOUND, error_code};
use super::twiml::nearest;
use super::{Account, form};
use crate::client::GatewayResponse;
use crate::domain::{Channel, Code, GatewayName, Locale, PhoneNumber};
use crate::provider::{Provider, Question};
use crate::{Accepted, GatewayError, OutgoingMessage, TwilioVerifySettings, Verdict};

/// Those of our channels that Verify has.
pub const CHANNELS: &[Channel] = &[Channel::Sms, Channel::Call, Channel::WhatsApp];

pub struct Verify {
    account: Account,
    service_sid: String,
}

impl Verify {
    pub fn new(settings: &TwilioVerifySettings, base: Url) -> Self {
        let account = Account::new(GatewayName::TwilioVerify, &settings.account, base);
        Self { account, service_sid: settings.service_sid.clone() }
    }

    /// The address of something of the service.
    fn url(&self, of: &str) -> Url {
        self.account.below(&format!("v2/Services/{}{of}", self.service_sid))
    }

    /// A wrong code and one that is not live are both answers; everything that cannot be read as one of them leaves
    /// open whether Twilio looked at the code.
    fn classify_check(&self, response: &GatewayResponse) -> Result<Verdict, GatewayError> {
        if !response.status.is_success() {
            return match error_code(response) {
                Some(NOT_FOUND) if response.status.as_u16() == 404 => Ok(Verdict::NotLive),
                Some(CHECKS_USED_UP) if response.status.is_client_error() => Ok(Verdict::NotLive),
                _ => Err(self.account.refused(response)),
            };
        }
        let checked = response.json::<Checked>();
        let said = checked.as_ref().map(|checked| (checked.status.as_str(), checked.valid));
        match said {
            Some(("approved", None | Some(true))) => Ok(Verdict::Approved),
            Some(("pending", None | Some(false))) => Ok(Verdict::Wrong),
            Some((status, None | Some(false))) if has_no_code(status) => Ok(Verdict::NotLive),
            // Another status, or a contradictory one. An answer from Twilio itself still shows that the gateway works.
            _ => Err(GatewayError {
                whole_gateway: checked.is_none(),
                ..self.account.unreadable(response, "verdict")
            }),
        }
    }
}

impl Provider for Verify {
    fn request(&self, message: &OutgoingMessage) -> Result<Request, GatewayError> {
        let mut form = form();
        // The names of our channels are those of Verify.
        form.append_pair("To", &message.to.e164()).append_pair("Channel", message.channel.as_str());
        // Twilio serves it where the Verify service may have other names; else it refuses the request with 60204.
        if let Some(name) = &message.sender_name {
            form.append_pair("CustomFriendlyName", name);
        }
        if let Some(language) = message.locale.and_then(|locale| of_verify(locale, message.channel)) {
            form.append_pair("Locale", language);
        }
        Ok(self.account.post(&self.url("/Verifications"), &mut form))
    }

    fn classify(&self, response: &GatewayResponse) -> Result<Accepted, GatewayError> {
        self.account.created(response, has_no_code)
    }

    /// The service: the answer shows the credentials too.
    fn account_question(&self) -> Option<Question<'_, ()>> {
        let read = Box::new(|response: &_| self.account.created(response, |_| false).map(drop));
        Some(Question { request: self.account.request(Method::GET, &self.url("")), read })
    }

    fn check(&self, to: PhoneNumber, _: Channel, code: &Code) -> Option<Question<'_, Verdict>> {
        let mut form = form();
        form.append_pair("To", &to.e164()).append_pair("Code", code.expose());
        let request = self.account.post(&self.url("/VerificationCheck"), &mut form);
        Some(Question { request, read: Box::new(|response| self.classify_check(response)) })
    }
}

/// Whether a verification with this status has no code that could be right.
fn has_no_code(status: &str) -> bool {
    matches!(status, "canceled" | "max_attempts_reached" | "deleted" | "failed" | "expired")
}

#[derive(Deserialize)]
struct Checked {
    status: String,
    valid: Option<bool>,
}

/// Languages of Verify's own texts.
///
/// Source: the parameter `Locale` in <https://www.twilio.com/docs/verify/api/verification>.
const VERIFY: &[&str] = &[
    "af", "ar", "ca", "cs", "da", "de", "el", "en", "en-GB", "es", "et", "fi", "fr", "he", "hi", "hr", "hu",
    "id", "it", "ja", "kn", "ko", "lt", "mr", "ms", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk", "sv",
    "te", "th", "tl", "tr", "uk", "vi", "zh", "zh-CN", "zh-HK",
];

/// The value of Verify's `Locale`, if it has texts in the language. The language of Taiwan is written as that of Hong
/// Kong is, and not spoken so.
fn of_verify(locale: Locale, channel: Channel) -> Option<&'static str> {
    let traditional =
        || (locale.language().to_string() == "zh" && channel != Channel::Call).then_some("zh-HK");
    nearest(locale, VERIFY.iter().copied()).or_else(traditional)
}

#[cfg(test)]
mod tests;
