//! The description of the routes is complete and consistent.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use onceward::http::openapi_json;
use serde_json::Value;

fn described() -> &'static Value {
    static DESCRIBED: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(openapi_json()).expect("JSON"));
    &DESCRIBED
}

fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = described()["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[test]
fn the_description_is_complete_in_itself() {
    assert_eq!(described()["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} names two operations");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id}");
        let in_path: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        let listed = operation["parameters"].as_array().into_iter().flatten();
        let declared: Vec<&Value> = listed.filter(|param| param["in"] == "path").collect();
        let names: BTreeSet<&str> = declared.iter().filter_map(|param| param["name"].as_str()).collect();
        assert_eq!(in_path, names, "{method} {path}");
        for param in declared.iter().filter(|param| param["name"] != "Name") {
            assert_ne!(param["description"], "A name.", "{method} {path}");
        }
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.values().all(|response| response["description"].is_string()), "{id}");
        assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{id}");
    }
}

#[test]
fn the_manual_names_every_route_of_the_api() {
    let manual = include_str!("../../docs/reference/verify-api.md");
    let paths = operations().map(|(path, ..)| path).filter(|path| path.starts_with("/v"));
    let missing: Vec<_> =
        paths.filter(|path| !path.starts_with("/verify") && !manual.contains(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every body and every parameter has an example.
#[test]
fn the_examples_are_what_their_schemas_say() {
    for (path, method, operation) in operations() {
        let place = format!("{method} {path}");
        for (media_type, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            assert!(content["example"].is_object(), "{place}");
            fits(&content["example"], &content["schema"], &format!("{place} {media_type}"));
        }
        for param in operation["parameters"].as_array().into_iter().flatten() {
            assert!(param["description"].as_str().is_some_and(|about| !about.is_empty()), "{place}");
            fits(&param["example"], &param["schema"], &format!("{place} {}", param["name"]));
        }
    }
}

/// Checks objects, lists and plain types.
fn fits(value: &Value, schema: &Value, place: &str) {
    if let Some(choices) = schema["oneOf"].as_array() {
        return fits(value, &choices[0], place);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&found), "{place}: {found} is none of {types:?}");
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{place}: {value} is none of {values:?}");
    }
    if let Some(bound) = schema["maxLength"].as_u64() {
        assert!(value.as_str().is_some_and(|text| text.len() as u64 <= bound), "{place}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], place);
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(
                object.contains_key(required.as_str().expect("a name")),
                "{place}: {required} is missing"
            );
        }
        for (name, value) in object {
            let property = properties.get(name).unwrap_or_else(|| panic!("{place}: {name} is not described"));
            fits(value, property, &format!("{place}.{name}"));
        }
    }
}
