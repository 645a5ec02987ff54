//! Twilio's settings, as errors name them, and what is checked of them before anything is sent.

use hyper::header::HeaderValue;

use crate::domain::{GatewayCredential, GatewayName};
use crate::gateway::GatewaySettingsError;
use crate::gateway::wire::basic_auth;

pub(super) const ACCOUNT_SID: &str = "sms.twilio.sid (TWILIO_ACCOUNT_SID)";
pub(super) const AUTH_TOKEN: &str = "sms.twilio.token (TWILIO_AUTH_TOKEN)";
pub(super) const BASE_URL: &str = "TWILIO_BASE_URL";
pub(super) const SENDER: &str = "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID";
pub(super) const WHATSAPP_NUMBER: &str = "TWILIO_WHATSAPP_NUMBER";
pub(super) const WHATSAPP_TEMPLATE: &str = "whatsapp-content-sid";
pub(super) const CALLER: &str = "TWILIO_VOICE_NUMBER (else TWILIO_PHONE_NUMBER)";
pub(super) const VERIFY_SERVICE: &str = "sms.twilio.verify_sid (TWILIO_SERVICES_ID)";

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

/// Refuses a sender that is not there.
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
    token: &GatewayCredential,
) -> Result<HeaderValue, GatewaySettingsError> {
    let token = Some(token.expose()).filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
    token.and_then(|token| basic_auth(account_sid, token)).ok_or_else(|| {
        let problem = "must be visible ASCII characters, as the Twilio console shows it";
        GatewaySettingsError::new(gateway, AUTH_TOKEN, problem)
    })
}
