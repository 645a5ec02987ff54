//! Reports of providers: once their signature is checked, the tracker learns of them. The gate of a
//! call is answered with what is to be said.

use tracing::{debug, warn};

use super::front_end::Late;
use super::running::Running;
use crate::config::Settings;
use crate::domain::{Channel, TrackKey};
use crate::gateway::{
    BoxFuture, CallbackError, CallbackKind as Kind, Receipt, ReceiptStatus, TwilioCallbacks, TwilioReport,
    twiml,
};
use crate::http::{CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, OncePerSecond};
use crate::template::MessageStyle;

/// Takes the reports of Twilio.
pub struct TwilioReports {
    twilio: TwilioCallbacks,
    /// Whether a key must be pressed before a call reads the code: then that, and not the end of the
    /// call, proves that somebody has heard it.
    gated: bool,
    late: Late,
    refused: Refused,
}

/// Anybody may send reports that are refused, as many as they like: they must not fill the log.
struct Refused {
    unsigned: OncePerSecond,
    unreadable: OncePerSecond,
}

impl TwilioReports {
    /// `None` without a public address or without an account of Twilio's.
    pub fn new(settings: &Settings, late: Late) -> Option<Self> {
        let public_url = settings.delivery.public_url.clone()?;
        let gateways = &settings.gateways;
        let voice = gateways.twilio_voice.as_ref();
        let account = gateways.twilio_messages.as_ref().map(|twilio| &twilio.account);
        let account = account.or_else(|| voice.map(|voice| &voice.account))?;
        let refused = Refused { unsigned: OncePerSecond::start(), unreadable: OncePerSecond::start() };
        let twilio = TwilioCallbacks::new(account.auth_token.clone(), public_url);
        Some(Self { twilio, gated: voice.is_some_and(|voice| voice.gate), late, refused })
    }

    async fn take(&self, request: CallbackRequest) -> CallbackAnswer {
        let CallbackRequest { kind, path_and_query, content_type, signature, body } = request;
        let kind = match kind {
            CallbackKind::Message => Kind::Message,
            CallbackKind::Call => Kind::Call,
            CallbackKind::Gate => Kind::Gate,
        };
        let read =
            self.twilio.read(kind, &path_and_query, content_type.as_deref(), signature.as_deref(), &body);
        let report = match read {
            Ok(report) => report,
            Err(error) => return self.refused.answer(error),
        };
        let Some(running) = self.late.running() else { return CallbackAnswer::Unavailable };
        match report {
            TwilioReport::Receipt(receipt) => {
                debug!(message_id = receipt.message_id, status = receipt.status.as_str(), "a report came");
                running.delivery.tracker().note_receipt(&self.weighed(kind, receipt));
                CallbackAnswer::NoContent
            }
            gate @ TwilioReport::Gate { .. } => CallbackAnswer::Twiml(opened(running, gate).await),
        }
    }

    /// A gated call that ended without a key was held with a machine, as far as anybody knows. Where one
    /// was pressed, the tracker knows that already, and a status never moves backwards.
    fn weighed(&self, kind: Kind, receipt: Receipt) -> Receipt {
        if self.gated && kind == Kind::Call && receipt.status == ReceiptStatus::Delivered {
            return Receipt { status: ReceiptStatus::Failed, ..receipt };
        }
        receipt
    }
}

impl Refused {
    fn answer(&self, error: CallbackError) -> CallbackAnswer {
        let (kind, answer) = match error {
            CallbackError::Signature => (&self.unsigned, CallbackAnswer::BadSignature),
            CallbackError::Unreadable(_) => (&self.unreadable, CallbackAnswer::Unreadable),
        };
        if let Some(count) = kind.count() {
            warn!(%error, count, "reports were refused");
        }
        answer
    }
}

impl Callbacks for TwilioReports {
    fn receive(&self, request: CallbackRequest) -> BoxFuture<'_, CallbackAnswer> {
        Box::pin(self.take(request))
    }

    fn path_prefix(&self) -> &str {
        self.twilio.path_prefix()
    }
}

/// What a call says at its gate: the code, if a key was pressed and it is still good.
async fn opened(running: &Running, gate: TwilioReport) -> String {
    let TwilioReport::Gate { attempt, message_id, to, locale, pressed: true } = gate else {
        return twiml::hang_up();
    };
    let TrackKey { service, track } = attempt.key;
    let Some((code, left)) = running.verifier.code_of(service, to, track).await else {
        return twiml::hang_up();
    };
    let style = MessageStyle { locale, ..MessageStyle::default() };
    let said = running.delivery.templates().render(&style, Channel::Call, to, &code, left);
    let (status, code, class) = (ReceiptStatus::Delivered, None, None);
    running.delivery.tracker().note_receipt(&Receipt { attempt, message_id, status, code, class });
    twiml::reading(&said.text, said.locale)
}
