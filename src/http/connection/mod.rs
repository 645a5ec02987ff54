//! One connection: its protocol, its time limits, and its end.
//!
//! TLS decides between HTTP/1 and HTTP/2 (ALPN); a connection in cleartext is HTTP/1. hyper-util's `auto` server has
//! therefore nothing to detect here, and it keeps the socket to itself, which this module needs to close without
//! cutting off an answer.

mod refusal;
mod serve;
mod timeouts;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::timeouts::Activity;
use super::deps::Deps;
use super::request;
use crate::log_limit::OncePerSecond;
use crate::numbers::Refusal;

pub use self::refusal::{raw_response, turn_away};
pub use self::serve::serve;
#[cfg(test)]
pub use self::serve::serve_http2;
pub use self::timeouts::Timeouts;
pub use self::tls::{CertificateHealth, Identity, Tls, serve_tls, turn_away_tls};

/// A byte stream to a client.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for I {}

/// What all connections share.
pub struct Server<V> {
    pub deps: Arc<Deps<V>>,
    /// Ends every connection after the requests that it is answering.
    pub stop: CancellationToken,
    pub refusals: RefusalLog,
    pub failed_handshakes: OncePerSecond,
    /// Bodies that arrive in parts: one for each connection that may be open, so that HTTP/1 never meets this limit.
    /// Without it HTTP/2 could hold as many bodies in memory as it has streams.
    pub bodies_in_parts: Arc<Semaphore>,
    nearly_full: AtomicBool,
    http1: http1::Builder,
}

impl<V> Server<V> {
    pub fn new(deps: Arc<Deps<V>>) -> Self {
        Self {
            stop: CancellationToken::new(),
            refusals: RefusalLog::default(),
            failed_handshakes: OncePerSecond::default(),
            bodies_in_parts: Arc::new(Semaphore::new(deps.bounds.connections.min(Semaphore::MAX_PERMITS))),
            nearly_full: AtomicBool::new(false),
            http1: serve::http1_builder(),
            deps,
        }
    }

    /// Notes how many connections are open. From seven eighths of the limit on, idle connections are closed sooner.
    pub fn note_open(&self, open: usize) {
        let limit = self.deps.bounds.connections;
        self.nearly_full.store(open > limit - limit / 8, Ordering::Relaxed);
    }
}

/// What the requests of one connection share.
pub struct Connection<V> {
    server: Arc<Server<V>>,
    activity: Activity,
    number: u64,
}

impl<V> Connection<V> {
    /// The connection with this number, counted from the start of the program.
    pub fn new(server: Arc<Server<V>>, number: u64) -> Self {
        Self { server, activity: Activity::default(), number }
    }

    /// The id of the `request`, counted from 1; 0 stands for bytes that never became a request.
    fn request_id(&self, request: u64) -> HeaderValue {
        request::own_id(self.server.deps.request_id_prefix, self.number, request)
    }
}

/// One request. The connection is busy until it is dropped.
pub struct ActiveRequest<V> {
    connection: Arc<Connection<V>>,
    number: u64,
}

impl<V> ActiveRequest<V> {
    fn begin(connection: Arc<Connection<V>>) -> Self {
        let number = connection.activity.begin();
        Self { connection, number }
    }

    pub fn server(&self) -> &Server<V> {
        &self.connection.server
    }

    /// The request's id, unless the client gave one.
    pub fn request_id(&self) -> HeaderValue {
        self.connection.request_id(self.number)
    }

    /// Notes that the request's body was not read to its end.
    pub fn leave_input(&self) {
        self.connection.activity.leave_input();
    }
}

impl<V> Drop for ActiveRequest<V> {
    fn drop(&mut self) {
        self.connection.activity.end();
    }
}

/// Logs refusals, each reason once a second at most: under overload there can be tens of thousands in a second.
#[derive(Default)]
pub struct RefusalLog([OncePerSecond; 7]);

impl RefusalLog {
    pub fn note(&self, refusal: Refusal) {
        let kind = match refusal {
            Refusal::Overloaded => 0,
            Refusal::NumberBusy => 1,
            Refusal::SendsOverloaded => 2,
            Refusal::StoreUnavailable => 3,
            Refusal::Stopping => 4,
            Refusal::TooManyNumbers => 5,
            Refusal::Starting => 6,
        };
        self.0[kind].note(move |count| warn!(reason = %refusal, count, "requests were refused"));
    }
}
