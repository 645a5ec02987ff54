//! The hyper front end, and the only place that knows statuses.
//!
//! * [`serve`]: accepts connections and serves them until it is told to stop; within it
//!   `connection` watches one connection, `service` answers one request.
//! * [`Tls`]: with what certificate and under which rules connections are encrypted.
//! * `routes`: the table of all routes. `route`: which one a request is for. `api`: who may use it, and the handlers that are
//!   not Twilio's.
//! * `v2`: Twilio Verify's API. `openapi`: the description of every route, from the table.
//! * `answers`: outcome to status and message, one table for each set of answers. The tables make
//!   `docs/errors.md`.
//! * [`Deps`]: what it is handed. The shards are behind [`Verify`], the pages behind [`Pages`], who takes
//!   reports of gateways behind [`Callbacks`].
//!
//! Architecture invariant: no decision about a number is made here, and nothing here logs a body,
//! a code, a path that is not one of ours, or a number.

mod answer;
mod answers;
mod api;
mod bad_body;
mod body;
mod browser;
mod connection;
mod deps;
mod inbox_pages;
mod openapi;
mod problem;
mod refusal_log;
mod request_id;
mod route;
mod routes;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod tls;
mod v2;

/// From bytes to a request and from an answer to bytes, for the micro benchmarks.
#[doc(hidden)]
pub mod measured {
    pub use super::answers::{api_check, api_send};
    pub use super::api::compatible::{read_send_otp, read_verify_otp};
}

pub use deps::{
    CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, Deps, GatewayHealth, Gateways, Page, Pages,
    Readiness, Verify,
};
pub use inbox_pages::InboxPages;
pub use openapi::text as openapi_json;
pub use server::serve;
pub use tls::{CertificateHealth, Identity, Tls};
pub use v2::{Base, Now, V2};
