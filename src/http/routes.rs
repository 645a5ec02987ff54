//! All routes, each group with its layer, and the routes that describe the others.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::http::uri::PathAndQuery;
use serde_json::{Value, json};

use super::app::{App, ServedRoutes};
use super::call::{Access, Call, Group};
use super::error::Error;
use super::openapi::{self, Content, Doc, Routes};
use super::pages::{self, inbox};
use super::response::{self, Envelope, ErrorFormat};
use super::service::{around, cors};
use super::{admin, api, compatible, health, hooks, hosted, local, request};
use crate::gateway::CallbackKind;
use crate::node::{CHALLENGE, TWIML};
use crate::verification::Refusal;

/// The groups of routes, in the order in which a reader wants them.
fn groups() -> Vec<Routes> {
    let this = Doc::new("OpenApi", "Read this description", OPEN_API, Content::json::<Value>());
    let index = Doc::new("Index", "List the routes", "The routes.", Content::json::<Envelope>());
    let about = "The list of the routes. For a browser it is the start page.";
    let of_the_server = [
        health::routes()
            .get("/openapi.json", description, this)
            .and(Router::new().route("/docs", get(docs_page))),
        Routes::new("Pages", about, Group::OPEN).get("/", index_page, index).and(pages::routes()),
        inbox::routes(),
        callback_routes(),
    ];
    let compatible = [compatible::redis_version(), compatible::tutorial()];
    api::groups().into_iter().chain(compatible).chain(of_the_server).collect()
}

const OPEN_API: &str = "The description, an object of OpenAPI 3.1.";

/// The routes of a listener.
pub fn router(app: &App, served: ServedRoutes) -> Router {
    let unknown = around(Group::OF_THIS_NODE, Router::new().fallback(async || Error::NOT_SERVED));
    let routes = if served == ServedRoutes::MetricsOnly {
        around(Group::OF_THIS_NODE, Router::new().route("/metrics", get(health::metrics)))
    } else {
        let people = hosted::routes().merge(admin::routes(app));
        let people = people.route("/admin/", get(async || pages::redirect("/admin")));
        let mut all = around(Group::OPEN, people).merge(around(Group::HOOKS, hooks::routes()));
        let origins = &app.settings.cors_origins;
        for Routes { group, router, .. } in groups().into_iter().filter(|routes| (routes.is_served)(app)) {
            let routes = around(group, router);
            let has_pages = group.access != Access::Open && !origins.is_empty();
            all = all.merge(if has_pages { routes.layer(cors(origins)) } else { routes });
        }
        all
    };
    let local = if served == ServedRoutes::Local { local::routes() } else { Router::new() };
    routes.merge(local).merge(unknown).with_state(App::clone(app))
}

/// The descriptions of all routes.
pub static DOCS: LazyLock<Vec<Routes>> = LazyLock::new(groups);

/// `GET /`: names the routes, as a page of links for a browser and as JSON for others. Those below `/v2` are many, and
/// have a page.
async fn index_page(call: Call) -> Response {
    let app = &call.app;
    if request::accepts(&call.head.headers, "text/html") {
        let is_demo = app.settings.gateways.only_simulator();
        return pages::start(app.inbox.is_some(), is_demo.then_some(app.settings.policy.code.life));
    }
    let listed = DOCS.iter().filter(|docs| docs.group.errors != ErrorFormat::Twilio && (docs.is_served)(app));
    let routes = listed.flat_map(|docs| &docs.rows).map(|(verb, path, _)| format!("{verb} {path}"));
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
    pages::docs_page(&DOCS, call.app.inbox.is_some())
}

// Reports of gateways: of Twilio, and of providers with a recipe.

/// `POST /callbacks/..`, and `GET` for gateways with a recipe: passes a report on unchanged. Its signature covers the path, the
/// query and the body.
async fn callback(call: Call) -> Result<Response, Error> {
    let reports = call.app.reports.as_ref().ok_or(Error::NOT_SERVED)?;
    let (head, body) = (&call.head, &call.body);
    let path_and_query = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let running = call.app.running().ok().map(Arc::as_ref);
    match reports.record(path_and_query, &head.headers, body, running).await {
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some((TWIML, document))) => Ok(([("content-type", TWIML)], document).into_response()),
        Ok(Some((kind, text))) => {
            Ok(([("content-type", kind), ("x-content-type-options", "nosniff")], text).into_response())
        }
        Err(StatusCode::FORBIDDEN) => Err(Error::BAD_SIGNATURE),
        Err(StatusCode::BAD_REQUEST) => Err(Error::body("it is not a report of this kind")),
        Err(StatusCode::INTERNAL_SERVER_ERROR) => Err(Refusal::OutcomeUnknown.into()),
        Err(_) => Err(Error::REPORT_NOT_TAKEN),
    }
}

const TAKEN: &str = "Accepted.";

#[rustfmt::skip] // A table.
fn callback_routes() -> Routes {
    Routes::new("Reports of gateways", "The server accepts only reports with the provider's signature, or with the key of an address that only the provider \
            was told. The routes do not exist if no gateway reports.", Group::REPORTS)
        .served_if(|app| app.reports.is_some())
        .get("/callbacks/gateways/{Name}", callback, Doc::new("GatewayByGet", "Report a delivery in the query, or verify the address", "The challenge.", Content::Text(CHALLENGE))
                .about("A report gets 204, and a provider that verifies the address the text of hub.challenge."))
        .post("/callbacks/gateways/{Name}", callback, Doc { status: 204, ..Doc::new("Gateway", "Report the delivery of a message of a gateway with a recipe", TAKEN, Content::Nothing) })
        .post(CallbackKind::Message.path(), callback, Doc { status: 204, ..Doc::new("TwilioMessage", "Report the delivery of a message", TAKEN, Content::Nothing) })
        .post(CallbackKind::Call.path(), callback, Doc { status: 204, ..Doc::new("TwilioCall", "Report the end of a call", TAKEN, Content::Nothing) })
        .post(CallbackKind::Gate.path(), callback, Doc::new("TwilioGate", "Report a pressed key", "What the call does next.", Content::Text(TWIML)))
}
