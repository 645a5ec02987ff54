//! The description of every route as `OpenAPI` 3.1, from the table of routes and the schemas of what it names.

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ArrayItems, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType,
    Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, License, Object, OpenApi, OpenApiBuilder, PathItem,
    Paths, Ref, RefOr, Required, Schema, Server,
};

use super::response::{Envelope, ErrorFormat, Message, TwilioError};
use super::route::{Access, ApiGroup, Content, Route, SchemaOf, Verb, schema};
use super::routes::GROUPS;
use super::v2::Meta;
use super::v2::params::{
    AttemptSid, BucketSid, Country, GuardSubject, IdOrNumber, Param, Pattern, RateLimitSid, ServiceSid, Text,
    WebhookSid,
};
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

pub type Schemas = Vec<(String, RefOr<Schema>)>;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document as JSON.
pub fn text() -> &'static str {
    &TEXT
}

fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for group in GROUPS {
        for route in group.routes.iter().filter(|route| route.is_described()) {
            let method = match route.verb {
                Verb::Get => HttpMethod::Get,
                Verb::Post => HttpMethod::Post,
                Verb::Delete => HttpMethod::Delete,
            };
            let item = PathItem::new(method, operation(group, route, &mut schemas));
            paths.paths.entry(route.path.to_owned()).or_default().merge_operations(item);
        }
    }
    let tags =
        GROUPS.iter().map(|group| TagBuilder::new().name(group.name).description(Some(group.about)).build());
    let mut basic = Http::new(HttpAuthScheme::Basic);
    basic.description = Some(ACCESS.to_owned());
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(BASIC, SecurityScheme::Http(basic));
    let mut license = License::new("MIT OR Apache-2.0");
    license.identifier = Some("MIT OR Apache-2.0".to_owned());
    let info = InfoBuilder::new()
        .title("onceward")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(INTRODUCTION))
        .license(Some(license));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

/// The schema of the document itself, in part.
pub fn schema_of_itself(schemas: &mut Schemas) -> String {
    let version =
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^3\\.1\\.")).examples(["3.1.0"]).build();
    let document = ObjectBuilder::new()
        .description(Some("An `OpenAPI` document."))
        .property("openapi", Schema::from(version))
        .required("openapi");
    schemas.push(("OpenApi".to_owned(), Schema::from(document.build()).into()));
    "OpenApi".to_owned()
}

/// Every status that a route can answer beside its success.
pub fn failures(group: &ApiGroup, route: &Route) -> Vec<u16> {
    let mut statuses = vec![500, OF_THE_CONNECTION];
    statuses.extend(route.others);
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
    if route.verb != Verb::Post && !route.params().is_empty() {
        statuses.push(400);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn operation(group: &ApiGroup, route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(group.name)
        .operation_id(Some(route.id))
        .summary(Some(route.summary))
        .description(Some(route.about).filter(|about| !about.is_empty()))
        .response(route.success.status.to_string(), success(route, schemas));
    for param in path_params(route) {
        operation = operation.parameter(parameter(param, ParameterIn::Path));
    }
    let params = route.params();
    if route.verb != Verb::Post {
        for param in params {
            operation = operation.parameter(parameter(param, ParameterIn::Query));
        }
    } else if !params.is_empty() {
        operation = operation.request_body(Some(body(group, &params)));
    }
    for param in (route.headers)() {
        operation = operation.parameter(parameter(param, ParameterIn::Header));
    }
    for status in failures(group, route) {
        operation = operation.response(status.to_string(), failure(group, status, schemas));
    }
    let basic = || SecurityRequirement::new(BASIC, [""; 0]);
    match route.access.unwrap_or(group.access) {
        Access::Open => operation,
        Access::Compatible => operation.security(SecurityRequirement::default()).security(basic()),
        Access::Scope(_) | Access::AnyScope | Access::Account(_) => operation.security(basic()),
    }
}

/// The variable segments of a path. The segment before one names its kind.
pub fn path_params(route: &Route) -> Vec<Param> {
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
            "Numbers" | "Lockouts" => {
                Param::of::<PhoneNumber>(name, "The number, in E.164 form; its + may be %2B.", "+14155552671")
            }
            "Entries" | "Explanations" => {
                let about = "A number, prefix, country or client address; its + may be %2B.";
                Param::of::<GuardSubject>(name, about, "+99290000****")
            }
            "numbers" => Param::of::<Text<20>>(name, "The number, as its session names it.", "1"),
            _ => return None,
        })
    };
    segments.windows(2).filter_map(param).collect()
}

