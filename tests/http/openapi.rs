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
