//! The values of all sources, and everything that is found while they are read: all errors at once, and warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::kind::{ACCEPTED, NOT_SHOWN, shortened, shown_json, text_of};
use super::schema::{member, properties};
use super::sources::{OwnGateway, RawValues, Sources};
use super::values::{is_name, may_hold_password};

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

#[derive(Debug, Default)]
pub struct Report {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
    /// Names and values without an effect are errors.
    strict: bool,
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

    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Notes a name that no setting has, with a hint at the nearest one.
    pub fn unknown(&mut self, name: impl Into<String>, hint: &str) {
        let name = name.into();
        if self.strict {
            self.wrong(name, None, format!("it is unknown{hint}"), None);
        } else {
            self.warn(format!("{name} is unknown and ignored{hint}"));
        }
    }

    /// Notes a value that has no effect, and the remedy.
    pub fn ignored(&mut self, name: &str, problem: &str) {
        if self.strict {
            self.wrong(name, None, problem, None);
        } else {
            self.warn(format!("{name}: {problem}"));
        }
    }

    pub fn extend(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
    }

    pub const fn error_count(&self) -> usize {
        self.errors.len()
    }

    pub fn errors_since(&self, count: usize) -> &[ConfigError] {
        self.errors.get(count..).unwrap_or_default()
    }

    /// Ends a phase: nothing follows from values that are wrong.
    pub fn check(&mut self) -> Result<(), ConfigErrors> {
        if self.errors.is_empty() { Ok(()) } else { std::mem::take(self).finish().map(drop) }
    }

    /// The warnings, if there was no error; else all of it.
    pub fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        let Self { errors, warnings, .. } = self;
        if errors.is_empty() { Ok(warnings) } else { Err(ConfigErrors { errors, warnings }) }
    }
}

/// The values of all sources, and everything that is found while they are read.
pub struct Context {
    pub raw: RawValues,
    pub report: Report,
    pub rows: Vec<Effective>,
    /// Gateways of a program that embeds the library.
    pub own_gateways: Vec<OwnGateway>,
}

impl Context {
    /// With everything that the sources say. Without `credentials`, errors in the environment do not count: a command
    /// beside a server may not be allowed to read the server's credentials.
    pub fn of(sources: &Sources, credentials: bool) -> Self {
        let (raw, report) = RawValues::merge(sources, credentials);
        let own_gateways = sources.overrides.program.gateways.clone();
        Self { raw, report, rows: Vec::new(), own_gateways }
    }

    pub fn origin(&self, path: &str) -> String {
        self.raw.origin(path).unwrap_or("the default").to_owned()
    }

    /// Whether a key or variable is given.
    pub fn is_given(&self, name: &str) -> bool {
        self.raw.origin(name).is_some()
    }

