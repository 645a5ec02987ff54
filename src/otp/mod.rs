//! Verification as a library: one handle, no HTTP server.
//!
//! [`Otp`] is the server without its front end: the same rules, the same durability, the same
//! gateways. Every count and lockout is on disk before a caller learns of it.
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
//!
//! # Providers
//!
//! A provider is added by its settings, and `routing` says who is tried for which numbers:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward::otp::{MadaSettings, Otp, SecretString, TwilioAccount, TwilioSender, TwilioSettings};
//!
//! # let directory = tempfile::tempdir()?;
//! let otp = Otp::builder(directory.path())
//!     .twilio_messages(TwilioSettings {
//!         account: TwilioAccount {
//!             account_sid: "AC00000000000000000000000000000000".to_owned(),
//!             auth_token: SecretString::from("your-token".to_owned()),
//!             base_url: "https://api.twilio.com".to_owned(),
//!         },
//!         sender: TwilioSender::Number("+15005550006".to_owned()),
//!         whatsapp: None,
//!         feedback: false,
//!     })
//!     .mada(MadaSettings {
//!         username: "you".to_owned(),
//!         password: SecretString::from("your-password".to_owned()),
//!         url: "https://sms.example.com/soap".to_owned(),
//!         source_name: "Acme".to_owned(),
//!     })
//!     .routing("Twilio;Mada:+35987,+35988")
//!     .start()
//!     .await?;
//! assert_eq!(otp.gateways().len(), 2);
//! # otp.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Any other one is a [`Gateway`] of your own. `Display` of a number is masked, for logs: the whole one is
//! [`PhoneNumber::e164`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use onceward::otp::{Accepted, BoxFuture, Channel, Gateway, GatewayError, GatewayName, Otp, OutgoingMessage};
//!
//! struct Printer;
//!
//! impl Gateway for Printer {
//!     fn name(&self) -> GatewayName {
//!         GatewayName::Http
//!     }
//!
//!     fn channels(&self) -> &[Channel] {
//!         &[Channel::Sms]
//!     }
//!
//!     fn send<'a>(&'a self, message: &'a OutgoingMessage) -> BoxFuture<'a, Result<Accepted, GatewayError>> {
//!         Box::pin(async move {
//!             println!("{}: {}", message.to.e164(), message.text);
//!             Ok(Accepted { message_id: "1".to_owned() })
//!         })
//!     }
//!
//!     fn readiness(&self) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let otp = Otp::builder(directory.path()).gateway(Arc::new(Printer)).start().await?;
//! assert_eq!(otp.send_sms("+14155550123").await?.message_id(), "1");
//! # otp.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does with the process
//!
//! It speaks to `tracing` and prints nothing, installs no signal handlers, reads the environment only in
//! [`Otp::from_config`], and opens no port. Its tasks run on the tokio runtime that it is started in; a few
//! threads of its own write to the disk. `docs/guides/embedding.md` has more.

mod builder;
mod callback;
mod error;
mod handle;
mod senders;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod texts;
mod verified;

pub use crate::attempts::{ListedAttempt, SendQuery, StatusFilter, VerifyStatus};
pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::config::{
    Bounds, BreakerSettings, ConfigErrors, GatewaySettings, GuardSettings, Overrides, RetrySettings,
    SettingError, Settings, Sources, TrackerSettings, WorkflowStep,
};
pub use crate::delivery::SendStatus;
pub use crate::delivery::{Circuit, GatewayState};
pub use crate::domain::{
    AttemptId, AttemptLogKey, Channel, Code, CodeLength, GatewayName, Locale, NumberError, PhoneNumber,
    Region, Routing, RoutingEntry, RoutingError, ServiceId, Timestamp,
};
pub use crate::gateway::{
    Accepted, BoxFuture, Callback, Checker, ErrorClass, Gateway, GatewayError, GatewaySettingsError,
    HttpBody, HttpGatewaySettings, HttpSuccess, MadaSettings, OutgoingMessage, Receipt, ReceiptStatus,
    SinchSettings, TwilioAccount, TwilioSender, TwilioSettings, TwilioVerifySettings, TwilioVoiceSettings,
    Verdict, WhatsAppSender,
};
pub use crate::guard::Mode as GuardMode;
pub use crate::node::StartError as EngineError;
pub use crate::numbers::Refusal;
pub use crate::store::StoreError;
pub use crate::template::{AppHash, MessageStyle, Wording};
/// The form of passwords and tokens: not printed, and zeroed when dropped.
pub use secrecy::SecretString;

pub use builder::OtpBuilder;
pub use callback::CallbackReply;
pub use error::{OtpError, StartError};
pub use handle::Otp;
pub use verified::{Sent, Verified};
