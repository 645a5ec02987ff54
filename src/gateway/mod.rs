//! Providers, one file each behind one trait. They translate; they decide nothing.
//!
//! A gateway's error has a class, and only the class decides what happens next. This layer is the
//! only user of reqwest.

#[cfg(test)]
pub(crate) mod double;
mod http_client;
mod simulator;
mod twilio;
mod twilio_codes;

use std::time::Duration;

use crate::domain::{Channel, Code, PhoneNumber};

pub use futures_util::future::BoxFuture;

pub use simulator::{InboxMessage, Simulator};
pub use twilio::{TwilioMessages, TwilioSender, TwilioSettings, TwilioSettingsError};

/// One message to hand over. Has no `Debug`: the text contains the code.
pub struct OutgoingMessage {
    /// Whom it goes to.
    pub to: PhoneNumber,
    /// How it gets there.
    pub channel: Channel,
    /// The finished text, code included.
    pub text: String,
    /// The code by itself, for gateways that read it out or fill in a template of their own.
    pub code: Code,
    /// How much longer the code can be used: a provider must not deliver it later than that.
    pub valid_for: Duration,
}

/// The provider took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's own id of the message, such as `SM...`.
    pub message_id: String,
}

/// What an error means for what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The number does not exist.
    BadNumber,
    /// It exists but cannot be reached on this channel or from this sender, such as a landline.
    NotReachableHere,
    /// Its owner asked not to receive messages.
    OptedOut,
    /// Surely not sent; the same call may work later.
    Retry {
        /// The wait that the provider asked for.
        after: Option<Duration>,
    },
    /// Credentials, sender, country permission or account: an operator must act.
    Configuration,
    /// The provider's fraud protection refused: stop, and try no other channel.
    Fraud,
    /// Blocked, filtered or refused for this message; another channel may work.
    Refused,
    /// Nobody knows whether it was sent: sending again by ourselves could send twice.
    Ambiguous,
}

impl ErrorClass {
    /// Whether the message may have left, or may yet. Every class but [`ErrorClass::Ambiguous`]
    /// is a promise that it did not.
    pub const fn may_have_been_sent(self) -> bool {
        matches!(self, Self::Ambiguous)
    }

    /// Whether the number itself is the reason: it does not exist or takes no such messages.
    /// Asking again about the same number on the same channel will not help.
    pub const fn is_about_the_number(self) -> bool {
        matches!(self, Self::BadNumber | Self::NotReachableHere | Self::OptedOut)
    }
}

/// Why a gateway did not accept a message. Never contains the message or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway} {detail} (class {class:?}{})", code.map(|c| format!(", code {c}")).unwrap_or_default())]
pub struct GatewayError {
    /// The gateway's name.
    pub gateway: &'static str,
    /// What it means for what happens next.
    pub class: ErrorClass,
    /// The provider's own error code.
    pub code: Option<u32>,
    /// What happened, in words of ours.
    pub detail: String,
}

/// A provider.
pub trait Gateway: Send + Sync + 'static {
    /// The name used in settings and logs, such as `TwilioMessages`.
    fn name(&self) -> &'static str;

    /// Hands a message over. Returns once the provider has accepted or refused it; the caller
    /// bounds the time and may drop the future.
    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>>;

    /// `Ok` while sends can be expected to work, else what an operator must mend, for `/readyz`.
    fn readiness(&self) -> Result<(), String>;
}
