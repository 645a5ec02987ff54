//! Twilio: Messages, Voice and Verify, one file each, and what Twilio reports back.
//!
//! * This file: the credentials, settings and form bodies of the requests to an account.
//! * `messages`, `voice`, `verify`: the gateways.
//! * `codes`: the meaning of answers and error codes.
//! * [`twiml`]: what is said in calls, and in which language.
//! * `callbacks`: what Twilio reports, once its signature is checked.
//!
//! Twilio has no parameter that makes a repeated call harmless. Therefore whatever leaves open whether a message was
//! taken is [`ErrorClass::Ambiguous`](super::ErrorClass::Ambiguous).

mod callbacks;
mod codes;
mod messages;
pub mod twiml;
mod verify;
mod voice;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::provider::Question;
use super::recipe::basic_credentials;
use crate::domain::GatewayName;

pub use self::callbacks::{CallbackError, CallbackKind, TwilioCallbacks, TwilioReport};
pub use self::codes::{class_of_report, describe_code, known_code, refuses_account};
pub use self::messages::Messages;
pub use self::verify::{CHANNELS as VERIFY_CHANNELS, Verify};
pub use self::voice::Voice;

pub const BASE_URL: &str = "TWILIO_BASE_URL";

#[derive(Debug, Clone)]
pub struct TwilioAccount {
    /// `AC` and 32 hex digits; a private gateway may have ids of letters, digits, `-` and `_`.
    pub account_sid: String,
    pub auth_token: SecretString,
    /// Scheme and authority, without a trailing slash: `https://api.twilio.com`, or `https://verify.twilio.com` for
    /// Verify, unless a test or a private gateway stands in.
    pub base_url: String,
}

#[derive(Debug, Clone)]
pub struct TwilioSettings {
    pub account: TwilioAccount,
    /// The sender of text messages.
    pub sender: TwilioSender,
    /// The sender of `WhatsApp` messages; `None` without one.
    pub whatsapp: Option<WhatsAppSender>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number, short code or alphanumeric sender: Twilio's `From`.
    Number(String),
    /// A messaging service, `MG...`: Twilio's `MessagingServiceSid`.
    MessagingService(String),
}

/// The sender of a `WhatsApp` message and the approved template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatsAppSender {
    /// A number in E.164 form, without `whatsapp:`.
    pub number: String,
    /// An approved template, `HX...`, whose first variable is the code; `None` sends the text itself, which reaches
    /// only people who have written within the last day.
    pub content_sid: Option<String>,
}

#[derive(Debug, Clone)]
pub struct TwilioVoiceSettings {
    pub account: TwilioAccount,
    /// The number that calls, in E.164 form.
    pub from: String,
    /// Whether a key must be pressed before the code is read, so that no answering machine records it. Needs a public
    /// address.
    pub gate: bool,
}

#[derive(Debug, Clone)]
pub struct TwilioVerifySettings {
    pub account: TwilioAccount,
    /// `VA` and 32 hex digits.
    pub service_sid: String,
}

struct Account {
    name: GatewayName,
    headers: HeaderMap,
    base: Url,
    sid: String,
}

impl Account {
    /// Of requests to what is below `base`.
    fn new(name: GatewayName, settings: &TwilioAccount, base: Url) -> Self {
        let TwilioAccount { account_sid: sid, auth_token, .. } = settings;
        let basic = format!("Basic {}", basic_credentials(sid, auth_token.expose_secret()));
        // Base64 is ASCII.
        let mut basic = HeaderValue::try_from(basic).unwrap_or(HeaderValue::from_static(""));
        basic.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, basic),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Self { name, headers, base, sid: sid.clone() }
    }

    /// The address of a path below the base URL.
    fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// The URL of something that belongs to the account, such as `Messages.json`.
    fn resource(&self, name: &str) -> Url {
        self.below(&format!("2010-04-01/Accounts/{}/{name}", self.sid))
    }

    /// Whether the account may send.
    fn question(&self) -> Question<'_, ()> {
        let url = self.below(&format!("2010-04-01/Accounts/{}.json", self.sid));
        let read = Box::new(|response: &_| self.account_state(response));
        Question { request: self.request(Method::GET, &url), read }
    }

    fn request(&self, method: Method, url: &Url) -> Request {
        let mut request = Request::new(method, url.clone());
        request.headers_mut().clone_from(&self.headers);
        request
    }

    fn post(&self, url: &Url, form: &mut Form) -> Request {
        let mut request = self.request(Method::POST, url);
        *request.body_mut() = Some(form.finish().into());
        request
    }
}

/// An `application/x-www-form-urlencoded` body that grows.
type Form = url::form_urlencoded::Serializer<'static, String>;

fn form() -> Form {
    Form::new(String::new())
}

#[cfg(test)]
mod tests;
