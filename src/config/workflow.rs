//! The channels that are tried one after another until a message arrives: how they are spelled.

use std::time::Duration;

use figment::value::Value;
use schemars::{Schema, json_schema};

use super::ranges::{Span, StepWait};
use super::settings::WorkflowStep;
use super::value::{Setting, shortened, shown};
use crate::domain::Channel;

/// How long a step waits for a receipt where the setting does not say it.
const STEP: Duration = Duration::from_secs(20);

/// More than anybody would wait for.
pub const LONGEST: usize = 10;

/// The steps in their order; none when the setting is empty.
#[derive(Debug)]
pub struct Workflow(pub Vec<WorkflowStep>);

impl Workflow {
    fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let steps: Vec<WorkflowStep> = texts.map(step).collect::<Option<_>>()?;
        (steps.len() <= LONGEST).then_some(Self(steps))
    }
}

/// `sms` or `sms:20s`.
fn step(text: &str) -> Option<WorkflowStep> {
    let (channel, timeout) = match text.split_once(':') {
        Some((channel, timeout)) => (channel, Span::<StepWait>::read(timeout)?.get()),
        None => (text, STEP),
    };
    Some(WorkflowStep { channel: Channel::parse(channel.trim())?, timeout })
}

/// The steps that a text spells, as the setting `workflow` does; `None` when it spells none.
pub fn workflow_steps(text: &str) -> Option<Vec<WorkflowStep>> {
    Workflow::read(text).map(|workflow| workflow.0).filter(|steps| !steps.is_empty())
}

impl Setting for Workflow {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Array(_, items) => {
                let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                Self::of_texts(texts?.into_iter())
            }
            Value::String(_, text) => Self::read(text),
            _ => None,
        }
    }

    fn shown_as_given(value: &Value) -> String {
        match value {
            Value::Array(_, items) => {
                shortened(format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")))
            }
            other => shown(other),
        }
    }

    fn read(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self(Vec::new()));
        }
        // In a variable the list may be spelled as in the file.
        if text.trim_start().starts_with('[') {
            let texts: Vec<String> = serde_json::from_str(text).ok()?;
            return Self::of_texts(texts.iter().map(String::as_str));
        }
        Self::of_texts(text.split(','))
    }

    fn shown(&self) -> String {
        let step = |step: &WorkflowStep| {
            format!("{}:{}", step.channel.as_str(), humantime::format_duration(step.timeout))
        };
        format!("{:?}", self.0.iter().map(step).collect::<Vec<_>>().join(","))
    }

    fn accepted() -> String {
        format!(
            "a list of at most {LONGEST} channels (\"sms\", \"call\", \"whatsapp\"), each perhaps with the time to \
             wait for a receipt from 1s to 1h, such as [\"sms:20s\", \"call\"] or \"sms:20s,call\""
        )
    }

    fn placeholder() -> Self {
        Self(Vec::new())
    }

    fn schema() -> Schema {
        let step =
            "\\s*([Ss][Mm][Ss]|[Cc][Aa][Ll][Ll]|[Ww][Hh][Aa][Tt][Ss][Aa][Pp][Pp])\\s*(:[0-9A-Za-z\\s]+)?";
        json_schema!({ "anyOf": [
            { "type": "array", "maxItems": LONGEST, "items": { "type": "string", "pattern": format!("^{step}$") } },
            { "type": "string", "pattern": format!("^({step}(,{step})*|\\s*)$") },
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_text_mean_the_same() {
        let list = Value::from(vec!["sms:20s", "call", "WhatsApp: 1m"]);
        let [list, text] = [&list, &Value::from("sms, call:20,whatsapp:60s")].map(Workflow::of);
        let list = list.map(|workflow| workflow.shown());
        assert_eq!(list, text.map(|workflow| workflow.shown()));
        assert_eq!(list.as_deref(), Some("\"sms:20s,call:20s,whatsapp:1m\""));
        let in_a_variable = Workflow::read(r#" ["sms:20s", "call", "whatsapp:60s"]"#);
        assert_eq!(list, in_a_variable.map(|workflow| workflow.shown()));
    }

    #[test]
    fn an_empty_workflow_is_none() {
        for value in [Value::from(""), Value::from(Vec::<String>::new())] {
            assert!(Workflow::of(&value).is_some_and(|workflow| workflow.0.is_empty()));
        }
    }

    #[test]
    fn what_is_no_channel_and_no_time_is_refused() {
        let long = ["sms"; LONGEST + 1].join(",");
        for text in
            ["mail", "sms,", "sms:0", "sms:2h", "sms:soon", "sms;call", "[\"sms\"", "[1]", long.as_str()]
        {
            assert!(Workflow::read(text).is_none(), "{text:?}");
        }
        assert!(Workflow::of(&Value::from(vec![1, 2])).is_none());
        assert!(Workflow::of(&Value::from(3)).is_none());
    }
}
