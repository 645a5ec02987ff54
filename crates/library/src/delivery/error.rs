//! Why a message is not sent, for the log, the record of the attempt, and the caller.

use tracing::{debug, error, warn};

use super::guarded::GuardedGateway;
use super::run::DeliveryRun;
use crate::domain::Timestamp;
use crate::engine::SendLimit;
use crate::gateway::{Accepted, ErrorClass, GatewayError};
use crate::limits::guard::GuardRefusal;

/// The reason in the log when a gateway did not answer.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// Why a message may not be sent, or no gateway accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Wrong codes have locked the number.
    #[error("the number is locked out")]
    Locked {
        /// The end of the lockout.
        until: Timestamp,
    },
    /// A rule of the verification forbids the message now.
    #[error("a rule of the verification forbids the message now")]
    Limited(SendLimit),
    /// The pumping guard refuses the message, or a budget of messages or money is spent.
    #[error("the pumping guard refuses the message; nothing was sent")]
    Guard(GuardRefusal),
    /// The number does not exist.
    #[error("the provider says that the number does not exist")]
    BadNumber,
    /// The number cannot be reached on this channel, such as a landline by a text message.
    #[error("the provider says that the number cannot be reached on this channel")]
    NotReachable,
    /// The owner of the number asked not to receive messages.
    #[error("the owner of the number has asked the provider for no messages")]
    OptedOut,
    /// The provider blocks the number as fraud.
    #[error("the provider blocks the number as fraud")]
    Blocked,
    /// The account may not send to the number's country.
    #[error("the account may not send to the number's country")]
    Country,
    /// The gateway refused or failed for another reason, or its answer could not be understood.
    #[error("the gateway refused or failed")]
    Gateway,
    /// The gateway's time ended while it had the message: it may arrive.
    #[error("the gateway did not answer in time; the message may arrive or not")]
    NoAnswerInTime,
    /// The send time limit ended before a gateway was asked.
    #[error("the send time limit ended before the gateway could be asked; nothing was sent")]
    TimedOutWaiting,
    /// The code was used, replaced or locked, or it expired, before the message left.
    #[error("the code could no longer be used; nothing was sent")]
    NoLongerUsable,
    /// The shard does not answer, or the node may have lost its lease in the cluster.
    #[error("it is unknown whether the code can still be used; nothing was sent")]
    StateUnknown,
    /// The queue of the gateway was full, no permit came in time, or the charge of a budget was not stored in time.
    #[error("too many messages are waiting for the gateway; nothing was sent")]
    Overloaded,
    /// The circuit of every gateway for this number is open.
    #[error("every gateway for this number is out of service; nothing was sent")]
    OutOfService {
        /// When the next message may probe one of them.
        until: Timestamp,
    },
    /// No gateway for this number serves the channel, or none that can repeat the code.
    #[error("no gateway that is configured for this number sends on this channel; nothing was sent")]
    NotServed,
    /// A planned message was tried as often as is allowed.
    #[error("the retries are used up")]
    RetriesUsedUp,
}

impl Failure {
    /// What a gateway's error says.
    pub(super) fn of(error: &GatewayError) -> Self {
        match error.class {
            _ if error.whole_country => Self::Country,
            ErrorClass::BadNumber => Self::BadNumber,
            ErrorClass::NotReachableHere => Self::NotReachable,
            ErrorClass::OptedOut => Self::OptedOut,
            ErrorClass::Fraud => Self::Blocked,
            ErrorClass::Retry | ErrorClass::Configuration | ErrorClass::Refused | ErrorClass::Ambiguous => {
                Self::Gateway
            }
        }
    }

    /// Whether the number itself is the reason. Another request for it on this channel fails too.
    pub const fn is_about_the_number(self) -> bool {
        matches!(self, Self::BadNumber | Self::NotReachable | Self::OptedOut)
    }

    /// Whether nothing was sent and the code may still be usable: a planned message is put off.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Overloaded)
    }
}

// The log lines of a delivery run.

/// The log line of a message that may have been sent.
const OUTCOME_UNKNOWN: &str = "outcome of a message unknown";

impl<L> DeliveryRun<'_, L> {
    /// Logs a gateway's answer; `None` for no answer in time. No log line contains a code or a whole number; a
    /// provider's own words are masked.
    pub(super) fn log_answer(
        &self,
        gateway: &GuardedGateway,
        answer: Option<&Result<Accepted, GatewayError>>,
    ) {
        let (number, channel) = (self.outgoing.key.number, self.channel.as_str());
        let (request_id, gateway) = (self.outgoing.request_id.as_deref(), gateway.name.as_str());
        match answer {
            Some(Ok(_)) => debug!(request_id, %number, channel, gateway, "message accepted"),
            // An operator must act, also if another gateway accepts the message.
            Some(Err(GatewayError {
                class: class @ ErrorClass::Configuration, code, detail, said, ..
            })) => {
                let code = self.logged(*code);
                error!(request_id, %number, channel, gateway, %class, code, detail, said, "message not sent");
            }
            Some(Err(GatewayError { class, wait, code, detail, said, .. })) => {
                let code = self.logged(*code);
                let outcome = if class.may_have_been_sent() { OUTCOME_UNKNOWN } else { "message not sent" };
                let retry_after = wait.map(|wait| wait.as_secs());
                warn!(request_id, %number, channel, gateway, %class, code, retry_after, detail, said, "{outcome}");
            }
            None => warn!(request_id, %number, channel, gateway, reason = NO_ANSWER, "{OUTCOME_UNKNOWN}"),
        }
    }

    /// A provider's error code for the log: not one that is the message's code.
    fn logged(&self, error_code: Option<u32>) -> Option<u32> {
        error_code.filter(|code| self.code.expose().parse() != Ok(*code))
    }

    /// Logs a failure whose reason was not logged with a gateway's answer or the request.
    pub(super) fn log_failure(&self, error: Failure, dropped: Failure) {
        let (number, channel) = (self.outgoing.key.number, self.channel.as_str());
        let request_id = self.outgoing.request_id.as_deref();
        match error {
            _ if dropped == Failure::RetriesUsedUp => {
                warn!(request_id, %number, channel, "message unsendable, retries are used up");
            }
            Failure::TimedOutWaiting | Failure::NotServed | Failure::StateUnknown => {
                warn!(request_id, %number, channel, %error, "message not sent");
            }
            _ => debug!(request_id, %number, channel, %error, "message not sent"),
        }
    }
}
