//! What Twilio reports to the public address: how far a message or a call came, and that a key was
//! pressed at the gate of a call.
//!
//! Sources: <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>,
//! <https://www.twilio.com/docs/voice/api/call-resource>,
//! <https://www.twilio.com/docs/voice/twiml/gather>.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::answer::is_id;
use super::codes::class_of_report;
use super::signature::{Request, is_genuine};
use crate::domain::{AttemptId, GatewayCredential, Locale, PhoneNumber};
use crate::gateway::{Receipt, ReceiptStatus};

/// What is reported, by the address that it is reported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackKind {
    /// `/callbacks/twilio/message`: how far a message came.
    Message,
    /// `/callbacks/twilio/call`: how far a call came.
    Call,
    /// `/callbacks/twilio/gate`: a call asks what to say; the answer is [`twiml`](super::twiml).
    Gate,
}

/// A report that certainly is Twilio's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwilioReport {
    /// How far a message or call came. May come twice, and after later ones.
    Receipt(Receipt),
    /// What the called person did.
    Gate {
        /// The call.
        attempt: AttemptId,
        /// Twilio's id of it.
        message_id: String,
        /// Who is called.
        to: PhoneNumber,
        /// The language that the question at the gate was in.
        locale: Option<Locale>,
        /// Whether a key was pressed: the code may be read out.
        pressed: bool,
    },
}

/// Why a request is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// It may be anybody's.
    #[error(
        "X-Twilio-Signature is missing or does not fit: the request is not from Twilio, or TWILIO_AUTH_TOKEN \
         is not the account's, or public-url is not the address that Twilio asked for"
    )]
    Signature,
    /// It is Twilio's, and makes no sense.
    #[error("Twilio's report cannot be read: {0}")]
    Unreadable(&'static str),
}

/// Reads reports.
#[derive(Debug)]
pub struct TwilioCallbacks {
    auth_token: GatewayCredential,
    /// Without a trailing slash.
    public_url: Arc<str>,
}

impl TwilioCallbacks {
    /// For the account with this token, and callbacks at this public address: scheme, host, perhaps
    /// a port and a path, exactly as in [`Callback::public_url`](crate::gateway::Callback).
    pub fn new(auth_token: GatewayCredential, public_url: Arc<str>) -> Self {
        let public_url = match public_url.strip_suffix('/') {
            Some(bare) => bare.trim_end_matches('/').into(),
            None => public_url,
        };
        Self { auth_token, public_url }
    }

    /// The path of the public address: nothing, or it begins with a slash and ends with none.
    pub fn path_prefix(&self) -> &str {
        let host_and_path = self.public_url.split_once("://").map_or(&*self.public_url, |(_, rest)| rest);
        host_and_path.find('/').map_or("", |at| &host_and_path[at..])
    }

    /// Checks a request's signature, then reads it.
    ///
    /// `path_and_query` is what the server was asked for, unchanged. If the public address has a path
    /// of its own, that may be in front of it or not, as the proxy has it. `signature` is the value of
    /// `X-Twilio-Signature`.
    pub fn read(
        &self,
        kind: CallbackKind,
        path_and_query: &str,
        content_type: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<TwilioReport, CallbackError> {
        let signature = signature.ok_or(CallbackError::Signature)?;
        let form = content_type.is_some_and(is_form).then(|| Fields::of_form(body));
        let request = Request { path_and_query, form: form.as_ref(), body };
        if !is_genuine(&self.auth_token, &self.public_url, &request, signature) {
            return Err(CallbackError::Signature);
        }
        let attempt = in_query(path_and_query, "attempt").and_then(|id| AttemptId::parse(&id));
        let attempt = attempt.ok_or(CallbackError::Unreadable("its address names no attempt"))?;
        let fields = match form {
            Some(fields) => fields,
            None => Fields::of_json(body).ok_or(CallbackError::Unreadable("neither a form nor JSON"))?,
        };
        match kind {
            CallbackKind::Message => {
                receipt(attempt, &fields, ("MessageSid", "MessageStatus"), status_of_message)
            }
            CallbackKind::Call => receipt(attempt, &fields, ("CallSid", "CallStatus"), status_of_call),
            CallbackKind::Gate => {
                let message_id = fields.id("CallSid")?;
                let to = fields.value("To")?.and_then(|to| PhoneNumber::parse(to, None).ok());
                let to = to.ok_or(CallbackError::Unreadable("it has no readable number"))?;
                let pressed = fields.value("Digits")?.is_some_and(|digits| !digits.is_empty());
                let locale = in_query(path_and_query, "locale").and_then(|tag| Locale::parse(&tag));
                Ok(TwilioReport::Gate { attempt, message_id, to, locale, pressed })
            }
        }
    }
}

fn is_form(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The address was ours to choose: what the report is about is in it.
fn in_query(path_and_query: &str, name: &str) -> Option<String> {
    let (_, query) = path_and_query.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn receipt(
    attempt: AttemptId,
    fields: &Fields,
    (sid, status): (&str, &str),
    read_status: fn(&str) -> Option<ReceiptStatus>,
) -> Result<TwilioReport, CallbackError> {
    let message_id = fields.id(sid)?;
    let status = fields.value(status)?.and_then(read_status);
    let status = status.ok_or(CallbackError::Unreadable("its status is not known"))?;
    let code = fields.value("ErrorCode")?.and_then(|code| code.parse().ok()).filter(|code| *code != 0);
    let code = code.filter(|_| status == ReceiptStatus::Failed);
    Ok(TwilioReport::Receipt(Receipt { attempt, message_id, status, code, class: code.map(class_of_report) }))
}

fn status_of_message(status: &str) -> Option<ReceiptStatus> {
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

fn status_of_call(status: &str) -> Option<ReceiptStatus> {
    Some(match status {
        "queued" | "initiated" => ReceiptStatus::Queued,
        "ringing" => ReceiptStatus::Sending,
        "in-progress" | "answered" => ReceiptStatus::Answered,
        "busy" | "failed" | "no-answer" | "canceled" => ReceiptStatus::Failed,
        "completed" => ReceiptStatus::Delivered,
        _ => return None,
    })
}

/// Names and values, sorted, each pair once.
pub(super) struct Fields(BTreeSet<(String, String)>);

impl Fields {
    pub(super) fn of_form(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The texts and numbers of a JSON object.
    fn of_json(body: &[u8]) -> Option<Self> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let fields = object.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            serde_json::Value::Number(number) => Some((name, number.to_string())),
            _ => None,
        });
        Some(Self(fields.collect()))
    }

    /// The value of a field; an error when it has several, for the signature does not say which was
    /// first.
    fn value(&self, name: &str) -> Result<Option<&str>, CallbackError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(CallbackError::Unreadable("a field has two values"));
        }
        Ok(value)
    }

    /// The value of a field that must be an id of Twilio's.
    fn id(&self, name: &str) -> Result<String, CallbackError> {
        let id = self.value(name)?.filter(|id| is_id(id));
        id.map(str::to_owned).ok_or(CallbackError::Unreadable("it has no readable id"))
    }

    /// Every name with its value behind it, as they are signed.
    pub(super) fn in_order(&self) -> String {
        self.0.iter().flat_map(|(name, value)| [name.as_str(), value]).collect()
    }
}

#[cfg(test)]
mod tests;
