//! onceward's providers behind one trait. They translate; they decide nothing.
//!
//! A gateway's error has a class, and only the class decides what happens next. Other servers are called
//! over HTTP with the client of this layer only.
//!
//! * `provider`: a provider as a request builder and a response classifier, and the one gateway that all of them
//!   share.
//! * `twilio`, `simulator`: the providers. `http_gateway`: those that a recipe makes. `recipe`: the recipes that come with
//!   the program.
//! * `client`: the HTTP client, for addresses of the operator and for those that are named over the API. `egress`: the
//!   addresses that connections may go to.
//! * `outcome`: what becomes of a message. `settings`: addresses and credentials in settings.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

#[cfg(test)]
#[path = "tests/cases.rs"]
mod cases;
mod client;
#[cfg(any(test, feature = "double"))]
#[path = "tests/double.rs"]
pub mod double;
mod egress;
mod http_gateway;
pub mod net;
pub mod older;
mod outcome;
mod provider;
mod recipe;
mod settings;
mod simulator;
mod twilio;

use std::sync::Arc;
use std::time::Duration;

use onceward_core::clock::Clock;
pub(crate) use onceward_core::{clock, domain, named, template};
use parking_lot::Mutex;

use crate::domain::{AttemptId, Channel, Code, GatewayName, Locale, PhoneNumber};
use crate::template::Wording;

pub use client::{ClientError, EgressClients, GatewayResponse, HttpClient, NoResponse};
pub use futures_util::future::BoxFuture;
pub use http_gateway::{HttpGatewaySettings, RecipeCallbacks};
pub use outcome::{
    Accepted, AccountFinding, AccountPart, ErrorClass, GatewayError, Receipt, ReceiptStatus, Verdict,
};
pub use provider::{CodeClass, retry_after};
use provider::{HttpProvider, Provider, not_tried};
pub use recipe::{Recipe, RecipeSetting};
pub use settings::GatewaySettingsError;
use settings::provider_url;
pub use simulator::{CodeStatus, InboxMessage, Simulator};
pub use twilio::{
    CallbackError, CallbackKind, TwilioAccount, TwilioCallbacks, TwilioReport, TwilioSender, TwilioSettings,
    TwilioVerifySettings, TwilioVoiceSettings, WhatsAppSender, describe_code as describe_twilio_code, twiml,
};

/// All that a gateway needs. Adding one adds it here.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are as many as gateways")]
pub enum ProviderSettings {
    TwilioMessages(TwilioSettings),
    TwilioVoice(TwilioVoiceSettings),
    TwilioVerify(TwilioVerifySettings),
    Http(HttpGatewaySettings),
}

impl ProviderSettings {
    pub const fn name(&self) -> GatewayName {
        match self {
            Self::TwilioMessages(_) => GatewayName::TwilioMessages,
            Self::TwilioVoice(_) => GatewayName::TwilioVoice,
            Self::TwilioVerify(_) => GatewayName::TwilioVerify,
            Self::Http(settings) => settings.owner.gateway,
        }
    }

    pub fn channels(&self) -> &[Channel] {
        match self {
            Self::TwilioMessages(TwilioSettings { whatsapp: Some(_), .. }) => {
                &[Channel::Sms, Channel::WhatsApp]
            }
            Self::TwilioMessages(_) => &[Channel::Sms],
            Self::TwilioVoice(_) => &[Channel::Call],
            Self::TwilioVerify(_) => twilio::VERIFY_CHANNELS,
            Self::Http(settings) => &settings.channels,
        }
    }

    /// The gateway. Sends nothing.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn build(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Gateway>, GatewaySettingsError> {
        let name = self.name();
        let (setting, target) = match self {
            Self::TwilioMessages(TwilioSettings { account, .. })
            | Self::TwilioVoice(TwilioVoiceSettings { account, .. })
            | Self::TwilioVerify(TwilioVerifySettings { account, .. }) => {
                (twilio::BASE_URL.to_owned(), provider_url(name, twilio::BASE_URL, &account.base_url)?)
            }
            Self::Http(settings) => (settings.owner.setting("url"), settings.tried()?),
        };
        let unusable = |error| GatewaySettingsError::new(name, setting, format!("cannot be used: {error}"));
        let client = HttpClient::for_target(&target).map_err(unusable)?;
        let provider: Box<dyn Provider> = match self {
            Self::TwilioMessages(settings) => Box::new(twilio::Messages::new(settings, target)),
            Self::TwilioVoice(settings) => Box::new(twilio::Voice::new(settings, target)),
            Self::TwilioVerify(settings) => Box::new(twilio::Verify::new(settings, target)),
            Self::Http(settings) => Box::new(http_gateway::HttpGateway::new(settings, Arc::clone(&clock))),
        };
        let (holds_codes, refuses_account): (bool, fn(u32) -> bool) = match self {
            Self::Http(settings) => (settings.check.is_some(), |_| true),
            Self::TwilioVerify(_) => (true, twilio::refuses_account),
            Self::TwilioMessages(_) | Self::TwilioVoice(_) => (false, twilio::refuses_account),
        };
        Ok(Arc::new(HttpProvider {
            name,
            channels: self.channels().to_vec(),
            holds_codes,
            refuses_account,
            provider,
            client,
            clock,
            refusal: Mutex::default(),
        }))
    }
}

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
        Box::pin(async { Err(not_tried(self.name(), "cannot check codes")) })
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
