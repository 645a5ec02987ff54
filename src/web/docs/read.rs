//! What the page shows of the document.

use std::fmt::Write as _;

use serde_json::Value;

use super::text;

/// Routes that belong together.
pub struct Group<'a> {
    pub name: &'a str,
    pub anchor: String,
    pub about: &'a str,
    pub routes: Vec<Route<'a>>,
}

/// A method at a path.
pub struct Route<'a> {
    pub anchor: &'a str,
    pub method: String,
    pub path: &'a str,
    pub summary: &'a str,
    pub about: &'a str,
    pub access: &'static str,
    pub params: Vec<Param<'a>>,
    pub curl: String,
    pub answers: Vec<Answer<'a>>,
    pub example: String,
}

/// A parameter of the path, the query or the body.
pub struct Param<'a> {
    pub name: &'a str,
    pub place: &'a str,
    pub required: bool,
    pub accepts: String,
    pub about: &'a str,
}

/// A status and what it means.
pub struct Answer<'a> {
    pub status: &'a str,
    pub about: &'a str,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// The groups of a document, in its order.
pub fn groups(document: &Value) -> Vec<Group<'_>> {
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| {
        let name = text(&tag["name"]);
        let anchor = name.to_lowercase().replace(' ', "-");
        Group { name, anchor, about: text(&tag["description"]), routes: routes(document, name) }
    })
    .collect()
}

fn routes<'a>(document: &'a Value, tag: &str) -> Vec<Route<'a>> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tags = operation["tags"].as_array();
            if tags.is_some_and(|tags| tags.iter().any(|found| found == tag)) {
                found.push(route(path, method, operation));
            }
        }
    }
    found
}

fn route<'a>(path: &'a str, method: &str, operation: &'a Value) -> Route<'a> {
    let method = method.to_uppercase();
    let responses = operation["responses"].as_object();
    let answers = responses.into_iter().flatten();
    let good =
        responses.and_then(|all| all.values().find(|answer| !answer["content"][JSON]["example"].is_null()));
    let example = good.map(|answer| pretty(&answer["content"][JSON]["example"])).unwrap_or_default();
    Route {
        anchor: text(&operation["operationId"]),
        path,
        summary: text(&operation["summary"]),
        about: text(&operation["description"]),
        access: access(operation),
        params: params(operation),
        curl: curl(&method, path, operation),
        answers: answers
            .map(|(status, answer)| Answer { status, about: text(&answer["description"]) })
            .collect(),
        example,
        method,
    }
}

fn access(operation: &Value) -> &'static str {
    match operation["security"].as_array().map(Vec::len) {
        None | Some(0) => "Everybody may ask.",
        Some(1) => "Needs the account's token or an API key.",
        Some(_) => "Needs an API key where the server asks for one.",
    }
}

fn params(operation: &Value) -> Vec<Param<'_>> {
    let listed = operation["parameters"].as_array().into_iter().flatten();
    let listed = listed.map(|param| Param {
        name: text(&param["name"]),
        place: text(&param["in"]),
        required: param["required"] == true,
        accepts: accepts(&param["schema"]),
        about: text(&param["description"]),
    });
    let schema = &body(operation).1["schema"];
    let required = schema["required"].as_array();
    let in_body = schema["properties"].as_object().into_iter().flatten();
    let in_body = in_body.map(|(name, schema)| Param {
        name,
        place: "body",
        required: required.is_some_and(|names| names.iter().any(|found| found == name)),
        accepts: accepts(schema),
        about: text(&schema["description"]),
    });
    listed.chain(in_body).collect()
}

/// The body's media type, a form if it may be one, and what is said of it.
fn body(operation: &Value) -> (&'static str, &Value) {
    let content = &operation["requestBody"]["content"];
    if content[FORM].is_null() { (JSON, &content[JSON]) } else { (FORM, &content[FORM]) }
}

/// What a value may be, in words.
fn accepts(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return words.join(" | ");
    }
    let kind = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).find(|kind| *kind != "null").unwrap_or_default(),
        kind => text(kind),
    };
    let range = || Some(format!("{} to {}", schema["minimum"].as_i64()?, schema["maximum"].as_i64()?));
    match kind {
        "integer" => range().unwrap_or_else(|| "whole number".to_owned()),
        "boolean" => "true | false".to_owned(),
        "array" => "texts".to_owned(),
        "string" if schema["format"] == "date-time" => "date".to_owned(),
        "string" if !schema["contentMediaType"].is_null() => "JSON object".to_owned(),
        "string" => match schema["maxLength"].as_u64() {
            Some(most) => format!("text, at most {most} characters"),
            None => "text".to_owned(),
        },
        _ => "object".to_owned(),
    }
}

/// A call that can be tried.
fn curl(method: &str, path: &str, operation: &Value) -> String {
    let mut path = path.to_owned();
    for param in
        operation["parameters"].as_array().into_iter().flatten().filter(|param| param["in"] == "path")
    {
        let example = text(&param["example"]).replace('+', "%2B");
        path = path.replace(&format!("{{{}}}", text(&param["name"])), &example);
    }
    let mut call = String::from("curl");
    if method != "GET" {
        let _ = write!(call, " -X {method}");
    }
    let _ = write!(call, " http://localhost:3000{path}");
    if access(operation).starts_with("Needs the") {
        call.push_str(" \\\n  -u \"$ACCOUNT_SID:$AUTH_TOKEN\"");
    }
    let (media_type, content) = body(operation);
    let example = &content["example"];
    if media_type == JSON && !example.is_null() {
        let _ = write!(call, " \\\n  -H 'content-type: application/json' \\\n  -d '{example}'");
        return call;
    }
    for (name, value) in example.as_object().into_iter().flatten() {
        let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in several {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(call, " \\\n  --data-urlencode '{name}={value}'");
        }
    }
    call
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
