//! All routes, what the path of a request leads to, and the routes that describe the others.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::response::Response;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{App, FrontEnd};
use super::call::Call;
use super::pages::docs;
use super::pages::inbox;
use super::response::{self, Envelope};
use super::route::{Access, ApiGroup, ApiRouter, Operation, Success, Verb};
use super::{admin, api, callbacks, compatible, health, hooks, hosted, local, openapi, pages, request};

/// Every route but those of the control socket, in the order in which a reader wants them.
fn described() -> ApiRouter {
    ApiRouter::default()
        .merge(api::routes())
        .merge(compatible::routes())
        .merge(health::routes())
        .merge(routes())
        .merge(inbox::routes())
        .merge(callbacks::routes())
        .merge(hooks::routes())
        .merge(hosted::routes())
        .merge(admin::routes())
}

/// The handlers of all routes.
pub fn router() -> Router<App> {
    described().merge(local::routes()).router.merge(api::not_served())
}

/// The declarations of the routes that are described.
pub static GROUPS: LazyLock<Vec<(ApiGroup, Vec<Operation>)>> = LazyLock::new(|| described().groups);

static LOCAL: LazyLock<Vec<(ApiGroup, Vec<Operation>)>> = LazyLock::new(|| local::routes().groups);

/// What the path of a request leads to.
pub struct Resource {
    /// The template of the path, or what logs say in its place: never the path of a request, which can contain a number.
    pub name: &'static str,
    pub group: ApiGroup,
    /// The methods that it answers, as the `Allow` header spells them.
    pub allow: String,
    operations: Vec<&'static Operation>,
}

/// What Twilio serves and this server does not. A known caller is told so.
const NOT_SERVED: &str = "/v2, not served";

impl Resource {
    /// The resource with this template, if the router has found one.
    pub fn of(template: Option<&str>, path: &str) -> &'static Self {
        static UNKNOWN: LazyLock<[Resource; 2]> =
            LazyLock::new(|| [Resource::without_routes("unknown"), Resource::without_routes("/v2, unknown")]);
        let is_twilio = ["/v1/", "/v2/", "/v3/"].iter().any(|version| path.starts_with(version));
        template.and_then(|template| RESOURCES.get(template)).unwrap_or(&UNKNOWN[usize::from(is_twilio)])
    }

    fn new(name: &'static str, group: ApiGroup, mut operations: Vec<&'static Operation>) -> Self {
        operations.sort_by_key(|operation| operation.verb);
        let methods = operations.iter().map(|operation| match operation.verb {
            Verb::Get => "GET, HEAD",
            verb => verb.as_str(),
        });
        let allow = methods.collect::<Vec<_>>().join(", ");
        Self { name, group, allow, operations }
    }

    /// Every node answers by itself where nothing is served.
    fn without_routes(name: &'static str) -> Self {
        let is_twilio = name.starts_with("/v2");
        let group = if is_twilio { ApiGroup::twilio("", "", Access::Open) } else { ApiGroup::open("", "") };
        let is_served = if name == NOT_SERVED { group.is_served } else { |_: &FrontEnd| false };
        Self::new(
            name,
            ApiGroup { is_of_this_node: true, is_closed_to_pages: true, is_served, ..group },
            Vec::new(),
        )
    }

    /// The route of a method, and its access rule. `OPTIONS` has none: [`super::cors`] answers preflights of allowed
    /// origins.
    pub fn operation(&self, method: &Method) -> Option<(Access, &'static Operation)> {
        let verb = Verb::of(method)?;
        let operation = self.operations.iter().find(|operation| operation.verb == verb)?;
        Some((operation.access.unwrap_or(self.group.access), operation))
    }

    pub fn allows(&self, method: &Method) -> bool {
        if self.name == NOT_SERVED { Verb::of(method).is_some() } else { self.operation(method).is_some() }
    }

    /// Whether only the control socket has it.
    pub fn is_local(&self) -> bool {
        self.name.starts_with("/local/")
    }

    /// Whether it is a page for people that this server has.
    pub fn is_page(&self, app: &FrontEnd) -> bool {
        let page = self.operation(&Method::GET).filter(|(_, operation)| !operation.is_described());
        page.is_some() && !self.is_local() && (self.group.is_served)(app)
    }

    /// Whether clients of older servers call it.
    pub fn is_compatible(&self) -> bool {
        self.group.access == Access::Compatible
    }
}

