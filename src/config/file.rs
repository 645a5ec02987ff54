//! config.json.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::layer::Layer;
use super::names::{Names, nearest, suggestion};
use super::report::Report;
use super::sources::{Sources, read_text};

/// The name of the file when nobody names one.
const DEFAULT_FILE: &str = "config.json";

/// What belongs to parts of this program that do not exist yet.
const LATER: [&str; 2] = ["authentication", "otp-sms-provider"];

/// Settings of providers, as the Go framework spells them.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Sms {
    /// Twilio. It works, but credentials are better kept in the environment.
    twilio: Option<SmsTwilio>,
    /// Other members are not used yet.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Twilio's credentials.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SmsTwilio {
    /// The account's SID: TWILIO_ACCOUNT_SID.
    sid: Option<String>,
    /// The account's auth token: TWILIO_AUTH_TOKEN.
    token: Option<String>,
    /// The SID of a Verify service: TWILIO_SERVICES_ID.
    verify_sid: Option<String>,
    /// Other members are not used yet.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Reads the file that `sources` names, or `config.json` if there is one.
pub fn layer(sources: &Sources, names: &Names, report: &mut Report) -> Layer {
    let mut layer = Layer::new("config.json");
    let named = sources.config_file.as_deref();
    let path = sources.working_dir.join(named.unwrap_or(Path::new(DEFAULT_FILE)));
    let file = path.display().to_string();
    match read_text(&path) {
        Ok(Some(text)) => match serde_json::from_str::<Members>(&text) {
            Ok(members) => File { file: &file, names, report }.fill(&mut layer, members),
            Err(error) => report.problem(file, not_json(&error), None),
        },
        Ok(None) => {
            if named.is_some() {
                report.problem(file, "there is no such file; --config names it", None);
            }
        }
        Err(reason) => report.problem(file, reason, None),
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

struct File<'a> {
    file: &'a str,
    names: &'a Names,
    report: &'a mut Report,
}

impl File<'_> {
    fn fill(mut self, layer: &mut Layer, Members(members): Members) {
        for (key, value) in members {
            let origin = self.origin(&key);
            if layer.origin(&key).is_some() {
                self.report.warn(format!("{origin} is given twice; the last one counts"));
            }
            if key == "sms" {
                self.sms(layer, value);
            } else if self.names.contains(&key) {
                layer.put_json(&key, &value, origin);
            } else if is_credential(&key) {
                let problem = "credentials do not belong in config.json. Move it to the environment, to .env, or to a \
                               file that a variable with _FILE at its end names, such as TWILIO_AUTH_TOKEN_FILE";
                self.report.problem(key, problem, origin);
            } else if LATER.contains(&key.as_str()) {
                self.report.warn(format!("{origin} is not used yet in this version"));
            } else {
                let hint = suggestion(nearest(&key, self.names.keys()));
                self.report.warn(format!("{origin} is unknown and ignored{hint}"));
            }
        }
    }

    fn sms(&mut self, layer: &mut Layer, value: Value) {
        // The reason that serde gives could quote a secret.
        let Ok(sms) = serde_json::from_value::<Sms>(value) else {
            let problem = "it must be an object such as {\"twilio\": {\"sid\": \"AC...\", \"token\": \"...\"}}, with \
                           texts as values";
            self.report.problem("sms", problem, self.origin("sms"));
            return;
        };
        for other in sms.others.keys() {
            self.unused(&format!("sms.{other}"));
        }
        let Some(twilio) = sms.twilio else { return };
        for other in twilio.others.keys() {
            self.unused(&format!("sms.twilio.{other}"));
        }
        for (member, variable, value) in [
            ("sid", "TWILIO_ACCOUNT_SID", twilio.sid),
            ("token", "TWILIO_AUTH_TOKEN", twilio.token),
            ("verify_sid", "TWILIO_SERVICES_ID", twilio.verify_sid),
        ] {
            let Some(value) = value.filter(|value| !value.trim().is_empty()) else { continue };
            let origin = self.origin(&format!("sms.twilio.{member}"));
            self.report.warn(format!("{origin} works, but is better kept in the environment as {variable}"));
            layer.put(variable, value, origin);
        }
    }

    fn unused(&mut self, key: &str) {
        let origin = self.origin(key);
        self.report.warn(format!("{origin} is not used yet in this version"));
    }

    fn origin(&self, key: &str) -> String {
        format!("{}, key {key:?}", self.file)
    }
}

/// Whether a key is one of Twilio's variables in any spelling.
fn is_credential(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with("twilio")
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
