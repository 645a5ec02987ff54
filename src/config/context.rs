//! What the sections of the configuration are read from, and where they note what they find.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::forms::is_name;
use super::layers::{Layers, Names, OwnGateway, Sources, removed};
use super::read::{members, read};
use super::report::text_of;
use super::report::{ConfigErrors, Effective, Report, shown_json};

pub struct Context {
    pub layers: Layers,
    pub report: Report,
    pub rows: Vec<Effective>,
    /// Gateways of a program that embeds the library.
    pub own_gateways: Vec<OwnGateway>,
    /// Values of variables are never shown.
    variables: Vec<&'static str>,
}

impl Context {
    /// With everything that the sources say. Without `credentials`, errors in the environment do not count: a command
    /// beside a server may not be allowed to read the server's credentials.
    pub fn of(sources: &Sources, names: Names, credentials: bool) -> Self {
        let (layers, report) = Layers::merge(sources, &names, credentials);
        let own_gateways = sources.overrides.program.gateways.clone();
        Self { layers, report, rows: Vec::new(), own_gateways, variables: names.variables }
    }

    /// Fails if anything is wrong so far.
    pub fn check(&mut self) -> Result<(), ConfigErrors> {
        if self.report.errors.is_empty() { Ok(()) } else { self.report.finish().map(drop) }
    }

    pub fn origin(&self, path: &str) -> String {
        self.layers.origin(path).unwrap_or("the default").to_owned()
    }

    /// Whether a key or variable is given.
    pub fn is_given(&self, name: &str) -> bool {
        self.layers.origin(name).is_some()
    }

    /// The given value of a key, as messages show it. `None` for lists and objects.
    pub fn given(&self, key: &str) -> Option<String> {
        let value = self.layers.values.get(key)?;
        text_of(value).map(|_| shown_json(value))
    }

    /// Adds something that follows from several keys to what `--print-config` shows.
    pub fn row(&mut self, key: &str, value: impl Into<Value>, origin: &str) {
        self.rows.retain(|row| row.key != key);
        let value = value.into();
        self.rows.push(Effective { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Notes that the value of a key or a member is wrong in itself, or beside others. `given` must not be a secret.
    pub fn wrong(&mut self, path: &str, given: impl Into<Option<String>>, problem: impl Into<String>) {
        let origin = self.layers.origin(path).map(str::to_owned);
        self.report.wrong(path, given, problem, origin);
    }

    /// Notes that a key or variable is missing beside one that is given.
    pub fn needs(&mut self, given: &str, missing: &str, problem: impl FnOnce() -> String) {
        if let Some(origin) = self.layers.origin(given).filter(|_| !self.is_given(missing)) {
            let origin = format!("{given}: {origin}");
            self.report.wrong(missing, None, problem(), origin);
        }
    }

    /// The objects below a key whose names they may have; `why` others may not have those that are taken.
    pub fn named<T>(
        &mut self,
        key: &str,
        mut objects: BTreeMap<String, T>,
        why: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, T> {
        /// Those beyond are better made over the API.
        const MOST: usize = 1_000;
        if objects.len() > MOST {
            self.wrong(key, None, format!("it has {} {key}, and may have {MOST}", objects.len()));
        }
        objects.retain(|name, _| {
            let problem = if is_taken(name) {
                why
            } else if !is_name(name) {
                "a name has 1 to 64 letters, digits, hyphens and underscores"
            } else {
                return true;
            };
            self.wrong(&format!("{key}.{name}"), None, problem);
            false
        });
        objects
    }

    /// Reads a section: a struct whose members are keys, or variables. Reports every wrong value and leaves it out.
    pub fn section<T: DeserializeOwned + Default + Serialize>(&mut self) -> T {
        let keys = members::<T>();
        let given = self.layers.values.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        let given = Value::Object(given.map(|(key, value)| (key.clone(), value.clone())).collect());
        let section: T = self.object("", given).unwrap_or_default();
        self.show(&section);
        section
    }

    /// Adds the members of a section to what `--print-config` shows.
    pub fn show<T: Serialize>(&mut self, section: &T) {
        let Ok(Value::Object(shown)) = serde_json::to_value(section) else { return };
        for (key, value) in shown {
            let Some(value) = without_nulls(value) else { continue };
            let origins = self.layers.origins(&key).join("; ");
            self.row(&key, value, if origins.is_empty() { "the default" } else { &origins });
        }
    }

    /// Reads the object at a path. Reports every wrong value and leaves it out.
    pub fn object<T: DeserializeOwned>(&mut self, path: &str, object: Value) -> Option<T> {
        let found = read(path, object);
        for (path, given, problem) in found.wrong {
            let given = given.filter(|given| !self.is_secret(&path, given));
            self.wrong(&path, given, format!("it {problem}"));
        }
        for (path, hint) in found.unknown {
            let origin = self.origin(&path);
            match removed(&path, &Value::Null) {
                Some((_, words)) => self.report.warn(format!("{origin}: {path:?}: {words}")),
                None => self.report.unknown(format!("{origin}: {path:?}"), &hint),
            }
        }
        found.value
    }

    /// Whether messages may not show a value: that of a variable but an address, one of a gateway, the code of a test number, or a text
    /// that may hold a password.
    fn is_secret(&self, path: &str, given: &str) -> bool {
        self.variables.contains(&path) && !path.ends_with("_URL")
            || path.starts_with("gateways")
            || path.contains("test-numbers")
            || given.contains("://") && given.contains(['@', '?'])
    }
}

/// A value without members that are null; `None` if nothing is left.
fn without_nulls(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            let members = members.into_iter().filter_map(|(name, value)| Some((name, without_nulls(value)?)));
            let members: Map<String, Value> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        value => Some(value),
    }
}
