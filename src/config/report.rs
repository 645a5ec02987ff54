//! What is wrong with the configuration, all of it at once, and what is only odd.

use std::fmt;

use super::names::FILE_SUFFIX;

/// One thing that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, variable, flag or file it is about.
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
    /// Notes something that stops the start.
    pub fn error(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Notes a problem with a thing whose value is absent, secret or beside the point.
    pub fn problem(
        &mut self,
        subject: impl Into<String>,
        problem: impl Into<String>,
        origin: impl Into<Option<String>>,
    ) {
        self.error(ConfigError {
            subject: subject.into(),
            given: None,
            problem: problem.into(),
            origin: origin.into(),
        });
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

    /// Notes something that the operator should know and that stops nothing.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The value and the warnings, if there was no error; else the errors.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<String>), ConfigErrors> {
        match value {
            Some(value) if self.errors.is_empty() => return Ok((value, self.warnings)),
            None if self.errors.is_empty() => {
                self.problem(
                    "configuration",
                    "it cannot be used, for a reason that nobody noted: a bug",
                    None,
                );
            }
            _ => {}
        }
        Err(ConfigErrors { errors: self.errors, warnings: self.warnings })
    }
}
