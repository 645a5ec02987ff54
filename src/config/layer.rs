//! One source of settings: a layer that figment stacks with the others. The layer remembers for
//! each key how a person would name the place that it came from.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::report::{ConfigError, Report};
use super::value::{shown, text_of};

/// The name that `--listen` has among the keys. No key of config.json can have it.
pub const LISTEN_FLAG: &str = "--listen";

/// Second spellings, and whether the value is a secret.
const ALIASES: &[(&str, &str, bool)] = &[
    ("otp-max-attempts", "otp-max-trials", false),
    ("otp-length", "authentication.otp_length", false),
    ("TWILIO_AUTH_TOKEN", "TWILIO_AUTHTOKEN", true),
];

/// Values from one source, each with its origin.
pub struct Layer {
    name: &'static str,
    values: Dict,
    origins: BTreeMap<String, String>,
}

impl Layer {
    /// An empty layer.
    pub const fn new(name: &'static str) -> Self {
        Self { name, values: Dict::new(), origins: BTreeMap::new() }
    }

    /// Adds a value; a second one for the same key replaces the first.
    pub fn put(&mut self, key: &str, value: impl Into<Value>, origin: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
        self.origins.insert(key.to_owned(), origin.into());
    }

    /// Adds a value of config.json.
    pub fn put_json(&mut self, key: &str, value: &serde_json::Value, origin: impl Into<String>) {
        // JSON always serialises; were it not so, its text would still be read or refused as a text.
        let value = Value::serialize(value).unwrap_or_else(|_| Value::from(value.to_string()));
        self.put(key, value, origin);
    }

    /// Where a key's value came from, if the layer has one.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// Replaces second spellings by the first. A source that gives both must mean the same.
    pub fn fold_aliases(&mut self, report: &mut Report) {
        for (name, alias, secret) in ALIASES {
            let Some(value) = self.values.remove(*alias) else { continue };
            let origin = self.origins.remove(*alias).unwrap_or_default();
            let Some(first) = self.values.get(*name) else {
                self.put(name, value, origin);
                continue;
            };
            if text_of(first) != text_of(&value) {
                report.error(ConfigError {
                    subject: format!("{name} and {alias}"),
                    given: (!secret).then(|| format!("{} and {}", shown(first), shown(&value))),
                    problem: "these are two names of one setting and differ. Remove one of them".to_owned(),
                    origin: Some(format!("{} and {origin}", self.origin(name).unwrap_or_default())),
                });
            }
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        let origins = self.origins.clone();
        Metadata::named(self.name).interpolater(move |_: &Profile, path: &[&str]| {
            path.first().and_then(|key| origins.get(*key)).cloned().unwrap_or_default()
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
