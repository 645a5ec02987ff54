//! Gateways and channels, by the names that settings, logs and records use.

use std::fmt;
use std::time::Duration;

use parking_lot::RwLock;
use serde::de::{self, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::IntoStaticStr;

use super::values::{HOUR, SECOND, Time};
use super::{is_name, text};
use crate::values;

/// Names one gateway. There is at most one of each. Records contain the position of a built-in one in this order, and the
/// name of any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(remote = "Self")]
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
    /// The gateway `Http`, whose recipe the operator writes.
    Http,
    /// One of `gateways`.
    Named(NamedGateway),
}

/// A name of `gateways`, kept once for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedGateway(u16);

/// The names of `gateways`, in the order in which they were first read.
static NAMED: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

impl GatewayName {
    /// Every built-in gateway, in the order of the declaration.
    pub const ALL: [Self; 7] = [
        Self::Simulator,
        Self::TwilioMessages,
        Self::TwilioVoice,
        Self::TwilioVerify,
        Self::Sinch,
        Self::Mada,
        Self::Http,
    ];

    /// The gateway of this name, built in or not. `None` for a text that is no name, or beyond 65,536 names.
    pub fn of(name: &str) -> Option<Self> {
        if let Some(known) = Self::known().find(|known| known.as_str() == name) {
            return Some(known);
        }
        let mut named = NAMED.write();
        // Another thread may have been first.
        let place = named.iter().position(|known| *known == name).unwrap_or(named.len());
        let index = u16::try_from(place).ok().filter(|_| is_name(name))?;
        if place == named.len() {
            named.push(Box::leak(name.to_owned().into_boxed_str()));
        }
        Some(Self::Named(NamedGateway(index)))
    }

    /// Every gateway whose name is known: the built-in ones, and those that a configuration or a record has named.
    pub fn known() -> impl Iterator<Item = Self> {
        let named = NAMED.read().len();
        let named = (0..named).filter_map(|index| u16::try_from(index).ok());
        Self::ALL.into_iter().chain(named.map(|index| Self::Named(NamedGateway(index))))
    }

    /// The text of the name in settings, lists, logs and ids, and on the wire.
    pub fn as_str(self) -> &'static str {
        let Self::Named(NamedGateway(index)) = self else { return self.into() };
        NAMED.read().get(usize::from(index)).copied().unwrap_or_default()
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// Readable formats have the name, records what is derived.
impl Serialize for GatewayName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.serialize_str(self.as_str()) } else { Self::serialize(self, to) }
    }
}

impl<'de> Deserialize<'de> for GatewayName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return Self::deserialize(from);
        }
        let name = String::deserialize(from)?;
        Self::of(&name).ok_or_else(|| D::Error::custom("this names no gateway"))
    }
}

impl Serialize for NamedGateway {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(GatewayName::Named(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for NamedGateway {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match GatewayName::of(&String::deserialize(from)?) {
            Some(GatewayName::Named(named)) => Ok(named),
            _ => Err(D::Error::custom("this names no gateway of its own")),
        }
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
        /// A `Telegram` message.
        Telegram = "telegram",
    }
}

values! {
    Channel: format!("one of {}", Self::names(", ")), Self::parse, {
        "type": "string",
        "enum": Self::ALL.map(Self::as_str),
    };
}

impl Channel {
    /// The names as texts and patterns list them, with `between` after each but the last.
    pub fn names(between: &str) -> String {
        Self::ALL.map(Self::as_str).join(between)
    }

    /// The name as people write it, where the page of a language has none.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Call => "Call",
            Self::WhatsApp => "WhatsApp",
            Self::Telegram => "Telegram",
        }
    }

    /// The channel that stands in for one which does not reach a number. A call reaches every phone; therefore nothing
    /// stands in for it.
    pub const fn stand_in(self, voice: bool) -> Option<Self> {
        match self {
            Self::WhatsApp | Self::Telegram => Some(Self::Sms),
            Self::Sms if voice => Some(Self::Call),
            Self::Sms | Self::Call => None,
        }
    }

    /// Reads that name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str().eq_ignore_ascii_case(text))
    }
}

// Channels that are tried one after another.

/// One step of the fallback by delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowStep {
    pub channel: Channel,
    /// The time to wait for a delivery receipt before the next step.
    pub timeout: Duration,
}

values! {
    WorkflowStep: format!("a channel ({}), perhaps with the time to wait for a receipt from 1s to 1h, such as \"sms:20s\"",
        Channel::names(", ")), Self::parse, { "type": "string" };
}

impl<'de> Deserialize<'de> for WorkflowStep {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from)
    }
}

impl fmt::Display for WorkflowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel.as_str(), humantime::format_duration(self.timeout))
    }
}

impl WorkflowStep {
    fn parse(text: &str) -> Option<Self> {
        let (channel, timeout) = text.split_once(':').unwrap_or((text, "20s"));
        let timeout = Time::<SECOND, HOUR>::read(timeout.trim())?;
        Some(Self { channel: Channel::parse(channel.trim())?, timeout })
    }
}

/// The most steps: a longer workflow outlasts any wait.
const MOST_STEPS: usize = 10;

/// Reads channels that are tried one after another, at most ten.
///
/// # Errors
/// What each must be.
pub fn workflow<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WorkflowStep>, D::Error> {
    let steps = Option::<Vec<_>>::deserialize(from)?.unwrap_or_default();
    let problem = format!("must be a list of at most {MOST_STEPS} channels");
    if steps.len() > MOST_STEPS { Err(de::Error::custom(problem)) } else { Ok(steps) }
}

/// As one text: `sms:20s,call:20s`.
pub fn workflow_text(steps: &[WorkflowStep]) -> String {
    steps.iter().map(WorkflowStep::to_string).collect::<Vec<_>>().join(",")
}

/// The steps that a text spells, as the setting `workflow` does; `None` when it spells none.
pub fn workflow_steps(text: &str) -> Option<Vec<WorkflowStep>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let steps = items.map(WorkflowStep::parse).collect::<Option<Vec<_>>>()?;
    (1..=MOST_STEPS).contains(&steps.len()).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_configuration_is_one_value_and_written_out() {
        let name = GatewayName::of("acme-sms").expect("a name");
        assert_eq!(GatewayName::of("acme-sms"), Some(name));
        assert_ne!(GatewayName::of("acme-call"), Some(name));
        assert_eq!(GatewayName::of("Mada"), Some(GatewayName::Mada));
        for text in ["", "a b", "a;b", &"x".repeat(65)] {
            assert_eq!(GatewayName::of(text), None, "{text}");
        }
        let record = postcard::to_extend(&name, Vec::new()).expect("a record");
        assert_eq!(record, b"\x07\x08acme-sms");
        assert_eq!(postcard::from_bytes::<GatewayName>(&record).expect("a name"), name);
        let json = serde_json::to_string(&name).expect("JSON");
        assert_eq!(json, "\"acme-sms\"");
        assert_eq!(serde_json::from_str::<GatewayName>(&json).expect("a name"), name);
    }
}
