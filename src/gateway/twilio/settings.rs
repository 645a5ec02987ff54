//! What Twilio is given to work with, checked before anything is sent.

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

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
    /// The `WhatsApp` sender, or its template, is empty.
    #[error("the WhatsApp sender must be a phone number, and its template, when given, an id such as HX...")]
    WhatsAppSender,
    /// The number that calls is empty.
    #[error("the number that calls is empty: give one of the account's phone numbers")]
    Caller,
    /// The Verify service's id cannot be part of a URL.
    #[error("the Verify service must be letters, digits, - and _, such as VA followed by 32 hex digits")]
    VerifyService,
    /// The base URL is not one. It is not repeated here: it may contain a password.
    #[error(
        "the base URL must be http:// or https:// and a host, without a user name, a query or a fragment"
    )]
    BaseUrl,
    /// The HTTP client could not be built.
    #[error("{0}")]
    Client(String),
}

/// Refuses an id that could change the path it becomes part of.
pub(super) fn check_id(id: &str, otherwise: TwilioSettingsError) -> Result<(), TwilioSettingsError> {
    let fits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits { Ok(()) } else { Err(otherwise) }
}

/// Where the API is.
pub(super) fn base(base_url: &str) -> Result<Url, TwilioSettingsError> {
    let base = Url::parse(base_url).map_err(|_| TwilioSettingsError::BaseUrl)?;
    let usable = matches!(base.scheme(), "http" | "https")
        && base.has_host()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if usable { Ok(base) } else { Err(TwilioSettingsError::BaseUrl) }
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
