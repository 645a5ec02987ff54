//! What is wrong with the configuration, all of it at once, and what is only odd.

use std::fmt;

use super::schema::{FILE_SUFFIX, nearest, suggestion};

/// What stands in the place of a secret.
pub const NOT_SHOWN: &str = "(set, not shown)";

/// What stands in the place of a value that is not given and has no default.
pub const NOT_SET: &str = "(not set)";

/// One setting as it turned out, for `--print-config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key of config.json, the variable or flag where it has none, or what was made of several.
    pub key: String,
    /// The value as config.json would spell it: texts in quotes, times with units, secrets masked.
    pub value: String,
    /// Where it came from: a file and key, a variable, a flag, or the default.
    pub origin: String,
}

/// One thing that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub subject: String,
    /// The value that was given. `None` when there was none, or when it could be a secret.
    pub given: Option<String>,
    /// What is wrong with it, or what is accepted, and what to do.
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

/// Everything that stops the start; at least one.
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

    /// What was noticed besides; often the reason, such as a misspelt key.
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

/// Collects both while the sources are read.
#[derive(Debug, Default)]
pub struct Report {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Report {
    /// Notes a problem with a thing whose value is absent, secret or beside the point.
    pub fn problem(
        &mut self,
        subject: impl Into<String>,
        problem: impl Into<String>,
        origin: impl Into<Option<String>>,
    ) {
        self.wrong(subject, None, problem, origin);
    }

    /// Notes a problem with a value. `given` is for what is surely no secret.
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

    /// Warns of a member of an object that is none of those that are known.
    pub fn warn_of_unknown<'k>(
        &mut self,
        origin: &str,
        object: &str,
        name: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let hint = suggestion(nearest(name, known).map(|known| format!("{object}.{known}")));
        self.warn(format!("{origin}: {:?} is unknown and ignored{hint}", format!("{object}.{name}")));
    }

    /// Whether an error about one of these names was noted: what follows from it need not be said.
    pub fn is_about(&self, names: &[&str]) -> bool {
        self.errors.iter().any(|error| {
            let subject = error.subject.to_ascii_uppercase().replace('-', "_");
            let subject = subject.strip_suffix(FILE_SUFFIX).unwrap_or(&subject);
            names.contains(&subject)
        })
    }

    /// Whether an error about an object or one of its members was noted.
    pub fn is_about_part_of(&self, object: &str) -> bool {
        let of_object = |subject: &str| {
            subject.strip_prefix(object).is_some_and(|member| member.is_empty() || member.starts_with('.'))
        };
        self.errors.iter().any(|error| of_object(&error.subject))
    }

    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    pub fn extend(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
    }

    /// The warnings, if there was no error; else all of it.
    pub fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        let Self { errors, warnings } = self;
        if errors.is_empty() { Ok(warnings) } else { Err(ConfigErrors { errors, warnings }) }
    }
}
