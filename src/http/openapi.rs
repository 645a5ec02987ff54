//! The description of every route as `OpenAPI` 3.1, from the table of routes and the schemas of what it names.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post};
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::paging::{ListMeta, Paging};
use super::app::{App, FrontEnd};
use super::call::{Access, Group};
use super::form::{FORM, JSON};
use super::response::{Envelope, ErrorFormat, Message, TwilioError};
use super::values;
use crate::config::members;

pub const INTRODUCTION: &str = "Phone verification by one-time code. The routes below /v2 are those of Twilio Verify's API, \
     version 2, so that its client libraries work with another address. The others are for clients of older servers.";

pub const ACCESS: &str = "User: the account's sid (AC...) with its auth token as password, or an API key's sid (SK...) with its \
     secret.";

const BASIC: &str = "basic";

pub const ERRORS: &str = "An error: its message says what is wrong, and docs/reference/errors.md lists all. 503 means that nothing has \
     happened. After 429 and 503 a header says when to try again: Retry-After, below /v2 X-Onceward-Retry-After.";

const COMPONENTS: &str = "/components/schemas";

/// A group of routes, and their descriptions.
pub struct Routes {
    pub name: &'static str,
    pub about: &'static str,
    pub group: Group,
    /// Whether this server has the routes.
    pub is_served: fn(&FrontEnd) -> bool,
    /// Those that are described.
    pub rows: Vec<Row>,
    pub router: Router<App>,
}

/// `GET`, which answers `HEAD` without a body too, `POST` or `DELETE`; the path, with the names of its variable segments in
/// braces; and the route.
pub type Row = (&'static str, &'static str, Doc);

/// The description of a route.
#[derive(Clone, Copy)]
pub struct Doc {
    /// Its name for generated clients.
    pub id: &'static str,
    pub summary: &'static str,
    pub about: &'static str,
    /// The parameters that its handler reads, in the body of a `POST`, else in the query; those that it requires, beside
    /// the fields that are no options, are its argument.
    pub reads: fn(&[&str]) -> Vec<Property>,
    pub requires: &'static [&'static str],
    /// Whether it takes the header `Idempotency-Key`.
    pub has_key: bool,
    /// The status of the response to a good request, and what that is.
    pub status: u16,
    pub success: &'static str,
    pub content: Content,
}

#[derive(Clone, Copy)]
pub enum Content {
    Nothing,
    /// Text of this media type.
    Text(&'static str),
    /// JSON of this schema.
    Json(SchemaOf),
    /// A page of a list: the schema of an item, and the key.
    List(SchemaOf, &'static str),
}

/// The schema of a type, or a reference to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

impl Content {
    pub const fn json<T: JsonSchema>() -> Self {
        Self::Json(schema::<T>)
    }
}

impl Routes {
    pub fn new(name: &'static str, about: &'static str, group: Group) -> Self {
        Self { name, about, group, is_served: |_| true, rows: Vec::new(), router: Router::new() }
    }

    pub fn served_if(self, is_served: fn(&FrontEnd) -> bool) -> Self {
        Self { is_served, ..self }
    }

    pub fn get<H: Handler<T, App>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.with("GET", path, get(handler), doc)
    }

    pub fn post<H: Handler<T, App>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.with("POST", path, post(handler), doc)
    }

    pub fn delete<H: Handler<T, App>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.with("DELETE", path, delete(handler), doc)
    }

    fn with(mut self, verb: &'static str, path: &'static str, route: MethodRouter<App>, doc: Doc) -> Self {
        self.rows.push((verb, path, doc));
        Self { router: self.router.route(path, route), ..self }
    }

    /// With routes that are not described.
    pub fn and(self, others: Router<App>) -> Self {
        Self { router: self.router.merge(others), ..self }
    }
}

/// A route with a resource, by its parameters, its resource, its name for generated clients, and its purpose.
pub const fn ok<P: Deserialize<'static> + JsonSchema, V: JsonSchema>(
    id: &'static str,
    summary: &'static str,
) -> Doc {
    Doc { reads: properties::<P>, ..Doc::new(id, summary, "The resource.", Content::json::<V>()) }
}

/// The same for a resource that is made.
pub const fn made<P: Deserialize<'static> + JsonSchema, V: JsonSchema>(
    id: &'static str,
    summary: &'static str,
) -> Doc {
    Doc { status: 201, success: "Created.", ..ok::<P, V>(id, summary) }
}

