use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::*;
use crate::http::deps::CallbackKind;
use crate::http::route::Route;
use crate::http::v2::Kind;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// Every route; a new one does not compile until it is here.
fn routes() -> Vec<Route> {
    const fn is_listed(route: Route) {
        match route {
            Route::Index
            | Route::SendOtp
            | Route::VerifyOtp
            | Route::HelloWorld
            | Route::SendCode
            | Route::VerifyCode
            | Route::Healthz
            | Route::Readyz
            | Route::Inbox
            | Route::OpenApi
            | Route::Docs
            | Route::V2(_)
            | Route::Callback(_)
            | Route::Unknown => {}
        }
    }
    is_listed(Route::Index);
    let mut routes = vec![
        Route::Index,
        Route::SendOtp,
        Route::VerifyOtp,
        Route::HelloWorld,
        Route::SendCode,
        Route::VerifyCode,
        Route::Healthz,
        Route::Readyz,
        Route::Inbox,
        Route::OpenApi,
        Route::Docs,
        Route::Callback(CallbackKind::Message),
        Route::Callback(CallbackKind::Call),
        Route::Callback(CallbackKind::Gate),
    ];
    routes.extend(Kind::SERVED.map(Route::V2));
    routes
}

fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(text()).expect("JSON"));
    &DOCUMENT
}

fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, text()).expect("write docs/openapi.json");
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        found == text(),
        "docs/openapi.json is stale. Run `UPDATE_DOCS=1 cargo test --lib committed_description` and review the difference."
    );
}

#[test]
fn the_description_has_every_route_of_the_router_and_no_other() {
    let described: BTreeSet<String> =
        operations().map(|(path, method, _)| format!("{} {path}", method.to_uppercase())).collect();
    let mut routed = BTreeSet::from(["GET /inbox/messages".to_owned()]);
    for route in routes() {
        let methods = route.allow().into_iter().flat_map(|allow| allow.split(", "));
        routed.extend(
            methods.filter(|method| *method != "HEAD").map(|method| format!("{method} {}", route.name())),
        );
    }
    assert_eq!(described, routed);
}

#[test]
fn the_description_is_complete_in_itself() {
    assert_eq!(document()["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} names two operations");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id}");
        let in_path: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        let listed = operation["parameters"].as_array().into_iter().flatten();
        let declared: BTreeSet<&str> =
            listed.filter(|param| param["in"] == "path").filter_map(|param| param["name"].as_str()).collect();
        assert_eq!(in_path, declared, "{method} {path}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.values().all(|response| response["description"].is_string()), "{id}");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
    }
    let mut names = Vec::new();
    references(document(), &mut names);
    assert!(!names.is_empty());
    for name in names {
        let name = name.strip_prefix("#/components/schemas/").expect("a schema");
        assert!(document()["components"]["schemas"][name].is_object(), "there is no schema {name}");
    }
}

/// Every example of an answer has the members that its schema asks for, and no other.
#[test]
fn the_examples_are_what_their_schemas_say() {
    let mut seen = 0;
    for (_, _, operation) in operations() {
        for response in operation["responses"].as_object().expect("responses").values() {
            let content = &response["content"]["application/json"];
            if !content["example"].is_null() {
                fits(
                    &content["example"],
                    &content["schema"],
                    operation["operationId"].as_str().expect("an id"),
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 40, "{seen}");
}

/// As far as objects, lists, references and plain types go.
fn fits(value: &Value, schema: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        return fits(value, &document()["components"]["schemas"][name], &format!("{place}/{name}"));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let other = choices.iter().find(|choice| choice["type"] != "null").expect("a choice");
        if !value.is_null() {
            fits(value, other, place);
        }
        return;
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

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
