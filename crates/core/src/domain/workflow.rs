//! Channels that are tried one after another.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::values::{HOUR, SECOND, Time};
use super::{Channel, text};
use crate::values;

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
