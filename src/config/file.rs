//! config.json.

use std::fmt;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::gateways::VARIABLE_PREFIXES;
use super::layer::Layer;
use super::names::{Names, PREFIX, nearest, suggestion};
use super::nested::{self, Member};
use super::report::Report;
use super::services::ACCOUNT_VARIABLES;
use super::sources::{Sources, read_text};
use super::value::shown_json;

/// The name of the file when nobody names one.
const DEFAULT_FILE: &str = "config.json";

/// Reads the file that `sources` names, or `config.json` if there is one.
pub fn layer(sources: &Sources, names: &Names, report: &mut Report) -> Layer {
    let mut layer = Layer::new("config.json");
    let path = sources.working_dir.join(sources.config_file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)));
    let shown = path.display().to_string();
    match read_text(&path) {
        Ok(Some(text)) => match serde_json::from_str::<Members>(&text) {
            Ok(members) => {
                Contents { file: &shown, names, report, credentials: Vec::new() }.fill(&mut layer, members);
            }
            Err(error) => report.problem(shown, not_json(&error), None),
        },
        Ok(None) if sources.config_file.is_none() => {}
        Ok(None) => report.problem(shown, "there is no such file; --config names it", None),
        Err(reason) => report.problem(shown, reason, None),
    }
    layer.fold_aliases(report);
    layer
}

fn not_json(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("it must be one JSON object, {{ ... }}: {error}")
    } else {
        format!("it is not valid JSON: {error}")
    }
}

/// The members of the file on their way into the layer.
struct Contents<'a> {
    file: &'a str,
    names: &'a Names,
    report: &'a mut Report,
    /// Credentials that the file may have, though they are better kept elsewhere.
    credentials: Vec<&'static Member>,
}

impl Contents<'_> {
    fn fill(mut self, layer: &mut Layer, Members(members): Members) {
        for (key, value) in members {
            let origin = self.origin(&key);
            if let Some(root) = nested::ROOTS.iter().find(|root| **root == key) {
                self.group(layer, root, value);
            } else if self.names.contains(&key) {
                self.put(layer, &key, &key, &value);
            } else if is_credential(&key) {
                let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a \
                               file that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
                self.report.problem(key, problem, origin);
            } else {
                let hint = suggestion(nearest(&key, self.names.keys()));
                self.report.warn(format!("{origin} is unknown and ignored{hint}"));
            }
        }
        self.warn_of_credentials();
    }

    fn put(&mut self, layer: &mut Layer, path: &str, key: &str, value: &Value) {
        let origin = self.origin(path);
        if layer.origin(key).is_some() {
            self.report.warn(format!("{origin} is given twice; the last one counts"));
        }
        layer.put_json(key, value, origin);
    }

    /// An object of the Go framework's spelling.
    fn group(&mut self, layer: &mut Layer, path: &str, value: Value) {
        let members: Map<String, Value> = match value {
            Value::Object(members) => members,
            Value::Null if path.contains('.') => return,
            // The value is not repeated: it may be a secret.
            _ => {
                let problem = "it must be an object such as {\"twilio\": {\"sid\": \"AC...\", \"token\": \"...\"}} \
                               of \"sms\" or {\"otp_length\": 6} of \"authentication\"";
                self.report.problem(path, problem, self.origin(path));
                return;
            }
        };
        for (name, value) in members {
            let path = format!("{path}.{name}");
            if let Some(member) = nested::member(&path) {
                self.member(layer, member, &value);
            } else if nested::is_group(&path) {
                self.group(layer, &path, value);
            } else {
                let hint = suggestion(nested::nearest_to(&path));
                self.report.warn(format!("{} is unknown and ignored{hint}", self.origin(&path)));
            }
        }
    }

    fn member(&mut self, layer: &mut Layer, member: &'static Member, value: &Value) {
        if member.path == member.sets {
            self.put(layer, member.path, member.sets, value);
            return;
        }
        // What stands for a variable counts as not given where that would: empty.
        let text = match value {
            Value::Null => return,
            Value::String(text) if text.trim().is_empty() => return,
            Value::String(_) | Value::Bool(_) | Value::Number(_) => value,
            Value::Array(_) | Value::Object(_) => {
                let given = shown_json(value);
                self.report.problem(
                    member.path,
                    format!("it must be a text, not {given}"),
                    self.origin(member.path),
                );
                return;
            }
        };
        self.put(layer, member.path, member.sets, text);
        if member.credential {
            self.credentials.push(member);
        }
    }

    fn warn_of_credentials(&mut self) {
        if self.credentials.is_empty() {
            return;
        }
        let paths: Vec<String> = self.credentials.iter().map(|member| format!("{:?}", member.path)).collect();
        let variables: Vec<&str> = self.credentials.iter().map(|member| member.sets).collect();
        self.report.warn(format!(
            "{}, {} {}: works, but credentials are better kept in the environment or .env, as {}",
            self.file,
            if paths.len() == 1 { "key" } else { "keys" },
            paths.join(", "),
            variables.join(", ")
        ));
    }

    fn origin(&self, key: &str) -> String {
        format!("{}, key {key:?}", self.file)
    }
}

/// Whether a key is a variable of a gateway, or of the account, in any spelling.
fn is_credential(key: &str) -> bool {
    let key = key.to_ascii_uppercase().replace('-', "_");
    let is_account = ACCOUNT_VARIABLES
        .iter()
        .any(|variable| variable.trim_start_matches(PREFIX) == key.trim_start_matches(PREFIX));
    is_account || VARIABLE_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The members of a JSON object in their order, doubles included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
