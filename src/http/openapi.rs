//! The description of every route as `OpenAPI` 3.1, from the table of routes and the schemas of what it names.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::api::paging::Meta;
use super::api::params::{
    AttemptSid, BucketSid, Country, GuardSubject, HostedSessionSid, IdOrNumber, Param, Pattern, RateLimitSid,
    ServiceSid, Text, WebhookSid,
};
use super::response::{Envelope, ErrorFormat, Message, TwilioError};
use super::route::{Access, ApiGroup, Content, Operation, SchemaOf, Verb, schema};
use crate::domain::PhoneNumber;

pub const INTRODUCTION: &str = "Phone verification by one-time code. The routes below /v2 are those of Twilio Verify's API, \
     version 2, so that its client libraries work with another address. The others are for clients of older servers.";

pub const ACCESS: &str = "User: the account's sid (AC...) with its auth token as password, or an API key's sid (SK...) with its \
     secret.";

const BASIC: &str = "basic";
pub const JSON: &str = "application/json";

/// The status of a head that is too large: hyper answers it without a body.
const OF_THE_CONNECTION: u16 = 431;
/// The failures of reading a body.
const OF_A_BODY: [u16; 3] = [400, 408, 413];

const COMPONENTS: &str = "/components/schemas";

/// The document as JSON.
pub fn text(groups: &[(ApiGroup, Vec<Operation>)]) -> String {
    let mut text = serde_json::to_string_pretty(&document(groups)).unwrap_or_default();
    text.push('\n');
    text
}

/// Collects the schemas of responses.
pub fn schemas() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = COMPONENTS.into();
    settings.contract = Contract::Serialize;
    settings.into_generator()
}

fn document(groups: &[(ApiGroup, Vec<Operation>)]) -> Value {
    let (mut schemas, mut paths, mut tags) = (schemas(), Map::new(), Vec::new());
    for (group, routes) in groups {
        for route in routes.iter().filter(|route| route.is_described()) {
            let item = paths.entry(route.path).or_insert_with(|| json!({}));
            item[route.verb.as_str().to_lowercase()] = operation(group, route, &mut schemas);
        }
        if routes.iter().any(Operation::is_described) {
            tags.push(json!({ "name": group.name, "description": group.about }));
        }
    }
    let license = "MIT OR Apache-2.0";
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "onceward",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": license, "identifier": license },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(false),
            "securitySchemes": { BASIC: { "type": "http", "scheme": "basic", "description": ACCESS } },
        },
        "tags": tags,
    })
}

/// The schema of the document itself, in part.
pub fn schema_of_itself(_: &mut SchemaGenerator) -> Schema {
    let version = json!({ "type": "string", "pattern": "^3\\.1\\.", "examples": ["3.1.0"] });
    json_schema!({ "type": "object", "properties": { "openapi": version }, "required": ["openapi"] })
}

