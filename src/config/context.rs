//! The values of all sources, and everything that is found while they are read: all errors at once, and warnings.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::kind::{shortened, shown_json, text_of};
use super::schema::{Names, nearest, suggestion};
use super::sources::{OwnGateway, RawValues, Sources};
use super::values::may_hold_password;

/// Replaces a secret in printed settings.
pub const NOT_SHOWN: &str = "(set, not shown)";

/// Stands for a value that is not given and has no default.
pub const NOT_SET: &str = "(not set)";

/// One setting in force, for `--print-config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key of config.json, the variable or flag where it has none, or what was made of several.
    pub key: String,
    /// The value: texts as JSON spells them, times with units, secrets masked.
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

    /// Warnings beside the errors; often they name the reason, such as a misspelt key.
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

#[derive(Debug, Default)]
pub struct Report {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
    /// Names and values without an effect are errors, which end no phase.
    strict: bool,
    without_effect: Vec<ConfigError>,
}

impl Report {
    pub fn of(sources: &Sources) -> Self {
        Self { strict: sources.overrides.strict, ..Self::default() }
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

    /// Puts another error in the place of the one about `subject`, of the same origin.
    pub fn replace(&mut self, subject: &str, with: impl FnOnce(ConfigError) -> ConfigError) {
        if let Some(error) = self.errors.iter_mut().find(|error| error.subject == subject) {
            *error = with(error.clone());
        }
    }

    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Notes a name that no setting has, with a hint at the nearest one.
    pub fn unknown(&mut self, name: impl Into<String>, hint: &str) {
        let name = name.into();
        if self.strict {
            self.has_no_effect(name, format!("it is unknown{hint}"));
        } else {
            self.warn(format!("{name} is unknown and ignored{hint}"));
        }
    }

    /// Notes a value that has no effect, and the remedy.
    pub fn ignored(&mut self, name: &str, problem: &str) {
        if self.strict {
            self.has_no_effect(name.to_owned(), problem.to_owned());
        } else {
            self.warn(format!("{name}: {problem}"));
        }
    }

    fn has_no_effect(&mut self, subject: String, problem: String) {
        self.without_effect.push(ConfigError { subject, given: None, problem, origin: None });
    }

    pub const fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// Ends a phase: nothing follows from values that are wrong.
    pub fn check(&mut self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() { Ok(()) } else { std::mem::take(self).finish().map(drop) }
    }

    /// The warnings, if there was no error; else all of it.
    pub fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        let Self { mut errors, warnings, without_effect, .. } = self;
        errors.extend(without_effect);
        if errors.is_empty() { Ok(warnings) } else { Err(ConfigErrors { errors, warnings }) }
    }
}

/// Services or templates in one file: those beyond are better made over the API.
const MOST: usize = 1_000;

/// Whether messages show a value: lists and objects are too long.
pub fn is_scalar(_path: &str, value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// A key of config.json whose value is an object, with its origin and its errors.
pub struct Part<'a> {
    pub origin: String,
    /// The origins of members that were given by themselves.
    pub origins: &'a BTreeMap<String, String>,
    pub report: &'a mut Report,
}

