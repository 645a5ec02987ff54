//! What Twilio is given to work with, checked before anything is sent.

use base64::Engine as _;
use form_urlencoded::Serializer;
use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::super::TwilioSender;
use crate::domain::GatewayCredential;

/// Why Twilio cannot be used with the settings given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwilioSettingsError {
    /// The account SID cannot be part of a URL.
    #[error("the account SID must be letters, digits, - and _, such as AC followed by 32 hex digits")]
    AccountSid,
    /// The auth token is empty or not ASCII.
    #[error("the auth token must be visible ASCII characters, as the Twilio console shows it")]
    AuthToken,
    /// The sender is empty.
    #[error("the sender is empty: give a phone number or a messaging service")]
    Sender,
    /// The base URL is not one. It is not repeated here: it may contain a password.
    #[error(
        "the base URL must be http:// or https:// and a host, without a user name, a query or a fragment"
    )]
    BaseUrl,
    /// The HTTP client could not be built.
    #[error("{0}")]
    Client(String),
}

/// Where messages are posted.
pub(super) fn messages_url(account_sid: &str, base_url: &str) -> Result<Url, TwilioSettingsError> {
    let of_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if account_sid.is_empty() || !account_sid.bytes().all(of_id) {
        return Err(TwilioSettingsError::AccountSid);
    }
    let base = Url::parse(base_url).map_err(|_| TwilioSettingsError::BaseUrl)?;
    let usable = matches!(base.scheme(), "http" | "https")
        && base.has_host()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !usable {
        return Err(TwilioSettingsError::BaseUrl);
    }
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}/2010-04-01/Accounts/{account_sid}/Messages.json"))
        .map_err(|_| TwilioSettingsError::BaseUrl)
}

/// The sender as a pair of a form.
pub(super) fn sender_pair(sender: &TwilioSender) -> Result<String, TwilioSettingsError> {
    let (field, value) = match sender {
        TwilioSender::Number(number) => ("From", number),
        TwilioSender::MessagingService(sid) => ("MessagingServiceSid", sid),
    };
    if value.trim().is_empty() {
        return Err(TwilioSettingsError::Sender);
    }
    Ok(Serializer::new(String::new()).append_pair(field, value).finish())
}

/// The header of HTTP Basic authentication (RFC 7617), which no `Debug` shows.
pub(super) fn authorization(
    account_sid: &str,
    token: &GatewayCredential,
) -> Result<HeaderValue, TwilioSettingsError> {
    let token = token.expose();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(TwilioSettingsError::AuthToken);
    }
    let pair = Zeroizing::new(format!("{account_sid}:{token}"));
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    let header = Zeroizing::new(format!("Basic {}", *encoded));
    let mut value = HeaderValue::from_str(&header).map_err(|_| TwilioSettingsError::AuthToken)?;
    value.set_sensitive(true);
    Ok(value)
}
