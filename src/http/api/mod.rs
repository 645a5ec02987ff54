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
use super::call::{Access, Group};
use super::error::Error;
use super::openapi::Routes;

/// The groups, in the order in which a reader wants them.
pub fn groups() -> [Routes; 16] {
    [
        attempts::with_routes(verifications::routes()),
        hosted::routes(),
        messages::routes(),
        lookup::routes(),
        lockouts::routes(),
        guard::routes(),
        services::routes(),
        services::messaging_routes(),
        limits::routes(),
        limits::bucket_routes(),
        webhooks::routes(),
        webhooks::delivery_routes(),
        account::routes(),
        account::account_routes(),
        audit::routes(),
        not_served(),
    ]
}

/// What Twilio serves and this server does not: 404 for a caller who is known.
fn not_served() -> Routes {
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
    let group = Group { is_of_this_node: true, is_closed_to_pages: true, ..Group::twilio(Access::Open) };
    let routes = ROUTES.into_iter().fold(Router::new(), |router, (path, what)| {
        let handler =
            move |_: Caller| async move { Error::NOT_SERVED.say(format!("{what} are not served here")) };
        router.route(path, get(handler).post(handler).delete(handler))
    });
    Routes::new("", "", group).and(routes)
}