/// Every status that a route can answer beside its success.
pub fn failures(group: &ApiGroup, route: &Operation) -> Vec<u16> {
    let mut statuses = vec![500, OF_THE_CONNECTION];
    statuses.extend(route.others);
    if route.path.contains('{') {
        statuses.push(404);
    }
    if route.verb == Verb::Post {
        statuses.extend(OF_A_BODY);
    }
    if route.verb != Verb::Get {
        // A page of another site made a browser send it.
        statuses.push(403);
    }
    let access = route.access.unwrap_or(group.access);
    if access.needs_credential() {
        statuses.extend([401, 403, 503]);
    } else if access == Access::Compatible {
        statuses.extend([401, 403]);
    }
    if matches!(route.success.content, Content::List(..)) {
        // The caller reads too many long answers at once.
        statuses.push(429);
    }
    if group.bodies.len() > 1 && route.verb == Verb::Post {
        statuses.push(415);
    }
    if route.path.contains('{') || route.verb != Verb::Post && !route.params().is_empty() {
        statuses.push(400);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn operation(group: &ApiGroup, route: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let (is_post, params) = (route.verb == Verb::Post, route.params());
    let query: &[Param] = if is_post { &[] } else { &params };
    let places =
        [("path", path_params(route).as_slice()), ("query", query), ("header", (route.headers)().as_slice())]
            .map(|(place, params)| params.iter().map(|param| parameter(param, place)).collect::<Vec<_>>());
    let mut responses = Map::new();
    responses.insert(route.success.status.to_string(), success(route, schemas));
    for status in failures(group, route) {
        responses.insert(status.to_string(), failure(group, status, schemas));
    }
    let mut operation = json!({
        "tags": [group.name],
        "operationId": route.id,
        "summary": route.summary,
        "parameters": places.concat(),
        "responses": responses,
    });
    if !route.about.is_empty() {
        operation["description"] = route.about.into();
    }
    if is_post && !params.is_empty() {
        operation["requestBody"] = body(group, &params);
    }
    let basic = json!({ BASIC: [] });
    match route.access.unwrap_or(group.access) {
        Access::Open => {}
        Access::Compatible => operation["security"] = json!([{}, basic]),
        Access::Scope(_) | Access::AnyScope | Access::Account(_) => operation["security"] = json!([basic]),
    }
    operation
}

/// The variable segments of a path. The segment before one names its kind.
pub fn path_params(route: &Operation) -> Vec<Param> {
    const HEX: &str = "0123456789abcdef0123456789abcdef";
    let segments: Vec<&str> = route.path.split('/').collect();
    let param = |pair: &[&str]| {
        let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
        Some(match pair[0] {
            "Services" => Param::of::<ServiceSid>(name, "The service.", &format!("VA{HEX}")),
            "Verifications" => {
                Param::of::<IdOrNumber>(name, "The verification, or its number.", &format!("VE{HEX}"))
            }
            "RateLimits" => Param::of::<RateLimitSid>(name, "The rate limit.", &format!("RK{HEX}")),
            "Buckets" => Param::of::<BucketSid>(name, "The bucket.", &format!("BL{HEX}")),
            "MessagingConfigurations" => Param::of::<Country>(name, "Two letters of ISO 3166-1.", "DE"),
            "Webhooks" => Param::of::<WebhookSid>(name, "The webhook.", &format!("YW{HEX}")),
            "TestNumbers" => {
                let about = "A number in E.164 form, in which x stands for any digit; its + may be %2B.";
                Param::of::<Pattern>(name, about, "+1415555012x")
            }
            "Attempts" => Param::of::<AttemptSid>(name, "The attempt.", &format!("VL{HEX}")),
            "HostedSessions" => Param::of::<HostedSessionSid>(name, "The session.", &format!("VH{HEX}")),
            "Numbers" | "Lockouts" => {
                Param::of::<PhoneNumber>(name, "The number, in E.164 form; its + may be %2B.", "+14155552671")
            }
            // Lookup answers every text, with "valid": false.
            "PhoneNumbers" => {
                let about = "The number, in E.164 form or as its country writes it; its + may be %2B.";
                Param::of::<Text<64>>(name, about, "+14155552671")
            }
            "Entries" | "Explanations" => {
                let about = "A number, prefix, country or client address; its + may be %2B.";
                Param::of::<GuardSubject>(name, about, "+99290000****")
            }
            _ => Param::of::<Text<64>>(name, "A name.", "name"),
        })
    };
    segments.windows(2).filter_map(param).collect()
}

fn parameter(param: &Param, place: &str) -> Value {
    let Param { name, required, about, example, schema, .. } = param;
    json!({
        "name": name,
        "in": place,
        "required": required,
        "description": about,
        "example": example,
        "schema": schema,
    })
}

fn body(group: &ApiGroup, params: &[Param]) -> Value {
    let required = || params.iter().filter(|param| param.required);
    let names: Vec<&String> = required().map(|param| &param.name).collect();
    let examples: Map<_, _> = required().map(|param| (param.name.clone(), param.example.clone())).collect();
    let content = |media_type: &&str| {
        let is_json = *media_type == JSON;
        let schema = |param: &Param| if is_json { param.json_schema.clone() } else { param.schema.clone() };
        let properties: Map<_, _> = params.iter().map(|param| (param.name.clone(), schema(param))).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": names });
        ((*media_type).to_owned(), json!({ "schema": schema, "example": examples }))
    };
    let content: Map<_, _> = group.bodies.iter().map(content).collect();
    json!({ "required": !names.is_empty(), "content": content })
}

fn success(route: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": route.success.about });
    if let Content::Text(media_type) = route.success.content {
        response["content"] = json!({ media_type: { "schema": { "type": "string" } } });
    } else if let Some(schema) = success_schema(route, schemas) {
        let example = success_example(route, schemas);
        let example = example.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        response["content"] = json!({ JSON: { "schema": schema, "example": example } });
    }
    response
}

fn success_schema(route: &Operation, schemas: &mut SchemaGenerator) -> Option<Value> {
    match route.success.content {
        Content::Nothing | Content::Page | Content::Text(_) => None,
        Content::Json(schema, _) => Some(schema(schemas).to_value()),
        Content::List(item, key, further) => {
            let mut members =
                Map::from_iter([(key.to_owned(), json!({ "type": "array", "items": item(schemas) }))]);
            for (name, schema) in further.into_iter().chain([("meta", schema::<Meta> as SchemaOf)]) {
                members.insert(name.to_owned(), schema(schemas).to_value());
            }
            let names: Vec<String> = members.keys().cloned().collect();
            Some(json!({ "type": "object", "properties": members, "required": names }))
        }
    }
}

/// An example of a good response.
pub fn success_example(route: &Operation, schemas: &mut SchemaGenerator) -> Option<String> {
    if let Content::Json(_, Some(example)) = route.success.content {
        return Some(example.to_owned());
    }
    let schema = success_schema(route, schemas)?;
    let url = format!("https://codes.example{}", path_example(route));
    let example = Examples { schemas: schemas.definitions(), url }.of(&schema);
    let text = serde_json::to_string_pretty(&example).unwrap_or_default();
    Some(match route.success.content {
        Content::List(_, key, _) => text.replace("\"KEY\"", &format!("{key:?}")),
        _ => text,
    })
}

/// The path of a route, with examples in place of its variable segments.
pub fn path_example(route: &Operation) -> String {
    path_params(route).iter().fold(route.path.to_owned(), |path, param| {
        let example = param.example.as_str().unwrap_or_default().replace('+', "%2B");
        path.replace(&format!("{{{}}}", param.name), &example)
    })
}

struct Examples<'a> {
    schemas: &'a Map<String, Value>,
    /// The address that stands for every address.
    url: String,
}

impl Examples<'_> {
    fn of(&self, schema: &Value) -> Value {
        if let Some(example) = schema.pointer("/examples/0").or_else(|| schema.get("example")) {
            return example.clone();
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.schemas.get(name).map_or(Value::Null, |schema| self.of(schema));
        }
        // A reference that may be null.
        if let Some(choices) = schema["anyOf"].as_array() {
            return choices.first().map_or(Value::Null, |schema| self.of(schema));
        }
        if let Some(properties) = schema["properties"].as_object() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let member = |name: &str| Some((name.to_owned(), self.of(properties.get(name)?)));
            return required.filter_map(member).collect::<Map<_, _>>().into();
        }
        match schema["type"].as_str() {
            Some("array") => json!([self.of(&schema["items"])]),
            Some("boolean") => false.into(),
            Some("integer") => 0.into(),
            Some("object") if schema["additionalProperties"].is_object() => {
                json!({ "en": self.of(&schema["additionalProperties"]) })
            }
            Some("object") => json!({}),
            Some("string") => self.text(schema),
            _ => Value::Null,
        }
    }

    /// An example of a text. That of a pattern is its first choice.
    fn text(&self, schema: &Value) -> Value {
        if let Some(word) = schema.pointer("/enum/0") {
            return word.clone();
        }
        match (schema["format"].as_str(), schema["pattern"].as_str()) {
            (Some("date-time"), _) => "2026-07-30T20:00:00Z".into(),
            (Some(_), _) => self.url.clone().into(),
            (None, Some(pattern)) => {
                let choice = pattern.trim_matches(['^', '$', '(', ')']).split('|').next().unwrap_or_default();
                choice.replace("[0-9a-f]{32}", "0123456789abcdef0123456789abcdef").into()
            }
            (None, None) => "".into(),
        }
    }
}

