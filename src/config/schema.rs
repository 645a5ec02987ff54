//! The JSON Schema of config.json, made from the sections.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::gateways::{Variables, declared};
use super::hooks::HookSettings;
use super::layers::ALIASES;
use super::settings::{
    AttemptLogSettings, Bounds, DeliverySettings, Inputs, LogSettings, Pricing, ProxySettings,
    StorageSettings,
};
use super::traces::TraceVariables;

/// Objects whose members have other spellings as keys or variables.
const OBJECTS: [(&str, &str); 2] = [
    (
        "sms",
        "Gateways and retries, as the Go framework spells them. Credentials are better given in the environment.",
    ),
    ("authentication", "What the Go framework says about codes."),
];

/// The properties of all keys, or of all variables, and the definitions that they share.
pub fn properties() -> (Value, Value, Value) {
    fn add<T: JsonSchema>(to: &mut Value, generator: &mut SchemaGenerator) {
        let mut schema = T::json_schema(generator);
        if let (Some(to), Some(Value::Object(own))) = (to.as_object_mut(), schema.remove("properties")) {
            to.extend(own);
        }
    }

    let (mut keys, mut variables) = (json!({}), json!({}));
    let generator = &mut SchemaSettings::draft2020_12().into_generator();
    add::<Inputs>(&mut keys, generator);
    add::<LogSettings>(&mut keys, generator);
    add::<StorageSettings>(&mut keys, generator);
    add::<DeliverySettings>(&mut keys, generator);
    add::<AttemptLogSettings>(&mut keys, generator);
    add::<Pricing>(&mut keys, generator);
    add::<ProxySettings>(&mut keys, generator);
    add::<Bounds>(&mut keys, generator);
    add::<Variables>(&mut variables, generator);
    add::<HookSettings>(&mut variables, generator);
    add::<TraceVariables>(&mut variables, generator);
    for (_, mut schema) in declared() {
        if let (Some(to), Value::Object(own)) = (variables.as_object_mut(), schema["properties"].take()) {
            to.extend(own);
        }
    }
    let mut definitions = json!(generator.take_definitions(true));
    [&mut keys, &mut variables, &mut definitions].into_iter().for_each(tidy);
    (keys, variables, definitions)
}

/// The schema as a document, with a line break at the end. `docs/reference/config.schema.json` is this text.
pub fn json_schema() -> String {
    let (keys, variables, definitions) = properties();
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.json of onceward",
        "description": "The configuration file of onceward. Every value may be a string or the proper JSON type. Any key can \
                        also be given in the environment as ONCEWARD_ and the key in capitals with underscores.",
        "type": "object",
        "$defs": definitions,
    });
    for (key, schema) in keys.as_object().into_iter().flatten() {
        place(&mut root, key, schema.clone());
    }
    for (alias, name) in ALIASES.iter().filter(|(alias, _)| *alias != "TWILIO_AUTHTOKEN") {
        let mut schema = keys.get(name).or_else(|| variables.get(name)).cloned().unwrap_or_default();
        let about = schema["description"].as_str().unwrap_or_default();
        schema["description"] = json!(format!("Another name of {name}. {about}"));
        schema.as_object_mut().and_then(|schema| schema.remove("default"));
        place(&mut root, alias, schema);
    }
    for (object, about) in OBJECTS {
        root["properties"][object]["description"] = json!(about);
    }
    // A schema is made of strings, numbers and objects with text keys: it always serializes.
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// Takes out defaults of nothing, and breaks no lines: doc comments do so for their readers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|name, value| {
                let is_nothing = value.is_null() || value.is_object() || *value == json!([]) || *value == "";
                name != "default" || !is_nothing
            });
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
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
