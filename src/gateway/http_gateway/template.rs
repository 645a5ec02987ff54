//! A text with placeholders in braces; `{{` and `}}` stand for braces themselves.

use zeroize::Zeroizing;

use super::placeholder::{NAMES, Placeholder, Secrets};
use super::problem;
use crate::gateway::{GatewaySettingsError, OutgoingMessage};

/// A text that is filled in for each message. Has no `Debug`: secrets are filled in already.
pub(super) struct Template(Vec<Part>);

enum Part {
    /// As it was written.
    Written(String),
    /// A secret's value.
    Secret(Zeroizing<String>),
    /// A part of a message.
    Message(Placeholder),
}

impl Template {
    /// Reads a text. `setting` says in errors where it was written.
    pub(super) fn read(
        text: &str,
        secrets: &Secrets<'_>,
        setting: &str,
    ) -> Result<Self, GatewaySettingsError> {
        let mut parts = Vec::new();
        let mut written = String::new();
        let mut rest = text;
        while let Some(place) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(place);
            written.push_str(before);
            if let Some(after) = from_brace.strip_prefix("{{") {
                written.push('{');
                rest = after;
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                written.push('}');
                rest = after;
            } else {
                let inside = from_brace.strip_prefix('{').and_then(|after| after.split_once('}'));
                let (name, after) = inside.ok_or_else(|| {
                    problem(setting, "has a brace without its partner; write {{ or }} for a brace itself")
                })?;
                parts.push(Part::Written(std::mem::take(&mut written)));
                parts.push(part_named(name, secrets, setting)?);
                rest = after;
            }
        }
        written.push_str(rest);
        parts.push(Part::Written(written));
        parts.retain(|part| !matches!(part, Part::Written(text) if text.is_empty()));
        Ok(Self(parts))
    }

    /// The text with what belongs to a message. Each value goes through `put_in`, the written parts
    /// do not.
    pub(super) fn filled_in(
        &self,
        message: &OutgoingMessage,
        put_in: impl Fn(&mut String, &str),
    ) -> Zeroizing<String> {
        let mut filled = Zeroizing::new(String::with_capacity(256));
        for part in &self.0 {
            match part {
                Part::Written(text) => filled.push_str(text),
                Part::Secret(value) => put_in(&mut filled, value),
                Part::Message(placeholder) => {
                    put_in(&mut filled, &Zeroizing::new(placeholder.value(message)));
                }
            }
        }
        filled
    }

    /// The text with values as they are, for what is escaped later or never.
    pub(super) fn as_it_is(&self, message: &OutgoingMessage) -> Zeroizing<String> {
        self.filled_in(message, String::push_str)
    }

    /// Whether there is no placeholder in it.
    pub(super) fn is_written_out(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Written(_)))
    }

    /// What is the same in every message.
    pub(super) fn written_and_secret(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Written(text) => Some(text.as_str()),
            Part::Secret(value) => Some(value.as_str()),
            Part::Message(_) => None,
        })
    }

    /// What is written before the first placeholder.
    pub(super) fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Part::Written(text)) => text,
            _ => "",
        }
    }

    /// The placeholders that differ from message to message.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Message(placeholder) => Some(*placeholder),
            Part::Written(_) | Part::Secret(_) => None,
        })
    }
}

fn part_named(name: &str, secrets: &Secrets<'_>, setting: &str) -> Result<Part, GatewaySettingsError> {
    if let Some(placeholder) = Placeholder::named(name) {
        return Ok(Part::Message(placeholder));
    }
    match secrets.named(name, setting) {
        Some(value) => value.map(Part::Secret),
        // A name that is not one of ours could be anything, even a secret in braces: only what looks
        // like a name is repeated.
        None if is_name(name) => {
            Err(problem(setting, format!("has an unknown placeholder {{{name}}}; there are {NAMES}")))
        }
        None => Err(problem(setting, format!("has braces around what is no placeholder; there are {NAMES}"))),
    }
}

fn is_name(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}
