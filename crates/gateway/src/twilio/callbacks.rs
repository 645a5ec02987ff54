//! Twilio's reports to the public address: the status of a message or a call, and that a key was pressed at the
//! gate of a call.
//!
//! Sources: <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>,
//! <https://www.twilio.com/docs/voice/api/call-resource>, <https://www.twilio.com/docs/voice/twiml/gather>, and for
//! `X-Twilio-Signature` <https://www.twilio.com/docs/usage/security>. Twilio signs the whole public address that it
//! asked for, followed by the parameters of its form, with HMAC-SHA-1, keyed with the account's auth token. No time is
//! signed: an attacker who sees a callback can send it again; therefore carrying one out twice must do no harm.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use url::form_urlencoded::parse;

use super::codes::{class_of_report, is_id};
use crate::domain::{AttemptId, Locale, PhoneNumber};
use crate::net::in_query;
use crate::provider::code_in;
use crate::template::Wording;
use crate::{Callback, Receipt, ReceiptStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackKind {
    Message,
    Call,
    /// A call asks what to say; the answer is [`twiml`](super::twiml).
    Gate,
}

impl CallbackKind {
    pub const ALL: [Self; 3] = [Self::Message, Self::Call, Self::Gate];

    /// The address at which Twilio reports the attempt.
    pub(super) fn address(self, Callback { public_url, attempt }: &Callback) -> String {
        format!("{public_url}{}?attempt={attempt}", self.path())
    }

    pub const fn path(self) -> &'static str {
        match self {
            Self::Message => "/callbacks/twilio/message",
            Self::Call => "/callbacks/twilio/call",
            Self::Gate => "/callbacks/twilio/gate",
        }
    }
}

/// A report that certainly is Twilio's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioReport {
    /// The status of a message or call. May come twice, and after later ones.
    Receipt(Receipt),
    /// The action of the called person.
    Gate {
        attempt: AttemptId,
        message_id: String,
        to: PhoneNumber,
        /// The language that the question at the gate was in.
        locale: Option<Locale>,
        /// Where the text is from.
        wording: Wording,
        /// Whether a key was pressed: the code may be read out.
        pressed: bool,
    },
}

/// Why a request is not a valid report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// It came to a path of Twilio's, and may not be Twilio's.
    #[error(
        "X-Twilio-Signature is missing or does not fit: the request is not from Twilio, or TWILIO_AUTH_TOKEN \
         is not the account's, or public-url is not the address that Twilio asked for"
    )]
    NotFromTwilio,
    /// It came to the path of a gateway with a recipe, and may not be its provider's.
    #[error(
        "the key in the address, or the signature, is missing or does not fit: the request is not from the provider of the \
         gateway that its path names, or the gateway's settings have changed since the message"
    )]
    NotFromProvider,
    /// It is Twilio's, and makes no sense. What a recipe cannot read is ignored.
    #[error("the report is Twilio's and cannot be read: {0}")]
    Unreadable(&'static str),
}

#[derive(Debug)]
pub struct TwilioCallbacks {
    auth_token: SecretString,
    /// Without a trailing slash.
    public_url: Arc<str>,
}

impl TwilioCallbacks {
    /// For the account with this token, and callbacks at this public address: scheme, host, perhaps a port and a
    /// path, exactly as in [`Callback::public_url`](crate::Callback).
    pub fn new(auth_token: SecretString, public_url: &str) -> Self {
        let public_url = public_url.trim_end_matches('/').into();
        Self { auth_token, public_url }
    }

