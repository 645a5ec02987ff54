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

use super::openapi::Routes;

/// The groups, in the order in which a reader wants them.
pub fn groups() -> Vec<Routes> {
    vec![
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
    ]
}
