//! Open connections: what they share with the server, and how their ends are told.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use crate::http::app::{App, ServedRoutes};
use crate::http::logs::Logs;
use crate::http::request::{self, LocalUser, X_REQUEST_ID};
use crate::http::response::{ErrorFormat, Problem, whole};
use crate::http::tls::Tls;
use crate::observe::log_limit::OncePerSecond;

/// A byte stream to a client.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<I: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for I {}

/// The state that all connections share.
pub struct Server {
    pub app: App,
    /// The port that it listens on, if it is one of TCP.
    pub port: Option<u16>,
    pub routes: ServedRoutes,
    pub request_id_prefix: u32,
    pub router: Router,
    /// Ends every connection after the requests that it is answering.
    pub stop: CancellationToken,
    pub logs: Logs,
    pub failed_handshakes: OncePerSecond,
    /// Whether each answer is the last one of its connection.
    pub is_leaving: AtomicBool,
    pub(super) http1: http1::Builder,
}

impl Server {
    /// Notes how many connections are open.
    pub fn note_open(&self, open: usize) {
        if self.routes == ServedRoutes::All {
            self.app.metrics.connections(open);
        }
    }

    /// TLS; `None` for cleartext.
    pub fn tls(&self) -> Option<&Tls> {
        self.app.tls.as_ref().filter(|_| self.routes == ServedRoutes::All)
    }
}

/// Most bytes of a request head, and of the read buffer of an HTTP/1 connection. hyper accepts at most 100 headers.
const HEAD_BYTES: usize = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client may close its side and still wait for the answer to a request that changes something.
        .half_close(true)
        // hyper would take an idle connection for a slow head.
        .header_read_timeout(None)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES);
    builder
}

/// The state that the requests of one connection share.
pub struct Connection {
    pub server: Arc<Server>,
    pub activity: Activity,
    pub(super) number: u64,
    /// The address of the other end: the client, or a proxy.
    pub peer: IpAddr,
    /// At the control socket, the administrator of this machine at the other end.
    pub user: Option<LocalUser>,
    /// Ends the connection after the requests that it is answering. A token of its own, because each check takes its
    /// lock.
    pub(super) stop: CancellationToken,
    /// Places for its bodies that arrive in parts.
    bodies: Semaphore,
}

/// The bodies of one connection that are read at once. Further ones wait in its flow control.
const BODIES: usize = 16;

impl Connection {
    /// The connection with this number, counted from the start of the program, from the address `peer`. `user` is at the
    /// other end of one to the control socket.
    pub fn new(server: Arc<Server>, number: u64, peer: IpAddr, user: Option<LocalUser>) -> Arc<Self> {
        let (stop, bodies) = (server.stop.child_token(), Semaphore::new(BODIES));
        let (activity, peer) = (Activity::start(), peer.to_canonical());
        Arc::new(Self { server, activity, number, peer, user, stop, bodies })
    }

    /// A place to read a body that arrives in parts. The semaphore is never closed.
    pub async fn body_place(&self) -> Option<SemaphorePermit<'_>> {
        self.bodies.acquire().await.ok()
    }

    /// Ends the connection after the requests that it is answering.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Returns when the connection is to end: the server says so, or a time limit has passed. The control socket has no
    /// limits. The timer is looked after once in the shortest limit: a request costs none.
    pub(super) async fn over(&self) {
        let bounds = &self.server.app.settings.bounds;
        let shortest = bounds.header_timeout.min(bounds.idle_timeout);
        loop {
            let left = self.activity.time_left(bounds).filter(|_| self.user.is_none()).unwrap_or(shortest);
            if left.is_zero() || timeout(left.min(shortest), self.stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// The id of the `request`, counted from 1; 0 stands for bytes that never became a request.
    pub fn request_id(&self, request: u64) -> HeaderValue {
        request::own_id(self.server.request_id_prefix, self.number, request)
    }
}

/// One request. The connection is busy until it is dropped.
pub struct ActiveRequest {
    pub(super) connection: Arc<Connection>,
    /// Counted from 1 on its connection.
    pub(super) number: u64,
}

impl ActiveRequest {
    pub(super) fn begin(connection: Arc<Connection>) -> Self {
        let number = connection.activity.begin();
        Self { connection, number }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.connection.activity.end();
    }
}

/// Bounds of [`linger`]. A client that sends more would not read its response soon.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 8 * 1024 * 1024;

/// Reads and discards input until the client closes too, or a bound is reached.
///
/// A socket that is closed with unread input resets the connection. The reset can overtake the response: the client
/// then sees a broken connection instead of the error.
pub async fn linger(stream: &mut impl Stream) {
    let drain = async {
        let mut sink = [0; 8 * 1024];
        let mut rest = stream.take(LINGER_BYTES);
        while let Ok(1..) = rest.read(&mut sink).await {}
    };
    // Reaching a bound is no error: the client had time to read the response.
    let _ = timeout(LINGER_TIME, drain).await;
}

/// Sends a response and closes the connection.
pub async fn respond_and_close(mut stream: impl Stream, response: Bytes) {
    if stream.write_all(&response).await.is_ok() && stream.shutdown().await.is_ok() {
        linger(&mut stream).await;
    }
}

/// A whole HTTP/1.1 response that closes the connection. The path is not known here; therefore it always has the
/// envelope.
pub fn raw_response(problem: Problem, id: &HeaderValue) -> Bytes {
    let (head, body) = problem.answer(ErrorFormat::Envelope).into_parts();
    let body = whole(body).unwrap_or_default();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut raw = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    let mut push = |name: &str, value: &HeaderValue| {
        raw.extend_from_slice(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    };
    for (name, value) in &head.headers {
        push(name.as_str(), value);
    }
    push(X_REQUEST_ID.as_str(), id);
    push("cache-control", &HeaderValue::from_static("no-store"));
    push("connection", &HeaderValue::from_static("close"));
    push("content-length", &HeaderValue::from(body.len()));
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(&body);
    raw.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_response_has_the_headers_of_every_answer() {
        let raw = raw_response(Problem::TooManyConnections, &HeaderValue::from_static("1-2-0"));
        let text = std::str::from_utf8(&raw).expect("text");
        for line in ["content-type: application/json", "x-request-id: 1-2-0", "cache-control: no-store"] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "no {line} in {text}");
        }
    }
}
