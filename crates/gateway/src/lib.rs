//! onceward's providers behind one trait. They translate; they decide nothing.
//!
//! A gateway's error has a class, and only the class decides what happens next. Other servers are called
//! over HTTP with the client of this layer only.
//!
//! * `provider`: a provider as a request builder and a response classifier, and the one gateway that all of them
//!   share.
//! * `twilio`, `simulator`: the providers. `http_gateway`: those that a recipe makes. `recipe`: the recipes that come with
//!   the program, addresses and credentials in settings.
//! * `said`: the words of a provider, masked.
//! * `client`: the HTTP client, for addresses of the operator and for those that are named over the API. `egress`: the
//!   addresses that connections may go to.
//! * `gateway`: a gateway as its callers see it, and what becomes of a message.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

#[cfg(test)]
#[path = "tests/cases.rs"]
mod cases;
mod client;
#[cfg(any(test, feature = "double"))]
#[path = "tests/double.rs"]
pub mod double;
mod egress;
mod gateway;
mod http_gateway;
pub mod net;
pub mod older;
mod provider;
mod recipe;
mod said;
mod simulator;
mod twilio;

use std::sync::Arc;

use onceward_core::clock::Clock;
pub(crate) use onceward_core::{clock, domain, named, template};
use parking_lot::Mutex;
use said::Masks;
use secrecy::ExposeSecret as _;

use crate::domain::{Channel, GatewayName};

pub use client::{ClientError, EgressClients, GatewayResponse, HttpClient, NoResponse};
pub use futures_util::future::BoxFuture;
pub use gateway::{
    Accepted, AccountFinding, Callback, ErrorClass, Gateway, GatewayError, OutgoingMessage, Receipt,
    ReceiptStatus, Verdict,
};
pub use http_gateway::{HttpGatewaySettings, NotUnderstood, RecipeCallbacks};
pub use provider::{CodeClass, retry_after};
use provider::{HttpProvider, Provider};
use recipe::provider_url;
pub use recipe::{GatewaySettingsError, Recipe, RecipeSetting};
pub use simulator::{InboxMessage, Simulator};
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

    fn masks(&self) -> Masks {
        match self {
            Self::TwilioMessages(TwilioSettings { account, .. })
            | Self::TwilioVoice(TwilioVoiceSettings { account, .. })
            | Self::TwilioVerify(TwilioVerifySettings { account, .. }) => {
                Masks::new([account.auth_token.expose_secret()])
            }
            Self::Http(settings) => settings.masks(),
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
            masks: self.masks(),
            client,
            clock,
            refusal: Mutex::default(),
        }))
    }
}
