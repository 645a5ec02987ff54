//! Verification as a library: one handle, no HTTP.
//!
//! [`Otp`] is the server without its front end: the same rules, the same durability, the same
//! gateways. What a code costs, how often it may be guessed and how long a lockout lasts is decided
//! once, on disk before it is told, whoever asks.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward::otp::Otp;
//!
//! # let directory = tempfile::tempdir()?;
//! // Without a gateway, messages go to an inbox in memory and nothing leaves the machine.
//! let otp = Otp::builder(directory.path()).brand("Acme").start().await?;
//! otp.send_sms("+14155550123").await?;
//!
//! let code = otp.inbox_code("+14155550123").ok_or("the inbox is empty")?;
//! let verified = otp.verify("+14155550123", &code).await;
//! assert!(verified.request_valid() && verified.code_valid() && verified.error().is_none());
//!
//! // A code works once.
//! assert!(!otp.verify("+14155550123", &code).await.code_valid());
//! # otp.stop().await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod error;
mod verified;

use std::sync::Arc;

use crate::app::Running;
use crate::config::Settings;
use crate::domain::{Channel, Code, PhoneNumber, Region, ServiceId};
use crate::gateway::Simulator;
use crate::shard::{CheckRequest, SendAnswer, SendRequest};
use crate::store::StoreError;
use crate::template::{MessageStyle, Wording};

pub use builder::OtpBuilder;
pub use error::OtpError;
pub use verified::{Sent, Verified};

/// A handle on a running verification engine. Cheap to clone.
#[derive(Clone)]
pub struct Otp {
    running: Arc<Running>,
    simulator: Option<Arc<Simulator>>,
    default_region: Option<Region>,
    calls: bool,
}

impl Otp {
    /// Begins to describe an engine whose state is kept in the directory `data_dir`, which one process
    /// at a time can use. It is created if need be.
    pub fn builder(data_dir: impl Into<std::path::PathBuf>) -> OtpBuilder {
        OtpBuilder::new(data_dir.into())
    }

    /// Starts with the settings of the server, as [`config::load`](crate::config::load) reads them from
    /// `config.json` and the environment. What is about HTTP in them is not used.
    pub async fn from_settings(settings: Settings) -> Result<Self, crate::app::StartError> {
        OtpBuilder::from_settings(settings).start().await
    }

    /// Sends a code by text message and returns when a provider has taken it. `phone` is in E.164 form,
    /// such as `+14155550123`, or national where a default region is set.
    ///
    /// A further send replaces the code, restarts its life, and keeps the count of wrong codes.
    pub async fn send_sms(&self, phone: &str) -> Result<Sent, OtpError> {
        self.send(phone, Channel::Sms, MessageStyle::default()).await
    }

    /// Calls and reads a code out, digit by digit, twice. Only with [`OtpBuilder::voice`].
    pub async fn call(&self, phone: &str) -> Result<Sent, OtpError> {
        self.send(phone, Channel::Call, MessageStyle::default()).await
    }

    /// As [`Otp::send_sms`] with a text of its own: `_CODE_` or `{code}` is where the code goes.
    pub async fn send_sms_with(&self, phone: &str, text: &str) -> Result<Sent, OtpError> {
        let style = MessageStyle { wording: Wording::Custom(text.into()), ..MessageStyle::default() };
        self.send(phone, Channel::Sms, style).await
    }

    /// Sends a code over any channel, worded in any way.
    pub async fn send(&self, phone: &str, channel: Channel, style: MessageStyle) -> Result<Sent, OtpError> {
        if channel == Channel::Call && !self.calls {
            return Err(OtpError::NoCalls);
        }
        if let Wording::Custom(text) = &style.wording {
            self.running.delivery.templates().check_custom(text).map_err(OtpError::Text)?;
        }
        let (service, number) = (ServiceId::DEFAULT, PhoneNumber::parse(phone, self.default_region)?);
        let request = SendRequest { service, number, options: None, channel: Some(channel), style };
        match self.running.verifier.send(request).await? {
            SendAnswer::Sent { attempts_left, message_id, postponed: _ } => {
                Ok(Sent { message_id, attempts_left })
            }
            SendAnswer::Locked { remaining } => Err(OtpError::Locked { remaining }),
            SendAnswer::NumberRefused => Err(OtpError::NumberRefused),
            SendAnswer::GatewayFailed => Err(OtpError::Gateway),
        }
    }

    /// Says whether a code is right. A right one works once; a wrong one is counted before this returns.
    pub async fn verify(&self, phone: &str, code: &str) -> Verified {
        let number = match PhoneNumber::parse(phone, self.default_region) {
            Ok(number) => number,
            Err(error) => return Verified::failed(error.into()),
        };
        let request = CheckRequest { service: ServiceId::DEFAULT, number, code: Code::parse(code) };
        self.running.verifier.check(request).await.into()
    }

    /// The code in the newest message of the simulator's inbox to `phone`; `None` without a simulator
    /// or a message.
    pub fn inbox_code(&self, phone: &str) -> Option<String> {
        let number = PhoneNumber::parse(phone, self.default_region).ok()?;
        let messages = self.simulator.as_ref()?.messages(Some(number), 1);
        messages.first().map(|message| message.code.expose().to_owned())
    }

    /// Answers what is in flight, refuses what comes later on every handle, and closes the store.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.running.stop().await
    }
}