    /// Adds something that follows from several keys to what `--print-config` shows.
    pub fn row(&mut self, key: &str, value: impl Into<Value>, origin: &str) {
        self.rows.retain(|row| row.key != key);
        let value = value.into();
        self.rows.push(Effective { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Notes that the value of a key or a member is wrong in itself, or beside others. `given` must not be a secret.
    pub fn wrong(&mut self, path: &str, given: impl Into<Option<String>>, problem: impl Into<String>) {
        let origin = self.raw.origin(path).map(str::to_owned);
        self.report.wrong(path, given, problem, origin);
    }

    /// Notes that a key or variable is missing beside one that is given.
    pub fn needs(&mut self, given: &str, missing: &str, problem: impl FnOnce() -> String) {
        if let Some(origin) = self.raw.origin(given).filter(|_| !self.is_given(missing)) {
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

    /// Reads the keys (or by their names the variables) of a settings struct, with all their members. Reports every wrong
    /// value and leaves it out.
    pub fn read<T: DeserializeOwned + Default + Serialize + JsonSchema>(&mut self) -> T {
        self.read_given().unwrap_or_default()
    }

    /// The same; `None` without a report if one that has no default is missing.
    pub fn read_given<T: DeserializeOwned + Serialize + JsonSchema>(&mut self) -> Option<T> {
        let known = properties::<T>();
        let given = self.raw.values.iter().filter(|(key, _)| known.contains_key(*key));
        let values = given.map(|(key, value)| (key.clone(), value.clone())).collect();
        let read: Option<T> = self.read_object("", &known, Value::Object(values));
        if let Some(Ok(Value::Object(members))) = read.as_ref().map(serde_json::to_value) {
            for (key, value) in members {
                let Some(value) = without_nulls(value) else { continue };
                let below = format!("{key}.");
                let of_members = self.raw.origins.iter().filter(|(path, _)| path.starts_with(&below));
                let mut origins = vec![self.origin(&key)];
                for (_, origin) in of_members {
                    if !origins.contains(origin) {
                        origins.push(origin.clone());
                    }
                }
                self.row(&key, value, &origins.join("; "));
            }
        }
        read
    }

    /// Reads the object at a path, whose members are known. Reports every wrong value and leaves it out, and every member
    /// that is missing, but for those of the object itself.
    pub fn read_object<T: DeserializeOwned>(
        &mut self,
        path: &str,
        known: &Map<String, Value>,
        object: Value,
    ) -> Option<T> {
        let mut reported = BTreeSet::new();
        read_all(object, |place, value, problem| {
            let schema = schema_at(known, place);
            let mut wrong = |member: String, given, problem: String| {
                let path = if path.is_empty() { member } else { format!("{path}.{member}") };
                // A member that was reported as wrong and removed seems missing now.
                if reported.insert(path.clone()) {
                    let origin = self.raw.origin(&path).map(str::to_owned);
                    self.report.wrong(path, given, problem, origin);
                }
            };
            if let Some(missing) =
                problem.strip_prefix("missing field `").and_then(|why| why.strip_suffix('`'))
            {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let absent = required.filter(|name| value.get(name).is_none()).chain([missing]);
                for name in absent.filter(|_| !place.is_empty()) {
                    wrong(format!("{}.{name}", path_of(place)), None, "it is missing".to_owned());
                }
                return;
            }
            let given = Some(value).filter(|value| !is_secret(known, place, value));
            let problem = match problem.rsplit_once(", expected ") {
                Some((why, members)) if why.starts_with("unknown field ") => {
                    format!("it must have another name: {members}")
                }
                Some((_, expected)) => {
                    let expected = match expected {
                        "a string" => "a text",
                        "a map" => "an object whose values are texts",
                        object if object.starts_with("struct ") => "an object",
                        other => other,
                    };
                    format!("it must be {}", schema[ACCEPTED].as_str().unwrap_or(expected))
                }
                None => format!("it {problem}"),
            };
            wrong(path_of(place), given.map(|value| shown_as(schema, value)), problem);
        })
    }
}

/// Reads a value of which several parts may be wrong: `wrong` gets the place of each, its value and the error. The result
/// lacks wrong parts; `None` if nothing is left.
fn read_all<T: DeserializeOwned>(
    mut whole: Value,
    mut wrong: impl FnMut(&[String], &Value, &str),
) -> Option<T> {
    // The items that were left out of lists.
    let mut left_out = BTreeMap::<Vec<String>, usize>::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&whole) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let mut place: Vec<String> = error.path().iter().map(Segment::to_string).collect();
        let why = error.inner().to_string();
        if !why.starts_with("missing field ") {
            // The path ends where structs are flattened, and where a value checks its members by itself.
            while let Some(name) = culprit::<T>(&whole, &place, &error) {
                place.push(name);
            }
        }
        let mut shown = place.clone();
        for (length, name) in shown.iter_mut().enumerate() {
            if let (Some(index), Some(before)) = (index_of(name), left_out.get(&place[..length])) {
                *name = format!("[{}]", index + before);
            }
        }
        wrong(&shown, at(&mut whole, &place)?, &why);
        let (last, outer) = place.split_last()?;
        match (at(&mut whole, outer)?, index_of(last)) {
            (Value::Array(items), Some(index)) => {
                items.remove(index);
                *left_out.entry(outer.to_vec()).or_default() += 1;
            }
            (Value::Object(members), _) => drop(members.remove(last)?),
            _ => return None,
        }
    }
}

/// The index that a part of a path is.
fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The member of the object at a place that alone leads to the error.
fn culprit<T: DeserializeOwned>(
    whole: &Value,
    place: &[String],
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Option<String> {
    let mut whole = whole.clone();
    let members = at(&mut whole, place)?.as_object().filter(|members| !members.is_empty())?.clone();
    let mut leads_to_it = |members: Map<String, Value>| {
        let Some(object) = at(&mut whole, place) else { return false };
        *object = Value::Object(members);
        serde_path_to_error::deserialize::<_, T>(&whole).is_err_and(|other| {
            other.path().to_string() == error.path().to_string()
                && other.inner().to_string() == error.inner().to_string()
        })
    };
    if leads_to_it(Map::new()) {
        return None;
    }
    let mut alone = members.into_iter().map(|(name, value)| (name.clone(), Map::from_iter([(name, value)])));
    alone.find_map(|(name, one)| leads_to_it(one).then_some(name))
}

fn at<'a>(whole: &'a mut Value, place: &[String]) -> Option<&'a mut Value> {
    place.iter().try_fold(whole, |value, name| match value {
        Value::Array(items) => items.get_mut(index_of(name)?),
        value => value.get_mut(name),
    })
}

/// A place as messages show it: `services.shop.test-numbers[0]`.
fn path_of(place: &[String]) -> String {
    place.join(".").replace(".[", "[")
}

/// The schema of a place below keys; null where none is known.
fn schema_at<'a>(known: &'a Map<String, Value>, place: &[String]) -> &'a Value {
    let mut place = place.iter();
    let key = place.next().and_then(|key| known.get(key));
    key.and_then(|schema| place.try_fold(schema, |schema, name| member(schema, name))).unwrap_or(&Value::Null)
}

/// Whether messages may not show the value at a place: a secret, a URL with a password, or a text where an object or a list is meant.
fn is_secret(known: &Map<String, Value>, place: &[String], value: &Value) -> bool {
    let Some(text) = text_of(value) else { return false };
    let schema = schema_at(known, place);
    let is_url = schema["format"].as_str().is_some_and(|format| format.starts_with("uri"));
    (1..=place.len()).any(|length| schema_at(known, &place[..length])["writeOnly"] == true)
        || is_url && may_hold_password(&text)
        || value.is_string() && (schema["type"] == "object" || schema["type"] == "array")
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

/// A value as a person would recognize it; of a list, where one is accepted, its items.
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
