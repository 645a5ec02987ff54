//! What is found while the sources are read: errors, which stop the start, and warnings.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Stands for a value that is not given and has no default, in text.
const NOT_SET: &str = "(not set)";

/// One setting in force, for `--print-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The key of config.json, the variable or flag where it has none, or what was made of several.
    pub key: String,
    /// The value: times with units, secrets masked; null if it is not set.
    pub value: Value,
    /// Where it came from: a file and key, a variable, a flag, or the default.
    pub origin: String,
}

impl Effective {
    /// The value as JSON spells it, in one line.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => NOT_SET.to_owned(),
            Value::String(text) if text == NOT_SHOWN => text.clone(),
            value => value.to_string(),
        }
    }
}

/// One thing that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub subject: String,
    /// The value that was given. `None` when there was none, or when it could be a secret.
    pub given: Option<String>,
    /// The problem or the accepted values, and the remedy.
    pub problem: String,
    /// Where the value came from: a file and key, a variable, a flag.
    pub origin: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        if let Some(given) = &self.given {
            write!(f, " = {given}")?;
        }
        write!(f, ": {}", self.problem)?;
        if let Some(origin) = &self.origin {
            write!(f, "\n    given by {origin}")?;
        }
        Ok(())
    }
}

/// All errors that stop the start; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl ConfigErrors {
    /// Each of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// All of them in one line, without their count.
    pub fn one_line(&self) -> String {
        self.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Warnings beside the errors; often they name the reason, such as a misspelled key.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "the configuration has {count} {errors}")?;
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
pub struct Report {
    pub errors: Vec<ConfigError>,
    warnings: Vec<String>,
    /// Names and values without an effect are errors.
    strict: bool,
}

impl Report {
    pub fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// `given` must not be a secret.
    pub fn wrong(
        &mut self,
        subject: impl Into<String>,
        given: impl Into<Option<String>>,
        problem: impl Into<String>,
        origin: impl Into<Option<String>>,
    ) {
        let (subject, problem) = (subject.into(), problem.into());
        self.errors.push(ConfigError { subject, given: given.into(), problem, origin: origin.into() });
    }

    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Notes a name or a value that has no effect, and the remedy.
    pub fn ignored(&mut self, name: impl Into<String>, problem: impl Into<String>) {
        let (name, problem) = (name.into(), problem.into());
        if self.strict {
            self.wrong(name, None, problem, None);
        } else {
            self.warn(format!("{name}: {problem}"));
        }
    }

    /// The warnings, if there was no error; else all of it.
    pub fn finish(&mut self) -> Result<Vec<String>, ConfigErrors> {
        let (errors, warnings) = (std::mem::take(&mut self.errors), std::mem::take(&mut self.warnings));
        if errors.is_empty() { Ok(warnings) } else { Err(ConfigErrors { errors, warnings }) }
    }
}

/// A text, a number or a truth value as messages show it. `None` for anything else.
pub fn shown(value: &Value) -> Option<String> {
    if let Value::String(text) = value { Some(quoted(text)) } else { text_of(value) }
}

/// A text in quotes, on one line and not too long.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = format!("{text:?}");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.replace_range(end.., "...");
    }
    text
}

/// The end of a message about an unknown name: the known one that looks most like it, if any looks like it at all.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// Below this, most of the letters differ and a suggestion would confuse.
    const SIMILAR: f64 = 0.5;
    let plain = |name: &str| name.replace('_', "-").to_ascii_lowercase();
    let likeness = |known| (strsim::normalized_damerau_levenshtein(&plain(name), &plain(known)), known);
    let similar = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= SIMILAR);
    let nearest = similar.max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

/// Replaces a secret in printed settings.
pub const NOT_SHOWN: &str = "(set, not shown)";

/// A text, a number or a truth value as text; `None` for anything else.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(match number.as_f64().filter(|_| number.is_f64()) {
            // 30.0 is a whole number.
            Some(fraction) => fraction.to_string(),
            None => number.to_string(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
