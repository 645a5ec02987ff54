//! What the requests of a connection share.

use std::sync::Arc;

use hyper::header::HeaderValue;
use tokio::sync::Semaphore;

use super::activity::Activity;
use super::crowd::Crowd;
use super::stop::Stop;
use crate::http::deps::Deps;
use crate::http::refusal_log::{OncePerSecond, RefusalLog};
use crate::http::request_id;

/// What all connections share.
pub struct Server<V> {
    /// What the endpoints need.
    pub deps: Arc<Deps<V>>,
    /// Tells connections to finish.
    pub stop: Stop,
    /// Refusals in the log.
    pub refusals: RefusalLog,
    /// Handshakes that failed, in the log.
    pub failed_handshakes: OncePerSecond,
    /// Bodies that are arriving in parts: one for each connection that may be open, so that HTTP/1 never
    /// meets this limit. Without it HTTP/2 could hold as many bodies in memory as it has streams.
    pub bodies_in_parts: Arc<Semaphore>,
    /// Whether connections are getting scarce.
    pub crowd: Arc<Crowd>,
    /// How HTTP/1 is spoken.
    pub http1: hyper::server::conn::http1::Builder,
}

impl<V> Server<V> {
    /// Serves with these parts.
    pub fn new(deps: Arc<Deps<V>>) -> Self {
        Self {
            stop: Stop::default(),
            refusals: RefusalLog::new(),
            failed_handshakes: OncePerSecond::start(),
            bodies_in_parts: Arc::new(Semaphore::new(deps.bounds.connections.min(Semaphore::MAX_PERMITS))),
            crowd: Arc::default(),
            http1: super::http1::builder(),
            deps,
        }
    }
}

/// One connection.
pub struct Session<V> {
    /// What all connections share.
    pub server: Arc<Server<V>>,
    /// What it is doing.
    pub activity: Activity,
    number: u64,
}

impl<V> Session<V> {
    /// The session of the connection with this number.
    pub fn new(server: Arc<Server<V>>, number: u64) -> Self {
        Self { server, activity: Activity::default(), number }
    }

    /// The id of the connection's `request`, counted from 1; 0 for what is not a request.
    pub fn request_id(&self, request: u64) -> HeaderValue {
        request_id::of_ours(self.server.deps.request_id_prefix, self.number, request)
    }
}

/// One request's turn: from its creation until it is dropped the connection is busy.
pub struct Turn<V> {
    session: Arc<Session<V>>,
    request: u64,
}

impl<V> Turn<V> {
    /// Begins a turn.
    pub fn begin(session: Arc<Session<V>>) -> Self {
        let request = session.activity.begin();
        Self { session, request }
    }

    /// What all connections share.
    pub fn server(&self) -> &Server<V> {
        &self.session.server
    }

    /// The request's id, unless the client gave one.
    pub fn request_id(&self) -> HeaderValue {
        self.session.request_id(self.request)
    }

    /// Notes that the request's body was not read to its end.
    pub fn leave_input(&self) {
        self.session.activity.leave_input();
    }
}

impl<V> Drop for Turn<V> {
    fn drop(&mut self) {
        self.session.activity.end();
    }
}
