//! The settings of each gateway, and the checks of addresses and credentials before anything is sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use zeroize::Zeroizing;

use crate::domain::{Channel, GatewayName};

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
    /// Whether messages are reported to Twilio that led to a verified number (`ProvideFeedback`).
    pub feedback: bool,
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
    pub ring_for: Duration,
}

#[derive(Debug, Clone)]
pub struct TwilioVerifySettings {
    pub account: TwilioAccount,
    /// `VA` and 32 hex digits.
    pub service_sid: String,
}

#[derive(Debug, Clone)]
pub struct SinchSettings {
    pub app_id: String,
    pub app_secret: SecretString,
    /// Where verifications are posted, such as `https://verification.api.sinch.com/verification/v1/verifications`.
    pub verification_url: String,
}

#[derive(Debug, Clone)]
pub struct MadaSettings {
    pub username: String,
    pub password: SecretString,
    /// Where messages are posted: a whole URL, or host, port and path, to which `http://` is added.
    pub url: String,
    pub source_name: String,
}

/// A gateway that is described in the configuration. In URL, header values and body values these are replaced: `{to}`
/// (`+14155552671`), `{to_digits}` (without `+`), `{text}`, `{code}`, `{channel}`, `{validity_seconds}`,
/// `{username}`, `{password}`, `{token}`, and `{basic}`, which is `base64(username:password)`. A brace itself is
/// written twice: `{{` or `}}`.
#[derive(Clone)]
pub struct HttpGatewaySettings {
    /// `GET`, `POST` or `PUT`, in any case.
    pub method: String,
    /// Where messages go. Scheme and host are written out; what is put in behind them is percent-encoded.
    pub url: String,
    /// Further headers. What is put in must be visible ASCII; therefore `{text}` cannot be. A `Content-Type` here
    /// replaces the body's own.
    pub headers: Vec<(String, String)>,
    pub body: HttpBody,
    /// The rule by which an answer means success.
    pub success: HttpSuccess,
    /// Channels that it serves; text messages unless said otherwise.
    pub channels: Vec<Channel>,
    pub username: Option<SecretString>,
    pub password: Option<SecretString>,
    pub token: Option<SecretString>,
}

impl std::fmt::Debug for HttpGatewaySettings {
    /// Shows no values of URL, headers and body: a key may be written there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGatewaySettings")
            .field("method", &self.method)
            .field("success", &self.success)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum HttpBody {
    /// None, as with `GET`.
    Empty,
    /// A JSON value; placeholders are replaced in every string of it, though not in the names of members.
    Json(serde_json::Value),
    Form(Vec<(String, String)>),
}

/// The conditions of success. Every given condition must hold. A number or a truth value at the end of a
/// pointer is compared as JSON writes it: `0`, `true`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpSuccess {
    /// HTTP statuses; any 2xx when empty.
    pub statuses: Vec<u16>,
    /// A JSON pointer (RFC 6901) into the answer, and the values, as text, that mean success.
    pub json: Option<(String, Vec<String>)>,
    pub contains: Option<String>,
    /// A JSON pointer to the provider's id of the message.
    pub message_id: Option<String>,
    /// Values at the place of `json` that say that the number does not exist.
    pub bad_number: Vec<String>,
    /// Values at the place of `json` that say that the same call may work later.
    pub retry: Vec<String>,
}

/// A setting that cannot work. Names the setting and what is accepted, never the value: it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway}: {setting} {problem}")]
pub struct GatewaySettingsError {
    pub gateway: GatewayName,
    /// The setting as it is written in the configuration, such as `sms.mada.url`.
    pub setting: String,
    /// The problem and the accepted values: the rest of a sentence.
    pub problem: String,
}

impl GatewaySettingsError {
    pub(super) fn new(gateway: GatewayName, setting: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may repeat names from the configuration, and are printed as one line.
        let line = |text: String| text.replace(char::is_control, "\u{fffd}");
        Self { gateway, setting: line(setting.into()), problem: line(problem.into()) }
    }
}

/// An address with scheme and host. The error does not repeat it: it may contain a password.
pub(super) fn provider_url(
    gateway: GatewayName,
    setting: &str,
    text: &str,
) -> Result<Url, GatewaySettingsError> {
    let error = |problem: &str| GatewaySettingsError::new(gateway, setting, problem);
    let url = Url::parse(text).map_err(|_| error("must be a URL such as https://sms.example.com/send"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("must begin with https:// or http:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("must not contain a user name or password: they have settings of their own"));
    }
    if url.fragment().is_some() {
        return Err(error("must not contain a # part, which is never sent"));
    }
    if url.as_str().parse::<Uri>().is_err() {
        return Err(error("is too long for a URL"));
    }
    Ok(url)
}

/// An address that paths are added to; it has no query. Slashes at its end do not count.
pub(super) fn base_url(gateway: GatewayName, setting: &str, text: &str) -> Result<Url, GatewaySettingsError> {
    let url = provider_url(gateway, setting, text.trim_end_matches('/'))?;
    if url.query().is_some() {
        let problem = "must not contain a ? part: paths are added to it";
        return Err(GatewaySettingsError::new(gateway, setting, problem));
    }
    Ok(url)
}

/// The address of a path below such a one; the path is given without a slash in front.
pub(super) fn below(base: &Url, path: &str) -> Option<Url> {
    Url::parse(&format!("{}/{path}", base.as_str().trim_end_matches('/'))).ok()
}

/// `base64(user:password)`.
pub(super) fn basic_credentials(user: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

/// The header of HTTP Basic authentication, which no `Debug` shows. `setting` is where both parts come from. A server would
/// read a user name with a colon as another name and password.
pub(super) fn basic_auth(
    gateway: GatewayName,
    setting: &str,
    user: &str,
    password: &SecretString,
) -> Result<HeaderValue, GatewaySettingsError> {
    let password = password.expose_secret();
    let is_usable = !user.is_empty() && !user.contains(':') && !password.is_empty();
    let header = Zeroizing::new(format!("Basic {}", *basic_credentials(user, password)));
    match HeaderValue::from_str(&header) {
        Ok(mut value) if is_usable => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => {
            let problem = "must both be given, the name or id without a colon";
            Err(GatewaySettingsError::new(gateway, setting, problem))
        }
    }
}

#[cfg(test)]
mod tests;
