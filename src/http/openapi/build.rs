//! From the tables to an `OpenAPI` document.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type as Json,
};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, PathItem, Paths, Ref, RefOr, Required, Schema};

use super::endpoint::{Access, Content, Dialect, Endpoint, Method, Param, Type};
use crate::registry::EventType;

/// The name of the one way to say who asks.
pub const BASIC: &str = "basic";

/// A text without control characters.
const NO_CONTROL: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";
/// One without braces too.
const NO_BRACE: &str = r"^[^\x00-\x1f\x7f-\x9f{}]*$";
/// With so few digits that they cannot be taken for a code.
const FEW_DIGITS: &str = r"^[^0-9\x00-\x1f\x7f-\x9f{}]*([0-9][^0-9\x00-\x1f\x7f-\x9f{}]*){0,4}$";
/// A day, or a moment in UTC; empty for none.
const DATE: &str = r"^((19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z)?)?$";

/// What goes wrong on every route, before its path is known.
const OF_THE_CONNECTION: u16 = 431;
/// What goes wrong where a body is read.
const OF_A_BODY: [u16; 3] = [400, 408, 413];

/// Adds a group's routes.
pub fn add(paths: &mut Paths, dialect: &Dialect) {
    for endpoint in dialect.endpoints {
        let method = match endpoint.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Delete => HttpMethod::Delete,
        };
        let item = PathItem::new(method, operation(dialect, endpoint));
        paths.paths.entry(endpoint.path.to_owned()).or_default().merge_operations(item);
    }
}

/// Every status that a route can answer beside its success.
pub fn failures(dialect: &Dialect, endpoint: &Endpoint) -> Vec<u16> {
    let mut statuses = vec![500, OF_THE_CONNECTION];
    statuses.extend(endpoint.others);
    if endpoint.method == Method::Post {
        statuses.extend(OF_A_BODY);
    }
    if endpoint.method != Method::Get {
        // A page of another site made a browser send it.
        statuses.push(403);
    }
    match dialect.access {
        Access::Open => {}
        Access::MayNeedKey => statuses.extend([401, 403]),
        Access::NeedsKey => statuses.extend([401, 403, 503]),
    }
    if dialect.bodies.len() > 1 && endpoint.method == Method::Post {
        statuses.push(415);
    }
    if !endpoint.in_query.is_empty() {
        statuses.push(400);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn operation(dialect: &Dialect, endpoint: &Endpoint) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(dialect.name)
        .operation_id(Some(endpoint.id))
        .summary(Some(endpoint.summary))
        .description(Some(endpoint.about).filter(|about| !about.is_empty()))
        .response(endpoint.success.status.to_string(), success(endpoint));
    for param in endpoint.in_path {
        operation = operation.parameter(parameter(param, ParameterIn::Path));
    }
    for param in endpoint.in_query {
        operation = operation.parameter(parameter(param, ParameterIn::Query));
    }
    for param in endpoint.in_header {
        operation = operation.parameter(parameter(param, ParameterIn::Header));
    }
    for status in failures(dialect, endpoint) {
        operation = operation.response(status.to_string(), failure(dialect, status));
    }
    if !endpoint.in_body.is_empty() {
        operation = operation.request_body(Some(body(dialect, endpoint)));
    }
    match dialect.access {
        Access::Open => {}
        Access::MayNeedKey => {
            operation = operation.security(SecurityRequirement::default()).security(basic());
        }
        Access::NeedsKey => operation = operation.security(basic()),
    }
    operation
}

fn basic() -> SecurityRequirement {
    SecurityRequirement::new(BASIC, [""; 0])
}

fn parameter(param: &Param, place: ParameterIn) -> Parameter {
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(place)
        .required(if param.required { Required::True } else { Required::False })
        .description(Some(param.about))
        .example(Some(example(param)))
        .schema(Some(schema(param, false)))
        .build()
}

fn body(dialect: &Dialect, endpoint: &Endpoint) -> RequestBody {
    let must = endpoint.in_body.iter().any(|param| param.required);
    let mut body =
        RequestBodyBuilder::new().required(Some(if must { Required::True } else { Required::False }));
    for media_type in dialect.bodies {
        let is_json = *media_type == "application/json";
        let mut object = ObjectBuilder::new();
        let mut examples = serde_json::Map::new();
        for param in endpoint.in_body {
            object = object.property(param.name, schema(param, is_json));
            if param.required {
                object = object.required(param.name);
                examples.insert(param.name.to_owned(), example(param));
            }
        }
        let content = ContentBuilder::new().schema(Some(object)).example(Some(Value::Object(examples)));
        body = body.content(*media_type, content.build());
    }
    body.build()
}

/// The value of an example, as its type.
pub fn example(param: &Param) -> Value {
    let text = || Value::from(param.example);
    match param.kind {
        Type::Whole(..) => param.example.parse::<u32>().map_or_else(|_| text(), Value::from),
        Type::Boolean => param.example.parse::<bool>().map_or_else(|_| text(), Value::from),
        Type::Events => Value::from(vec![param.example]),
        Type::User => json!({ "phoneNumber": param.example }),
        Type::Text(_)
        | Type::Note(_)
        | Type::Line(_)
        | Type::Name(_)
        | Type::Pattern(_)
        | Type::Words(_)
        | Type::Date
        | Type::Pairs => text(),
    }
}

/// What a parameter may be. In JSON, one that need not be there may be null as well.
fn schema(param: &Param, in_json: bool) -> RefOr<Schema> {
    let nullable = in_json && !param.required;
    let of = |types: &[Json]| {
        let null = nullable.then_some(Json::Null);
        let all: Vec<Json> = types.iter().cloned().chain(null).collect();
        match <[Json; 1]>::try_from(all) {
            Ok([one]) => SchemaType::Type(one),
            Err(several) => SchemaType::Array(several),
        }
    };
    let object = ObjectBuilder::new().description(Some(param.about));
    let least = param.required.then_some(1);
    let written = |object: ObjectBuilder, longest: usize, pattern: &str| {
        let object = object.schema_type(of(&[Json::String])).min_length(least).max_length(Some(longest));
        object.pattern(Some(pattern)).build()
    };
    let schema = match param.kind {
        Type::Note(longest) => written(object, longest, NO_CONTROL),
        Type::Line(longest) => written(object, longest, NO_BRACE),
        Type::Name(longest) => written(object, longest, FEW_DIGITS),
        Type::Text(longest) => {
            object.schema_type(of(&[Json::String])).min_length(least).max_length(Some(longest)).build()
        }
        Type::Pattern(pattern) => object.schema_type(of(&[Json::String])).pattern(Some(pattern)).build(),
        Type::Words(words) => {
            let null = nullable.then_some(Value::Null);
            let words = words.iter().map(|word| Value::from(*word)).chain(null);
            object.schema_type(of(&[Json::String])).enum_values(Some(words)).build()
        }
        Type::Whole(least, most) => {
            object.schema_type(of(&[Json::Integer])).minimum(Some(least)).maximum(Some(most)).build()
        }
        Type::Boolean => object.schema_type(of(&[Json::Boolean])).build(),
        Type::Date => object.schema_type(of(&[Json::String])).pattern(Some(DATE)).build(),
        Type::User => return user().into(),
        Type::Events => {
            let names = EventType::ALL.into_iter().map(EventType::as_str).chain([EventType::EVERY]);
            let name =
                ObjectBuilder::new().schema_type(SchemaType::Type(Json::String)).enum_values(Some(names));
            let names = ArrayBuilder::new().items(name.build()).description(Some(param.about));
            return names.min_items(least).build().into();
        }
        Type::Pairs => return pairs(object, nullable, in_json),
    };
    schema.into()
}

/// An object of texts or numbers; in a form it can only be a text.
fn pairs(object: ObjectBuilder, nullable: bool, in_json: bool) -> RefOr<Schema> {
    let text = object.schema_type(SchemaType::Type(Json::String)).content_media_type("application/json");
    if !in_json {
        return Schema::from(text.build()).into();
    }
    let value =
        ObjectBuilder::new().schema_type(SchemaType::Array(vec![Json::String, Json::Number, Json::Boolean]));
    let as_it_is = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Json::Object))
        .additional_properties(Some(AdditionalProperties::from(Schema::from(value.build()))));
    let mut either = OneOfBuilder::new().item(text.build()).item(as_it_is.build());
    if nullable {
        either = either.item(ObjectBuilder::new().schema_type(SchemaType::Type(Json::Null)).build());
    }
    Schema::from(either.build()).into()
}

