//! What a command that examines found: `doctor` and `check-data`.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{CommandOutput, json_line};
use super::context::Context;
use crate::store::Damage;

crate::named! {
    /// The result of one check, the worst last.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Verdict {
        #[default]
        Ok = "ok",
        Warn = "warn",
        Fail = "fail",
    }
}

/// What a check found, and what to do about it.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// What was checked; [`Findings::add`] sets it.
    check: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// The damaged file, and where in it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

pub fn ok(detail: impl Into<String>) -> Found {
    Found { detail: detail.into(), ..Found::default() }
}

pub fn warn(detail: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found { verdict: Verdict::Warn, remedy: Some(remedy.into()), ..ok(detail) }
}

pub fn fail(detail: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found { verdict: Verdict::Fail, ..warn(detail, remedy) }
}

/// Checks with their verdicts, and figures.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    verdict: Verdict,
    checks: Vec<Found>,
    #[serde(flatten)]
    figures: Map<String, Value>,
}

impl Findings {
    pub fn add(&mut self, check: impl Into<String>, found: Found) {
        self.verdict = self.verdict.max(found.verdict);
        self.checks.push(Found { check: check.into(), ..found });
    }

    /// Adds damage of a data directory.
    pub fn damage(&mut self, found: Damage) {
        let Damage { path, at, what, advice } = found;
        // Without a place, what is said about the file.
        let detail = if at.is_some() { what } else { format!("it {what}") };
        self.damaged(&path, at, detail, advice);
    }

    /// Adds damage of a file of a data directory.
    pub fn damaged(&mut self, path: &Path, at: Option<u64>, detail: impl Into<String>, remedy: &str) {
        let file = Some(path.display().to_string());
        self.add("data", Found { file, at, ..fail(detail, remedy) });
    }

    /// Sets a figure. `null` was not examined, or cannot be known.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// One line of JSON, or text for people. `failed` is the exit code if a check failed.
    pub fn output(&self, cx: &Context, failed: u8) -> CommandOutput {
        let code = if self.verdict == Verdict::Fail { failed } else { 0 };
        let out = if cx.json { json_line(self) } else { self.text() };
        CommandOutput { code, ..CommandOutput::of(out) }
    }

    // Writing to a text cannot fail.
    fn text(&self) -> String {
        let mut text = String::new();
        for Found { check, verdict, detail, remedy, file, at } in &self.checks {
            let file = file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
            let at = at.map_or_else(String::new, |at| format!("byte {at}: "));
            // Further lines begin where the remedy does.
            let detail = detail.replace('\n', "\n  ");
            let _ = writeln!(text, "{:4}  {check}: {file}{at}{detail}", verdict.as_str());
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "      {remedy}");
            }
        }
        for (name, value) in &self.figures {
            figures(&mut text, &name.replace('_', " "), value);
        }
        text
    }
}

/// Writes a line for each figure that is known.
fn figures(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            for (part, value) in parts {
                figures(text, &format!("{name}: {}", part.replace('_', " ")), value);
            }
        }
        Value::String(value) => drop(writeln!(text, "      {name}: {value}")),
        value => drop(writeln!(text, "      {name}: {value}")),
    }
}
