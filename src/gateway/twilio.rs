//! Twilio: Messages, Voice and Verify, one file each, and what Twilio reports back.
//!
//! * This file: the credentials, settings and form bodies of the requests to an account.
//! * `messages`, `voice`, `verify`: the gateways. Each prepares once what is the same for every message.
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

use super::provider::{get, request};
use super::settings::{base_url, basic_auth, below};
use super::{GatewaySettingsError, TwilioAccount};
use crate::domain::GatewayName;

pub use self::callbacks::{CallbackError, CallbackKind, TwilioCallbacks, TwilioReport};
pub use self::messages::TwilioMessages;
pub use self::verify::TwilioVerify;
pub use self::voice::TwilioVoice;

const ACCOUNT_SID: &str = "sms.twilio.sid (TWILIO_ACCOUNT_SID)";
const AUTH_TOKEN: &str = "sms.twilio.token (TWILIO_AUTH_TOKEN)";
const BASE_URL: &str = "TWILIO_BASE_URL";
const SENDER: &str = "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID";
const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
const WHATSAPP_TEMPLATE: &str = "whatsapp-content-sid";
const CALLER: &str = "TWILIO_VOICE_NUMBER (else TWILIO_PHONE_NUMBER)";
const VERIFY_SERVICE: &str = "sms.twilio.verify_sid (TWILIO_SERVICES_ID)";

struct Account {
    gateway: GatewayName,
    headers: HeaderMap,
    base: Url,
    sid: String,
}

impl Account {
    fn new(gateway: GatewayName, settings: &TwilioAccount) -> Result<Self, GatewaySettingsError> {
        let TwilioAccount { account_sid, auth_token, base_url: url } = settings;
        check_id(gateway, ACCOUNT_SID, "AC", account_sid)?;
        let base = base_url(gateway, BASE_URL, url)?;
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization(gateway, account_sid, auth_token)?),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Ok(Self { gateway, headers, base, sid: account_sid.clone() })
    }

    /// The URL of something that belongs to the account, such as `Messages.json`.
    fn resource(&self, name: &str) -> Result<Url, GatewaySettingsError> {
        self.url(&format!("2010-04-01/Accounts/{}/{name}", self.sid))
    }

    /// The URL of a path, which is given without a leading slash.
    fn url(&self, path: &str) -> Result<Url, GatewaySettingsError> {
        below(&self.base, path).ok_or_else(|| {
            GatewaySettingsError::new(self.gateway, BASE_URL, "must be a URL that a path can be added to")
        })
    }

    /// `GET` of something that belongs to the account. `None` if the base URL takes no path, which was checked before.
    fn get(&self, name: &str) -> Option<Request> {
        self.resource(name).ok().map(|url| get(url, &self.headers))
    }

    /// The account itself.
    fn itself(&self) -> Option<Request> {
        self.url(&format!("2010-04-01/Accounts/{}.json", self.sid)).ok().map(|url| get(url, &self.headers))
    }

    /// The phone number among those of the account. `None` for a short code or a name.
    fn phone_number(&self, number: &str) -> Option<Request> {
        let digits = number.strip_prefix('+')?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| self.get(&format!("IncomingPhoneNumbers.json?PhoneNumber=%2B{digits}")))?
    }

    fn post(&self, url: &Url, form: &mut Form) -> Request {
        request(Method::POST, url.clone(), &self.headers, form.finish())
    }
}

/// Refuses an id that could change the path it becomes part of.
fn check_id(gateway: GatewayName, setting: &str, prefix: &str, id: &str) -> Result<(), GatewaySettingsError> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Ok(());
    }
    let problem = format!("must be letters, digits, - and _, such as {prefix} followed by 32 hex digits");
    Err(GatewaySettingsError::new(gateway, setting, problem))
}

fn check_sender(gateway: GatewayName, setting: &str, sender: &str) -> Result<(), GatewaySettingsError> {
    if !sender.trim().is_empty() {
        return Ok(());
    }
    let problem = "must name who messages or calls come from, such as one of the account's phone numbers";
    Err(GatewaySettingsError::new(gateway, setting, problem))
}

/// The header that says whose account it is. A space or a line break in the token was not meant.
fn authorization(
    gateway: GatewayName,
    account_sid: &str,
    token: &SecretString,
) -> Result<HeaderValue, GatewaySettingsError> {
    let token = Some(token.expose_secret()).filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
    token.and_then(|token| basic_auth(account_sid, token)).ok_or_else(|| {
        let problem = "must be visible ASCII characters, as the Twilio console shows it";
        GatewaySettingsError::new(gateway, AUTH_TOKEN, problem)
    })
}

/// An `application/x-www-form-urlencoded` body that grows.
type Form = form_urlencoded::Serializer<'static, String>;

/// A body that begins with the fields of `prepared`.
fn form(prepared: &str) -> Form {
    Form::for_suffix(prepared.to_owned(), 0)
}

#[cfg(test)]
mod tests;
