//! Twilio Verify's API, version 2: `/v2/..`, served by ourselves. See `docs/reference/verify-api.md`.
//!
//! * `context`: who asks, and for what. `paging`: lists in pages. `fields`, `params`: parameters and views.
//! * `error`: refusals in Twilio's form, one table.
//! * One file for the resources of a subject, with its routes at the end.

pub mod account;
pub mod attempts;
pub mod audit;
pub mod context;
pub mod error;
pub mod fields;
pub mod guard;
pub mod hosted;
pub mod limits;
pub mod lockouts;
pub mod lookup;
pub mod messages;
pub mod paging;
pub mod params;
mod prelude;
pub mod services;
pub mod verifications;
pub mod webhooks;

use self::context::running;
use self::error::Error;
use super::call::Call;
use super::route::{Access, ApiGroup, ApiRouter, Operation};

/// The routes, in the order in which a reader wants them.
pub fn routes() -> ApiRouter {
    ApiRouter::default()
        .merge(verifications::routes())
        .merge(attempts::routes())
        .merge(hosted::routes())
        .merge(messages::routes())
        .merge(lookup::routes())
        .merge(lockouts::routes())
        .merge(guard::routes())
        .merge(services::routes())
        .merge(limits::routes())
        .merge(webhooks::routes())
        .merge(account::routes())
        .merge(audit::routes())
        .merge(not_served())
}

/// Routes that Twilio serves and this server does not: 404 for a caller who is known.
fn not_served() -> ApiRouter {
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
    let group = ApiGroup::twilio("Not served", "", Access::Open);
    let group = ApiGroup { is_of_this_node: true, is_closed_to_pages: true, ..group };
    ROUTES.into_iter().fold(ApiRouter::of(group), |router, (path, what)| {
        let handler = move |call: Call| async move {
            running(&call)?;
            call.caller()?;
            Err::<(), _>(Error::not_served(what))
        };
        let all = router.get(path, handler, Operation::page()).post(path, handler, Operation::page());
        all.delete(path, handler, Operation::page())
    })
}
