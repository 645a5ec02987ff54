//! All routes, what the path of a request leads to, and the routes that describe the others.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::{App, FrontEnd};
use super::call::Call;
use super::pages::docs;
use super::pages::inbox;
use super::response::{self, Envelope};
use super::route::{Access, ApiGroup, ApiRouter, Operation, Success};
use super::{admin, api, callbacks, compatible, health, hooks, hosted, local, openapi, pages, request};

/// Every route, in the order in which a reader wants them.
fn all() -> ApiRouter {
    ApiRouter::default()
        .merge(api::routes())
        .merge(compatible::routes())
        .merge(health::routes())
        .merge(routes())
        .merge(pages::routes())
        .merge(inbox::routes())
        .merge(callbacks::routes())
        .merge(hooks::routes())
        .merge(hosted::routes())
        .merge(admin::routes())
        .merge(local::routes())
}

/// The handlers of all routes.
pub fn router() -> Router<App> {
    all().router
}

/// The declarations of all routes.
pub static GROUPS: LazyLock<Vec<(ApiGroup, Vec<Operation>)>> = LazyLock::new(|| all().groups);

/// What the path of a request leads to.
pub struct Resource {
    /// The template of the path, or what logs say in its place: never the path of a request, which can contain a number.
    pub name: &'static str,
    pub group: ApiGroup,
    /// The methods that it answers, as the `Allow` header spells them.
    pub allow: String,
    operations: Vec<&'static Operation>,
}

impl Resource {
    /// The resource with this template, if the router has found one.
    pub fn of(template: Option<&str>, path: &str) -> &'static Self {
        static UNKNOWN: LazyLock<[Resource; 2]> = LazyLock::new(|| {
            let twilio = ApiGroup::twilio("", "", Access::Open);
            [("unknown", ApiGroup::open("", "")), ("/v2, unknown", twilio)].map(|(name, group)| {
                let group = ApiGroup { is_of_this_node: true, is_closed_to_pages: true, ..group };
                Resource::new(name, ApiGroup { is_served: |_| false, ..group }, Vec::new())
            })
        });
        let is_twilio = ["/v1/", "/v2/", "/v3/"].iter().any(|version| path.starts_with(version));
        template.and_then(|template| RESOURCES.get(template)).unwrap_or(&UNKNOWN[usize::from(is_twilio)])
    }

    fn new(name: &'static str, group: ApiGroup, operations: Vec<&'static Operation>) -> Self {
        let is_allowed = |(verb, _): &(&str, &str)| operations.iter().any(|route| route.verb == *verb);
        let methods = [("GET", "GET, HEAD"), ("POST", "POST"), ("DELETE", "DELETE")].into_iter();
        let methods: Vec<_> = methods.filter(is_allowed).map(|(_, allow)| allow).collect();
        Self { name, group, allow: methods.join(", "), operations }
    }

    /// The route of a method, and its access rule. `OPTIONS` has none: [`super::cors`] answers preflights of allowed
    /// origins.
    pub fn operation(&self, method: &Method) -> Option<(Access, &'static Operation)> {
        let verb = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let operation = self.operations.iter().find(|operation| operation.verb == verb)?;
        Some((operation.access.unwrap_or(self.group.access), operation))
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
    for (group, operations) in &*GROUPS {
        for operation in operations {
            paths.entry(operation.path).or_insert((*group, Vec::new())).1.push(operation);
        }
    }
    paths.into_iter().map(|(path, (group, routes))| (path, Resource::new(path, group, routes))).collect()
});

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
async fn index(call: Call) -> Response {
    let app = &call.app;
    if request::accepts(&call.head.headers, "text/html") {
        return pages::start(app.inbox.is_some(), app.settings.gateways.only_simulator());
    }
    let listed = GROUPS.iter().filter(|(group, _)| group.is_listed && (group.is_served)(app));
    let routes = listed.flat_map(|(_, operations)| operations);
    let routes = routes.map(|operation| format!("{} {}", operation.verb, operation.path));
    let routes: Vec<String> = routes.chain(["/v2/.., see GET /docs".to_owned()]).collect();
    let message = "onceward: phone verification by one-time code";
    response::envelope(StatusCode::OK, 200, message, Some(json!({ "routes": routes })))
}

/// The description as JSON.
pub fn openapi_json() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::text(&GROUPS));
    &TEXT
}

async fn description() -> impl IntoResponse {
    ([("content-type", "application/json")], openapi_json())
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
                assert_eq!(
                    resource.operation(method).is_some(),
                    named.contains(&method.as_str()),
                    "{path} {method}"
                );
            }
        }
        assert!(RESOURCES.len() > 50);
    }

    #[test]
    fn the_description_has_every_route_of_the_table_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(openapi_json()).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        let has = |operation: &Operation| paths[operation.path].get(operation.verb.to_lowercase()).is_some();
        let all: Vec<_> = GROUPS.iter().flat_map(|(_, operations)| operations).collect();
        let all: Vec<_> = all.into_iter().filter(|operation| operation.is_described()).collect();
        assert!(all.iter().all(|operation| has(operation)));
        let count: usize = paths.values().map(|item| item.as_object().map_or(0, serde_json::Map::len)).sum();
        assert_eq!(count, all.len());
    }
}
