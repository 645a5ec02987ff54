//! The hyper front end, and the only place that knows statuses.
//!
//! * [`serve`] accepts connections and serves them until the server stops. `connection` serves one connection, with
//!   [`Tls`] if the server has a certificate, `service` one request.
//! * `routes` is the table of all routes. `route` finds the route of a request.
//! * `admin` is the dashboard.
//! * `v2` is Twilio Verify's API. `compatible` has the routes of the replaced systems. `pages` are for people. `local` has
//!   the routes of the control socket, which [`serve_local`] serves beside all others.
//! * `hooks` takes codes of identity systems, each in its system's form.
//! * `forward` passes requests on to another node of a cluster.
//! * `response` has the errors of every route, `openapi` the description of every route.
//! * [`Deps`] is what the front end needs. The shards are behind [`Verify`], the receiver of gateways' reports behind
//!   [`Callbacks`].
//!
//! Architecture invariant: the front end decides nothing about a number. It logs no body, no code and no path that is not
//! in the table.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod admin;
mod compatible;
mod connection;
mod cors;
mod events;
mod forward;
mod hooks;
mod hosted;
mod local;
mod openapi;
mod pages;
mod places;
mod proof;
mod request;
mod response;
mod route;
#[rustfmt::skip] // A table.
mod routes;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod v2;

/// Connections over any stream, for tests in memory.
#[doc(hidden)]
pub mod streams {
    pub use super::connection::{
        Connection, Server, refuse_tls, serve, serve_http2, serve_tls, with_write_timeout,
    };
}

pub use admin::Admin;
pub use connection::{CertificateHealth, Identity, Tls};
pub use events::EventStreams;
pub use forward::{Forwarder, RequestTarget};
pub use local::{CopyNews, Keys, Local, answers};
pub use openapi::text as openapi_json;
pub use places::LongAnswers;
pub use proof::Proofs;
pub use response::{ALIVE, NOT_FOUND};
pub use server::{
    CallbackAnswer, CallbackKind, CallbackRequest, Callbacks, Deps, GatewayHealth, ServedRoutes, Verify,
    serve, serve_local,
};
pub use v2::{Base, Now, V2};
