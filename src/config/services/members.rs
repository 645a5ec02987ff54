//! Takes members out of an object and notes what is wrong with them.

use serde_json::{Map, Value};

use crate::config::kind::{shown_json, text_of};
use crate::config::report::{ConfigError, Report};
use crate::config::schema::{nearest, suggestion};

/// Something is wrong, and was noted.
#[derive(Debug, Clone, Copy)]
pub struct Noted;

/// The members of one object that were not taken yet.
pub struct Members<'a> {
    path: String,
    left: Map<String, Value>,
    origin: &'a str,
    report: &'a mut Report,
}

impl<'a> Members<'a> {
    /// Those of the object at `path`. Warns of names that nobody knows.
    pub fn new(
        path: &str,
        members: Map<String, Value>,
        known: &[&str],
        origin: &'a str,
        report: &'a mut Report,
    ) -> Self {
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = suggestion(nearest(name, known.iter()).map(|known| format!("{path}.{known}")));
            report.warn(format!("{origin}: {:?} is unknown and ignored{hint}", format!("{path}.{name}")));
        }
        Self { path: path.to_owned(), left: members, origin, report }
    }

    /// Those of an object inside.
    pub fn inner(&mut self, name: &str, members: Map<String, Value>, known: &[&str]) -> Members<'_> {
        Members::new(&format!("{}.{name}", self.path), members, known, self.origin, self.report)
    }

    /// Whether there is such a member.
    pub fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// A member of any type.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// A text, if there is such a member.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Noted> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = text_of(&value);
        if text.is_none() {
            self.wrong(name, Some(shown_json(&value)), "it must be a text");
        }
        text.map(Some).ok_or(Noted)
    }

    /// A list of texts, or one text; none when there is no such member. `None` after an error.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let values = match self.take(name) {
            None => return Some(Vec::new()),
            Some(Value::Array(values)) => values,
            Some(value) => vec![value],
        };
        let texts: Option<Vec<String>> = values.iter().map(text_of).collect();
        if texts.is_none() {
            self.wrong(name, None, "it must be a list of texts or numbers, or one of them");
        }
        texts
    }

    /// Notes what is wrong with a member. `given` is for what is surely no secret.
    pub fn wrong(&mut self, name: &str, given: Option<String>, problem: &str) {
        self.report.error(ConfigError {
            subject: format!("{}.{name}", self.path),
            given,
            problem: problem.to_owned(),
            origin: Some(self.origin.to_owned()),
        });
    }
}
