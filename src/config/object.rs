//! Settings that are objects: in config.json as they are, in a variable as JSON.

use figment::value::Value;
use serde_json::Map;

/// An object of config.json, or a text that is one.
pub fn object_of(value: &Value) -> Option<Map<String, serde_json::Value>> {
    let json = match value {
        Value::Dict(..) => serde_json::to_value(value).ok(),
        Value::String(_, text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    match json {
        Some(serde_json::Value::Object(members)) => Some(members),
        _ => None,
    }
}

/// A text, a number or a truth value as text, as everywhere else.
pub fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}
