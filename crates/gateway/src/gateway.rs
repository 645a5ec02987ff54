//! A gateway as its callers see it: the messages that it takes, and what it can be asked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::{AttemptId, Channel, Code, GatewayName, Locale, PhoneNumber};
use crate::outcome::{Accepted, AccountFinding, ErrorClass, GatewayError, Verdict};
use crate::template::Wording;

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

/// The end of a code that a decision about its number caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeEnd {
    /// It verified the number.
    Used,
    /// A client or an operator ended the verification.
    Canceled,
    /// Too many wrong codes were submitted.
    LockedOut,
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

    /// The class of the provider's error code, and what it says.
    fn described(&self, _code: u32) -> Option<(ErrorClass, &'static str)> {
        None
    }

    /// Whether [`Gateway::report_code_end`] tells the provider anything.
    fn wants_code_ends(&self) -> bool {
        false
    }

    /// Tells the provider how the code of a message ended, where it wants to know.
    fn report_code_end<'a>(
        &'a self,
        _message_id: &'a str,
        _end: CodeEnd,
    ) -> BoxFuture<'a, Result<(), GatewayError>> {
        Box::pin(async { Ok(()) })
    }

    /// Asks the provider whether the account and the sender are in order, by requests that cost nothing. Empty if the
    /// provider has no such request.
    fn examine_account(&self) -> BoxFuture<'_, Vec<AccountFinding>> {
        Box::pin(async { Vec::new() })
    }

    /// `Ok` while sends can be expected to work, else what an operator must correct, for `/readyz`.
    fn readiness(&self) -> Result<(), String>;
}
