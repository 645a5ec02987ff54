//! The names that keys and variables have, and the JSON Schema of config.json: both are made from the types that read them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::gateways::{self, Variables};
use super::kind::UNIT;
use super::settings::Keys;

/// The prefix of this server's variables.
pub const PREFIX: &str = "ONCEWARD_";

/// The end of a variable's name when its value is the name of a file with the value.
pub const FILE_SUFFIX: &str = "_FILE";

/// The prefix of the variables about traces.
const TRACE_PREFIX: &str = "OTEL_";

/// The prefixes of the variables that other programs may have too.
pub fn shared_prefixes() -> impl Iterator<Item = &'static str> {
    gateways::PREFIXES.iter().map(|(prefix, _)| prefix.as_str()).chain([TRACE_PREFIX])
}

/// Other names of keys and variables, as the replaced systems spell them. A dot leads into an object of config.json.
pub const ALIASES: [(&str, &str); 13] = [
    ("otp-max-trials", "otp-max-attempts"),
    ("authentication.otp_length", "otp-length"),
    (AUTHTOKEN, "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.sid", "TWILIO_ACCOUNT_SID"),
    ("sms.twilio.token", "TWILIO_AUTH_TOKEN"),
    ("sms.twilio.verify_sid", "TWILIO_SERVICES_ID"),
    ("sms.sinch.app_id", "SINCH_APP_ID"),
    ("sms.sinch.app_secret", "SINCH_APP_SECRET"),
    ("sms.sinch.verification_url", "SINCH_VERIFICATION_URL"),
    ("sms.mada.username", "MADA_USERNAME"),
    ("sms.mada.password", "MADA_PASSWORD"),
    ("sms.mada.url", "MADA_URL"),
    ("sms.mada.source_name", "MADA_SOURCE_NAME"),
];

/// What the Redis version calls `TWILIO_AUTH_TOKEN`.
const AUTHTOKEN: &str = "TWILIO_AUTHTOKEN";

/// Those that config.json may have.
fn aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALIASES.into_iter().filter(|(alias, _)| *alias != AUTHTOKEN)
}

/// Keys of config.json that no variable can set: an editor's, and objects whose members have variables of their own.
const OBJECTS: [(&str, &str); 2] = [
    (
        "sms",
        "Gateways and retries, as the Go framework spells them. Credentials are better given in the environment.",
    ),
    ("authentication", "What the Go framework says about codes."),
];

/// The schema of a settings struct, with those of its members in their places.
pub fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// The members of a settings struct, each with its schema.
pub fn properties<T: JsonSchema>() -> Map<String, Value> {
    let mut properties = schema_of::<T>().remove("properties").unwrap_or_default();
    drop_defaults(&mut properties, &|default| {
        default.is_null() || default.is_object() || *default == json!([])
    });
    if let Value::Object(properties) = properties { properties } else { Map::new() }
}

/// Takes out defaults of nothing, at every depth.
fn drop_defaults(value: &mut Value, is_nothing: &impl Fn(&Value) -> bool) {
    if let Value::Object(members) = value {
        members.retain(|name, value| name != "default" || !is_nothing(value));
        members.values_mut().for_each(|value| drop_defaults(value, is_nothing));
    }
}

/// The schema of a member: a named one, one of objects by name, or an item of a list (`[0]`).
pub fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('[') {
        return schema.get("items");
    }
    let by_name = || schema.get("additionalProperties").filter(|by_name| by_name.is_object());
    schema["properties"].get(name).or_else(by_name)
}

pub struct Names {
    /// Keys by their names in config.json, with their schemas; `sms.retry` and its neighbours with dots.
    pub keys: Map<String, Value>,
    /// Variables of gateways, of the account and about traces, with the schemas of their values.
    pub variables: Map<String, Value>,
    /// The schema of config.json: keys and their other names, each where its path leads.
    root: Value,
}

impl Names {
    pub fn known() -> Self {
        let mut variables = properties::<Variables>();
        for (_, mut schema) in gateways::declared() {
            variables.extend(schema["properties"].as_object_mut().map(std::mem::take).unwrap_or_default());
        }
        let mut names = Self { keys: properties::<Keys>(), variables, root: Value::Null };
        for (key, mut schema) in names.keys.clone() {
            let default = default_of(&schema);
            drop_defaults(&mut schema, &|default| *default == "");
            if let Some(default) = default {
                schema["default"] = default;
            }
            place(&mut names.root, &key, schema);
        }
        for (alias, name) in aliases() {
            let mut schema = names.schema(name).cloned().unwrap_or_default();
            let about = schema["description"].as_str().unwrap_or_default();
            schema["description"] = json!(format!("Another name of {name}. {about}"));
            schema.as_object_mut().and_then(|schema| schema.remove("default"));
            place(&mut names.root, alias, schema);
        }
        for (object, about) in OBJECTS {
            names.root["properties"][object]["description"] = json!(about);
        }
        names
    }

    pub fn schema(&self, name: &str) -> Option<&Value> {
        self.keys.get(name).or_else(|| self.variables.get(name))
    }

    /// Whether messages may not repeat the value of a key or variable.
    pub fn is_secret(&self, name: &str) -> bool {
        self.schema(name).is_some_and(|schema| schema["writeOnly"] == true)
    }