/// The same for a deletion.
pub const fn gone<P: Deserialize<'static> + JsonSchema>(id: &'static str, summary: &'static str) -> Doc {
    Doc { status: 204, success: "Deleted.", content: Content::Nothing, ..ok::<P, ()>(id, summary) }
}

/// The same for pages of a list under `key`.
pub const fn list_of<P: Deserialize<'static> + JsonSchema, V: JsonSchema>(
    key: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Doc {
    let content = Content::List(schema::<V>, key);
    Doc { success: "A page of the list.", content, ..ok::<P, V>(id, summary) }
}

impl Doc {
    /// One without the optional fields: its name for generated clients, its purpose, and its good response.
    pub const fn new(
        id: &'static str,
        summary: &'static str,
        success: &'static str,
        content: Content,
    ) -> Self {
        let (reads, has_key, status) = (properties::<()>, false, 200);
        Self { id, summary, about: "", reads, requires: &[], has_key, status, success, content }
    }

    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Its parameters, with their places: `path`, `header`, and `query` or `body`.
    pub fn params(&self, verb: &str, path: &str) -> Vec<(&'static str, Property)> {
        let of_list = matches!(self.content, Content::List(..)).then(|| properties::<Paging>(&[]));
        let place = if verb == "POST" { "body" } else { "query" };
        let text = |name| Property::new(name, json!({ "type": "string" }), true);
        let segments = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = segments.map(|name| ("path", text(name)));
        let in_head = self.has_key.then(|| properties::<KeyHeader>(&[])).into_iter().flatten();
        let others = (self.reads)(self.requires).into_iter().chain(of_list.into_iter().flatten());
        let placed =
            in_head.map(|property| ("header", property)).chain(others.map(|property| (place, property)));
        in_path.chain(placed).collect()
    }
}

/// The header of requests that may be repeated.
#[derive(Deserialize, JsonSchema)]
struct KeyHeader {
    /// Visible ASCII characters that the client chooses, such as a UUID.
    #[serde(rename = "Idempotency-Key")]
    #[expect(dead_code, reason = "described only")]
    key: Option<values::IdempotencyKey>,
}

/// The document as JSON.
pub fn text(groups: &[Routes]) -> String {
    let mut text = serde_json::to_string_pretty(&document(groups)).unwrap_or_default();
    text.push('\n');
    text
}

/// Makes the schemas of requests, which are whole, or of responses, which are whole or refer to each other.
fn schemas(contract: Contract, inline_subschemas: bool) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = COMPONENTS.into();
    (settings.contract, settings.inline_subschemas) = (contract, inline_subschemas);
    settings.into_generator()
}

/// A parameter of a request.
pub struct Property {
    pub name: String,
    pub required: bool,
    pub about: String,
    /// Empty if its schema says all.
    pub must_be: String,
    pub schema: Value,
}

/// The fields of a struct of parameters, in their order. It may require more than those that are no options.
pub fn properties<P: Deserialize<'static> + JsonSchema>(requires: &[&str]) -> Vec<Property> {
    let whole = schemas(Contract::Deserialize, true).into_root_schema_for::<P>().to_value();
    let usual: Vec<_> = whole["required"].as_array().into_iter().flatten().collect();
    let property = |name: &&str| {
        let is_required = requires.contains(name) || usual.iter().any(|known| known.as_str() == Some(name));
        Some(Property::new(name, whole.pointer(&format!("/properties/{name}"))?.clone(), is_required))
    };
    members::<P>().iter().filter_map(property).collect()
}

impl Property {
    /// From the schema of a value, which may be null if it is not required.
    pub fn new(name: &str, mut schema: Value, required: bool) -> Self {
        let about = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let words = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words = words.collect::<Vec<_>>().join(" or ");
        let range = match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => format!("from {least} to {most}"),
            _ => words,
        };
        let must_be = schema["title"].as_str().map_or(range, str::to_owned);
        if let Some(members) = schema.as_object_mut() {
            members.retain(|name, _| {
                !["$schema", "title", "default", "format", "description"].contains(&name.as_str())
            });
            for list in members.values_mut().filter_map(Value::as_array_mut) {
                list.retain(|item| !item.is_null() && *item != "null");
            }
            if let Some([one]) = schema["type"].as_array().map(Vec::as_slice) {
                schema["type"] = one.clone();
            }
        }
        Self { name: name.to_owned(), required, about, must_be, schema }
    }

    /// What it is, and what it must be.
    pub fn description(&self) -> String {
        let Self { about, must_be, .. } = self;
        if must_be.is_empty() { about.clone() } else { format!("{about} Must be {must_be}.") }
    }
}

