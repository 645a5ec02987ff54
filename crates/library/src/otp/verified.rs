//! The results of a send and of a check.

use super::OtpError;
use crate::domain::Timestamp;
use crate::verification::numbers::{CheckOutcome, Refusal, Reply};

/// A message that a provider has taken, or that will be tried again in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub(super) message_id: String,
    pub(super) attempts_left: u8,
    pub(super) postponed: bool,
}

impl Sent {
    /// Whether no gateway took the message yet: it is tried again in the background, while the code lives.
    /// Only with the setting `sms.retry`.
    pub const fn is_postponed(&self) -> bool {
        self.postponed
    }

    /// The provider's id of the message, or one of ours while it waits for another try in the background.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Wrong codes still allowed before the number is locked out.
    pub const fn attempts_left(&self) -> u8 {
        self.attempts_left
    }
}

/// The result of a check: three answers in one value. Only [`Verified::code_valid`] lets a person in.
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
/// assert_eq!(verified.attempts_left(), Some(1));
/// let verified = otp.verify("+14155550123", "nor this").await;
/// assert!(matches!(verified.error(), Some(OtpError::Locked { .. })));
/// # otp.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unread result lets everyone in"]
pub struct Verified {
    request_valid: bool,
    code_valid: bool,
    attempts_left: Option<u8>,
    error: Option<OtpError>,
}

impl Verified {
    /// Whether there was a live verification to compare with.
    pub const fn request_valid(&self) -> bool {
        self.request_valid
    }

    /// Whether the code was right. It is used up by that, durably: no later check, on no other handle and after no
    /// crash, finds it valid.
    pub const fn code_valid(&self) -> bool {
        self.code_valid
    }

    /// Why the code was not judged, or that the number is locked out now.
    pub const fn error(&self) -> Option<&OtpError> {
        self.error.as_ref()
    }

    /// Wrong codes still allowed after a wrong one; `None` otherwise.
    pub const fn attempts_left(&self) -> Option<u8> {
        self.attempts_left
    }

    pub(super) fn failed(error: OtpError) -> Self {
        Self { request_valid: false, code_valid: false, attempts_left: None, error: Some(error) }
    }
}

impl From<Result<Reply<CheckOutcome>, Refusal>> for Verified {
    fn from(reply: Result<Reply<CheckOutcome>, Refusal>) -> Self {
        let Reply { outcome, at, .. } = match reply {
            Ok(reply) => reply,
            Err(refusal) => return Self::failed(refusal.into()),
        };
        let locked = |request_valid, until: Timestamp| Self {
            request_valid,
            ..Self::failed(OtpError::Locked { remaining: until.since(at) })
        };
        match outcome {
            CheckOutcome::Approved => {
                Self { request_valid: true, code_valid: true, attempts_left: None, error: None }
            }
            CheckOutcome::Wrong { attempts_left, live } => Self {
                request_valid: live,
                code_valid: false,
                attempts_left: Some(attempts_left),
                error: None,
            },
            CheckOutcome::LockedNow { until, live } => locked(live, until),
            CheckOutcome::Locked { until } => locked(false, until),
            CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound => {
                Self::failed(Refusal::NumberBusy.into())
            }
            CheckOutcome::GatewayFailed => Self { request_valid: true, ..Self::failed(OtpError::Gateway) },
        }
    }
}
