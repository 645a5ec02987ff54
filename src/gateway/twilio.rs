//! Twilio: Messages, Voice and Verify, one file each, and what Twilio reports back.
//!
//! * `messages`, `voice`, `verify`: the gateways. Each prepares what is the same for every message
//!   when it is made.
//! * `account`: what they share: the client, the credentials, what an answer says about the account.
//! * `answer`, `codes`: answers are read, and Twilio's error codes understood.
//! * `form`, `language`: requests are written, and languages named as Twilio names them.
//! * [`twiml`]: what is said in calls.
//! * `callbacks`, `signature`: what Twilio reports, once it is certain that Twilio reports it.
//!
//! Twilio has no parameter that makes a repeated call harmless, so whatever leaves open whether a
//! message was taken is [`ErrorClass::Ambiguous`](super::ErrorClass::Ambiguous).

mod account;
mod answer;
mod callbacks;
mod codes;
mod form;
mod language;
mod messages;
mod settings;
mod signature;
pub mod twiml;
mod verify;
mod voice;

pub use self::callbacks::{CallbackError, CallbackKind, TwilioCallbacks, TwilioReport};
pub use self::messages::TwilioMessages;
pub use self::verify::TwilioVerify;
pub use self::voice::TwilioVoice;

#[cfg(test)]
mod tests;
