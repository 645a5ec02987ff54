//! Gateways and channels, by the names that settings, logs and records use.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    pub channel: Channel,
}

/// How a code is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A text message.
    Sms,
    /// A voice call that reads the code out.
    Call,
    /// A `WhatsApp` message.
    WhatsApp,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Sms, Self::Call, Self::WhatsApp];

    /// The name used on the wire and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Call => "call",
            Self::WhatsApp => "whatsapp",
        }
    }

    /// Reads that name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str().eq_ignore_ascii_case(text))
    }

    /// The number kept in records. Never reuse one.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sms => 0,
            Self::Call => 1,
            Self::WhatsApp => 2,
        }
    }

    /// From the number kept in records.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.number() == number)
    }
}

impl Named for Channel {
    const KIND: &'static str = "channel";
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn number(self) -> u8 {
        self.number()
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.write(to)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::read(from)
    }
}

/// A member of a closed set of names: a number in records, a text in readable formats.
trait Named: Copy + 'static {
    /// The word for a member in errors.
    const KIND: &'static str;
    const ALL: &'static [Self];

    fn name(self) -> &'static str;
    fn number(self) -> u8;

    fn write<S: Serializer>(self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { self.name().serialize(to) } else { self.number().serialize(to) }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = if from.is_human_readable() {
            let name = String::deserialize(from)?;
            Self::ALL.iter().find(|known| known.name() == name)
        } else {
            let number = u8::deserialize(from)?;
            Self::ALL.iter().find(|known| known.number() == number)
        };
        found.copied().ok_or_else(|| de::Error::custom(format_args!("unknown {}", Self::KIND)))
    }
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
