//! Verification as a library: one handle, no HTTP server.
//!
//! [`Otp`] is the server without its front end: the same rules, the same durability, the same
//! gateways. Every count and lockout is on disk before a caller learns of it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward_library::otp::Otp;
//!
//! # let directory = tempfile::tempdir()?;
//! // Without a gateway, messages go to an inbox in memory and nothing leaves the machine.
//! let otp = Otp::builder(directory.path()).set("brand", "Acme").start().await?;
//! otp.send_sms("+14155550123").await?;
//!
//! let code = otp.inbox_code("+14155550123").ok_or("the inbox is empty")?;
//! let verified = otp.verify("+14155550123", &code).await;
//! assert!(verified.request_valid && verified.code_valid && verified.error.is_none());
//!
//! // A code works once.
//! assert!(!otp.verify("+14155550123", &code).await.code_valid);
//! # otp.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Providers
//!
//! A provider is configured by the variables and keys of the server, and `otp-sms-provider` says which is tried for which
//! numbers:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onceward_library::otp::Otp;
//!
//! # let directory = tempfile::tempdir()?;
//! let otp = Otp::builder(directory.path())
//!     .set("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000")
//!     .set("TWILIO_AUTH_TOKEN", "00000000000000000000000000000000")
//!     .set("TWILIO_PHONE_NUMBER", "+15005550006")
//!     .set("MADA_USERNAME", "you")
//!     .set("MADA_PASSWORD", "your-password")
//!     .set("MADA_URL", "https://sms.example.com/soap")
//!     .set("MADA_SOURCE_NAME", "Acme")
//!     .set("otp-sms-provider", "Twilio;Mada:+35987,+35988")
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
//! use onceward_library::otp::{Accepted, BoxFuture, Channel, Gateway, GatewayError, GatewayName, Otp, OutgoingMessage};
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
//! assert_eq!(otp.send_sms("+14155550123").await?.message_id, "1");
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
mod handle;
mod outcome;
#[cfg(test)]
mod tests;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::config::ConfigErrors;
pub use crate::delivery::SendStatus;
pub use crate::delivery::attempts::{AttemptQuery, ListedAttempt, StatusFilter, VerifyStatus};
pub use crate::delivery::{Circuit, GatewayState};
pub use crate::domain::{
    AttemptId, AttemptLogKey, Channel, Code, CodeLength, GatewayName, Locale, NumberError, NumberProblem,
    PhoneNumber, ServiceId, Timestamp,
};
pub use crate::gateway::{
    Accepted, BoxFuture, Callback, ErrorClass, Gateway, GatewayError, GatewaySettingsError, OutgoingMessage,
    Receipt, ReceiptStatus, Verdict,
};
pub use crate::node::StartError;
pub use crate::store::StoreError;
pub use crate::template::{AppHash, MessageStyle, Wording};
pub use crate::verification::{Refusal, Sent};
pub use builder::OtpBuilder;
pub use handle::Otp;
pub use outcome::{OtpError, Verified};
