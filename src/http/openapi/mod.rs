//! The description of every route of the server: `OpenAPI` 3.1, made from tables.
//!
//! * `endpoint`: what a table says of a route. `twilio`, `belongings`, `compatible`, `others`: the tables.
//! * `build`: from them to the document. `page`: from them to the page for people. `examples`: answers as the views really make them.
//!
//! The committed copy, `docs/openapi.json`, is kept true by a test, and another one compares the tables with the router.

mod belongings;
mod build;
mod compatible;
mod endpoint;
mod examples;
mod others;
mod page;
mod schemas;
mod statuses;
mod twilio;
mod twilio_parameters;

use std::sync::LazyLock;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApiBuilder, Paths, Server};

use crate::web;
use endpoint::Dialect;

/// The groups of routes, in the order in which a reader wants them.
static DIALECTS: [&Dialect; 12] = [
    &twilio::VERIFICATIONS,
    &twilio::SERVICES,
    &belongings::RATE_LIMITS,
    &belongings::BUCKETS,
    &belongings::MESSAGING,
    &belongings::WEBHOOKS,
    &belongings::DELIVERIES,
    &belongings::TEST_NUMBERS,
    &belongings::ACCOUNT,
    &compatible::REDIS_VERSION,
    &compatible::TUTORIAL,
    &others::OTHERS,
];

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = made().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

static PAGE: LazyLock<web::Page> = LazyLock::new(|| web::docs_page(&page::made()));

/// The page for people.
pub fn page() -> web::Page {
    PAGE.clone()
}

/// The document.
pub fn text() -> &'static str {
    &TEXT
}

fn made() -> utoipa::openapi::OpenApi {
    let mut paths = Paths::new();
    for dialect in DIALECTS {
        build::add(&mut paths, dialect);
    }
    let tags = DIALECTS
        .iter()
        .map(|dialect| TagBuilder::new().name(dialect.name).description(Some(dialect.about)).build());
    let mut basic = Http::new(HttpAuthScheme::Basic);
    basic.description = Some(ACCESS.to_owned());
    let mut components = schemas::components();
    components.add_security_scheme(build::BASIC, SecurityScheme::Http(basic));
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
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

const INTRODUCTION: &str = "Phone verification by one-time code. The routes below /v2 are those of Twilio Verify's API, \
     version 2, so that its client libraries work with another address. The others are for clients of older servers.";

const ACCESS: &str = "User: the account's sid (AC...) with its auth token as password, or an API key's sid (SK...) with its \
     secret.";

#[cfg(test)]
mod tests;
