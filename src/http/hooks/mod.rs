//! Hooks of identity systems: each takes a code that its system has made, in that system's form, and carries it. A file
//! for each system has its payload, its signature and its answer; `carry` has what they share.

mod carry;
pub mod log;
mod logto;
mod okta;
mod supabase;
mod zitadel;

use super::route::ApiRouter;

pub fn routes() -> ApiRouter {
    supabase::routes().merge(logto::routes()).merge(zitadel::routes()).merge(okta::routes())
}