fn document(groups: &[Routes]) -> Value {
    let (mut schemas, mut paths, mut tags) = (schemas(Contract::Serialize, false), Map::new(), Vec::new());
    for docs in groups {
        for row in &docs.rows {
            let item = paths.entry(row.1).or_insert_with(|| json!({}));
            item[row.0.to_lowercase()] = operation(docs, row, &mut schemas);
        }
        tags.push(json!({ "name": docs.name, "description": docs.about }));
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

fn operation(docs: &Routes, (verb, path, doc): &Row, schemas: &mut SchemaGenerator) -> Value {
    let (in_body, others): (Vec<_>, Vec<_>) =
        doc.params(verb, path).into_iter().partition(|(place, _)| *place == "body");
    let parameters: Vec<_> = others.iter().map(|(place, param)| parameter(param, place)).collect();
    let responses = json!({
        doc.status.to_string(): success(doc, schemas),
        // hyper answers it, without a body.
        "431": { "description": "The headers or the address are too long." },
        "default": error(docs.group.errors, schemas),
    });
    let mut operation = json!({
        "tags": [docs.name],
        "operationId": doc.id,
        "summary": doc.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if !doc.about.is_empty() {
        operation["description"] = doc.about.into();
    }
    if !in_body.is_empty() {
        operation["requestBody"] = body(docs, &in_body);
    }
    let basic = json!({ BASIC: [] });
    match docs.group.access {
        Access::Open => {}
        Access::Compatible => operation["security"] = json!([{}, basic]),
        Access::Scope(_) | Access::Account(_) => operation["security"] = json!([basic]),
    }
    operation
}

fn parameter(param: &Property, place: &str) -> Value {
    json!({
        "name": param.name,
        "in": place,
        "required": param.required,
        "description": param.description(),
        "schema": param.schema,
    })
}

/// Bodies below `/v2` may be JSON too, with the same names.
fn body(docs: &Routes, params: &[(&str, Property)]) -> Value {
    let schema = |param: &Property| {
        let mut schema = param.schema.clone();
        schema["description"] = param.description().into();
        (param.name.clone(), schema)
    };
    let params = || params.iter().map(|(_, param)| param);
    let required: Vec<&String> = params().filter(|param| param.required).map(|param| &param.name).collect();
    let properties: Map<_, _> = params().map(schema).collect();
    let media_type = if docs.group.access == Access::Compatible { JSON } else { FORM };
    let is_required = !required.is_empty();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    json!({ "required": is_required, "content": { media_type: { "schema": schema } } })
}

fn success(doc: &Doc, schemas: &mut SchemaGenerator) -> Value {
    let mut response = json!({ "description": doc.success });
    if let Content::Text(media_type) = doc.content {
        response["content"] = json!({ media_type: { "schema": { "type": "string" } } });
    } else if let Some(schema) = success_schema(doc, schemas) {
        response["content"] = json!({ JSON: { "schema": schema } });
    }
    response
}

fn success_schema(doc: &Doc, schemas: &mut SchemaGenerator) -> Option<Value> {
    match doc.content {
        Content::Nothing | Content::Text(_) => None,
        Content::Json(schema) => Some(schema(schemas).to_value()),
        Content::List(item, key) => {
            let items = json!({ "type": "array", "items": item(schemas) });
            let members = json!({ key: items, "meta": schema::<ListMeta>(schemas) });
            Some(json!({ "type": "object", "properties": members, "required": [key, "meta"] }))
        }
    }
}

/// The whole schema of a good response, as text; empty if it has no JSON.
pub fn schema_text(doc: &Doc) -> String {
    let schema = success_schema(doc, &mut schemas(Contract::Serialize, true));
    schema.map(|schema| serde_json::to_string_pretty(&schema).unwrap_or_default()).unwrap_or_default()
}

/// All errors of a route have one form.
fn error(form: ErrorFormat, schemas: &mut SchemaGenerator) -> Value {
    let schema = match form {
        ErrorFormat::Envelope => schema::<Envelope>(schemas),
        ErrorFormat::Message => schema::<Message>(schemas),
        ErrorFormat::Twilio => schema::<TwilioError>(schemas),
    };
    json!({ "description": ERRORS, "content": { JSON: { "schema": schema } } })
}
