//! Records the reports of providers after a check of their signature, and answers the gate of a call. The server and
//! the library use it in the same way.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Running;
use crate::config::GatewaySettings;
use crate::domain::Channel;
use crate::gateway::{
    CallbackError, CallbackKind, NotUnderstood, ProviderSettings, Receipt, ReceiptStatus, RecipeCallbacks,
    TwilioCallbacks, TwilioReport, twiml,
};
use crate::observe::log_limit::OncePerSecond;
use crate::shard::Refusal;
use crate::template::MessageStyle;

/// Takes the reports of Twilio, and of the providers of gateways with a recipe.
pub struct ReportReceiver {
    twilio: Option<TwilioCallbacks>,
    recipes: Option<RecipeCallbacks>,
    /// Whether a key must be pressed before a call reads the code. Then the key proves delivery, not the call's end.
    gated: bool,
    /// Unauthenticated clients can send any number of invalid reports. A rate limit keeps them from filling the log.
    refused: OncePerSecond,
    /// A provider may send any number of reports that nobody reads.
    not_understood: OncePerSecond,
}

impl ReportReceiver {
    /// `None` without a public address or without a gateway that reports.
    pub fn new(gateways: &GatewaySettings, public_url: Option<&str>) -> Option<Self> {
        let public_url = public_url?;
        let voice = gateways.twilio_voice();
        let account = gateways.twilio_messages().map(|twilio| &twilio.account);
        let account = account.or_else(|| voice.map(|voice| &voice.account));
        let twilio = account.map(|account| TwilioCallbacks::new(account.auth_token.clone(), public_url));
        let recipes = RecipeCallbacks::new(gateways.providers.iter().filter_map(|provider| match provider {
            ProviderSettings::Http(settings) => Some(settings),
            _ => None,
        }));
        if twilio.is_none() && recipes.is_none() {
            return None;
        }
        let gated = voice.is_some_and(|voice| voice.gate);
        let [refused, not_understood] = [(); 2].map(|()| OncePerSecond::default());
        Some(Self { twilio, recipes, gated, refused, not_understood })
    }

    /// Takes one report, of which the path and the query are as sent. Its sender is unknown until its signature is checked.
    /// Returns the media type and the text of the answer; `None` for 204.
    ///
    /// # Errors
    /// 403 for a report that is not from the gateway or was changed on its way, 400 for a signed one that is not what the path
    /// reads, 503 for one that cannot be taken now, 500 if it may have been recorded.
    pub async fn record(
        &self,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
        running: Option<&Running>,
    ) -> Result<Option<(&'static str, String)>, StatusCode> {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let kind = CallbackKind::ALL.into_iter().find(|kind| path.ends_with(kind.path()));
        let read = if let Some(kind) = kind {
            // A header counts only if it occurs once.
            let mut signatures = headers.get_all("x-twilio-signature").iter();
            let signature = signatures.next().filter(|_| signatures.next().is_none());
            let signature = signature.and_then(|value| value.to_str().ok());
            let twilio = self.twilio.as_ref().ok_or(CallbackError::NotFromTwilio);
            let report = twilio.and_then(|twilio| twilio.read(kind, path_and_query, signature, body));
            report.map(|report| vec![report])
        } else {
            if let Some(text) = self.recipes.as_ref().and_then(|recipes| recipes.challenge(path_and_query)) {
                return Ok(Some((CHALLENGE, text)));
            }
            let recipes = self.recipes.as_ref().ok_or(CallbackError::NotFromProvider);
            let receipts = recipes.and_then(|recipes| recipes.read(path_and_query, headers, body));
            let understood = |read: Vec<_>| {
                let receipts = read.into_iter().filter_map(|receipt| self.understood(receipt));
                receipts.map(TwilioReport::Receipt).collect::<Vec<_>>()
            };
            receipts.map(understood)
        };
        let reports = match read {
            Ok(reports) => reports,
            Err(error) => {
                let is_unreadable = matches!(error, CallbackError::Unreadable(_));
                self.refused.note(move |count| warn!(%error, count, "callbacks refused"));
                return Err(if is_unreadable { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN });
            }
        };
        let running = running.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let mut receipts = Vec::new();
        for report in reports {
            let TwilioReport::Receipt(mut receipt) = report else {
                return Ok(Some((TWIML, gate_answer(running, report).await)));
            };
            // A gated call that ended without a key counts as answered by a machine. Where one was pressed, that is recorded
            // already, and a status never moves backwards.
            if self.gated && kind == Some(CallbackKind::Call) && receipt.status == ReceiptStatus::Delivered {
                receipt.status = ReceiptStatus::Failed;
            }
            debug!(attempt = %receipt.attempt, status = receipt.status.as_str(), "callback received");
            receipts.push(receipt);
        }
        // One that cannot be taken now does not keep the others from being recorded; the provider repeats them all.
        let taken = receipts.into_iter().map(|receipt| running.verifier.receive(receipt));
        let taken: Vec<_> = stream::iter(taken).buffer_unordered(AT_ONCE).collect().await;
        let is_recorded = taken.iter().any(Result::is_ok);
        let refused = taken.into_iter().find_map(Result::err).map(|refusal| match refusal {
            _ if is_recorded => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::OutcomeUnknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        });
        refused.map_or(Ok(None), Err)
    }

    /// Notes in the log what was not understood.
    fn understood(&self, receipt: Result<Receipt, NotUnderstood>) -> Option<Receipt> {
        receipt
            .map_err(|error| {
                let NotUnderstood { gateway, reason } = error;
                self.not_understood
                    .note(move |count| warn!(%gateway, %reason, count, "receipt not understood"));
            })
            .ok()
    }
}

/// The receipts of one request that are recorded at the same time.
const AT_ONCE: usize = 32;

/// The media type of the next instructions of a call (`TwiML`).
pub const TWIML: &str = "text/xml; charset=utf-8";

/// The media type of the `hub.challenge` of a provider that verifies the address.
pub const CHALLENGE: &str = "text/plain; charset=utf-8";

/// The wait for the record of an opened gate.
const GATE_WAIT: Duration = Duration::from_millis(500);

/// The answer at the gate of a call: reads the code if a key was pressed and the code is live, otherwise hangs up.
async fn gate_answer(running: &Running, gate: TwilioReport) -> String {
    let TwilioReport::Gate { attempt, message_id, to, locale, wording, pressed: true } = gate else {
        return twiml::hang_up();
    };
    let Some((code, left)) = running.verifier.code_of(to, attempt.key).await else {
        return twiml::hang_up();
    };
    let style = MessageStyle { wording, locale, ..MessageStyle::default() };
    let said = running.delivery.templates().render(&style, Channel::Call, to, &code, left);
    let (gateway, status, code, class) = (None, ReceiptStatus::Delivered, None, None);
    // The person hears the code soon, also while the report waits for the end of its send.
    let receipt = Receipt { attempt, gateway, message_id, status, code, class, said: None };
    let _ = timeout(GATE_WAIT, running.verifier.receive(receipt)).await;
    twiml::reading(&said.text, said.locale)
}