impl Part<'_> {
    pub fn wrong(
        &mut self,
        path: impl Into<String>,
        given: impl Into<Option<String>>,
        problem: impl Into<String>,
    ) {
        let path = path.into();
        let origin = self.origins.get(&path).unwrap_or(&self.origin).clone();
        self.report.wrong(path, given, problem, origin);
    }

    /// Reads the object at `path`, whose members have these schemas. Reports each mistake, with its value if `is_shown`
    /// allows it; unknown members get a warning. The result lacks wrong members and says whether it is complete; `None`
    /// if a member is missing.
    pub fn read<T: DeserializeOwned>(
        &mut self,
        path: &str,
        mut members: Map<String, Value>,
        known: &Map<String, Value>,
        is_shown: fn(&str, &Value) -> bool,
    ) -> Option<(T, bool)> {
        self.drop_unknown(path, &mut members, known);
        let mut is_complete = true;
        let read = read_members(members, |member, value, problem| {
            is_complete = false;
            let given = value.filter(|value| is_shown(member, value));
            let given = given.map(|value| shown_as(known.get(member).unwrap_or(&Value::Null), value));
            self.wrong(format!("{path}.{member}"), given, problem);
        });
        Some((read?, is_complete))
    }

    /// The objects with a name that one may have; `why` others may not have those that are taken.
    pub fn named_objects(
        &mut self,
        key: &str,
        objects: Map<String, Value>,
        why: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Vec<(String, Map<String, Value>)> {
        if objects.len() > MOST {
            self.wrong(key, None, format!("it has {} {key}, and may have {MOST}", objects.len()));
        }
        let mut named = Vec::new();
        for (name, value) in objects {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            let problem = match value {
                _ if is_taken(&name) => why.to_owned(),
                _ if !plain || !(1..=64).contains(&name.len()) => {
                    "a name has 1 to 64 letters, digits, hyphens and underscores".to_owned()
                }
                Value::Object(members) => {
                    named.push((name, members));
                    continue;
                }
                value => format!("it must be an object, and is {}", shown_json(&value)),
            };
            self.wrong(format!("{key}.{name}"), None, problem);
        }
        named
    }

    fn drop_unknown(&mut self, path: &str, members: &mut Map<String, Value>, known: &Map<String, Value>) {
        members.retain(|name, value| {
            let member = format!("{path}.{name}");
            let Some(schema) = known.get(name) else {
                let near = nearest(name, known.keys()).map(|near| format!("{path}.{near}"));
                let hint = suggestion(near.or_else(|| Names::known().meant(name)));
                self.report.unknown(format!("{}: {member:?}", self.origin), &hint);
                return false;
            };
            if let (Some(Value::Object(known)), Value::Object(members)) = (schema.get("properties"), value) {
                self.drop_unknown(&member, members, known);
            }
            true
        });
    }
}

/// The values of all sources, and everything that is found while they are read.
pub struct Context {
    pub raw: RawValues,
    pub names: Names,
    pub report: Report,
    pub rows: Vec<Effective>,
    /// Gateways of a program that embeds the library.
    pub own_gateways: Vec<OwnGateway>,
}

impl Context {
    /// With everything that the sources say. Without `credentials`, errors in the environment do not count: a command
    /// beside a server may not be allowed to read the server's credentials.
    pub fn of(sources: &Sources, names: Names, credentials: bool) -> Self {
        let (raw, mut report, of_environment) = RawValues::merge(sources, &names);
        if credentials {
            report.errors.extend(of_environment.errors);
            report.warnings.extend(of_environment.warnings);
            report.without_effect.extend(of_environment.without_effect);
        }
        let own_gateways = sources.overrides.program.gateways.clone();
        Self { raw, names, report, rows: Vec::new(), own_gateways }
    }

    pub fn origin(&self, key: &str) -> String {
        self.raw.origin(key).unwrap_or("the default").to_owned()
    }