static RESOURCES: LazyLock<HashMap<&'static str, Resource>> = LazyLock::new(|| {
    let mut paths: HashMap<_, (_, Vec<_>)> = HashMap::new();
    for (group, operations) in GROUPS.iter().chain(&*LOCAL) {
        for operation in operations {
            paths.entry(operation.path).or_insert((*group, Vec::new())).1.push(operation);
        }
    }
    let served =
        paths.into_iter().map(|(path, (group, operations))| (path, Resource::new(path, group, operations)));
    let not_served = api::NOT_SERVED.iter().map(|(path, _)| {
        let allow = "GET, HEAD, POST, DELETE".to_owned();
        (*path, Resource { allow, ..Resource::without_routes(NOT_SERVED) })
    });
    served.chain(not_served).collect()
});

pub const READYZ: &str = "/readyz";

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
async fn index(call: Call) -> Response {
    let app = &call.app;
    if request::accepts(&call.head.headers, "text/html") {
        return pages::start(app.inbox.is_some(), app.settings.simulates_all);
    }
    let listed = GROUPS.iter().filter(|(group, _)| group.is_listed && (group.is_served)(app));
    let routes = listed.flat_map(|(_, operations)| operations);
    let routes = routes.map(|operation| format!("{} {}", operation.verb.as_str(), operation.path));
    let routes: Vec<String> = routes.chain(["/v2/.., see GET /docs".to_owned()]).collect();
    let message = "onceward: phone verification by one-time code";
    response::envelope(StatusCode::OK, 200, message, Some(json!({ "routes": routes })))
}

/// The description as JSON.
pub fn openapi_json() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::text(&GROUPS));
    &TEXT
}

async fn description() -> Response {
    response::page("application/json", &[], openapi_json())
}

async fn docs_page(call: Call) -> Response {
    docs::page(&GROUPS, call.app.inbox.is_some())
}

#[rustfmt::skip] // A table.
fn routes() -> ApiRouter {
    ApiRouter::of(health::GROUP)
        .get("/openapi.json", description, Operation::new("OpenApi", "Read this description",
            Success::json::<Value>("The description, an object of OpenAPI 3.1.")))
        .get("/docs", docs_page, Operation::page())
        .merge(ApiRouter::of(pages::GROUP)
            .get("/", index,
                Operation::new("Index", "List the routes", Success::json::<Envelope>("The routes."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_allows_exactly_the_methods_it_names() {
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ];
        for (path, resource) in &*RESOURCES {
            let named: Vec<_> = resource.allow.split(", ").collect();
            for method in &methods {
                assert_eq!(resource.allows(method), named.contains(&method.as_str()), "{path} {method}");
            }
        }
        assert!(RESOURCES.len() > 50);
    }

    #[test]
    fn the_description_has_every_route_of_the_table_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(openapi_json()).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        let has = |operation: &Operation| {
            paths[operation.path].get(operation.verb.as_str().to_lowercase()).is_some()
        };
        let all: Vec<_> = GROUPS.iter().flat_map(|(_, operations)| operations).collect();
        let all: Vec<_> = all.into_iter().filter(|operation| operation.is_described()).collect();
        assert!(all.iter().all(|operation| has(operation)));
        let count: usize = paths.values().map(|item| item.as_object().map_or(0, serde_json::Map::len)).sum();
        assert_eq!(count, all.len());
    }
}