fn parameter(param: Param, place: ParameterIn) -> Parameter {
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(place)
        .required(if param.required { Required::True } else { Required::False })
        .description(Some(param.about))
        .example(Some(param.example))
        .schema(Some(param.schema))
        .build()
}

fn body(group: &ApiGroup, params: &[Param]) -> RequestBody {
    let must = params.iter().any(|param| param.required);
    let mut body =
        RequestBodyBuilder::new().required(Some(if must { Required::True } else { Required::False }));
    for media_type in group.bodies {
        let mut object = ObjectBuilder::new();
        let mut examples = serde_json::Map::new();
        for param in params {
            let schema = if *media_type == JSON { &param.json_schema } else { &param.schema };
            object = object.property(&param.name, schema.clone());
            if param.required {
                object = object.required(&param.name);
                examples.insert(param.name.clone(), param.example.clone());
            }
        }
        let content = ContentBuilder::new().schema(Some(object)).example(Some(Value::Object(examples)));
        body = body.content(*media_type, content.build());
    }
    body.build()
}

fn success(route: &Route, schemas: &mut Schemas) -> Response {
    let response = ResponseBuilder::new().description(route.success.about);
    match route.success.content {
        Content::Nothing | Content::Page => response.build(),
        Content::Text(media_type) => {
            let text = Schema::from(ObjectBuilder::new().schema_type(Type::String).build());
            response.content(media_type, ContentBuilder::new().schema(Some(text)).build()).build()
        }
        Content::Json(..) | Content::List(..) => {
            let schema = success_schema(route, schemas);
            let example = success_example(route, schemas);
            let example = example.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            response.content(JSON, ContentBuilder::new().schema(schema).example(example).build()).build()
        }
    }
}

fn success_schema(route: &Route, schemas: &mut Schemas) -> Option<RefOr<Schema>> {
    match route.success.content {
        Content::Nothing | Content::Page | Content::Text(_) => None,
        Content::Json(schema, _) => Some(Ref::from_schema_name(schema(schemas)).into()),
        Content::List(item, key, further) => {
            let items = ArrayBuilder::new().items(Ref::from_schema_name(item(schemas))).build();
            let mut list = ObjectBuilder::new().property(key, items).required(key);
            for (name, schema) in further.into_iter().chain([("meta", schema::<Meta> as SchemaOf)]) {
                list = list.property(name, Ref::from_schema_name(schema(schemas))).required(name);
            }
            Some(Schema::from(list.build()).into())
        }
    }
}

/// An example of a good response. The members have the order of the response, which a `Value` would not keep.
pub fn success_example(route: &Route, schemas: &mut Schemas) -> Option<String> {
    if let Content::Json(_, Some(example)) = route.success.content {
        return Some(example.to_owned());
    }
    let schema = success_schema(route, schemas)?;
    let url = format!("https://codes.example{}", path_example(route));
    let example = Examples { schemas, url }.of(&schema, "");
    Some(match route.success.content {
        Content::List(_, key, _) => example.replace("\"KEY\"", &format!("{key:?}")),
        _ => example,
    })
}

/// The path of a route, with examples in place of its variable segments.
pub fn path_example(route: &Route) -> String {
    path_params(route).iter().fold(route.path.to_owned(), |path, param| {
        let example = param.example.as_str().unwrap_or_default().replace('+', "%2B");
        path.replace(&format!("{{{}}}", param.name), &example)
    })
}

/// Makes examples from schemas.
struct Examples<'a> {
    schemas: &'a Schemas,
    /// The address that stands for every address.
    url: String,
}

