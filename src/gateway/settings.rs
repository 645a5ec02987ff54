//! The settings of each gateway.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::{Channel, GatewayName};

/// What is needed to be a customer of Twilio.
#[derive(Debug, Clone)]
pub struct TwilioAccount {
    /// `AC` and 32 hex digits; a private gateway may have ids of letters, digits, `-` and `_`.
    pub account_sid: String,
    /// The account's auth token.
    pub auth_token: SecretString,
    /// Scheme and authority, without a trailing slash: `https://api.twilio.com`, or `https://verify.twilio.com` for
    /// Verify, unless a test or a private gateway stands in.
    pub base_url: String,
}

/// What is needed to send through Twilio Messages.
#[derive(Debug, Clone)]
pub struct TwilioSettings {
    /// Whose account.
    pub account: TwilioAccount,
    /// Who text messages come from.
    pub sender: TwilioSender,
    /// Who `WhatsApp` messages come from; `None` when there is no such sender.
    pub whatsapp: Option<WhatsAppSender>,
    /// Whether messages are reported to Twilio that led to a verified number (`ProvideFeedback`).
    pub feedback: bool,
}

/// Who a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number, short code or alphanumeric sender: Twilio's `From`.
    Number(String),
    /// A messaging service, `MG...`: Twilio's `MessagingServiceSid`.
    MessagingService(String),
}

/// Who a `WhatsApp` message comes from, and in which approved form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatsAppSender {
    /// A number in E.164 form, without `whatsapp:`.
    pub number: String,
    /// An approved template, `HX...`, whose first variable is the code; `None` sends the text itself, which reaches
    /// only people who have written within the last day.
    pub content_sid: Option<String>,
}

/// What is needed to call through Twilio Voice.
#[derive(Debug, Clone)]
pub struct TwilioVoiceSettings {
    /// Whose account.
    pub account: TwilioAccount,
    /// The number that calls, in E.164 form.
    pub from: String,
    /// Whether a key must be pressed before the code is read, so that no answering machine records it. Needs a public
    /// address.
    pub gate: bool,
    /// How long the telephone rings.
    pub ring_for: Duration,
}

/// What is needed to send through Twilio Verify.
#[derive(Debug, Clone)]
pub struct TwilioVerifySettings {
    /// Whose account.
    pub account: TwilioAccount,
    /// `VA` and 32 hex digits.
    pub service_sid: String,
}

/// What is needed to send through Sinch Verification.
#[derive(Debug, Clone)]
pub struct SinchSettings {
    /// The application's key.
    pub app_id: String,
    /// Its secret.
    pub app_secret: SecretString,
    /// Where verifications are posted, such as `https://verification.api.sinch.com/verification/v1/verifications`.
    pub verification_url: String,
}

/// What is needed to send through Mada.
#[derive(Debug, Clone)]
pub struct MadaSettings {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Where messages are posted: a whole URL, or host, port and path, to which `http://` is added.
    pub url: String,
    /// The alphanumeric sender.
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
    /// Further headers. What is put in must be visible ASCII, so `{text}` cannot be. A `Content-Type` here replaces
    /// the body's own.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: HttpBody,
    /// What an accepted message is answered with.
    pub success: HttpSuccess,
    /// Channels that it serves; text messages unless said otherwise.
    pub channels: Vec<Channel>,
    /// `{username}`.
    pub username: Option<SecretString>,
    /// `{password}`.
    pub password: Option<SecretString>,
    /// `{token}`.
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

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpBody {
    /// None, as with `GET`.
    Empty,
    /// A JSON value; placeholders are replaced in every string of it, though not in the names of members.
    Json(serde_json::Value),
    /// Fields of a form.
    Form(Vec<(String, String)>),
}

/// How success is recognised: every condition that is given must hold. A number or a truth value at the end of a
/// pointer is compared as JSON writes it: `0`, `true`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpSuccess {
    /// HTTP statuses; any 2xx when empty.
    pub statuses: Vec<u16>,
    /// A JSON pointer (RFC 6901) into the answer, and the values, as text, that mean success.
    pub json: Option<(String, Vec<String>)>,
    /// A text that the body contains.
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
    /// Whose setting.
    pub gateway: GatewayName,
    /// The setting as it is written in the configuration, such as `sms.mada.url`.
    pub setting: String,
    /// What is wrong with it and what is accepted: the rest of a sentence.
    pub problem: String,
}

impl GatewaySettingsError {
    pub(super) fn new(gateway: GatewayName, setting: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may repeat names from the configuration, and are printed as one line.
        let line = |text: String| text.replace(char::is_control, "\u{fffd}");
        Self { gateway, setting: line(setting.into()), problem: line(problem.into()) }
    }
}
