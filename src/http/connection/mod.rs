//! One connection: its protocol, its time limits, and its end.
//!
//! TLS decides between HTTP/1 and HTTP/2 (ALPN); a connection in cleartext is HTTP/1. hyper-util's `auto` server has
//! therefore nothing to detect here, and it keeps the socket to itself, which this module needs to close without
//! cutting off an answer.

mod activity;
mod lines;
pub mod open;
mod serve;
mod tls;

pub use self::activity::GivesWay;
pub use self::open::{Connection, Server, raw_response, respond_and_close};
pub use self::serve::{serve, serve_http2, server, with_write_timeout};
pub use self::tls::{refuse_tls, serve_tls};
