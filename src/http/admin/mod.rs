//! The dashboard below `/admin`: pages for the operator, behind a sign-in with the account's credentials or a key for all
//! services with the scope `admin`.
//!
//! * `page`: the sign-in, and what pages share. `session`: sessions.
//! * `overview`: counts over time, gateways, lockouts; `figures`: that time, plots in SVG, and words.
//! * `search`: the box of every page. `number`: what is known of a number, and what can be done about it; `answer`: why its owner got no code.
//! * `list`: lists with filters in the address; `messages`, `webhooks`, `services`, `keys`, and `audit`, the audit log.
//! * `delivery`: results of gateways. `guard`: blocks and manual entries of the pumping guard; `refusals`: the numbers that were refused messages.
//!
//! No URL and no log line has a number: in the URL of its page it is sealed.

mod answer;
mod audit;
mod delivery;
mod figures;
mod guard;
mod keys;
mod list;
pub mod lockouts;
mod messages;
mod number;
mod overview;
mod page;
mod prelude;
mod refusals;
mod search;
mod services;
pub mod session;
mod webhooks;

use axum::Router;
use axum::middleware::map_response_with_state;
use axum::routing::{get, post};

use super::app::App;

pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route(page::SIGN_IN, get(page::sign_in_page).post(page::sign_in))
        .route("/admin/sign-out", post(page::sign_out))
        .route("/admin", get(overview::page))
        .route("/admin/search", post(search::search))
        .route("/admin/numbers/{Id}", get(number::page).post(number::act))
        .route("/admin/messages", get(messages::page))
        .route("/admin/delivery", get(delivery::page))
        .route("/admin/refusals", get(refusals::page))
        .route("/admin/webhooks", get(webhooks::page).post(webhooks::create))
        .route("/admin/webhooks/{Sid}", get(webhooks::one).post(webhooks::act))
        .route("/admin/services", get(services::page).post(services::create))
        .route("/admin/services/{Sid}", get(services::one).post(services::act))
        .route("/admin/keys", get(keys::page).post(keys::act))
        .route("/admin/guard", get(guard::page).post(guard::act))
        .route("/admin/audit", get(audit::page))
        .layer(map_response_with_state(App::clone(app), page::refusals))
}
