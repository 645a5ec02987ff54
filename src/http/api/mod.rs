//! Twilio Verify's API, version 2: `/v2/..`, served by ourselves. See `docs/reference/verify-api.md`.
//!
//! * `access`: who asks, and for what. `paging`: lists in pages.
//! * One file for the resources of a subject, with its routes at the end.

#![expect(
    clippy::doc_markdown,
    reason = "comments of fields are descriptions, also for people who do not read Markdown"
)]

pub mod access;
pub mod account;
pub mod attempts;
pub mod audit;
pub mod guard;
pub mod hosted;
pub mod limits;
pub mod lockouts;
pub mod lookup;
pub mod messages;
pub mod paging;
mod prelude;
pub mod services;
pub mod verifications;
pub mod webhooks;

use axum::Router;
use axum::routing::get;

use self::access::Caller;
use super::app::App;
use super::error::Error;
use super::group::{Access, Group};
use super::openapi::Docs;

/// The groups, in the order in which a reader wants them.
pub fn groups() -> Vec<(Docs, Router<App>)> {
    vec![
        (verifications::DOCS, verifications::routes().merge(attempts::routes())),
        (hosted::DOCS, hosted::routes()),
        (messages::DOCS, messages::routes()),
        (lookup::DOCS, lookup::routes()),
        (lockouts::DOCS, lockouts::routes()),
        (guard::DOCS, guard::routes()),
        (services::DOCS, services::routes()),
        (services::MESSAGING, services::messaging_routes()),
        (limits::DOCS, limits::routes()),
        (limits::BUCKETS, limits::bucket_routes()),
        (webhooks::DOCS, webhooks::routes()),
        (webhooks::DELIVERIES, webhooks::delivery_routes()),
        (account::DOCS, account::routes()),
        (account::ACCOUNT, account::account_routes()),
        (audit::DOCS, audit::routes()),
        (NOT_SERVED, not_served()),
    ]
}

/// What Twilio serves and this server does not.
const NOT_SERVED: Docs = Docs {
    group: Group { is_of_this_node: true, is_closed_to_pages: true, ..Group::twilio(Access::Open) },
    ..Docs::OTHERS
};

/// 404 for a caller who is known.
fn not_served() -> Router<App> {
    const ENTITIES: &str = "Entities, Factors and Challenges";
    const ROUTES: [(&str, &str); 7] = [
        ("/v2/Services/{ServiceSid}/Entities", ENTITIES),
        ("/v2/Services/{ServiceSid}/Entities/{*Path}", ENTITIES),
        ("/v2/Services/{ServiceSid}/AccessTokens", "AccessTokens"),
        ("/v2/Services/{ServiceSid}/AccessTokens/{Sid}", "AccessTokens"),
        ("/v2/Services/{ServiceSid}/Passkeys", "Passkeys"),
        ("/v2/Services/{ServiceSid}/Passkeys/{*Path}", "Passkeys"),
        ("/v2/Forms/{FormType}", "Forms"),
    ];
    ROUTES.into_iter().fold(Router::new(), |router, (path, what)| {
        let handler = move |_: Caller| async move { Error::not_served(what) };
        router.route(path, get(handler).post(handler).delete(handler))
    })
}
