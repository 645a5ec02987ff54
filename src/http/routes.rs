//! All routes, each group with its layer, and the routes that describe the others.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use serde_json::json;

use super::app::{App, ServedRoutes};
use super::call::Call;
use super::error::Error;
use super::group::Group;
use super::openapi::{Content, Doc, Docs};
use super::pages::{docs, inbox};
use super::response::{self, Envelope};
use super::service::around;
use super::{admin, api, callbacks, compatible, health, hooks, hosted, local, openapi, pages, request};

/// The groups of routes with their descriptions, in the order in which a reader wants them.
fn groups() -> Vec<(Docs, Router<App>)> {
    let mut groups = api::groups();
    groups.extend(compatible::groups());
    groups.extend([
        (
            health::DOCS,
            health::routes().route("/openapi.json", get(description)).route("/docs", get(docs_page)),
        ),
        (INDEX, Router::new().route("/", get(index)).merge(pages::routes())),
        (inbox::DOCS, inbox::routes()),
        (callbacks::DOCS, callbacks::routes()),
    ]);
    groups
}

/// The routes of a listener.
pub fn router(app: &App, served: ServedRoutes) -> Router {
    let unknown = around(Group::UNKNOWN, app, Router::new().fallback(unknown));
    let routes = if served == ServedRoutes::MetricsOnly {
        around(Group::OF_THIS_NODE, app, health::metrics_route())
    } else {
        let people = hosted::routes().merge(admin::routes(app)).merge(hooks::routes());
        let served = groups().into_iter().filter(|(docs, _)| (docs.is_served)(app));
        served.fold(around(Group::CLOSED_TO_PAGES, app, people), |all, (docs, routes)| {
            all.merge(around(docs.group, app, routes))
        })
    };
    let local = if served == ServedRoutes::Local { local::routes(app) } else { Router::new() };
    routes.merge(local).merge(unknown).with_state(App::clone(app))
}

/// The descriptions of all routes.
pub static DOCS: LazyLock<Vec<Docs>> = LazyLock::new(|| groups().into_iter().map(|(docs, _)| docs).collect());

/// What answers at a path where nothing is.
async fn unknown(call: Call) -> Error {
    if call.head.uri.path().starts_with("/hook") {
        hooks::note_unknown(&call);
    }
    Error::NOT_SERVED
}

const INDEX: Docs = Docs {
    name: "Pages",
    about: "The list of the routes. For a browser it is the start page.",
    group: Group::CLOSED_TO_PAGES,
    rows: &[("GET", "/", Doc::new("Index", "List the routes", "The routes.", Content::json::<Envelope>()))],
    ..Docs::OTHERS
};

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
async fn index(call: Call) -> Response {
    let app = &call.app;
    if request::accepts(&call.head.headers, "text/html") {
        return pages::start(app.inbox.is_some(), app.settings.gateways.only_simulator());
    }
    let listed = DOCS.iter().filter(|docs| !docs.is_twilio() && (docs.is_served)(app));
    let routes = listed.flat_map(|docs| docs.rows).map(|(verb, path, _)| format!("{verb} {path}"));
    let routes: Vec<String> = routes.chain(["/v2/.., see GET /docs".to_owned()]).collect();
    let message = "onceward: phone verification by one-time code";
    response::envelope(StatusCode::OK, 200, message, Some(json!({ "routes": routes })))
}

/// The description as JSON.
pub fn openapi_json() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::text(&DOCS));
    &TEXT
}

async fn description() -> impl IntoResponse {
    ([("content-type", "application/json")], openapi_json())
}

async fn docs_page(call: Call) -> Response {
    docs::page(&DOCS, call.app.inbox.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_every_row_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(openapi_json()).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        let rows: Vec<_> = DOCS.iter().flat_map(|docs| docs.rows).collect();
        assert!(rows.iter().all(|(verb, path, _)| paths[*path].get(verb.to_lowercase()).is_some()));
        let count: usize = paths.values().map(|item| item.as_object().map_or(0, serde_json::Map::len)).sum();
        assert_eq!(count, rows.len());
    }
}
