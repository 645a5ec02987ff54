//! The hyper front end, and the only place that knows statuses.
//!
//! * [`serve`]: accepts connections and serves them until the server stops; `connection` watches one connection, with
//!   [`Tls`] if there is a certificate, `service` answers one request.
//! * `routes`: the table of all routes. `route`: which one a request is for. `compatible` and `server_routes`: the handlers
//!   that are not Twilio's.
//! * `v2`: Twilio Verify's API. `openapi`: the description of every route, from the table.
//! * `answers`: outcome to status and message, one table for each set of answers. The tables make
//!   `docs/reference/errors.md`.
//! * [`Deps`]: what the front end needs. The shards are behind [`Verify`], the receiver of gateways' reports behind
//!   [`Callbacks`].
//!
//! Architecture invariant: no decision about a number is made here, and nothing here logs a body,
//! a code, a path that is not one of ours, or a number.

mod answer;
mod answers;
mod compatible;
mod connection;
mod deps;
mod openapi;
mod problem;
mod request;
mod route;
mod routes;
mod server;
mod server_routes;
mod service;
#[cfg(test)]
mod tests;
mod v2;

/// From bytes to a request and from an answer to bytes, for the micro benchmarks.
#[doc(hidden)]
pub mod measured {
    pub use super::answers::{api_check, api_send};
    pub use super::compatible::{read_send_otp, read_verify_otp};
}

pub use connection::{CertificateHealth, Identity, Tls};
pub use deps::{CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, Deps, GatewayHealth, Verify};
pub use openapi::text as openapi_json;
pub use server::serve;
pub use v2::{Base, Now, V2};
