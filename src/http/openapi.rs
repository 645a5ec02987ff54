//! The description of every route as `OpenAPI` 3.1, from the table of routes and the schemas of what it names.

use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::api::paging::Meta;
use super::api::params::{
    AttemptSid, BucketSid, Country, GuardSubject, HostedSessionSid, IdOrNumber, Param, Pattern, RateLimitSid,
    ServiceSid, Text, WebhookSid,
};
use super::response::{Envelope, ErrorFormat, Message, TwilioError};
use super::route::{Access, ApiGroup, Content, Operation, SchemaOf, schema};
use crate::domain::PhoneNumber;

pub const INTRODUCTION: &str = "Phone verification by one-time code. The routes below /v2 are those of Twilio Verify's API, \
     version 2, so that its client libraries work with another address. The others are for clients of older servers.";

pub const ACCESS: &str = "User: the account's sid (AC...) with its auth token as password, or an API key's sid (SK...) with its \
     secret.";

const BASIC: &str = "basic";
pub const JSON: &str = "application/json";

pub const ERRORS: &str = "An error: its message says what is wrong, and docs/reference/errors.md lists all. 503 means that nothing has \
     happened. After 429 and 503 a header says when to try again: Retry-After, below /v2 X-Onceward-Retry-After.";

const COMPONENTS: &str = "/components/schemas";

/// The document as JSON.
pub fn text(groups: &[(ApiGroup, Vec<Operation>)]) -> String {
    let mut text = serde_json::to_string_pretty(&document(groups)).unwrap_or_default();
    text.push('\n');
    text
}

/// Makes the schemas of responses. They refer to each other, or are whole.
fn schemas(inline_subschemas: bool) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = COMPONENTS.into();
    settings.contract = Contract::Serialize;
    settings.inline_subschemas = inline_subschemas;
    settings.into_generator()
}

fn document(groups: &[(ApiGroup, Vec<Operation>)]) -> Value {
    let (mut schemas, mut paths, mut tags) = (schemas(false), Map::new(), Vec::new());
    for (group, routes) in groups {
        for route in routes.iter().filter(|route| route.is_described()) {
            let item = paths.entry(route.path).or_insert_with(|| json!({}));
            item[route.verb.to_lowercase()] = operation(group, route, &mut schemas);
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

fn operation(group: &ApiGroup, route: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let (is_post, params) = (route.verb == "POST", route.params());
    let query: &[Param] = if is_post { &[] } else { &params };
    let places =
        [("path", path_params(route).as_slice()), ("query", query), ("header", (route.headers)().as_slice())]
            .map(|(place, params)| params.iter().map(|param| parameter(param, place)).collect::<Vec<_>>());
    let responses = json!({
        route.success.status.to_string(): success(route, schemas),
        // hyper answers it, without a body.
        "431": { "description": "The headers or the address are too long." },
        "default": error(group, schemas),
    });
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
            "TestNumbers" => Param::of::<Pattern>(name, "A number in which x is any digit.", "+1415555012x"),
            "Attempts" => Param::of::<AttemptSid>(name, "The attempt.", &format!("VL{HEX}")),
            "HostedSessions" => Param::of::<HostedSessionSid>(name, "The session.", &format!("VH{HEX}")),
            "Numbers" | "Lockouts" => Param::of::<PhoneNumber>(name, NUMBER, "+14155552671"),
            // Lookup answers every text, with "valid": false.
            "PhoneNumbers" => Param::of::<Text<64>>(name, NUMBER, "+14155552671"),
            "Entries" | "Explanations" => Param::of::<GuardSubject>(
                name,
                "A number, prefix, country or client address.",
                "+99290000****",
            ),
            _ => Param::of::<Text<64>>(name, "A name.", "name"),
        })
    };
    segments.windows(2).filter_map(param).collect()
}

const NUMBER: &str = "The number, in E.164 form; its + may be %2B.";

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
        response["content"] = json!({ JSON: { "schema": schema } });
    }
    response
}

fn success_schema(route: &Operation, schemas: &mut SchemaGenerator) -> Option<Value> {
    match route.success.content {
        Content::Nothing | Content::Page | Content::Text(_) => None,
        Content::Json(schema) => Some(schema(schemas).to_value()),
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

/// The whole schema of a good response, as text; empty if it has no JSON.
pub fn schema_text(route: &Operation) -> String {
    let schema = success_schema(route, &mut schemas(true));
    schema.map(|schema| serde_json::to_string_pretty(&schema).unwrap_or_default()).unwrap_or_default()
}

/// All errors of a route have one form.
fn error(group: &ApiGroup, schemas: &mut SchemaGenerator) -> Value {
    let schema = match group.errors {
        ErrorFormat::Envelope => schema::<Envelope>(schemas),
        ErrorFormat::Message => schema::<Message>(schemas),
        ErrorFormat::Twilio => schema::<TwilioError>(schemas),
    };
    json!({ "description": ERRORS, "content": { JSON: { "schema": schema } } })
}
