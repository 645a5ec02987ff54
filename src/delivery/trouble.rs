//! What a failed send says to whoever asked for it.

use super::DeliveryError;
use crate::gateway::ErrorClass;

/// Twilio's codes for a country that the account may not send to: `docs/gateways.md`.
const COUNTRY: [u32; 4] = [21_408, 21_215, 13_227, 60_605];

/// Why a gateway took no message, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The number does not exist.
    BadNumber,
    /// It cannot be reached in this way, such as a landline by a text message.
    NotReachable,
    /// Its owner asked not to receive messages.
    OptedOut,
    /// The provider blocks it as fraud.
    Blocked,
    /// The account may not send to its country.
    Country,
    /// No gateway here sends in this way.
    NotServed,
    /// Nobody knows whether a message was sent.
    InDoubt,
    /// Anything else: the provider's side. Nothing was sent.
    Gateway,
}

impl Trouble {
    /// What an error of a delivery says.
    pub fn of(error: &DeliveryError) -> Self {
        if error.may_have_been_sent() {
            return Self::InDoubt;
        }
        match error {
            DeliveryError::NotServed(_) => Self::NotServed,
            DeliveryError::Gateway(gateway) if gateway.code.is_some_and(|code| COUNTRY.contains(&code)) => {
                Self::Country
            }
            other => match other.class() {
                Some(ErrorClass::BadNumber) => Self::BadNumber,
                Some(ErrorClass::NotReachableHere) => Self::NotReachable,
                Some(ErrorClass::OptedOut) => Self::OptedOut,
                Some(ErrorClass::Fraud) => Self::Blocked,
                Some(
                    ErrorClass::Retry { .. }
                    | ErrorClass::Configuration
                    | ErrorClass::Refused
                    | ErrorClass::Ambiguous,
                )
                | None => Self::Gateway,
            },
        }
    }
}
