//! Records the reports of providers after a check of their signature, and answers the gate of a call. The server and
//! the library use it in the same way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::running::Running;
use crate::config::GatewaySettings;
use crate::domain::Channel;
use crate::gateway::{
    CallbackError, CallbackKind, Receipt, ReceiptStatus, TwilioCallbacks, TwilioReport, twiml,
};
use crate::http::OncePerSecond;
use crate::template::MessageStyle;

/// Takes the reports of Twilio.
pub struct Reports {
    twilio: TwilioCallbacks,
    /// Whether a key must be pressed before a call reads the code. Then the key proves delivery, not the call's end.
    gated: bool,
    refused: Refused,
}

/// Unauthenticated clients can send any number of invalid reports. A rate limit keeps them from filling the log.
struct Refused {
    unsigned: OncePerSecond,
    unreadable: OncePerSecond,
}

impl Refused {
    fn answer(&self, error: CallbackError) -> Reported {
        let (kind, answer) = match error {
            CallbackError::Signature => (&self.unsigned, Reported::BadSignature),
            CallbackError::Unreadable(_) => (&self.unreadable, Reported::Unreadable),
        };
        if let Some(count) = kind.count() {
            warn!(%error, count, "reports were refused");
        }
        answer
    }
}

/// A report as it came: not to be logged, hence no `Debug`.
pub struct Report<'a> {
    /// Which address it came to.
    pub kind: CallbackKind,
    /// The path and the query as sent, still percent-encoded.
    pub path_and_query: &'a str,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `X-Twilio-Signature`.
    pub signature: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// It was noted.
    Noted,
    /// What the call says or does next (`TwiML`).
    Says(String),
    /// It is not from the gateway, or was changed on its way.
    BadSignature,
    /// It is signed, and yet not what the path reads.
    Unreadable,
    /// Nothing runs yet that could take it, or its shard is not available.
    NotRunning,
}

impl Reports {
    /// `None` without a public address or without an account of Twilio's that reports.
    pub fn new(gateways: &GatewaySettings, public_url: Option<&Arc<str>>) -> Option<Self> {
        let public_url = Arc::clone(public_url?);
        let voice = gateways.twilio_voice.as_ref();
        let account = gateways.twilio_messages.as_ref().map(|twilio| &twilio.account);
        let account = account.or_else(|| voice.map(|voice| &voice.account))?;
        let twilio = TwilioCallbacks::new(account.auth_token.clone(), public_url);
        let refused = Refused { unsigned: OncePerSecond::start(), unreadable: OncePerSecond::start() };
        Some(Self { twilio, gated: voice.is_some_and(|voice| voice.gate), refused })
    }

    /// The path of the public address, which a proxy may leave in front of the paths of reports.
    pub fn path_prefix(&self) -> &str {
        self.twilio.path_prefix()
    }

    /// Takes one report. Its sender is unknown until its signature is checked.
    pub async fn take(&self, report: Report<'_>, running: Option<&Running>) -> Reported {
        let Report { kind, path_and_query, content_type, signature, body } = report;
        let report = match self.twilio.read(kind, path_and_query, content_type, signature, body) {
            Ok(report) => report,
            Err(error) => return self.refused.answer(error),
        };
        let Some(running) = running else { return Reported::NotRunning };
        match report {
            TwilioReport::Receipt(receipt) => {
                debug!(message_id = receipt.message_id, status = receipt.status.as_str(), "a report came");
                match running.verifying.receive(self.weighed(kind, receipt)).await {
                    Ok(()) => Reported::Noted,
                    Err(_) => Reported::NotRunning,
                }
            }
            gate @ TwilioReport::Gate { .. } => Reported::Says(opened(running, gate).await),
        }
    }

    /// A gated call that ended without a key counts as answered by a machine. Where one
    /// was pressed, that is recorded already, and a status never moves backwards.
    fn weighed(&self, kind: CallbackKind, receipt: Receipt) -> Receipt {
        if self.gated && kind == CallbackKind::Call && receipt.status == ReceiptStatus::Delivered {
            return Receipt { status: ReceiptStatus::Failed, ..receipt };
        }
        receipt
    }
}

/// The wait for the record of an opened gate.
const GATE_WAIT: Duration = Duration::from_millis(500);

/// The answer at the gate of a call: reads the code if a key was pressed and the code is live, otherwise hangs up.
async fn opened(running: &Running, gate: TwilioReport) -> String {
    let TwilioReport::Gate { attempt, message_id, to, locale, pressed: true } = gate else {
        return twiml::hang_up();
    };
    let Some((code, left)) = running.verifier.code_of(to, attempt.key).await else {
        return twiml::hang_up();
    };
    let style = MessageStyle { locale, ..MessageStyle::default() };
    let said = running.delivery.templates().render(&style, Channel::Call, to, &code, left);
    let (status, code, class) = (ReceiptStatus::Delivered, None, None);
    // The person hears the code soon, also while the report waits for the end of its send.
    let (verifying, receipt) =
        (running.verifying.clone(), Receipt { attempt, message_id, status, code, class });
    let recorded = tokio::spawn(async move { verifying.receive(receipt).await });
    let _ = timeout(GATE_WAIT, recorded).await;
    twiml::reading(&said.text, said.locale)
}
