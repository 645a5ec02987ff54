//! The JSON Schema of config.json, made from the sections.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::load::Keys;

/// The schema as a document, with a line break at the end. `docs/reference/config.schema.json` is this text.
pub fn json_schema() -> String {
    let mut root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Keys>().to_value();
    tidy(&mut root);
    // Here a template has a name too; in requests it has an id.
    if let Some(Value::Object(template)) =
        root.pointer_mut("/$defs/ServiceObject/properties/default-template")
    {
        template.remove("pattern");
    }
    root["type"] = json!("object");
    root["title"] = json!("config.json of onceward");
    root["description"] = json!(
        "The configuration file of onceward. Every value may be a string or the proper JSON type. Any key can also be given in the \
         environment as ONCEWARD_ and the key in capitals with underscores."
    );
    // A schema is made of strings, numbers and objects with text keys: it always serializes.
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    text.push('\n');
    text
}

/// Types in whose place a value may be a text.
const NOT_TEXTS: [&str; 5] = ["array", "boolean", "integer", "number", "object"];

/// Accepts texts in place of other types, takes out defaults of nothing, and breaks no lines: doc comments do so for their
/// readers.
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
                    kind if name == "type" => {
                        let mut kinds: Vec<Value> =
                            kind.as_array().cloned().unwrap_or_else(|| vec![kind.clone()]);
                        if kinds.iter().any(|kind| NOT_TEXTS.iter().any(|other| *kind == *other))
                            && !kinds.contains(&json!("string"))
                        {
                            kinds.push(json!("string"));
                            *kind = kinds.into();
                        }
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
