//! How sections are read, and what is noted on the way.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::forms::is_name;
use super::layers::Context;
use super::read::{joined, members, read};
use super::report::{ConfigErrors, Effective, hint, shown};

impl Context {
    /// Fails if anything is wrong so far.
    pub fn check(&mut self) -> Result<(), ConfigErrors> {
        if self.report.errors.is_empty() { Ok(()) } else { self.report.finish().map(drop) }
    }

    /// Where a key, a variable, or a member of an object came from.
    pub fn given_by(&self, path: &str) -> Option<&str> {
        let outer = || path.rfind(['.', '[']).map(|end| &path[..end]);
        self.origins.get(path).map(String::as_str).or_else(|| self.given_by(outer()?))
    }

    pub fn origin(&self, path: &str) -> String {
        self.given_by(path).unwrap_or("the default").to_owned()
    }

    /// Whether a key or variable is given.
    pub fn is_given(&self, name: &str) -> bool {
        self.given_by(name).is_some()
    }

    /// The given value of a key, as messages show it. `None` for lists and objects.
    pub fn given(&self, key: &str) -> Option<String> {
        shown(self.values.get(key)?)
    }

    /// Adds something that follows from several keys to what `--print-config` shows.
    pub fn row(&mut self, key: &str, value: impl Into<Value>, origin: &str) {
        self.rows.retain(|row| row.key != key);
        let value = value.into();
        self.rows.push(Effective { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Notes that the value of a key or a member is wrong in itself, or beside others. `given` must not be a secret.
    pub fn wrong(&mut self, path: &str, given: impl Into<Option<String>>, problem: impl Into<String>) {
        let origin = self.given_by(path).map(str::to_owned);
        self.report.wrong(path, given, problem, origin);
    }

    /// Notes that one of two keys or variables is missing beside the other.
    pub fn both(&mut self, [one, other]: [&str; 2], problem: &str) {
        for (given, missing) in [(one, other), (other, one)] {
            if let Some(origin) = self.given_by(given).filter(|_| !self.is_given(missing)) {
                let origin = format!("{given}: {origin}");
                self.report.wrong(missing, None, problem, origin);
            }
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
            let problem = match is_taken(name) {
                true => why,
                false if is_name(name) => return true,
                false => "a name has 1 to 64 letters, digits, hyphens and underscores",
            };
            self.wrong(&format!("{key}.{name}"), None, problem);
            false
        });
        objects
    }

    /// Reads a section: a struct whose members are keys, or variables. Reports each that is wrong, and leaves it out.
    pub fn section<T: DeserializeOwned + Default + Serialize>(&mut self) -> T {
        let keys = members::<T>();
        let given = self.values.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        let mut given: Map<_, _> = given.map(|(key, value)| (key.clone(), value.clone())).collect();
        loop {
            let count = given.len();
            match self.read("", &given.clone().into()) {
                Ok(section) => {
                    self.show(&section);
                    return section;
                }
                Err(wrong) => given.retain(|key, _| !is_below(&wrong, key)),
            }
            if given.len() == count {
                return T::default();
            }
        }
    }

    /// Adds the members of a section to what `--print-config` shows.
    fn show<T: Serialize>(&mut self, section: &T) {
        let Ok(Value::Object(shown)) = serde_json::to_value(section) else { return };
        for (key, value) in shown {
            let Some(value) = without_nulls(value) else { continue };
            let origins = self.origins.iter().filter(|(path, _)| is_below(path, &key));
            let origins: Vec<&str> = origins.map(|(_, origin)| origin.as_str()).collect();
            let origin = if origins.is_empty() { "the default".to_owned() } else { origins.join("; ") };
            self.row(&key, value, &origin);
        }
    }

    /// Reads the value at a path. Reports what is wrong with it, and members without a meaning.
    pub fn object<T: DeserializeOwned>(&mut self, path: &str, value: &Value) -> Option<T> {
        self.read(path, value).ok()
    }

    /// Fails with the path of what is wrong.
    fn read<T: DeserializeOwned>(&mut self, path: &str, value: &Value) -> Result<T, String> {
        let (read, unknown) = read(value).map_err(|wrong| {
            let path = joined(path, &wrong.path);
            let given = wrong.given.filter(|given| !self.is_secret(&path, given));
            self.wrong(&path, given, format!("it {}", wrong.problem));
            path
        })?;
        for (below, known) in unknown {
            let path = joined(path, &below);
            let name = below.rsplit('.').next().unwrap_or_default();
            let words = format!("it is unknown{}", hint(name, known.iter().copied()));
            self.report.ignored(format!("{}: {path:?}", self.origin(&path)), words);
        }
        Ok(read)
    }

    /// Whether messages may not show a value: that of a variable but an address, one of a gateway, the code of a test number, or a text
    /// that may hold a password.
    fn is_secret(&self, path: &str, given: &str) -> bool {
        let name = path.split(['.', '[']).next().unwrap_or(path);
        self.names.credentials.contains(name) && !name.ends_with("_URL")
            || path.starts_with("gateways")
            || path.contains("test-numbers")
            || given.contains("://") && given.contains(['@', '?'])
    }
}

/// Whether a path is that of a key or of something in it.
fn is_below(path: &str, key: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
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