fn user() -> Schema {
    let number = ObjectBuilder::new().schema_type(SchemaType::Type(Json::String));
    ObjectBuilder::new().property("phoneNumber", number.build()).required("phoneNumber").build().into()
}

fn success(endpoint: &Endpoint) -> Response {
    let response = ResponseBuilder::new().description(endpoint.success.about);
    let example = answer_example(endpoint).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).example(example).build();
    match endpoint.success.content {
        Content::Nothing => response.build(),
        Content::Text(media_type) => {
            let text = ObjectBuilder::new().schema_type(SchemaType::Type(Json::String)).build();
            response.content(media_type, ContentBuilder::new().schema(Some(text)).build()).build()
        }
        Content::Json(name, _) => {
            response.content("application/json", json(Ref::from_schema_name(name).into())).build()
        }
        Content::List(name, key, _) => {
            let things = ArrayBuilder::new().items(Ref::from_schema_name(name)).build();
            let list = ObjectBuilder::new()
                .property(key, things)
                .required(key)
                .property("meta", Ref::from_schema_name("ListMeta"))
                .required("meta");
            response.content("application/json", json(Schema::from(list.build()).into())).build()
        }
    }
}

/// An answer, as it is written.
pub fn answer_example(endpoint: &Endpoint) -> Option<String> {
    match endpoint.success.content {
        Content::Nothing | Content::Text(_) => None,
        Content::Json(_, example) => Some(example()),
        Content::List(_, key, example) => Some(super::examples::list(endpoint.path, key, &example())),
    }
}

fn failure(dialect: &Dialect, status: u16) -> Response {
    // What goes wrong before the path is known has one form on every route.
    let name = if status == OF_THE_CONNECTION { "Envelope" } else { dialect.error };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name)));
    ResponseBuilder::new()
        .description(super::statuses::meaning(status))
        .content("application/json", content.build())
        .build()
}
