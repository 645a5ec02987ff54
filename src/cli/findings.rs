//! What `doctor` found.

use std::fmt::Write as _;

use serde::Serialize;

use super::answer::{CommandOutput, json_line};
use super::context::Context;

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

/// Checks with their verdicts.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    verdict: Verdict,
    checks: Vec<Found>,
}

impl Findings {
    pub fn add(&mut self, check: impl Into<String>, found: Found) {
        self.verdict = self.verdict.max(found.verdict);
        self.checks.push(Found { check: check.into(), ..found });
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
        for Found { check, verdict, detail, remedy } in &self.checks {
            // Further lines begin where the remedy does.
            let detail = detail.replace('\n', "\n  ");
            let _ = writeln!(text, "{:4}  {check}: {detail}", verdict.as_str());
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "      {remedy}");
            }
        }
        text
    }
}
