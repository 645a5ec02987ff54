//! The hyper front end, and the only place that knows statuses.
//!
//! * [`serve`] accepts connections and serves them until the server stops. `connection` serves one connection, with
//!   [`Tls`] if the server has a certificate. `service` is the layer around the routes of a group: whether this node
//!   answers, whether the route may be used, and the form of errors.
//! * [`FrontEnd`] is the state that every request finds, with the server once its store is loaded.
//! * Each file has its routes with their descriptions at its end; `routes` puts them together, each group with its layer.
//!   `openapi` describes them.
//! * `api` is Twilio Verify's API. `compatible` has the routes of the replaced systems. `hooks` takes codes of identity
//!   systems, each in its system's form. `callbacks` takes reports of gateways. `hosted` and `pages` are for people, `admin`
//!   is the dashboard. `local` has the routes of the control socket, which [`serve_local`] serves beside all others.
//! * `form` reads parameters into structs of `values`. `error` has the errors of every route.
//!
//! Architecture invariant: the front end decides nothing about a number. It logs no body, no code and no path that is not
//! in the table.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod admin;
mod api;
mod app;
mod below;
mod call;
mod compatible;
mod connection;
mod error;
mod form;
mod health;
mod hooks;
mod hosted;
mod local;
mod openapi;
mod pages;
mod request;
mod response;
mod routes;
mod server;
mod service;
pub mod tls;
mod values;

/// Connections over any stream, for tests in memory.
#[doc(hidden)]
pub mod streams {
    pub use crate::http::connection::{Connection, Server, serve, serve_http2, with_write_timeout};
    pub use crate::http::server::server_state;
}

pub use app::{App, ClusterNode, FrontEnd, LISTS, ServedRoutes};
pub use local::{KeyCommand, Keys};
pub use onceward_cluster::Owner;
pub use response::ALIVE;
pub use routes::openapi_json;
pub use server::{serve, serve_local};
pub use tls::Tls;
