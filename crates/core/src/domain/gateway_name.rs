//! The gateways, by the names that settings, logs and records use.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::named::Named;

/// Names one gateway. There is at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayName {
    /// Messages stay on this machine, in an inbox page.
    Simulator,
    /// Twilio Programmable Messaging: text and `WhatsApp`.
    TwilioMessages,
    /// Twilio Programmable Voice.
    TwilioVoice,
    /// Twilio Verify, which holds the code itself.
    TwilioVerify,
    /// Sinch Verification, which holds the code itself.
    Sinch,
    /// Mada, a SOAP gateway for text messages.
    Mada,
    /// A gateway that is described in the configuration.
    Http,
}

impl GatewayName {
    /// Every gateway.
    pub const ALL: [Self; 7] = [
        Self::Simulator,
        Self::TwilioMessages,
        Self::TwilioVoice,
        Self::TwilioVerify,
        Self::Sinch,
        Self::Mada,
        Self::Http,
    ];

    /// The name used in settings, logs and lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Simulator => "Simulator",
            Self::TwilioMessages => "TwilioMessages",
            Self::TwilioVoice => "TwilioVoice",
            Self::TwilioVerify => "TwilioVerify",
            Self::Sinch => "Sinch",
            Self::Mada => "Mada",
            Self::Http => "Http",
        }
    }

    /// The number kept in records. Never reuse one.
    pub const fn number(self) -> u8 {
        match self {
            Self::Simulator => 0,
            Self::TwilioMessages => 1,
            Self::TwilioVoice => 2,
            Self::TwilioVerify => 3,
            Self::Sinch => 4,
            Self::Mada => 5,
            Self::Http => 6,
        }
    }

    /// From the number kept in records.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.number() == number)
    }
}

impl std::fmt::Display for GatewayName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Named for GatewayName {
    const KIND: &'static str = "gateway";
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn number(self) -> u8 {
        self.number()
    }
}

impl Serialize for GatewayName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.write(to)
    }
}

impl<'de> Deserialize<'de> for GatewayName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::read(from)
    }
}

/// A code that a gateway made and keeps: only it can say whether a submitted one is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The gateway that keeps it.
    pub by: GatewayName,
    /// How it was sent, which some providers want to be told when they check.
    pub channel: super::Channel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gateway_has_a_name_and_a_number_of_its_own() {
        for name in GatewayName::ALL {
            assert_eq!(GatewayName::from_number(name.number()), Some(name));
            assert_eq!(GatewayName::ALL.iter().filter(|other| other.as_str() == name.as_str()).count(), 1);
        }
        assert_eq!(GatewayName::from_number(200), None);
    }
}