    /// The key or variable that a path leads to, and the members behind it.
    pub fn split<'a>(&self, path: &'a str) -> (&'a str, &'a str) {
        let whole = (path, "");
        if self.schema(path).is_some() { whole } else { path.split_once('.').unwrap_or(whole) }
    }

    /// Whether a path has a value: that of a key, of an alias, or of a member of a key that is an object.
    pub fn is_value(&self, path: &str) -> bool {
        let (key, members) = self.split(path);
        let is_object = || self.keys.get(key).is_some_and(|schema| schema["type"] == "object");
        self.keys.contains_key(path)
            || aliases().any(|(alias, _)| alias == path)
            || !members.is_empty() && is_object()
    }

    /// The members of keys that are objects, at every depth; of objects by name, with `NAME` for the name.
    pub fn members(&self) -> Vec<String> {
        let mut members = Vec::new();
        for (key, schema) in self.keys.iter().filter(|(_, schema)| schema["type"] == "object") {
            add_members(key, schema, &mut members);
        }
        members
    }

    /// The path that an unknown one probably means: the same name at another level, else the one that looks most like it.
    pub fn meant(&self, path: &str) -> Option<String> {
        let (group, name) = path.rsplit_once('.').unwrap_or(("", path));
        let members = self.members();
        let at_another_level =
            || self.keys.keys().chain(&members).find(|known| known.rsplit('.').next() == Some(name)).cloned();
        let prefix = if group.is_empty() { String::new() } else { format!("{group}.") };
        let beside =
            |least| likest(name, self.children(group), least).map(|known| format!("{prefix}{known}"));
        let key = || nearest(path, self.keys.keys()).cloned();
        beside(0.85).or_else(at_another_level).or_else(|| beside(SIMILAR)).or_else(key)
    }

    /// The names right below a path of config.json; `""` for its keys.
    pub fn children(&self, group: &str) -> impl Iterator<Item = &str> {
        let place = group.replace('[', ".[");
        let mut names = place.split('.').filter(|name| !name.is_empty());
        let schema = names.try_fold(&self.root, member);
        schema
            .and_then(|schema| schema["properties"].as_object())
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
    }

    /// Keys and their members that a variable can set, each with the variable's name.
    pub fn own_variables(&self) -> impl Iterator<Item = (String, String)> {
        let aliases = aliases().map(|(alias, _)| alias).filter(|alias| !alias.contains('.'));
        let keys = self.keys.keys().map(String::as_str).filter(|key| *key != "$schema");
        let members = self.members().into_iter().filter(|path| !path.contains(&format!(".{BY_NAME}.")));
        let paths = keys.chain(aliases).map(str::to_owned).chain(members);
        paths.map(|path| (path.clone(), variable(&path)))
    }

    /// The variables whose values may be in files: those of gateways, of the account and about traces.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str).chain([AUTHTOKEN])
    }
}

/// Stands for the name of an object among objects by name.
const BY_NAME: &str = "NAME";

fn add_members(path: &str, schema: &Value, members: &mut Vec<String>) {
    if let Some(by_name) =
        schema.get("additionalProperties").filter(|by_name| by_name.get("properties").is_some())
    {
        add_members(&format!("{path}.{BY_NAME}"), by_name, members);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        add_members(&path, member, members);
        members.push(path);
    }
}

pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace(['-', '.'], "_").to_ascii_uppercase())
}

/// Below this, most of the letters differ and a suggestion would confuse.
const SIMILAR: f64 = 0.5;

/// The known name that looks most like this one, if any looks like it at all.
pub fn nearest<S: AsRef<str>>(name: &str, known: impl Iterator<Item = S>) -> Option<S> {
    likest(name, known, SIMILAR)
}

fn likest<S: AsRef<str>>(name: &str, known: impl Iterator<Item = S>, least: f64) -> Option<S> {
    let plain = |name: &str| name.replace('_', "-").to_ascii_lowercase();
    let name = plain(name);
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, &plain(known.as_ref())), known))
        .filter(|(likeness, _)| *likeness >= least)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The end of a warning about an unknown name.
pub fn suggestion<S: AsRef<str>>(nearest: Option<S>) -> String {
    nearest.map(|name| format!("; did you mean {:?}?", name.as_ref())).unwrap_or_default()
}

/// The default in a key's schema: a time as a number of its unit, where people would write it so.
pub fn default_of(schema: &Value) -> Option<Value> {
    const LONG: u64 = 24 * 60 * 60;
    let default = schema.get("default")?;
    let Some(unit) = schema.get(UNIT).and_then(Value::as_u64) else { return Some(default.clone()) };
    let span = humantime::parse_duration(default.as_str()?).ok()?;
    let whole = span.subsec_nanos() == 0 && span.as_secs() % unit == 0 && span.as_secs() < LONG;
    Some(if whole { json!(span.as_secs() / unit) } else { default.clone() })
}

/// The schema as a document, with a line break at the end. `docs/reference/config.schema.json` is this text.
pub fn json_schema() -> String {
    let mut root = schema_of::<Keys>().to_value();
    root["properties"] = Names::known().root["properties"].take();
    tidy(&mut root);
    // A schema is made of strings, numbers and objects with text keys: it always serializes.
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// Takes out what is for the program alone, and breaks no lines: doc comments do so for their readers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let unit = match members.get(UNIT).and_then(Value::as_u64) {
                Some(60) => " In config.json a bare number is minutes.",
                Some(_) => " A bare number is seconds.",
                None => "",
            };
            members.retain(|name, _| !name.starts_with("x-"));
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("\n\n", " ").replace('\n', " ") + unit;
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Puts a schema where its path leads, through objects.
fn place(root: &mut Value, path: &str, schema: Value) {
    match path.split_once('.') {
        None => root["properties"][path] = schema,
        Some((group, rest)) => {
            let group = &mut root["properties"][group];
            group["type"] = json!("object");
            place(group, rest, schema);
        }
    }
}
