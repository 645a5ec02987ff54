//! The JSON Schema of config.json, made from the type that reads it.

use schemars::{Schema, schema_for};
use serde_json::Value;

use super::keys::{Keys, defaults};

/// The schema as a document, with a line break at the end. `docs/config.schema.json` is this text.
pub fn json_schema() -> String {
    let schema = generate();
    // A schema is made of strings, numbers and objects with text keys: it always serialises.
    let mut text = serde_json::to_string_pretty(schema.as_value()).unwrap_or_default();
    text.push('\n');
    text
}

/// The names of all keys.
pub fn keys() -> Vec<String> {
    let schema = schema_for!(Keys);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn generate() -> Schema {
    let mut schema = schema_for!(Keys);
    unfold_descriptions(&mut schema);
    let defaults = defaults();
    for (key, default) in defaults {
        // sms.retry is a property of a property.
        let mut place = schema.get_mut("properties");
        for (depth, name) in key.split('.').enumerate() {
            place = match depth {
                0 => place.and_then(|properties| properties.get_mut(name)),
                _ => place.and_then(|object| object.get_mut("properties")?.get_mut(name)),
            };
        }
        if let Some(property) = place.and_then(Value::as_object_mut) {
            property.insert("default".to_owned(), default);
        }
    }
    schema
}

/// Doc comments are broken into lines for their readers; descriptions are not.
fn unfold_descriptions(schema: &mut Schema) {
    fn unfold(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                        other => unfold(other),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(unfold),
            _ => {}
        }
    }
    if let Some(members) = schema.as_object_mut() {
        let mut whole = Value::Object(std::mem::take(members));
        unfold(&mut whole);
        if let Value::Object(whole) = whole {
            *members = whole;
        }
    }
}
