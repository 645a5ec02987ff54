//! The ways a code can reach a person.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::named::Named;

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
