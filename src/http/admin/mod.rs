//! The dashboard below `/admin`: pages for the operator, behind a sign-in with the account's credentials or a key for all
//! services with the scope `admin`.
//!
//! * `page`: the sign-in, and what pages share. `session`: sessions, and the limit on failed sign-ins.
//! * `overview`: counts over time, gateways, lockouts; `span`: that time; `figures`, `plot`, in SVG, and `words`.
//! * `search`: the box of every page. `number`: what is known of a number, and what can be done about it; `answer`: why its owner got no code.
//! * `list`: lists with filters in the address; `messages`, `webhooks`, `services`, `keys`, and `audit`, the audit log.
//! * `guard`: blocks and manual entries of the pumping guard; `refusals`: the numbers that were refused messages.
//!
//! No URL and no log line has a number: each session gives a number its own URL.

mod answer;
mod audit;
mod figures;
mod guard;
mod keys;
mod list;
pub mod lockouts;
mod messages;
mod number;
mod overview;
mod page;
mod plot;
mod refusals;
mod search;
mod services;
pub mod session;
mod span;
mod webhooks;
mod words;

use super::route::ApiRouter;

pub use page::{Unavailable, refused};

pub fn routes() -> ApiRouter {
    page::routes()
        .merge(overview::routes())
        .merge(number::routes())
        .merge(guard::routes())
        .merge(refusals::routes())
        .merge(search::routes())
        .merge(audit::routes())
        .merge(messages::routes())
        .merge(webhooks::routes())
        .merge(services::routes())
        .merge(keys::routes())
}
