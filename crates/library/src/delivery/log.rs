//! The log lines of a delivery run.
use tracing::{debug, error, warn};

use super::error::{Failure, NO_ANSWER};
use super::guarded::GuardedGateway;
use super::run::DeliveryRun;
use crate::domain::Locale;
use crate::gateway::{Accepted, ErrorClass, GatewayError};

/// The log line of a message that may have been sent.
const OUTCOME_UNKNOWN: &str = "outcome of a message unknown";

impl<O> DeliveryRun<'_, O> {
    /// Logs a gateway's answer; `None` for no answer in time. No log line contains a code, a whole number
    /// or a provider's own words: an id with the code or the number in it is left out.
    pub(super) fn log_answer(
        &self,
        gateway: &GuardedGateway,
        answer: Option<&Result<Accepted, GatewayError>>,
    ) {
        let (number, channel) = (self.outgoing.key.number, self.channel.as_str());
        let (request_id, gateway) = (self.outgoing.request_id.as_deref(), gateway.name.as_str());
        match answer {
            Some(Ok(accepted)) => {
                let id = accepted.message_id.as_str();
                let digits = self.outgoing.key.number.as_u64().to_string();
                let message_id = (!id.contains(self.code.expose()) && !id.contains(&digits)).then_some(id);
                debug!(request_id, %number, channel, gateway, message_id, "message accepted");
            }
            // An operator must act, also if another gateway accepts the message.
            Some(Err(GatewayError { class: class @ ErrorClass::Configuration, code, detail, .. })) => {
                let code = self.logged(*code);
                error!(request_id, %number, channel, gateway, %class, code, detail, "message not sent");
            }
            Some(Err(GatewayError { class, code, detail, .. })) => {
                let code = self.logged(*code);
                let outcome = if class.may_have_been_sent() { OUTCOME_UNKNOWN } else { "message not sent" };
                let retry_after = class.retry_after_seconds();
                warn!(request_id, %number, channel, gateway, %class, code, retry_after, detail, "{outcome}");
            }
            None => warn!(request_id, %number, channel, gateway, reason = NO_ANSWER, "{OUTCOME_UNKNOWN}"),
        }
    }

    /// Logs once for each service and language that its text messages cost more than one.
    pub(super) fn log_parts(&self, locale: Option<Locale>) {
        let (service, parts) = (self.outgoing.key.service, self.parts);
        if parts <= 1 {
            return;
        }
        let mut logged = self.delivery.long_texts.lock();
        if logged.insert((service, locale)) {
            let service = self.delivery.deps.services.as_ref().map(|registry| registry.title_of(service));
            warn!(
                service,
                language = locale.map(display),
                parts,
                "text message of several parts, each is paid for"
            );
        }
    }

    pub(super) fn log_postponed(&self, error: Failure) {
        let (number, channel) = (self.outgoing.key.number, self.channel.as_str());
        let request_id = self.outgoing.request_id.as_deref();
        debug!(request_id, %number, channel, %error, "message postponed, retried in the background");
    }

    /// A provider's error code for the log: not one that is the message's code.
    fn logged(&self, error_code: Option<u32>) -> Option<u32> {
        error_code.filter(|code| self.code.expose().parse() != Ok(*code))
    }

    /// Logs a failure whose reason was not logged with a gateway's answer or by the limiter.
    pub(super) fn log_failure(&self, error: Failure, dropped: Failure) {
        let (number, channel) = (self.outgoing.key.number, self.channel.as_str());
        let request_id = self.outgoing.request_id.as_deref();
        if dropped == Failure::RetriesUsedUp {
            warn!(request_id, %number, channel, "message unsendable, retries are used up");
            return;
        }
        match error {
            Failure::TimedOutWaiting
            | Failure::BudgetUnknown
            | Failure::NotServed
            | Failure::StateUnknown => {
                warn!(request_id, %number, channel, %error, "message not sent");
            }
            // While circuits are open, each request of a flood ends here.
            Failure::OutOfService { .. } => {
                let (first, reason) = (request_id.map(str::to_owned), error.to_string());
                self.delivery.out_of_service.note(move |count| {
                    warn!(request_id = first, %number, channel, error = reason, count, "message not sent");
                });
                debug!(request_id, %number, channel, %error, "message not sent");
            }
            // Not a failure: the code is not needed any more, or has cost enough.
            Failure::NoLongerUsable | Failure::TooManyMessages => {
                debug!(request_id, %number, channel, %error, "message not sent");
            }
            // Logged with a gateway's answer, by the limiter or by the guard.
            _ => {}
        }
    }
}
