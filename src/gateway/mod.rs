//! Providers, one file each behind one trait, and what they share in `wire`. They translate; they
//! decide nothing.
//!
//! A gateway's error has a class, and only the class decides what happens next. This layer is the
//! only one that asks others over HTTP.

#[cfg(test)]
pub(crate) mod double;
mod http_gateway;
mod mada;
mod receipt;
mod settings;
mod settings_error;
mod simulator;
mod sinch;
mod twilio;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{AttemptId, Channel, Code, GatewayName, Locale, PhoneNumber};

pub use futures_util::future::BoxFuture;

pub use http_gateway::HttpGateway;
pub use mada::Mada;
pub use receipt::{Receipt, ReceiptStatus};
pub use settings::{
    HttpBody, HttpGatewaySettings, HttpSuccess, MadaSettings, SinchSettings, TwilioAccount, TwilioSender,
    TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender,
};
pub use settings_error::GatewaySettingsError;
pub use simulator::{InboxMessage, Simulator};
pub use sinch::Sinch;
pub use twilio::{
    CallbackError, CallbackKind, TwilioCallbacks, TwilioMessages, TwilioReport, TwilioVerify, TwilioVoice,
    twiml,
};
pub use wire::{PostAnswer, PostError, Poster};

/// One message to hand over. Has no `Debug`: the text contains the code.
pub struct OutgoingMessage {
    /// The recipient.
    pub to: PhoneNumber,
    /// How it gets there.
    pub channel: Channel,
    /// The finished text, code included. For [`Channel::Call`] the digits are set apart (`1. 2. 3.`),
    /// so that each is read by itself.
    pub text: String,
    /// The language that the text is in, if that is known.
    pub locale: Option<Locale>,
    /// The code by itself, for gateways that read it out or fill in a template of their own.
    pub code: Code,
    /// Keys that a call presses when it is answered: digits, `*`, `#`, `w` and `W`.
    pub send_digits: Option<Arc<str>>,
    /// How much longer the code can be used: a provider must not deliver it later than that.
    pub valid_for: Duration,
    /// Where the provider is to report what became of it; `None` without a public address.
    pub callback: Option<Callback>,
}

/// The public address of this server, and the attempt that a provider's report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Scheme, host and perhaps a path, without a trailing slash.
    pub public_url: Arc<str>,
    /// What the report is about.
    pub attempt: AttemptId,
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

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry { after: Some(after) } => write!(f, "Retry after {} s", after.as_secs_f64()),
            Self::Retry { after: None } => f.write_str("Retry"),
            other => write!(f, "{other:?}"),
        }
    }
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
#[error("{gateway} {detail} (class {class}{})", code.map(|c| format!(", code {c}")).unwrap_or_default())]
pub struct GatewayError {
    /// Who.
    pub gateway: GatewayName,
    /// What it means for what happens next.
    pub class: ErrorClass,
    /// The provider's own error code.
    pub code: Option<u32>,
    /// What happened, in words of ours.
    pub detail: String,
    /// Whether any other message would have fared the same just now: nobody answers, too many
    /// requests, a server error. What only this number or country met does not count, or strangers
    /// could take a gateway out of service for everybody.
    pub whole_gateway: bool,
}

/// A provider.
///
/// There are two sorts. Most deliver a text that carries our code, and know nothing of checks. Some
/// ([`Gateway::checker`]) make and hold a code themselves: they ignore `text` and `code` of a
/// message, and only they can say whether a submitted code is right.
pub trait Gateway: Send + Sync + 'static {
    /// Which one.
    fn name(&self) -> GatewayName;

    /// The channels it serves.
    fn channels(&self) -> &[Channel];

    /// Hands a message over. Returns once the provider has accepted or refused it; the caller
    /// bounds the time and may drop the future.
    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>>;

    /// Who checks codes: `Some` for a gateway that holds the code itself.
    fn checker(&self) -> Option<&dyn Checker> {
        None
    }

    /// Whether [`Gateway::confirm`] tells anybody anything.
    fn wants_confirmation(&self) -> bool {
        false
    }

    /// Tells the provider that a message led to a verified number, where it wants to know.
    fn confirm<'a>(&'a self, _message_id: &'a str) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async { Ok(()) })
    }

    /// `Ok` while sends can be expected to work, else what an operator must mend, for `/readyz`.
    fn readiness(&self) -> Result<(), String>;
}

/// The other half of a gateway that holds the code itself.
pub trait Checker: Send + Sync {
    /// Asks whether a code is right. The caller has counted the attempt, bounds the time, and never
    /// asks twice at once about one number.
    ///
    /// An error of the class [`ErrorClass::Ambiguous`] leaves open whether the provider looked at the
    /// code; every other class promises that it did not.
    fn check<'a>(
        &'a self,
        to: PhoneNumber,
        channel: Channel,
        code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>>;
}

/// What a provider says about a code that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Right; the provider accepts it no second time.
    Approved,
    /// Wrong.
    Wrong,
    /// There is no code to compare with: used up, expired or never sent.
    NotLive,
}
