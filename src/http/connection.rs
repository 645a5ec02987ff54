//! One connection: TLS, its protocol, its time limits and its end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{self, Future};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ALLOW, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderValue,
};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use tracing::debug;

use super::app::{App, ServedRoutes};
use super::tls::HTTP2;
use crate::observe::log_limit::OncePerSecond;

/// A client that takes no bytes for this long loses its connection. hyper alone would wait until the last ones can be
/// written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the client to take its last bytes (HTTP/1) or to acknowledge the end (HTTP/2) once the connection is to
/// close and no request is being answered.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Most bytes of a request head, and of the read buffer of an HTTP/1 connection. hyper accepts at most 100 headers.
const HEAD_BYTES: usize = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Most bytes of an HTTP/2 request's headers, uncompressed.
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 128;

/// The flow-control window of an HTTP/2 client: a few of the largest bodies that are read.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of an answer that wait in an HTTP/2 stream.
const SEND_BUFFER: usize = 4 * 1024;

/// An HTTP/2 client that sends nothing for this long gets a ping, and has this long to answer it. Without pings, a
/// client that vanished would hold its connection for as long as one of its requests is being answered.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to a client that speaks HTTP on a port with TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 86\r\nconnection: close\r\n\r\n\
    {\"code\":400,\"message\":\"This port speaks HTTPS only. Begin the address with https://.\"}";

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
    /// Connections since the start of the program.
    pub accepted: AtomicU64,
    /// Ends every connection after the requests that it is answering.
    pub stop: CancellationToken,
    pub logs: Logs,
}

/// The limits on log lines about requests that are refused, which all requests share.
#[derive(Default)]
pub struct Logs {
    /// Refusals of services, bad bodies at the compatible routes, and refused hooks.
    pub by_kind: ByKind,
    /// Requests that were refused because every circuit is open.
    pub out_of_service: OncePerSecond,
    /// Requests with a wrong credential.
    pub unauthenticated: OncePerSecond,
    /// A proxy named no address that can be read. It writes all of its headers in one way: the first one is logged.
    pub unread_address: OnceLock<()>,
    /// The same for a proxy that vouched for a person in words that are not known.
    pub unread_risk_check: OnceLock<()>,
    pub failed_handshakes: OncePerSecond,
    /// Connections of clients that hold their share of all.
    pub large_client: OncePerSecond,
    /// The limit of connections was reached.
    pub full: OncePerSecond,
}

/// Limits on lines by what they are about and their reason: no kind hides another one, under overload too.
#[derive(Default)]
pub struct ByKind(Mutex<HashMap<(String, String), OncePerSecond>>);

impl ByKind {
    /// `log` is told the number of events, and whether they are the first ones.
    pub fn note(&self, about: &str, reason: &str, log: impl FnOnce(u64, bool) + Send + 'static) {
        let (mut limits, kind) = (self.0.lock(), (about.to_owned(), reason.to_owned()));
        let is_first = !limits.contains_key(&kind);
        limits.entry(kind).or_default().note(move |count| log(count, is_first));
    }
}

