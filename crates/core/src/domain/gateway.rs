//! Gateways and channels, by the names that settings, logs and records use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one gateway. There is at most one of each. Records contain the position in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code that a gateway made and keeps: only it can say whether a submitted one is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The gateway that keeps it.
    pub by: GatewayName,
    /// The channel. Some providers need it to check a code.
    pub channel: Channel,
}

/// The channel of a code. Records contain the position in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_positions_in_records_are_those_of_earlier_versions() {
        for (position, name) in GatewayName::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(name).expect("a name"), name.as_str());
            assert_eq!(
                postcard::to_allocvec(&name).expect("a position"),
                [u8::try_from(position).expect("few")]
            );
        }
        for (position, channel) in Channel::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_value(channel).expect("a name"), channel.as_str());
            assert_eq!(
                postcard::to_allocvec(&channel).expect("a position"),
                [u8::try_from(position).expect("few")]
            );
        }
    }
}