impl Examples<'_> {
    fn of(&self, schema: &RefOr<Schema>, margin: &str) -> String {
        let inner = format!("{margin}  ");
        match self.resolved(schema) {
            Some(Schema::Object(object)) => {
                if let Some(example) = object.example.as_ref().or(object.examples.first()) {
                    let text = serde_json::to_string_pretty(example).unwrap_or_default();
                    return text.replace('\n', &format!("\n{margin}"));
                }
                let required = object.properties.iter().filter(|(name, _)| object.required.contains(name));
                let mut members: Vec<_> = required.collect();
                let key = "en".to_owned();
                if let Some(AdditionalProperties::RefOr(value)) = object.additional_properties.as_deref() {
                    members.push((&key, value));
                }
                if members.is_empty() {
                    return self.plain(object).to_string();
                }
                let lines = members.into_iter();
                let lines =
                    lines.map(|(name, schema)| format!("{inner}{name:?}: {}", self.of(schema, &inner)));
                format!("{{\n{}\n{margin}}}", lines.collect::<Vec<_>>().join(",\n"))
            }
            Some(Schema::Array(array)) if array.example.is_some() => {
                array.example.as_ref().map(Value::to_string).unwrap_or_default()
            }
            Some(Schema::Array(array)) => match &array.items {
                ArrayItems::RefOrSchema(item) => format!("[\n{inner}{}\n{margin}]", self.of(item, &inner)),
                ArrayItems::False => "[]".to_owned(),
            },
            // A reference that may be null.
            Some(Schema::OneOf(either)) => {
                match either.items.iter().find(|item| matches!(item, RefOr::Ref(_))) {
                    Some(item) => self.of(item, margin),
                    None => "null".to_owned(),
                }
            }
            _ => "null".to_owned(),
        }
    }

    fn resolved<'s>(&'s self, schema: &'s RefOr<Schema>) -> Option<&'s Schema> {
        match schema {
            RefOr::T(schema) => Some(schema),
            RefOr::Ref(reference) => {
                let name = reference.ref_location.rsplit('/').next()?;
                let (_, schema) = self.schemas.iter().find(|(known, _)| known == name)?;
                self.resolved(schema)
            }
        }
    }

    /// An example of what has no members. That of a pattern is its first choice.
    fn plain(&self, object: &Object) -> Value {
        if let Some(word) = object.enum_values.iter().flatten().next() {
            return word.clone();
        }
        match (&object.schema_type, &object.format, &object.pattern) {
            (SchemaType::Type(Type::Boolean), ..) => false.into(),
            (SchemaType::Type(Type::Integer), ..) => 0.into(),
            (SchemaType::Type(Type::Object), ..) => Value::Object(serde_json::Map::new()),
            (SchemaType::Type(Type::String), Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)), _) => {
                "2026-07-30T20:00:00Z".into()
            }
            (SchemaType::Type(Type::String), Some(_), _) => self.url.clone().into(),
            (SchemaType::Type(Type::String), None, Some(pattern)) => {
                let choice = pattern.trim_matches(['^', '$', '(', ')']).split('|').next().unwrap_or_default();
                choice.replace("[0-9a-f]{32}", "0123456789abcdef0123456789abcdef").into()
            }
            (SchemaType::Type(Type::String), None, None) => "".into(),
            _ => Value::Null,
        }
    }
}

fn failure(group: &ApiGroup, status: u16, schemas: &mut Schemas) -> Response {
    if status == OF_THE_CONNECTION {
        return ResponseBuilder::new().description(meaning(status)).build();
    }
    let name = match group.errors {
        ErrorFormat::Envelope => schema::<Envelope>(schemas),
        ErrorFormat::Message => schema::<Message>(schemas),
        ErrorFormat::Twilio => schema::<TwilioError>(schemas),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name)));
    ResponseBuilder::new().description(meaning(status)).content(JSON, content.build()).build()
}

/// The meaning of a status on any route.
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
        429 => "Too many requests. The header Retry-After says when to try again.",
        431 => "The headers or the address are too long.",
        500 => "The server or the provider failed.",
        502 => "The provider refused the request or did not answer in time.",
        503 => "The server cannot serve the request now. The header Retry-After says when to try again.",
        _ => "Something else.",
    }
}
