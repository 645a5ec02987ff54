//! The description of every route, from the table of routes: `OpenAPI` 3.1 and a page for people. `examples` has answers as
//! the views make them.

pub mod examples;

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, Paths, Ref,
    RefOr, Required, Schema, Server,
};

use super::pages::{self, Docs, DocsAnswer, DocsGroup, DocsParam, DocsRoute};
use super::response::{Envelope, ErrorFormat, Message, TwilioError};
use super::route::{Access, ApiGroup, Content, Route, Verb, schema};
use super::routes::GROUPS;
use super::v2::Meta;
use super::v2::params::{PATTERN, Param, sid_pattern};
use crate::domain::SidKind;

const INTRODUCTION: &str = "Phone verification by one-time code. The routes below /v2 are those of Twilio Verify's API, \
     version 2, so that its client libraries work with another address. The others are for clients of older servers.";

const ACCESS: &str = "User: the account's sid (AC...) with its auth token as password, or an API key's sid (SK...) with its \
     secret.";

/// The name of the one way to say who asks.
const BASIC: &str = "basic";
const JSON: &str = "application/json";

/// A head that is too large, which is answered without a body before its path is known.
const OF_THE_CONNECTION: u16 = 431;
/// What goes wrong where a body is read.
const OF_A_BODY: [u16; 3] = [400, 408, 413];

type Schemas = Vec<(String, RefOr<Schema>)>;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

static PAGE: LazyLock<pages::Page> = LazyLock::new(|| pages::docs_page(&docs()));

/// The page for people.
pub fn page() -> pages::Page {
    PAGE.clone()
}

/// The document.
pub fn text() -> &'static str {
    &TEXT
}

fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = Paths::new();
    for group in GROUPS {
        for route in group.routes {
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
    let version = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^3\\.1\\.")).build();
    let document = ObjectBuilder::new()
        .description(Some("An `OpenAPI` document."))
        .property("openapi", Schema::from(version))
        .required("openapi");
    schemas.push(("OpenApi".to_owned(), Schema::from(document.build()).into()));
    "OpenApi".to_owned()
}

/// Every status that a route can answer beside its success.
fn failures(group: &ApiGroup, route: &Route) -> Vec<u16> {
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
    if group.bodies.len() > 1 && route.verb == Verb::Post {
        statuses.push(415);
    }
    if route.verb == Verb::Get && !route.params().is_empty() {
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
    if route.verb == Verb::Get {
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

/// The variable segments of a path. The segment before one says what it is.
fn path_params(route: &Route) -> Vec<Param> {
    let segments: Vec<&str> = route.path.split('/').collect();
    let pairs = segments.windows(2);
    pairs
        .filter_map(|pair| {
            let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
            let sid = |kind: SidKind| {
                (sid_pattern(kind), format!("{}0123456789abcdef0123456789abcdef", kind.prefix()))
            };
            let number = || (r"\+[1-9][0-9]{6,14}".to_owned(), "+14155552671".to_owned());
            let ((pattern, example), about) = match pair[0] {
                "Services" => (sid(SidKind::Service), "The service."),
                "Verifications" => {
                    let (pattern, example) = sid(SidKind::Verification);
                    let either = format!("{pattern}|{}", number().0);
                    ((either, example), "The verification's id, or the number that it is for.")
                }
                "RateLimits" => (sid(SidKind::RateLimit), "The rate limit."),
                "Buckets" => (sid(SidKind::Bucket), "The bucket."),
                "MessagingConfigurations" => {
                    (("[A-Za-z]{2}".to_owned(), "DE".to_owned()), "Two letters of ISO 3166-1.")
                }
                "Webhooks" => (sid(SidKind::Webhook), "The webhook."),
                "TestNumbers" => (
                    (PATTERN.to_owned(), "+1415555012x".to_owned()),
                    "A number in E.164 form, in which x stands for any digit; its + may be %2B.",
                ),
                "Attempts" => (sid(SidKind::Attempt), "The attempt."),
                "Numbers" => (number(), "The number, in E.164 form; its + may be %2B."),
                _ => return None,
            };
            Some(Param::in_path(name, about, &example, &pattern))
        })
        .collect()
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
    let example = answer_example(route).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).example(example).build();
    match route.success.content {
        Content::Nothing => response.build(),
        Content::Text(media_type) => {
            let text = Schema::from(ObjectBuilder::new().schema_type(Type::String).build());
            response.content(media_type, ContentBuilder::new().schema(Some(text)).build()).build()
        }
        Content::Json(schema, _) => {
            response.content(JSON, json(Ref::from_schema_name(schema(schemas)).into())).build()
        }
        Content::List(item, key, _) => {
            let items = ArrayBuilder::new().items(Ref::from_schema_name(item(schemas))).build();
            let list = ObjectBuilder::new()
                .property(key, items)
                .required(key)
                .property("meta", Ref::from_schema_name(schema::<Meta>(schemas)))
                .required("meta");
            response.content(JSON, json(Schema::from(list.build()).into())).build()
        }
    }
}

/// An answer, as it is written.
fn answer_example(route: &Route) -> Option<String> {
    match route.success.content {
        Content::Nothing | Content::Text(_) => None,
        Content::Json(_, example) => Some(example()),
        Content::List(_, key, example) => Some(examples::list(route.path, key, &example())),
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
const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A parameter or the body cannot be used. Nothing was done.",
        401 => "No credential, or a wrong one. See the header WWW-Authenticate.",
        403 => {
            "Not allowed: the credential may not do this, a page of another site asked, or the message may not be sent."
        }
        404 => "Not found, or used up.",
        408 => "The body did not arrive in time.",
        409 => {
            "It exists already, is being changed, or the first request with this key is still being answered."
        }
        413 => "The body is too large.",
        415 => "The body is of a media type that is not read.",
        422 => "The Idempotency-Key was used with another request.",
        429 => "Too many, or too soon. See the header Retry-After.",
        431 => "Too many or too long headers, or a too long address.",
        500 => "An error of the server, or trouble with the provider.",
        502 => "The provider refused the request or did not answer in time.",
        503 => "The request was not served. See the header Retry-After.",
        _ => "Something else.",
    }
}

/// Where a person tries the calls.
const HERE: &str = "http://localhost:3000";

/// The table of routes as the page shows it.
fn docs() -> Docs {
    Docs {
        title: "onceward",
        version: env!("CARGO_PKG_VERSION"),
        about: INTRODUCTION,
        access: ACCESS,
        groups: GROUPS.into_iter().map(docs_group).collect(),
    }
}

fn docs_group(group: &'static ApiGroup) -> DocsGroup {
    DocsGroup {
        name: group.name,
        anchor: group.name.to_lowercase().replace(' ', "-"),
        about: group.about,
        routes: group.routes.iter().map(|route| docs_route(group, route)).collect(),
    }
}

fn docs_route(group: &ApiGroup, route: &'static Route) -> DocsRoute {
    let success = DocsAnswer { status: route.success.status, about: route.success.about };
    let failures = failures(group, route).into_iter();
    let failures = failures.map(|status| DocsAnswer { status, about: meaning(status) });
    let place = if route.verb == Verb::Get { "query" } else { "body" };
    let places = [("path", path_params(route)), ("header", (route.headers)()), (place, route.params())];
    let params = places.into_iter().flat_map(|(place, params)| {
        params.into_iter().map(move |param| {
            let accepts = param.accepts();
            DocsParam { name: param.name, place, required: param.required, accepts, about: param.about }
        })
    });
    DocsRoute {
        anchor: route.id,
        method: route.verb.as_str(),
        path: route.path,
        summary: route.summary,
        about: route.about,
        access: match route.access.unwrap_or(group.access) {
            Access::Open => "No credential is needed.",
            Access::Compatible => "Needs an API key where the server asks for one.",
            Access::Scope(_) | Access::AnyScope | Access::Account(_) => {
                "Needs the account's token or an API key."
            }
        },
        params: params.collect(),
        curl: curl(group, route),
        answers: std::iter::once(success).chain(failures).collect(),
        example: answer_example(route).unwrap_or_default(),
    }
}

/// A call that can be tried.
fn curl(group: &ApiGroup, route: &Route) -> String {
    let text = |example: &Value| example.as_str().map_or_else(|| example.to_string(), str::to_owned);
    let mut path = route.path.to_owned();
    for param in path_params(route) {
        path = path.replace(&format!("{{{}}}", param.name), &text(&param.example).replace('+', "%2B"));
    }
    let mut call = String::from("curl ");
    if route.verb != Verb::Get {
        let _ = write!(call, "-X {} ", route.verb.as_str());
    }
    let _ = write!(call, "{HERE}{path}");
    if route.access.unwrap_or(group.access).needs_credential() {
        call.push_str(" \\\n  -u \"$ACCOUNT_SID:$AUTH_TOKEN\"");
    }
    if route.verb != Verb::Post {
        return call;
    }
    let params = route.params();
    let required = || params.iter().filter(|param| param.required);
    if group.bodies.first() == Some(&JSON) {
        let body: serde_json::Map<String, Value> =
            required().map(|param| (param.name.clone(), param.example.clone())).collect();
        let _ = write!(call, " \\\n  -H 'content-type: application/json' \\\n  -d '{}'", Value::Object(body));
        return call;
    }
    // A change needs nothing; one thing shows how it goes.
    let first = params.first().filter(|_| required().next().is_none());
    for Param { name, example, .. } in required().chain(first) {
        let example = text(example.get(0).unwrap_or(example));
        let _ = write!(call, " \\\n  --data-urlencode '{name}={example}'");
    }
    call
}
