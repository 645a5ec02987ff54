//! A gateway as its callers see it: the messages that it takes, and what it can be asked.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::domain::{AttemptId, Channel, Code, GatewayName, Locale, PhoneNumber};
use crate::template::{Wording, parts_of};

/// One message to hand over. Has no `Debug`: the text contains the code.
pub struct OutgoingMessage {
    pub to: PhoneNumber,
    pub channel: Channel,
    /// The finished text, code included. For [`Channel::Call`] the digits are set apart (`1. 2. 3.`), so that each is
    /// read by itself.
    pub text: String,
    /// The language that the text is in, if that is known.
    pub locale: Option<Locale>,
    /// Where the text is from: a call with a gate renders it again when a key is pressed.
    pub wording: Wording,
    /// The code by itself, for gateways that read it out or fill in a template of their own.
    pub code: Code,
    /// Keys that a call presses when it is answered: digits, `*`, `#`, `w` and `W`.
    pub send_digits: Option<Arc<str>>,
    /// The sender's name, for a provider that words the message itself; `None` for the provider's own setting.
    pub sender_name: Option<Box<str>>,
    /// The remaining lifetime of the code. A provider must not deliver it later.
    pub valid_for: Duration,
    /// The attempt that this message is.
    pub attempt: AttemptId,
    /// Where the provider is to report what became of it; `None` without a public address.
    pub callback: Option<Callback>,
}

impl OutgoingMessage {
    /// The number in the form that the channel knows it by.
    pub fn recipient(&self) -> PhoneNumber {
        if self.channel == Channel::WhatsApp { self.to.on_whatsapp() } else { self.to }
    }
}

/// The public address of this server, and the attempt that a provider's report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Scheme, host and perhaps a path, without a trailing slash.
    pub public_url: Arc<str>,
    pub attempt: AttemptId,
}

/// A provider.
///
/// There are two sorts. Most deliver a text that carries our code, and know nothing of checks. Some
/// ([`Gateway::holds_codes`]) make and hold a code themselves: they ignore `text` and `code` of a message, and only they
/// can say whether a submitted code is right.
pub trait Gateway: Send + Sync + 'static {
    fn name(&self) -> GatewayName;

    fn channels(&self) -> &[Channel];

    /// Hands a message over. Returns once the provider has accepted or refused it; the caller bounds the time and may
    /// drop the future.
    fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>>;

    /// Whether it makes and holds the codes itself. It then implements [`Gateway::check`].
    fn holds_codes(&self) -> bool {
        false
    }

    /// Asks a gateway that holds codes whether one is right. The caller has counted the attempt, bounds the time, and never
    /// asks twice at once about one number.
    ///
    /// An error of the class [`ErrorClass::Ambiguous`] leaves open whether the provider looked at the code; every
    /// other class promises that it did not.
    fn check<'a>(
        &'a self,
        _to: PhoneNumber,
        _channel: Channel,
        _code: &'a Code,
    ) -> BoxFuture<'a, Result<Verdict, GatewayError>> {
        Box::pin(async { Err(GatewayError::not_tried(self.name(), "cannot check codes")) })
    }

    /// The text messages as which the provider sends a text, each of which is paid for.
    fn parts(&self, text: &str) -> usize {
        parts_of(text)
    }

    /// The class of the provider's error code, and what it says.
    fn described(&self, _code: u32) -> Option<(ErrorClass, &'static str)> {
        None
    }

    /// Asks the provider whether the credentials are right, by a request that costs nothing. `None` if the provider has no
    /// such request.
    fn examine_account(&self) -> BoxFuture<'_, Option<AccountFinding>> {
        Box::pin(async { None })
    }

    /// `Ok` while sends can be expected to work, else what an operator must correct, for `/readyz`.
    fn readiness(&self) -> Result<(), String>;
}

// The outcomes of a message: accepted, refused with a class, reported later.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's own id of the message, such as `SM...`.
    pub message_id: String,
}

/// The class of an error. It decides about retries and further gateways. The names are those of metrics and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorClass {
    BadNumber,
    /// It exists but cannot be reached on this channel or from this sender, such as a landline.
    #[strum(serialize = "not_reachable")]
    NotReachableHere,
    /// Its owner asked not to receive messages.
    OptedOut,
    /// Surely not sent; the same call may work later.
    Retry,
    /// Credentials, sender, country permission or account: an operator must act.
    Configuration,
    /// The provider's fraud protection refused: stop, and try no other channel.
    Fraud,
    /// Blocked, filtered or refused for this message; another channel may work.
    Refused,
    /// It may have been sent.
    Ambiguous,
}

impl std::fmt::Display for ErrorClass {
    /// The name in the log and in documents.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ErrorClass {
    /// Whether the message may have left, or may yet. Every class but [`ErrorClass::Ambiguous`] is a promise that it
    /// did not.
    pub const fn may_have_been_sent(self) -> bool {
        matches!(self, Self::Ambiguous)
    }
}

/// Why a gateway did not accept a message. Never contains the message or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{gateway} {detail} (class {class}{})", code.map(|c| format!(", code {c}")).unwrap_or_default())]
pub struct GatewayError {
    pub gateway: GatewayName,
    pub class: ErrorClass,
    /// The wait that the provider asked for, with the class [`ErrorClass::Retry`].
    pub wait: Option<Duration>,
    /// The provider's error code, of at most six digits.
    pub code: Option<u32>,
    /// A description in the server's own words.
    pub detail: String,
    /// What the provider said, masked. Only people read it.
    pub said: Option<Box<str>>,
    /// Whether any other message would have failed now: no answer, too many requests, a server error. A failure of only
    /// this number or country does not count, because a caller could otherwise take a gateway out of service for all
    /// others.
    pub whole_gateway: bool,
    /// Whether the account may not send to the number's country.
    pub whole_country: bool,
}

impl GatewayError {
    /// The same with a wait of at most `longest`, whatever the provider asked for.
    #[must_use]
    pub fn waiting_at_most(self, longest: Duration) -> Self {
        Self { wait: self.wait.map(|wait| wait.min(longest)), ..self }
    }
}

/// What a provider says of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFinding {
    /// Scheme, host and port of the address that was asked.
    pub asked: String,
    /// Why messages would fail.
    pub state: Result<(), GatewayError>,
    /// The provider's own time, if it answered with one.
    pub date: Option<SystemTime>,
}

/// A provider's verdict on a code that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Right; the provider accepts it no second time.
    Approved,
    Wrong,
    /// No code to compare with: used, expired or never sent.
    NotLive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub attempt: AttemptId,
    /// The gateway whose provider reports: the receipt changes only an attempt that this gateway made. `None` for Twilio: its
    /// signature covers the address, and with it the attempt.
    pub gateway: Option<GatewayName>,
    pub message_id: String,
    pub status: ReceiptStatus,
    /// The provider's error code, if it has failed.
    pub code: Option<u32>,
    /// The class of that error code.
    pub class: Option<ErrorClass>,
    /// What the provider said of a failure, masked.
    pub said: Option<Box<str>>,
}

crate::named! {
    /// The progress of a message or call, the furthest last. It only moves forward. Records contain the position in
    /// this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    pub enum ReceiptStatus {
        /// Waits at the provider.
        Queued = "queued",
        /// On its way to the network, or the phone rings.
        Sending = "sending",
        /// The network took it.
        Sent = "sent",
        /// A person has picked up.
        Answered = "answered",
        /// It did not arrive: undelivered, failed, busy, not answered, canceled.
        Failed = "failed",
        /// It arrived, or the call was held.
        Delivered = "delivered",
        /// It was opened by its recipient.
        Read = "read",
    }
}