    /// A key whose value is an object.
    pub fn part(&mut self, key: &str) -> Part<'_> {
        Part { origin: self.origin(key), origins: &self.raw.origins, report: &mut self.report }
    }

    /// Whether a key or variable is given.
    pub fn is_given(&self, name: &str) -> bool {
        self.raw.origin(name).is_some()
    }

    /// Adds something that follows from several keys to what `--print-config` shows.
    pub fn row(&mut self, key: &str, value: impl Into<Value>, origin: &str) {
        self.rows.retain(|row| row.key != key);
        let value = match value.into() {
            Value::String(text) if [NOT_SET, NOT_SHOWN].contains(&text.as_str()) => text,
            value => value.to_string(),
        };
        self.rows.push(Effective { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Notes that the value of a key is wrong in itself, or beside others.
    pub fn wrong(&mut self, key: &str, given: Option<String>, problem: impl Into<String>) {
        let origin = self.raw.origin(key).map(str::to_owned);
        self.report.wrong(key, given, problem, origin);
    }

    /// Reads the keys (or by their names the variables) of a settings struct. Reports wrong values and uses their
    /// defaults: all errors are found at once.
    pub fn read<T: DeserializeOwned + Default + Serialize>(
        &mut self,
        known: fn(&Names) -> &Map<String, Value>,
    ) -> T {
        let known = known(&self.names).clone();
        self.read_only(&known)
    }

    /// The same of these keys, whatever the others are.
    pub fn read_only<T: DeserializeOwned + Default + Serialize>(&mut self, known: &Map<String, Value>) -> T {
        let values = self.raw.values.iter().filter(|(key, _)| known.contains_key(*key));
        let values = values.map(|(key, value)| (key.clone(), value.clone())).collect();
        let read = read_members(values, |key, value, problem| {
            let (schema, value) = (&known[key], value.unwrap_or(&Value::Null));
            let text = text_of(value);
            let is_url = schema["format"].as_str().is_some_and(|format| format.starts_with("uri"));
            let secret =
                schema["writeOnly"] == true || is_url && text.as_deref().is_some_and(may_hold_password);
            let given = (text.is_none() || !secret).then(|| shown_as(schema, value));
            self.report.wrong(key, given, problem, self.raw.origin(key).map(str::to_owned));
        });
        let read: T = read.unwrap_or_default();
        if let Ok(Value::Object(members)) = serde_json::to_value(&read) {
            for (key, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
                let below = format!("{key}.");
                let of_members = self.raw.origins.iter().filter(|(path, _)| path.starts_with(&below));
                let mut origins = vec![self.origin(&key)];
                origins.extend(of_members.map(|(_, origin)| origin.clone()));
                origins.dedup();
                self.row(&key, value, &origins.join("; "));
            }
        }
        read
    }
}

/// Reads each member of an object separately, to find every wrong one: `wrong` gets its path, its value unless it is
/// missing, and the error. The result lacks wrong members; `None` if a member is missing.
fn read_members<T: DeserializeOwned>(
    mut members: Map<String, Value>,
    mut wrong: impl FnMut(&str, Option<&Value>, &str),
) -> Option<T> {
    let missing = |why: &str| Some(why.strip_prefix("missing field `")?.strip_suffix('`')?.to_owned());
    let mut left_out = Vec::new();
    members.retain(|name, value| {
        loop {
            let one = Value::Object([(name.clone(), value.clone())].into_iter().collect());
            let Err(error) = serde_path_to_error::deserialize::<_, T>(&one) else { return true };
            let mut place: Vec<String> = error.path().iter().map(Segment::to_string).collect();
            let why = error.inner().to_string();
            if missing(&why).is_some() {
                return true;
            }
            // The path ends where structs are flattened.
            if place.first() != Some(name) {
                place = vec![name.clone()];
            }
            let problem = match why.rsplit_once(", expected ") {
                Some((_, "a map")) => "it must be an object whose values are texts".to_owned(),
                Some((_, expected)) => format!("it must be {expected}"),
                None => format!("it {why}"),
            };
            let path = place.join(".");
            // Beside a wrong member of a member there may be others.
            if let Some(part) = take(value, &place[1..]) {
                wrong(&path, Some(&part), &problem);
            } else {
                wrong(&path, Some(value), &problem);
                left_out.push(name.clone());
                return false;
            }
        }
    });
    let read = T::deserialize(Value::Object(members));
    if let Some(name) = read.as_ref().err().and_then(|error| missing(&error.to_string()))
        && !left_out.contains(&name)
    {
        wrong(&name, None, "it is missing");
    }
    read.ok()
}

/// The members of an object in their order, doubles included.
pub fn members<'de, K, V, D>(from: D, expected: &'static str) -> Result<Vec<(K, V)>, D::Error>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct InOrder<T>(&'static str, PhantomData<T>);

    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for InOrder<(K, V)> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    from.deserialize_map(InOrder(expected, PhantomData))
}

/// A value as a person would recognise it; of a list, where one is accepted, its items.
fn shown_as(schema: &Value, value: &Value) -> String {
    let lists = || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(|one| one["type"] == "array"));
    match value {
        Value::Array(items) if lists() => {
            let items: Vec<String> = items.iter().map(shown_json).collect();
            shortened(format!("[{}]", items.join(", ")))
        }
        value => shown_json(value),
    }
}

/// Takes the member at this place out of nested objects.
fn take(object: &mut Value, place: &[String]) -> Option<Value> {
    let (last, outer) = place.split_last()?;
    outer.iter().try_fold(object, |value, name| value.get_mut(name))?.as_object_mut()?.remove(last)
}
