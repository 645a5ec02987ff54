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

use super::pages::GROUP;
use super::route::{ApiRouter, Operation};

pub use page::refused;

const PAGE: Operation = Operation::page();

pub fn routes() -> ApiRouter {
    ApiRouter::of(GROUP)
        .get(page::SIGN_IN, page::sign_in_page, PAGE)
        .post(page::SIGN_IN, page::sign_in, PAGE)
        .post("/admin/sign-out", page::sign_out, PAGE)
        .get(page::EVENTS, page::events, PAGE)
        .get("/admin", overview::page, PAGE)
        .post("/admin/search", search::search, PAGE)
        .get("/admin/numbers/{Id}", number::page, PAGE)
        .post("/admin/numbers/{Id}", number::act, PAGE)
        .get("/admin/messages", messages::page, PAGE)
        .get("/admin/refusals", refusals::page, PAGE)
        .get("/admin/webhooks", webhooks::page, PAGE)
        .post("/admin/webhooks", webhooks::create, PAGE)
        .get("/admin/webhooks/{Sid}", webhooks::one, PAGE)
        .post("/admin/webhooks/{Sid}", webhooks::act, PAGE)
        .get("/admin/services", services::page, PAGE)
        .post("/admin/services", services::create, PAGE)
        .get("/admin/services/{Sid}", services::one, PAGE)
        .post("/admin/services/{Sid}", services::act, PAGE)
        .get("/admin/keys", keys::page, PAGE)
        .post("/admin/keys", keys::act, PAGE)
        .get("/admin/guard", guard::page, PAGE)
        .post("/admin/guard", guard::act, PAGE)
        .get("/admin/audit", audit::page, PAGE)
}
