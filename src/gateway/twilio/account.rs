//! What requests to an account of Twilio have in common: address, credentials, settings, form bodies.

use std::fmt::{Display, Write as _};

use form_urlencoded::byte_serialize;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::callbacks::CallbackKind;
use crate::domain::{GatewayName, PhoneNumber};
use crate::gateway::address::{base_url, basic_auth, below};
use crate::gateway::provider::request;
use crate::gateway::{Callback, GatewaySettingsError, TwilioAccount};

pub(super) const ACCOUNT_SID: &str = "sms.twilio.sid (TWILIO_ACCOUNT_SID)";
pub(super) const AUTH_TOKEN: &str = "sms.twilio.token (TWILIO_AUTH_TOKEN)";
pub(super) const BASE_URL: &str = "TWILIO_BASE_URL";
pub(super) const SENDER: &str = "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID";
pub(super) const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
pub(super) const WHATSAPP_TEMPLATE: &str = "whatsapp-content-sid";
pub(super) const CALLER: &str = "TWILIO_VOICE_NUMBER (else TWILIO_PHONE_NUMBER)";
pub(super) const VERIFY_SERVICE: &str = "sms.twilio.verify_sid (TWILIO_SERVICES_ID)";

pub(super) struct Account {
    gateway: GatewayName,
    headers: HeaderMap,
    pub(super) base: Url,
    sid: String,
}

impl Account {
    pub(super) fn new(gateway: GatewayName, settings: &TwilioAccount) -> Result<Self, GatewaySettingsError> {
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
    pub(super) fn resource(&self, name: &str) -> Result<Url, GatewaySettingsError> {
        self.url(&format!("2010-04-01/Accounts/{}/{name}", self.sid))
    }

    /// The URL of a path, which is given without a leading slash.
    pub(super) fn url(&self, path: &str) -> Result<Url, GatewaySettingsError> {
        below(&self.base, path).ok_or_else(|| {
            GatewaySettingsError::new(self.gateway, BASE_URL, "must be a URL that a path can be added to")
        })
    }

    pub(super) fn post(&self, url: &Url, form: &mut Form) -> Request {
        request(Method::POST, url.clone(), &self.headers, form.finish())
    }
}

/// Refuses an id that could change the path it becomes part of.
pub(super) fn check_id(
    gateway: GatewayName,
    setting: &str,
    prefix: &str,
    id: &str,
) -> Result<(), GatewaySettingsError> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Ok(());
    }
    let problem = format!("must be letters, digits, - and _, such as {prefix} followed by 32 hex digits");
    Err(GatewaySettingsError::new(gateway, setting, problem))
}

pub(super) fn check_sender(
    gateway: GatewayName,
    setting: &str,
    sender: &str,
) -> Result<(), GatewaySettingsError> {
    if !sender.trim().is_empty() {
        return Ok(());
    }
    let problem = "must name who messages or calls come from, such as one of the account's phone numbers";
    Err(GatewaySettingsError::new(gateway, setting, problem))
}

/// The header that says whose account it is. A space or a line break in the token was not meant.
pub(super) fn authorization(
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
#[derive(Default, Clone)]
pub(super) struct Form(String);

impl Form {
    /// Begins with what was prepared, with room for as many further bytes.
    pub(super) fn continuing(prepared: &Self, room: usize) -> Self {
        let mut form = String::with_capacity(prepared.0.len() + room);
        form.push_str(&prepared.0);
        Self(form)
    }

    /// A field with any value. Names are Twilio's: letters only.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.escaped(value)
    }

    /// A field whose value needs no escaping: numbers and words of ASCII letters.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        self.display(value)
    }

    /// A field with a phone number, behind a prefix such as `whatsapp:`.
    pub(super) fn number(&mut self, name: &str, prefix: &str, number: PhoneNumber) -> &mut Self {
        self.name(name);
        self.escaped(prefix);
        self.0.push_str("%2B");
        self.display(number.as_u64())
    }

    /// `StatusCallback`: where Twilio reports what became of the attempt.
    pub(super) fn status_callback(&mut self, callback: &Callback, kind: CallbackKind) -> &mut Self {
        self.name("StatusCallback");
        self.escaped(&callback.public_url).escaped(kind.path());
        self.0.push_str("%3Fattempt%3D");
        // Digits, letters and hyphens.
        self.display(callback.attempt)
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
    }

    fn escaped(&mut self, value: &str) -> &mut Self {
        self.0.extend(byte_serialize(value.as_bytes()));
        self
    }

    fn display(&mut self, value: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }
}