fn failure(group: &ApiGroup, status: u16, schemas: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": meaning(status) });
    if status != OF_THE_CONNECTION {
        let schema = match group.errors {
            ErrorFormat::Envelope => schema::<Envelope>(schemas),
            ErrorFormat::Message => schema::<Message>(schemas),
            ErrorFormat::Twilio => schema::<TwilioError>(schemas),
        };
        response["content"] = json!({ JSON: { "schema": schema } });
    }
    response
}

pub const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Bad request: a parameter or the body is not valid. The server did nothing.",
        401 => "The request has no credential, or a wrong one.",
        403 => {
            "Not allowed: the credential lacks the scope, a page of another site sent the request, or the message may not be sent."
        }
        404 => "Not found, expired or already used.",
        408 => "The body did not arrive in time.",
        409 => {
            "Conflict: it exists already or cannot be changed here, or the first request with this Idempotency-Key is not finished."
        }
        413 => "The body is too large.",
        415 => "Unsupported media type.",
        422 => "Another request used this Idempotency-Key.",
        429 => {
            "Too many requests. A header says when to try again: Retry-After, below /v2 X-Onceward-Retry-After."
        }
        431 => "The headers or the address are too long.",
        500 => "The server or the provider failed.",
        502 => "The provider refused the request or did not answer in time.",
        503 => {
            "The server cannot serve the request now. A header says when to try again: Retry-After, below /v2 X-Onceward-Retry-After."
        }
        _ => "Something else.",
    }
}
