//! Gateways and channels, by the names that settings, logs and records use.

use serde::{Deserialize, Serialize};

named! {
    /// Names one gateway. There is at most one of each. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum GatewayName {
        /// Messages stay on this machine, in an inbox page.
        Simulator = "Simulator",
        /// Twilio Programmable Messaging: text and `WhatsApp`.
        TwilioMessages = "TwilioMessages",
        /// Twilio Programmable Voice.
        TwilioVoice = "TwilioVoice",
        /// Twilio Verify, which holds the code itself.
        TwilioVerify = "TwilioVerify",
        /// Sinch Verification, which holds the code itself.
        Sinch = "Sinch",
        /// Mada, a SOAP gateway for text messages.
        Mada = "Mada",
        /// A gateway that is described in the configuration.
        Http = "Http",
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

named! {
    /// The channel of a code. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Channel {
        /// A text message.
        Sms = "sms",
        /// A voice call that reads the code out.
        Call = "call",
        /// A `WhatsApp` message.
        WhatsApp = "whatsapp",
    }
}

impl Channel {
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