/// The state that the requests of one connection share.
pub struct Connection {
    pub server: Arc<Server>,
    /// The beginning of the ids of its requests.
    id: String,
    /// The address of the other end: the client, or a proxy.
    pub peer: IpAddr,
    /// At the control socket, the administrator of this machine at the other end.
    pub user: Option<u32>,
    /// Requests that have begun, and those that were answered or given up.
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Connection {
    /// The next connection, from the address `peer`. `user` is at the other end of one to the control socket.
    pub fn new(server: Arc<Server>, peer: IpAddr, user: Option<u32>) -> Arc<Self> {
        let number = server.accepted.fetch_add(1, Relaxed) + 1;
        let id = format!("{:08x}-{number:x}-", server.request_id_prefix);
        Arc::new(Self { server, id, peer, user, begun: AtomicU64::new(0), ended: AtomicU64::new(0) })
    }

    /// The id of the `request`, counted from 1: start of the program, connection and request, such as `9f01c2aa-1c-3`.
    pub fn request_id(&self, request: u64) -> String {
        format!("{}{request:x}", self.id)
    }

    /// Whether a request is being answered.
    fn is_busy(&self) -> bool {
        self.begun.load(Relaxed) > self.ended.load(Relaxed)
    }

    /// Returns when no request was being answered for the time of a head.
    async fn idle(&self) {
        loop {
            let ended = self.ended.load(Relaxed);
            sleep(self.server.app.settings.bounds.header_timeout).await;
            if !self.is_busy() && self.ended.load(Relaxed) == ended {
                return;
            }
        }
    }
}

/// A request until its answer has begun or its client is gone.
struct ActiveRequest(Arc<Connection>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// What the connection tells the router of a request, which is counted from 1.
#[derive(Clone)]
pub struct Arrived(pub Arc<Connection>, pub u64);

/// A stream whose writes fail after `WRITE_TIMEOUT`. It is below TLS: rustls has a buffer of its own, and each frame
/// that fits into it, such as a ping, would begin the time anew.
pub fn with_write_timeout<I: Stream>(stream: I) -> Pin<Box<TimeoutWriter<I>>> {
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

/// Serves a connection until it ends: HTTP/1 in cleartext, or what ALPN chose over TLS. Dropping the future drops every
/// request that it is answering.
pub async fn serve(stream: impl Stream, tls: Option<TlsAcceptor>, connection: Arc<Connection>) {
    let (stream, server) = (with_write_timeout(stream), &connection.server);
    let Some(acceptor) = tls else { return serve_http1(stream, &connection).await };
    let opening = tokio::select! {
        biased;
        // Boxed, so that its memory is free again after the handshake.
        opening = timeout(server.app.settings.bounds.header_timeout, Box::pin(open(stream, acceptor))) => opening,
        () = server.stop.cancelled() => return,
    };
    let failure = match opening {
        Ok(Ok(Either::Left(stream))) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
            // Boxed, so that a connection of HTTP/1 has no room for it.
            return Box::pin(serve_http2(stream, &connection)).await;
        }
        Ok(Ok(Either::Left(stream))) => return serve_http1(stream, &connection).await,
        Ok(Ok(Either::Right(mut stream))) => {
            // A socket that is closed with unread input resets the connection, and the answer may be lost.
            let _ = stream.get_mut().read(&mut [0; HEAD_BYTES]).now_or_never();
            let _ = stream.write_all(PLAIN_HTTP).await;
            let _ = stream.shutdown().await;
            "the client speaks HTTP without TLS".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    // At debug level only: a client can fail as often as it likes.
    server.logs.failed_handshakes.note(move |count| debug!(failure, count, "TLS handshakes failed"));
}

/// A connection to the TLS port: encrypted, or of a client that speaks HTTP without TLS.
type Opened<I> = Either<Box<TlsStream<I>>, I>;

/// Shakes hands. An HTTP request begins with a capital letter, and TLS never does: RFC 8446, section 5.1.
async fn open<I: Stream>(stream: I, acceptor: TlsAcceptor) -> io::Result<Opened<BufReader<I>>> {
    // One byte, to look at it; rustls reads the rest past the buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    if stream.fill_buf().await?.first().is_some_and(u8::is_ascii_uppercase) {
        return Ok(Either::Right(stream));
    }
    acceptor.accept(stream).await.map(|stream| Either::Left(Box::new(stream)))
}

/// Serves HTTP/1.0 and HTTP/1.1. The time for a head begins when the one before it was answered.
async fn serve_http1(stream: impl Stream, connection: &Arc<Connection>) {
    let service = service_fn(|request| respond(Arc::clone(connection), request));
    let mut http = http1::Builder::new()
        // A client may close its side and still wait for the answer to a request that changes something.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(connection.server.app.settings.bounds.header_timeout)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    run(&mut http, connection, future::pending()).await;
    // After a time limit hyper leaves the end of a TLS session to its user.
    let _ = http.into_parts().io.into_inner().shutdown().now_or_never();
}

/// Serves HTTP/2. The requests run in tasks of their own, which end with the connection.
pub async fn serve_http2(stream: impl Stream, connection: &Arc<Connection>) {
    let service = {
        let connection = Arc::clone(connection);
        // Boxed: while the client takes the answer, nothing of the handler is held in memory.
        service_fn(move |request| respond(Arc::clone(&connection), request).boxed())
    };
    let mut http = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    run(&mut http, connection, connection.idle()).await;
}

/// Runs `http` to its end. A stop of the server, or a time without requests, ends it after the requests that it is
/// answering.
async fn run<C>(http: &mut C, connection: &Connection, idle: impl Future<Output = ()>)
where
    C: GracefulConnection<Error = hyper::Error> + Unpin,
{
    tokio::select! {
        // A request that has arrived is processed before a limit or a stop.
        biased;
        ended = &mut *http => return ended.unwrap_or_else(|error| debug!(%error, "connection failed")),
        () = connection.server.stop.cancelled() => {}
        () = idle => {}
    }
    Pin::new(&mut *http).graceful_shutdown();
    // A client that takes no part in the end is not waited for.
    while timeout(CLOSE_GRACE, &mut *http).await.is_err() && connection.is_busy() {}
}

/// Answers one request. Every failure becomes an answer.
async fn respond(connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let number = connection.begun.fetch_add(1, Relaxed) + 1;
    let active = ActiveRequest(connection);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Arrived(Arc::clone(&active.0), number));
    let Ok(mut response) = active.0.server.router.clone().call(request).await;
    let (status, headers) = (response.status(), response.headers_mut());
    // The router adds it to every answer to a method that the path does not have.
    if let Some(allow) = headers.remove(ALLOW) {
        let is_preflight = headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS);
        if is_preflight || status == StatusCode::METHOD_NOT_ALLOWED {
            let has = |method: &&str| {
                allow.as_bytes().split(|byte| *byte == b',').any(|one| one == method.as_bytes())
            };
            let known = ["GET", "HEAD", "POST", "DELETE"].into_iter().filter(has);
            let methods = HeaderValue::try_from(known.collect::<Vec<_>>().join(", "));
            let name = if is_preflight { ACCESS_CONTROL_ALLOW_METHODS } else { ALLOW };
            headers.extend(methods.ok().map(|methods| (name, methods)));
        }
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
    }
    Ok(response)
}