    /// Checks a request's signature, then reads it.
    ///
    /// `path_and_query` is what the server was asked for, unchanged. If the public address has a path of its own,
    /// that may be in front of it or not, as the proxy has it. `signature` is the value of `X-Twilio-Signature`.
    pub fn read(
        &self,
        kind: CallbackKind,
        path_and_query: &str,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<TwilioReport, CallbackError> {
        // As they are signed: sorted, each pair once.
        let fields: BTreeSet<(String, String)> = parse(body).into_owned().collect();
        let parameters: String = fields.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
        if !signature.is_some_and(|signature| self.is_genuine(path_and_query, &parameters, signature)) {
            return Err(CallbackError::NotFromTwilio);
        }
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let id = |name: &str| field(name).filter(|id| is_id(id)).map(str::to_owned);
        // The address was ours to choose: what the report is about is in it.
        let attempt = in_query(path_and_query, "attempt").and_then(|id| AttemptId::parse(&id));
        let attempt = attempt.ok_or(CallbackError::Unreadable("its address names no attempt"))?;
        let (message_id, status) = match kind {
            CallbackKind::Message => (id("MessageSid"), field("MessageStatus").and_then(status_of_message)),
            CallbackKind::Call => (id("CallSid"), field("CallStatus").and_then(status_of_call)),
            CallbackKind::Gate => (id("CallSid"), None),
        };
        let message_id = message_id.ok_or(CallbackError::Unreadable("it has no readable id"))?;
        if kind == CallbackKind::Gate {
            let to = field("To").and_then(|to| PhoneNumber::parse(to, None).ok());
            let to = to.ok_or(CallbackError::Unreadable("it has no readable number"))?;
            let pressed = field("Digits").is_some_and(|digits| !digits.is_empty());
            let locale = in_query(path_and_query, "locale").and_then(|tag| Locale::parse(&tag));
            let wording = match in_query(path_and_query, "text") {
                Some(text) => Wording::Custom(text.into()),
                None if in_query(path_and_query, "wording").is_some() => Wording::Tutorial,
                None => Wording::Api,
            };
            return Ok(TwilioReport::Gate { attempt, message_id, to, locale, wording, pressed });
        }
        let status = status.ok_or(CallbackError::Unreadable("its status is not known"))?;
        let code = field("ErrorCode").and_then(code_in);
        let code = code.filter(|code| *code != 0 && status == ReceiptStatus::Failed);
        let class = code.map(class_of_report);
        Ok(TwilioReport::Receipt(Receipt {
            attempt,
            gateway: None,
            message_id,
            status,
            code,
            class,
            said: None,
        }))
    }

    /// Whether the account signed this request. Takes the same time wherever a wrong signature differs.
    fn is_genuine(&self, path_and_query: &str, parameters: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        // Keys of every length are taken.
        let token = self.auth_token.expose_secret().as_bytes();
        let Ok(keyed) = Hmac::<Sha1>::new_from_slice(token) else { return false };
        addresses(&self.public_url, path_and_query).into_iter().any(|address| {
            let mac = keyed.clone().chain_update(address).chain_update(parameters);
            mac.verify_slice(&signature).is_ok()
        })
    }
}

pub(super) fn status_of_message(status: &str) -> Option<ReceiptStatus> {
    Some(match status {
        "accepted" | "scheduled" | "queued" => ReceiptStatus::Queued,
        "sending" => ReceiptStatus::Sending,
        "sent" => ReceiptStatus::Sent,
        "undelivered" | "failed" | "canceled" => ReceiptStatus::Failed,
        "delivered" => ReceiptStatus::Delivered,
        "read" => ReceiptStatus::Read,
        _ => return None,
    })
}

pub(super) fn status_of_call(status: &str) -> Option<ReceiptStatus> {
    Some(match status {
        "queued" | "initiated" => ReceiptStatus::Queued,
        "ringing" => ReceiptStatus::Sending,
        "in-progress" | "answered" => ReceiptStatus::Answered,
        "busy" | "failed" | "no-answer" | "canceled" => ReceiptStatus::Failed,
        "completed" => ReceiptStatus::Delivered,
        _ => return None,
    })
}

/// The addresses that Twilio may have requested, the likeliest first.
///
/// If the public address has a path, a proxy may have removed it or left it in the request. Twilio also signs some
/// addresses without their port, and some with the default port.
fn addresses(public_url: &str, path_and_query: &str) -> Vec<String> {
    let (scheme, rest) = public_url.split_once("://").unwrap_or(("", public_url));
    let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let left =
        !prefix.is_empty() && path_and_query.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let prefixes: &[&str] = if left { &[prefix, ""] } else { &[prefix] };
    // Colons within `[...]` belong to the address.
    let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let other_port = match port {
        Some((host, _)) => host.to_owned(),
        None => format!("{authority}:{}", if scheme == "http" { 80 } else { 443 }),
    };
    [authority, &other_port]
        .into_iter()
        .flat_map(|host| {
            prefixes.iter().map(move |prefix| format!("{scheme}://{host}{prefix}{path_and_query}"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
