//! The results of a send and of a check.

use std::time::Duration;

use super::Otp;
use crate::domain::{Channel, NumberError, Timestamp, seconds_up};
use crate::gateway::Receipt;
use crate::verification::{CheckOutcome, Refusal, Reply};

/// Why a send or a check did not end as hoped. The number is never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtpError {
    /// It is not a phone number. Nothing was counted.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Too many wrong codes: nothing is sent or checked for a while.
    #[error("the number is locked out for another {} s", seconds_up(*remaining))]
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The number does not exist or cannot get such messages: for example, a landline cannot get text messages. Another
    /// attempt does not help.
    #[error("the number does not exist or cannot be reached")]
    NumberRefused,
    /// The pumping guard refuses messages to this number. Nothing was sent. The log says which rule.
    #[error("messages to this number are not permitted")]
    Blocked,
    /// A budget of messages or money is spent. Nothing was sent.
    #[error("the budget of messages is spent for another {} s", seconds_up(*remaining))]
    BudgetSpent {
        /// Until messages may be sent again.
        remaining: Duration,
    },
    /// No gateway took the message, or the one that holds the code did not answer. The log says why. Asking
    /// again later may help.
    #[error("no gateway did what it was asked to; the log says why")]
    Gateway,
    /// No gateway in the order of the gateways serves this channel. Calls need the setting `voice`.
    #[error("no gateway sends by {}", .0.as_str())]
    NoGateway(Channel),
    /// The text of the message cannot be used; the message says why.
    #[error("the text cannot be used: {0}")]
    Text(String),
    /// The engine refused: too much to do, the store in trouble, or stopping. Asking again later helps,
    /// except after [`Otp::stop`](super::Otp::stop).
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The result of a check: three answers in one value. Only `code_valid` lets a person in.
///
/// | | `request_valid` | `code_valid` | `error` |
/// |---|---|---|---|
/// | the right code | true | true | none |
/// | a wrong code | true | false | none |
/// | no live verification: never sent, used already, or late | false | false | none |
/// | the wrong code that used the last attempt | true, or false if it was late | false | [`OtpError::Locked`] |
/// | the gateway that holds the code did not say | true | false | [`OtpError::Gateway`] |
/// | locked already; no number; the engine refused | false | false | the reason |
///
/// The result for a wrong code:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use onceward_library::otp::{Otp, OtpError};
/// # let directory = tempfile::tempdir()?;
/// let otp = Otp::builder(directory.path()).set("otp-max-attempts", 2).start().await?;
/// otp.send_sms("+14155550123").await?;
///
/// let verified = otp.verify("+14155550123", "not a code").await;
/// assert_eq!(verified.attempts_left, Some(1));
/// let verified = otp.verify("+14155550123", "nor this").await;
/// assert!(matches!(verified.error, Some(OtpError::Locked { .. })));
/// # otp.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use = "an unread result lets everyone in"]
pub struct Verified {
    /// Whether there was a live verification to compare with.
    pub request_valid: bool,
    /// Whether the code was right. It is used up by that, durably: no later check, on no other handle and after no
    /// crash, finds it valid.
    pub code_valid: bool,
    /// Wrong codes still allowed after a wrong one; `None` otherwise.
    pub attempts_left: Option<u8>,
    /// Why the code was not judged, or that the number is locked out now.
    pub error: Option<OtpError>,
}

impl Verified {
    pub(super) fn failed(error: impl Into<OtpError>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

impl From<Result<Reply<CheckOutcome>, Refusal>> for Verified {
    fn from(reply: Result<Reply<CheckOutcome>, Refusal>) -> Self {
        let Reply { outcome, at, .. } = match reply {
            Ok(reply) => reply,
            Err(refusal) => return Self::failed(refusal),
        };
        let locked = |until: Timestamp| Self::failed(OtpError::Locked { remaining: until.since(at) });
        match outcome {
            CheckOutcome::Approved => Self { request_valid: true, code_valid: true, ..Self::default() },
            CheckOutcome::Wrong { attempts_left, live } => {
                Self { request_valid: live, attempts_left: Some(attempts_left), ..Self::default() }
            }
            CheckOutcome::LockedNow { until, live } => Self { request_valid: live, ..locked(until) },
            CheckOutcome::Locked { until } => locked(until),
            CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => Self::failed(Refusal::NumberBusy),
            CheckOutcome::GatewayFailed => Self { request_valid: true, ..Self::failed(OtpError::Gateway) },
        }
    }
}

// Reports of providers.

impl Otp {
    /// Notes what the provider of a gateway of your own reported; the attempt is the one of
    /// [`OutgoingMessage::callback`](super::OutgoingMessage::callback). Whether the report is the provider's is for
    /// you to check. The same report twice changes nothing, and one about an attempt that is not known, or that another
    /// gateway made, is ignored.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] after [`Otp::stop`]; other refusals when it could not be recorded.
    pub async fn note_receipt(&self, receipt: &Receipt) -> Result<(), Refusal> {
        if self.engine.is_stopping() {
            return Err(Refusal::Stopping);
        }
        self.engine.running.verifier.receive(receipt.clone()).await
    }
}
