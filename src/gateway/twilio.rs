//! Twilio: Messages, Voice and Verify, one file each, and what Twilio reports back.
//!
//! * `messages`, `voice`, `verify`: the gateways. Each prepares what is the same for every message when it is made.
//! * `account`: the credentials, settings and form bodies of their requests. `codes`: what answers and error codes
//!   mean.
//! * `language`: languages named as Twilio names them. [`twiml`]: what is said in calls.
//! * `callbacks`: what Twilio reports, once its signature is checked.
//!
//! Twilio has no parameter that makes a repeated call harmless, so whatever leaves open whether a message was taken
//! is [`ErrorClass::Ambiguous`](super::ErrorClass::Ambiguous).

mod account;
mod callbacks;
mod codes;
mod language;
mod messages;
pub mod twiml;
mod verify;
mod voice;

pub use self::callbacks::{CallbackError, CallbackKind, TwilioCallbacks, TwilioReport};
pub use self::messages::TwilioMessages;
pub use self::verify::TwilioVerify;
pub use self::voice::TwilioVoice;

#[cfg(test)]
mod tests;
